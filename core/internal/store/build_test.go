package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestAResultIsBuiltOnceAndFoundAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	e := mustBuild(t, s, step("1"), func(ctx context.Context, out, work string) error {
		AddCPU(ctx, 1500*time.Millisecond)
		AddCPU(ctx, 500*time.Millisecond)
		if err := os.WriteFile(filepath.Join(work, "scratch"), []byte("x"), 0o644); err != nil {
			return err
		}
		return writes(map[string]string{"bin/erl": "#!", "lib/a": "12345"})(ctx, out, work)
	})
	if e.CPU != 2 || e.Bytes != 7 || e.Files != 4 || e.Kind != "custom/kernel" || e.Seconds <= 0 {
		t.Errorf("entry %+v", e)
	}
	if got := list(t, e.Dir); !slices.Equal(got, []string{"bin", "lib"}) {
		t.Errorf("published %v", got)
	}
	for _, d := range []string{"tmp", "locks"} {
		if left := list(t, filepath.Join(dir, d)); len(left) > 0 {
			t.Errorf("left in %s: %v", d, left)
		}
	}
	again, built, err := open(t, dir).Build(t.Context(), step("1"), nil)
	if err != nil || built || again.Digest != e.Digest || again.Dir != e.Dir || !maps.Equal(again.Inputs, e.Inputs) || again.CPU != 2 {
		t.Errorf("again: %+v, built %v, %v", again, built, err)
	}
}

func TestTheKeyDependsOnKindAndInputsOnly(t *testing.T) {
	t.Parallel()
	base := Step{Kind: "k", Scope: "s", Inputs: Inputs{"a": "1", "b": "2"}}
	if other := (Step{Kind: "k", Scope: "t", Inputs: Inputs{"b": "2", "a": "1"}}); other.Key() != base.Key() {
		t.Error("the scope changes the key")
	}
	keys := map[string]Step{base.Key(): base}
	for _, s := range []Step{
		{Kind: "k2", Inputs: Inputs{"a": "1", "b": "2"}},
		{Kind: "k", Inputs: Inputs{"a": "1", "b": "3"}},
		{Kind: "k", Inputs: Inputs{"a": "1"}},
		{Kind: "k", Inputs: Inputs{"a": "1", "b": "2", "c": ""}},
		{Kind: "k", Inputs: Inputs{"a": "11:b1:2"}}, // what a naive joining would confuse
		{Kind: "k", Inputs: Inputs{"a1": "", "b": "2"}},
		{Kind: "k", Inputs: Inputs{}},
	} {
		if twin, ok := keys[s.Key()]; ok {
			t.Errorf("%+v and %+v have one key", s, twin)
		}
		keys[s.Key()] = s
	}
}

// The keys of a release must stay: a changed encoding throws every cache away.
func TestTheKeyIsStable(t *testing.T) {
	t.Parallel()
	const want = "3498d3e0ad15f404b30eb5d72af53eb91ffb474ef1405b677e7ce1c870d8ac31"
	if got := (Step{Kind: "custom/kernel", Inputs: Inputs{"source linux": "6.12.107"}}).Key(); got != want {
		t.Errorf("key %s, want %s", got, want)
	}
}

func TestAFailedStepPublishesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	boom := errors.New("boom")
	_, _, err := s.Build(t.Context(), step("1"), func(_ context.Context, out, _ string) error {
		os.WriteFile(filepath.Join(out, "half"), nil, 0o644)
		return boom
	})
	if err != boom {
		t.Errorf("Build: %v", err)
	}
	func() {
		defer func() { recover() }()
		s.Build(t.Context(), step("1"), func(_ context.Context, out, _ string) error {
			os.WriteFile(filepath.Join(out, "half"), nil, 0o644)
			panic("boom")
		})
	}()
	if entries, err := s.List(); err != nil || len(entries) > 0 {
		t.Errorf("List: %v, %v", entries, err)
	}
	if left := list(t, filepath.Join(dir, "tmp")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	mustBuild(t, s, step("1"), writes(nil))
}

func TestManyBuildersAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var runs [4]atomic.Int32
	var wg sync.WaitGroup
	for i := range 24 {
		s := open(t, dir) // each as another process would
		wg.Go(func() {
			n := i % len(runs)
			e, _, err := s.Build(t.Context(), step(fmt.Sprint(n)), func(ctx context.Context, out, work string) error {
				runs[n].Add(1)
				return manyFiles(fmt.Sprint(n))(ctx, out, work)
			})
			if err != nil {
				t.Error(err)
				return
			}
			if b, err := os.ReadFile(filepath.Join(e.Dir, "d1", "f1")); err != nil || !strings.HasPrefix(string(b), fmt.Sprint(n, " 1\n")) {
				t.Errorf("step %d: %.10q, %v", n, b, err)
			}
		})
	}
	wg.Wait()
	for n := range runs {
		if got := runs[n].Load(); got != 1 {
			t.Errorf("step %d was built %d times", n, got)
		}
	}
}

