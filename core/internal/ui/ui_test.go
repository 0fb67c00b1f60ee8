package ui

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// clock stands still unless told.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) forward(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
	return c.t
}

// stage is a display whose time the test makes.
type stage struct {
	*display
	clock *clock
	log   string
}

func newStage(t *testing.T, s sink) *stage {
	t.Helper()
	c := &clock{t: time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)}
	log := filepath.Join(t.TempDir(), "logs", "custom.log")
	d, err := start(s, log, c.now, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return &stage{d, c, log}
}

// pass lets time pass, with the tick that the ticker would have made.
func (s *stage) pass(d time.Duration) {
	s.clock.forward(d)
	s.locked(func(now time.Time) { s.sink.tick(now, s.running) })
}

// play is a build with everything in it.
func play(s *stage) {
	s.Cached("otp", "OTP 27.3.4")
	s.Message("note", "2 processors")
	k := s.Start("kernel", "Linux kernel 6.12.107")
	a := s.Start("app", "mix release")
	k.Emit(builder.StepStarted{Title: "configure"})
	s.pass(3 * time.Second)
	k.Emit(builder.Notice{Diagnostic: builder.Diagnostic{Severity: builder.Warning, Summary: "BLK_DEV did not survive", Detail: "kernel-configs/base:12\nneeds BLOCK"}})
	k.Emit(builder.StepFinished{Title: "configure"})
	k.Emit(builder.StepStarted{Title: "compile"})
	for i := range 30 {
		k.Emit(builder.Progress{Done: int64(i), Total: 3120, Unit: "objects"})
		s.clock.forward(10 * time.Millisecond)
	}
	k.Emit(builder.Log{Line: "  CC      init/main.o"})
	s.pass(8 * time.Second)
	for i := range 25 {
		a.Emit(builder.Log{Line: fmt.Sprintf("\x1b[31mline %d\x1b[0m\tof compiler output", i)})
	}
	a.Fail(errors.New("mix release: exit status 1\nsee the compiler's output"))
	a.Emit(builder.Log{Line: "too late"})
	a.Done("too late")
	s.pass(10 * time.Second)
	k.Emit(builder.Artifact{Name: "kernel", Path: "bzImage"})
	k.Emit(builder.Progress{Done: 3120, Total: 3120, Unit: "objects"})
	s.pass(11 * time.Minute)
	k.Done("bzImage, 2.2 MB")
	d := s.Start("download", "linux_6.12.107.orig.tar.xz")
	d.Emit(builder.Progress{Done: 1_500_000, Total: 150_000_000, Unit: "bytes"})
	s.pass(10 * time.Second)
	d.Fail(fmt.Errorf("download: %w", context.Canceled))
	s.Message("error", "interrupted")
	s.Close()
	s.Message("error", "after the end")
	s.Start("late", "after the end").Done("")
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("differs from %s (-update rewrites it):\n%s", path, got)
	}
}

// anywhere replaces the log's path, which changes with each run.
func anywhere(b []byte, log string) []byte { return bytes.ReplaceAll(b, []byte(log), []byte("LOG")) }

func TestPlainOutput(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := newStage(t, &plain{out: &out})
	play(s)
	golden(t, "plain.txt", anywhere(out.Bytes(), s.log))
}

func TestJSONOutput(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := newStage(t, &jsonLines{out: &out})
	play(s)
	golden(t, "json.txt", anywhere(out.Bytes(), s.log))
}

func TestTheLogHasEverything(t *testing.T) {
	t.Parallel()
	s := newStage(t, &plain{out: io.Discard})
	play(s)
	b, err := os.ReadFile(s.log)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "log.txt", b)
}

// doc.go's table of members and the objects written must not drift apart.
func TestEveryJSONMemberIsDocumented(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(doc), "# JSON")
	words := map[string]bool{}
	for _, w := range strings.FieldsFunc(table, func(r rune) bool { return !unicode.IsLetter(r) }) {
		words[w] = true
	}
	for f := range reflect.TypeFor[object]().Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); !words[name] {
			t.Errorf("member %q is not in doc.go", name)
		}
	}
	golden, err := os.ReadFile("testdata/json.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(golden) {
		var o object
		if err := json.Unmarshal(line, &o); err != nil {
			t.Fatal(err)
		}
		if !words[o.Type] {
			t.Errorf("type %q is not in doc.go", o.Type)
		}
	}
}

