package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// kept is a step of an owner that gets its work directory back.
func kept(owner, version string) Step {
	s := step(version)
	s.Keep = owner
	return s
}

// appendsTo notes every run in a file of the work directory, and publishes it.
func appendsTo(where *string) func(context.Context, string, string) error {
	return func(_ context.Context, out, work string) error {
		*where = work
		file := filepath.Join(work, "runs")
		text, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		text = append(text, 'x')
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(out, "runs"), text, 0o644)
	}
}

func TestAKeptWorkDirectoryComesBackToItsOwnerOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var first, second, other string
	mustBuild(t, open(t, dir), kept("mine", "1"), appendsTo(&first))
	e := mustBuild(t, open(t, dir), kept("mine", "2"), appendsTo(&second))
	mustBuild(t, open(t, dir), kept("theirs", "3"), appendsTo(&other))
	if first != second || first == other {
		t.Errorf("worked in %s, then %s, and another in %s", first, second, other)
	}
	if got := read(t, e.Dir, "runs"); got != "xx" {
		t.Errorf("the second run made %q", got)
	}
}

func TestAFailedBuildKeepsItsWorkDirectory(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	var where string
	note := appendsTo(&where)
	_, _, err := s.Build(t.Context(), kept("mine", "1"), func(ctx context.Context, out, work string) error {
		return errors.Join(note(ctx, out, work), errors.New("make: *** [all] Error 2"))
	})
	if err == nil {
		t.Fatal("the build succeeded")
	}
	e := mustBuild(t, s, kept("mine", "1"), note)
	if got := read(t, e.Dir, "runs"); got != "xx" {
		t.Errorf("the next run made %q", got)
	}
}

func TestOneBuildAtATimeWorksInAKeptDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd, end := hold(t, "hold-work", dir, "building")
	s := open(t, dir)
	waited := false
	s.OnWait = func(_ Step, holder string) {
		if want := fmt.Sprintf("pid %d since ", cmd.Process.Pid); !strings.HasPrefix(holder, want) {
			t.Errorf("waiting for %q, want %q", holder, want)
		}
		waited = true
		end()
	}
	var where string
	mustBuild(t, s, kept("mine", "another key"), appendsTo(&where))
	if got := read(t, where, "runs"); !waited || got != "child x" {
		t.Errorf("waited %v, found %q", waited, got)
	}
}

func TestWhatAKilledBuildLeftInAKeptDirectoryIsNotSwept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd, _ := hold(t, "hold-work", dir, "building")
	cmd.Process.Kill()
	cmd.Wait()
	s := open(t, dir)
	s.OnWait = func(_ Step, holder string) { t.Errorf("waits for the dead %s", holder) }
	var where string
	mustBuild(t, s, kept("mine", "1"), appendsTo(&where))
	if got := read(t, where, "runs"); got != "child x" {
		t.Errorf("found %q", got)
	}
}

func TestKeptDirectoriesAreListedAndPruned(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	var where string
	mustBuild(t, s, kept("mine", "1"), appendsTo(&where))
	all, err := s.ListKept()
	if err != nil || len(all) != 1 || all[0].Owner != "mine" || all[0].Kind != "custom/kernel" || all[0].Dir != where || all[0].Bytes != 1 {
		t.Fatalf("listed %+v, %v", all, err)
	}
	if _, _, err := s.Prune(time.Hour, 0, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(where); err != nil {
		t.Fatalf("a young directory was pruned: %v", err)
	}
	old := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(where+".json", old, old); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Prune(time.Hour, 0, nil); err != nil {
		t.Fatal(err)
	}
	if left := list(t, filepath.Join(dir, "work")); len(left) > 0 {
		t.Errorf("left after pruning: %v", left)
	}
	if _, err := s.RemoveKept(filepath.Join(dir, "sources")); err == nil {
		t.Error("RemoveKept took a directory that is none of its own")
	}
}

func TestADirectoryInWhichABuildWorksIsNotPruned(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, end := hold(t, "hold-work", dir, "building")
	defer end()
	s := open(t, dir)
	all, err := s.ListKept()
	if err != nil || len(all) != 1 {
		t.Fatalf("listed %+v, %v", all, err)
	}
	if gone, err := s.RemoveKept(all[0].Dir); gone || err != nil {
		t.Errorf("gone %v, %v", gone, err)
	}
}