func TestADamagedEntryIsSetAsideAndBuiltAgain(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(entry string) error{
		"file truncated":   func(e string) error { return os.Truncate(e+"/out/d0/f0", 3) },
		"file gone":        func(e string) error { return os.Remove(e + "/out/d0/f0") },
		"file added":       func(e string) error { return os.WriteFile(e+"/out/new", nil, 0o644) },
		"same size":        func(e string) error { return overwrite(e + "/out/d0/f0") },
		"became a link":    func(e string) error { os.Remove(e + "/out/d0/f0"); return os.Symlink("f4", e+"/out/d0/f0") },
		"executable":       func(e string) error { return os.Chmod(e+"/out/d0/f0", 0o755) },
		"result gone":      func(e string) error { return os.RemoveAll(e + "/out") },
		"record gone":      func(e string) error { return os.Remove(e + "/entry.json") },
		"record cut short": func(e string) error { return os.Truncate(e+"/entry.json", 20) },
		"record of another": func(e string) error {
			return os.WriteFile(e+"/entry.json", []byte(`{"Key": "0000"}`), 0o644)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := open(t, dir)
			e := mustBuild(t, s, step("1"), manyFiles("1"))
			if err := damage(s.entryPath(e.Key)); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir)
			if _, ok := s.Lookup(e.Key); ok {
				t.Fatal("found in spite of the damage")
			}
			again := mustBuild(t, s, step("1"), manyFiles("1"))
			if again.Digest != e.Digest {
				t.Errorf("built %s, want %s", again.Digest, e.Digest)
			}
			if got := list(t, filepath.Join(dir, "damaged")); !slices.Equal(got, []string{e.Key}) {
				t.Errorf("damaged/ holds %v", got)
			}
			if _, _, err := s.Prune(0, 0, nil); err != nil || len(list(t, filepath.Join(dir, "damaged"))) > 0 {
				t.Errorf("after Prune (%v) damaged/ holds %v", err, list(t, filepath.Join(dir, "damaged")))
			}
		})
	}
}

// overwrite changes a file in place, and is later than its last change.
func overwrite(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("#"), 0); err != nil {
		return err
	}
	return os.Chtimes(path, time.Time{}, time.Now().Add(time.Second))
}