// counter is a writer that keeps nothing.
type counter struct{ n int }

func (c *counter) Write(b []byte) (int, error) { c.n += len(b); return len(b), nil }

func TestAFloodOfOutputTakesNoMemory(t *testing.T) {
	const lines, length = 5_000, 10_000 // 50 MB
	for name, sink := range map[string]sink{"plain": &plain{out: io.Discard}, "json": &jsonLines{out: &counter{}}} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, sink)
			os.Remove(s.log) // the flood goes to an unlinked file, and that to /dev/null
			null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			s.display.log.Close()
			s.display.log = null
			k := s.Start("kernel", "Linux kernel")
			held := heap()
			for range lines {
				k.Emit(builder.Log{Line: strings.Repeat("x", length)})
			}
			if grown := heap() - held; grown > 1<<20 {
				t.Errorf("%d bytes are held after a flood of %d", grown, lines*length)
			}
			k.Done("")
		})
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestStepsSideBySide(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := newStage(t, &plain{out: &out})
	var wg sync.WaitGroup
	const steps, lines = 8, 200
	for i := range steps {
		wg.Go(func() {
			st := s.Start(fmt.Sprint("step", i), "title")
			for j := range lines {
				st.Emit(builder.Log{Line: fmt.Sprint("line ", j)})
				st.Emit(builder.Progress{Done: int64(j), Total: lines})
			}
			st.Done("")
		})
	}
	wg.Go(func() {
		for range 50 {
			s.pass(time.Second)
		}
	})
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(s.log)
	if err != nil {
		t.Fatal(err)
	}
	next := map[string]int{} // every step's lines are there, whole and in order
	for line := range strings.Lines(string(b)) {
		id, text, ok := strings.Cut(strings.TrimSpace(line[len(stamp)-5:]), "| ")
		if n := next[id]; ok && text == fmt.Sprint("line ", n) {
			next[id]++
		}
	}
	for i := range steps {
		if id := fmt.Sprint("step", i); next[id] != lines {
			t.Errorf("%s has %d lines in order, want %d", id, next[id], lines)
		}
		if n := strings.Count(out.String(), fmt.Sprintf(">>> step%d: done ", i)); n != 1 {
			t.Errorf("step%d is said to be done %d times", i, n)
		}
	}
}

func TestALogThatCannotBeWrittenIsSaidOnceAndStopsNothing(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("no /dev/full: %v", err)
	}
	var out bytes.Buffer
	s := newStage(t, &plain{out: &out})
	s.display.log.Close()
	s.display.log = full
	k := s.Start("kernel", "Linux")
	k.Emit(builder.Log{Line: "x"})
	k.Done("")
	if n := strings.Count(out.String(), "the full log ends here: write /dev/full: no space left"); n != 1 {
		t.Errorf("said %d times:\n%s", n, out.String())
	}
	if !strings.Contains(out.String(), ">>> kernel: done") {
		t.Errorf("the step was not shown:\n%s", out.String())
	}
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "full log") {
		t.Errorf("Close: %v", err)
	}
}

func TestNewRefusesWhatItCannotShow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	os.WriteFile(file, nil, 0o644)
	env := func(string) string { return "" }
	for _, tt := range []struct{ kind, log, want string }{
		{"fancy", dir + "/log", `no display is called "fancy": there are auto, tty, plain, json`},
		{"tty", dir + "/log", "not a terminal"},
		{"plain", file + "/log", "full log: mkdir " + file},
		{"plain", dir, "full log: open " + dir},
	} {
		if _, err := New(tt.kind, io.Discard, env, tt.log); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("New(%q, log %s): %v; want %q", tt.kind, tt.log, err, tt.want)
		}
	}
}

func TestAutoIsPlainWhereThereIsNoTerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	u, err := New("auto", &out, func(string) string { return "" }, filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	u.Start("kernel", "Linux").Done("")
	u.Close()
	if got := out.String(); !strings.HasPrefix(got, ">>> kernel: started: Linux\n>>> kernel: done 0.") {
		t.Errorf("%q", got)
	}
}
