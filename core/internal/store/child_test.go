package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// child is the test binary as another process that opens the store.
func child(t *testing.T, role, dir string, env ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), append(env, "STORE_TEST_ROLE="+role, "STORE_TEST_DIR="+dir)...)
	return cmd
}

func childMain(role, dir string) int {
	if err := childRole(role, dir); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func childRole(role, dir string) error {
	point := os.Getenv("STORE_TEST_DIE_AT")
	crashPoint = func(at string) {
		if at == point {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	s, err := Open(dir)
	if err != nil {
		return err
	}
	ctx := context.Background()
	switch role {
	case "open":
		return nil
	case "build": // three steps; everything a build can be killed in
		for _, v := range []string{"1", "2", "3"} {
			if _, _, err := s.Build(ctx, step(v), manyFiles(v)); err != nil {
				return err
			}
		}
		return nil
	case "build-and-prune":
		if _, _, err := s.Build(ctx, step("1"), manyFiles("1")); err != nil {
			return err
		}
		s.Close()
		_, _, err := s.Prune(0, 1, nil)
		return err
	case "hold": // a build that ends when standard input does
		_, _, err := s.Build(ctx, step("held"), func(_ context.Context, out, _ string) error {
			fmt.Println("building")
			bufio.NewReader(os.Stdin).ReadString('\n')
			return os.WriteFile(filepath.Join(out, "by"), []byte("child"), 0o644)
		})
		return err
	case "hold-work": // the same in a kept work directory
		_, _, err := s.Build(ctx, kept("mine", "held"), func(_ context.Context, out, work string) error {
			if err := os.WriteFile(filepath.Join(work, "runs"), []byte("child "), 0o644); err != nil {
				return err
			}
			fmt.Println("building")
			bufio.NewReader(os.Stdin).ReadString('\n')
			return nil
		})
		return err
	case "use": // an entry in use until standard input ends
		if _, ok := s.Lookup(step("used").Key()); !ok {
			return errors.New("not found")
		}
		fmt.Println("using")
		bufio.NewReader(os.Stdin).ReadString('\n')
		return nil
	case "readonly-tree":
		return buildAndPruneReadOnlyTree(ctx, s)
	}
	return fmt.Errorf("no role %q", role)
}

// manyFiles is a step of which half-done states are easily told.
func manyFiles(version string) func(context.Context, string, string) error {
	return func(_ context.Context, out, work string) error {
		for i := range 40 {
			for _, dir := range []string{out, work} {
				sub := filepath.Join(dir, fmt.Sprint("d", i%4))
				if err := os.MkdirAll(sub, 0o755); err != nil {
					return err
				}
				text := strings.Repeat(fmt.Sprintln(version, i), 500)
				if err := os.WriteFile(filepath.Join(sub, fmt.Sprint("f", i)), []byte(text), 0o644); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

func buildAndPruneReadOnlyTree(ctx context.Context, s *Store) error {
	_, _, err := s.Build(ctx, step("readonly"), func(_ context.Context, out, work string) error {
		for _, dir := range []string{out, work} {
			sub := filepath.Join(dir, "a", "b")
			if err := os.MkdirAll(sub, 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(sub, "f"), nil, 0o444); err != nil {
				return err
			}
			if err := errors.Join(os.Chmod(sub, 0o555), os.Chmod(filepath.Dir(sub), 0o555)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.Close()
	_, removed, err := s.Prune(0, 1, nil)
	if err == nil && len(removed) != 0 {
		return errors.New("an entry of no bytes was pruned for its size")
	}
	time.Sleep(time.Millisecond) // older than a nanosecond for sure
	_, removed, err = s.Prune(time.Nanosecond, 0, nil)
	if err != nil {
		return err
	}
	if len(removed) != 1 {
		return fmt.Errorf("pruned %v", removed)
	}
	left, err := os.ReadDir(filepath.Join(s.dir, "tmp"))
	if err == nil && len(left) != 0 {
		return fmt.Errorf("left %v", left)
	}
	return err
}

// undisturbed is the digest of each of the three steps' results.
func undisturbed(t *testing.T) map[string]string {
	t.Helper()
	s := open(t, t.TempDir())
	digests := map[string]string{}
	for _, v := range []string{"1", "2", "3"} {
		digests[step(v).Key()] = mustBuild(t, s, step(v), manyFiles(v)).Digest
	}
	return digests
}

// intact fails unless everything that can be seen in the store is whole, and a
// run to the end gives the undisturbed results.
func intact(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	s := open(t, dir)
	defer s.Close()
	if left := list(t, filepath.Join(dir, "tmp")); hasDir(dir, left) {
		t.Errorf("left under tmp/: %v", left)
	}
	entries, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if got, err := DigestTree(e.Dir, nil); err != nil || got != want[e.Key] {
			t.Errorf("entry %s is visible with digest %s, %v; want %s", e.Key, got, err, want[e.Key])
		}
	}
	for _, v := range []string{"1", "2", "3"} {
		e, _, err := s.Build(t.Context(), step(v), manyFiles(v))
		if err != nil {
			t.Fatal(err)
		}
		if e.Digest != want[e.Key] {
			t.Errorf("the run after gave %s, want %s", e.Digest, want[e.Key])
		}
	}
}

func hasDir(dir string, names []string) bool {
	for _, name := range names {
		if fi, err := os.Stat(filepath.Join(dir, "tmp", name)); err == nil && fi.IsDir() {
			return true
		}
	}
	return false
}

func TestKilledAtEachStageTheNextRunIsAsIfItHadNeverStarted(t *testing.T) {
	t.Parallel()
	want := undisturbed(t)
	for role, stages := range map[string][]string{
		"build":           {"begun", "built", "recorded", "synced", "renamed"},
		"build-and-prune": {"unlisted"},
	} {
		for _, stage := range stages {
			t.Run(stage, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				err := child(t, role, dir, "STORE_TEST_DIE_AT="+stage).Run()
				if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != -1 {
					t.Fatalf("the child was not killed at %q: %v", stage, err)
				}
				intact(t, dir, want)
			})
		}
	}
}

func TestKilledAtRandomMomentsTheNextRunIsAsIfItHadNeverStarted(t *testing.T) {
	t.Parallel()
	want := undisturbed(t)
	began := time.Now()
	if err := child(t, "build", t.TempDir()).Run(); err != nil {
		t.Fatal(err)
	}
	whole := time.Since(began)
	killed := 0
	for range 20 {
		dir := t.TempDir()
		cmd := child(t, "build", dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		after := time.AfterFunc(rand.N(whole), func() { cmd.Process.Kill() })
		if cmd.Wait() != nil {
			killed++
		}
		after.Stop()
		intact(t, dir, want)
	}
	t.Logf("%d of 20 were killed before they were done", killed)
}

// hold starts a child and returns when it has said what it does.
func hold(t *testing.T, role, dir, says string) (cmd *exec.Cmd, end func()) {
	t.Helper()
	cmd = child(t, role, dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != says+"\n" {
		t.Fatalf("child said %q, %v", line, err)
	}
	return cmd, sync.OnceFunc(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("child: %v", err)
		}
	})
}

func TestASecondProcessWaitsAndUsesTheFirstOnesResult(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd, end := hold(t, "hold", dir, "building")
	s := open(t, dir)
	s.OnWait = func(st Step, holder string) {
		if want := fmt.Sprintf("pid %d since ", cmd.Process.Pid); !strings.HasPrefix(holder, want) {
			t.Errorf("waiting for %q, want %q", holder, want)
		}
		end()
	}
	e, built, err := s.Build(t.Context(), step("held"), func(context.Context, string, string) error {
		return errors.New("built twice")
	})
	if err != nil || built {
		t.Fatalf("built %v, %v", built, err)
	}
	if got := read(t, e.Dir, "by"); got != "child" {
		t.Errorf("built by %q", got)
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, end := hold(t, "hold", dir, "building")
	defer end()
	s := open(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	s.OnWait = func(Step, string) { cancel() }
	_, _, err := s.Build(ctx, step("held"), func(context.Context, string, string) error { return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Build: %v", err)
	}
}

func TestAKilledHolderIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd, _ := hold(t, "hold", dir, "building")
	s := open(t, dir) // before the kill: its sweep must not be what helps
	s.OnWait = func(Step, string) { cmd.Process.Kill(); cmd.Wait() }
	e := mustBuild(t, s, step("held"), writes(map[string]string{"by": "parent"}))
	if got := read(t, e.Dir, "by"); got != "parent" {
		t.Errorf("built by %q", got)
	}
}

func TestAnEntryInUseByAnotherProcessIsNotPruned(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	e := mustBuild(t, s, step("used"), writes(map[string]string{"f": "x"}))
	s.Close()
	_, end := hold(t, "use", dir, "using")
	defer end()
	if _, removed, err := s.Prune(1, 0, nil); err != nil || len(removed) > 0 {
		t.Errorf("pruned %v, %v", removed, err)
	}
	end()
	freed, removed, err := s.Prune(1, 0, nil)
	if err != nil || len(removed) != 1 || freed != 1 {
		t.Errorf("after its end pruned %d bytes, %v, %v", freed, removed, err)
	}
	if _, err := os.Stat(e.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there: %v", e.Dir, err)
	}
}