func TestACopyOfTheStoreWithoutTimesIsStillGood(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	e := mustBuild(t, s, step("1"), manyFiles("1"))
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.CopyFS(moved, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	other := open(t, moved)
	got, ok := other.Lookup(e.Key)
	if !ok || !strings.HasPrefix(got.Dir, moved) {
		t.Fatalf("Lookup in the copy: %+v, %v", got, ok)
	}
	rec, err := readRecord(other.entryPath(e.Key))
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := scan(got.Dir, nil)
	if err != nil || rec.Stat != statDigest(nodes) {
		t.Errorf("the copy's looks were not recorded: the next Lookup digests everything again (%v)", err)
	}
}

func TestLookupOfNonsenseFindsNothing(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	for _, key := range []string{"", "ab", "../../etc", strings.Repeat("z", 64)} {
		if e, ok := s.Lookup(key); ok {
			t.Errorf("%q: %+v", key, e)
		}
	}
}

func TestWhyNamesTheInputsThatChanged(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	first := Step{Kind: "otp", Scope: "vm", Inputs: Inputs{"version": "27.3.4", "gone": "1", "same": "=", "flags": "-O2 -static", "source": strings.Repeat("a", 64)}}
	second := Step{Kind: "otp", Scope: "vm", Inputs: Inputs{"version": "27.3.4.1", "new": "", "same": "=", "flags": "-O2 -g -pie", "source": strings.Repeat("b", 64)}}
	if got := s.Why(first); got != nil {
		t.Errorf("before any run: %v", got)
	}
	mustBuild(t, s, first, writes(nil))
	if got := s.Why(first); got != nil {
		t.Errorf("after the first run: %v", got)
	}
	want := []string{
		`flags: without "-static", with "-g", with "-pie"`,
		`gone: gone, was "1"`,
		`new: new, ""`,
		`source: aaaaaaaaaaaa → bbbbbbbbbbbb`,
		`version: "27.3.4" → "27.3.4.1"`,
	}
	check := func(when string) {
		t.Helper()
		var got []string
		for _, c := range s.Why(second) {
			got = append(got, c.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q", when, got)
		}
	}
	check("before the second run")
	mustBuild(t, s, second, writes(nil))
	check("after the second run")

	for _, other := range []Step{{Kind: "otp", Scope: "other"}, {Kind: "kernel", Scope: "vm"}} {
		if got := s.Why(other); got != nil {
			t.Errorf("%+v compares with another's history: %v", other, got)
		}
	}

	s.Close()
	if _, removed, err := s.Prune(1, 0, nil); err != nil || len(removed) != 2 {
		t.Fatal(removed, err)
	}
	if got := s.Why(second); got == nil || len(got) != 0 {
		t.Errorf("after pruning: %v, want no change at all", got)
	}
}

func TestPruneRemovesWhatWasUnusedForLongest(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, tt := range map[string]struct {
		olderThan time.Duration
		maxBytes  int64
		keep      string
		want      []string // the versions that go, first gone first
	}{
		"no limits":        {0, 0, "", nil},
		"age":              {150 * time.Minute, 0, "", []string{"4", "3"}},
		"size":             {0, 25, "", []string{"4", "3"}},
		"size, but kept":   {0, 25, "4", []string{"3", "2"}},
		"age and size":     {210 * time.Minute, 15, "", []string{"4", "3", "2"}},
		"everything":       {time.Minute, 0, "", []string{"4", "3", "2", "1"}},
		"all but the kept": {time.Minute, 0, "2", []string{"4", "3", "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, t.TempDir())
			versions := map[string]string{}
			for i := 1; i <= 4; i++ { // used 1, 2, 3, 4 hours ago, 10 bytes each
				v := fmt.Sprint(i)
				e := mustBuild(t, s, step(v), writes(map[string]string{"f": strings.Repeat(v, 10)}))
				versions[e.Key] = v
				if err := os.Chtimes(recordPath(s.entryPath(e.Key)), time.Time{}, now.Add(-time.Duration(i)*time.Hour)); err != nil {
					t.Fatal(err)
				}
			}
			s.Close()
			freed, removed, err := s.Prune(tt.olderThan, tt.maxBytes, map[string]bool{step(tt.keep).Key(): true})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range removed {
				got = append(got, versions[e.Key])
				if _, ok := s.Lookup(e.Key); ok {
					t.Errorf("version %s is still there", versions[e.Key])
				}
			}
			if !slices.Equal(got, tt.want) || freed != int64(10*len(tt.want)) {
				t.Errorf("removed %v (%d bytes), want %v", got, freed, tt.want)
			}
			if entries, err := s.List(); err != nil || len(entries) != 4-len(tt.want) {
				t.Errorf("left %d, %v", len(entries), err)
			}
		})
	}
}

func TestLookupCountsAsUse(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	a := mustBuild(t, s, step("a"), writes(nil))
	b := mustBuild(t, s, step("b"), writes(nil))
	for _, e := range []*Entry{a, b} {
		os.Chtimes(recordPath(s.entryPath(e.Key)), time.Time{}, time.Now().Add(-time.Hour))
	}
	s.Close()
	if _, ok := s.Lookup(a.Key); !ok {
		t.Fatal("not found")
	}
	entries, err := s.List()
	if err != nil || len(entries) != 2 || entries[0].Key != a.Key || time.Since(entries[0].LastUse) > time.Minute {
		t.Errorf("List: %+v, %v", entries, err)
	}
}

// Builders that come and go while a pruner removes all it may: nobody fails,
// and nobody's result goes away under him.
func TestPruningWhileBuildsRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var builders, pruner sync.WaitGroup
	done := make(chan struct{})
	pruner.Go(func() {
		s := open(t, dir)
		for {
			select {
			case <-done:
				return
			default:
				if _, _, err := s.Prune(1, 0, nil); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for range 3 {
		builders.Go(func() {
			for i := range 12 {
				s, err := Open(dir)
				if err != nil {
					t.Error(err)
					return
				}
				v := fmt.Sprint(i % 3)
				e, _, err := s.Build(t.Context(), step(v), manyFiles(v))
				if err != nil {
					t.Error(err)
				} else if _, err := DigestTree(e.Dir, nil); err != nil || len(list(t, e.Dir)) != 4 {
					t.Errorf("result in use: %v", err)
				}
				s.Close()
			}
		})
	}
	builders.Wait()
	close(done)
	pruner.Wait()
}

func TestAnEntryRemovedByHandIsBuiltAgainAlsoByWhoHadIt(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	e := mustBuild(t, s, step("1"), writes(map[string]string{"f": "x"}))
	if err := os.RemoveAll(s.entryPath(e.Key)); err != nil {
		t.Fatal(err)
	}
	again := mustBuild(t, s, step("1"), writes(map[string]string{"f": "x"}))
	if again.Digest != e.Digest || read(t, again.Dir, "f") != "x" {
		t.Errorf("built %+v", again)
	}
}

// The lock's file goes away with each holder, while others have it open.
func TestALockHasOneHolder(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	var inside, held atomic.Int32
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range 1000 {
				l, err := tryLock(path)
				if err != nil {
					t.Error(err)
					return
				}
				if l == nil {
					continue
				}
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d holders", n)
				}
				held.Add(1)
				runtime.Gosched()
				inside.Add(-1)
				l.release()
			}
		})
	}
	wg.Wait()
	if held.Load() == 0 {
		t.Error("nobody got the lock")
	}
}

func TestFullDiskInAProgramsWordsIsExplained(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	_, _, err := s.Build(t.Context(), step("1"), func(ctx context.Context, out, work string) error {
		return errors.New("cc1: fatal error: writing x.o: No space left on device")
	})
	if err == nil || !strings.Contains(err.Error(), "is full; free some space") || !strings.Contains(err.Error(), "writing x.o") {
		t.Errorf("got %v", err)
	}
}
