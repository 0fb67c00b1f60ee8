package otp

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// titles passes on which steps start.
type titles chan string

func (c titles) Emit(ev builder.Event) {
	if started, ok := ev.(builder.StepStarted); ok {
		c <- started.Title
	}
}

func TestDirectoryIsEmptyWhenItIsTaken(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "top")
	if err := os.MkdirAll(filepath.Join(dir, "left", "behind"), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := takeDirectory(t.Context(), titles(nil), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("it holds %v, %v", entries, err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("it is %v, %v", info.Mode(), err)
	}
}

func TestDirectoryIsWaitedForUntilNobodyWritesThere(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "top")
	f, err := takeDirectory(t.Context(), titles(nil), dir)
	if err != nil {
		t.Fatal(err)
	}
	// A command that outlives the builder, as when that is killed.
	command := exec.Command("sleep", "60")
	command.ExtraFiles = []*os.File{f}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	f.Close()

	started := make(titles, 1)
	taken := make(chan error, 1)
	go func() {
		second, err := takeDirectory(t.Context(), started, dir)
		if err == nil {
			second.Close()
		}
		taken <- err
	}()
	if title := <-started; title != waitTitle {
		t.Errorf("it says %q", title)
	}
	select {
	case err := <-taken:
		t.Fatalf("it was taken (%v) while the command could still write there", err)
	case <-time.After(2 * lockPoll):
	}
	if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	command.Wait()
	if err := <-taken; err != nil {
		t.Error(err)
	}
}

func TestDirectoryIsNotWaitedForWhenTheBuildIsStopped(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "top")
	f, err := takeDirectory(t.Context(), titles(nil), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := takeDirectory(ctx, make(titles, 1), dir); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsNoDirectoryOfOursIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := os.Mkdir(target, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(target, "precious"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if _, err := takeDirectory(t.Context(), titles(nil), link); err == nil || !strings.Contains(err.Error(), "remove what is in its place") {
		t.Errorf("a link was followed: %v", err)
	}
	if _, err := os.Stat(filepath.Join(target, "precious")); err != nil {
		t.Error(err)
	}
}
