package store

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain lets the test binary play another process; see child_test.go.
func TestMain(m *testing.M) {
	if role := os.Getenv("STORE_TEST_ROLE"); role != "" {
		os.Exit(childMain(role, os.Getenv("STORE_TEST_DIR")))
	}
	os.Exit(m.Run())
}

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func step(version string) Step {
	return Step{Kind: "custom/kernel", Scope: "vm", Inputs: Inputs{"version": version}}
}

// writes is a step's work: files with their contents.
func writes(files map[string]string) func(context.Context, string, string) error {
	return func(_ context.Context, out, _ string) error {
		for name, text := range files {
			path := filepath.Join(out, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				return err
			}
		}
		return nil
	}
}

func mustBuild(t *testing.T, s *Store, st Step, fn func(context.Context, string, string) error) *Entry {
	t.Helper()
	e, built, err := s.Build(t.Context(), st, fn)
	if err != nil {
		t.Fatal(err)
	}
	if !built {
		t.Fatalf("%v was found in the store, not built", st)
	}
	return e
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	es, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range es {
		names = append(names, e.Name())
	}
	return names
}

func TestDefaultDirFollowsTheEnvironment(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"LEANLAB_CACHE": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a"},
		{map[string]string{"XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/leanlab"},
		{map[string]string{"XDG_CACHE_HOME": "relative", "HOME": "/c"}, "/c/.cache/leanlab"},
		{map[string]string{"HOME": "/c"}, "/c/.cache/leanlab"},
		{nil, ""},
	} {
		got, err := DefaultDir(func(k string) string { return tt.env[k] })
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("DefaultDir with %v: %q, %v; want %q", tt.env, got, err, tt.want)
		}
	}
}

func TestOpenRefusesWhatCannotBeAStore(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		prepare func(t *testing.T, dir string) string
		want    []string
	}{
		"a file": {
			func(t *testing.T, dir string) string { os.WriteFile(dir+"/f", nil, 0o644); return dir + "/f" },
			[]string{"/f", "is not a directory", "LEANLAB_CACHE"},
		},
		"below a file": {
			func(t *testing.T, dir string) string { os.WriteFile(dir+"/f", nil, 0o644); return dir + "/f/sub" },
			[]string{"/f", "not a directory", "LEANLAB_CACHE"},
		},
		"somebody's directory": {
			func(t *testing.T, dir string) string { os.WriteFile(dir+"/thesis.tex", nil, 0o644); return dir },
			[]string{"is not empty", "thesis.tex", "LEANLAB_CACHE"},
		},
		"another version's": {
			func(t *testing.T, dir string) string {
				os.WriteFile(dir+"/format", []byte("leanlab store 7\n"), 0o644)
				return dir
			},
			[]string{"/format", `"leanlab store 7"`, "another version", "LEANLAB_CACHE"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Open(tt.prepare(t, t.TempDir()))
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("Open: %v; want %q in it", err, want)
				}
			}
		})
	}
}

func TestOpenAcceptsItsOwnAndEmptyDirectories(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// The root of a fresh ext4, where an Open was killed.
	os.Mkdir(filepath.Join(dir, "lost+found"), 0o755)
	os.WriteFile(filepath.Join(dir, tempPrefix+"1"), nil, 0o644)
	open(t, dir)
	open(t, dir)
}

func TestNetworkFileSystemsAreKnown(t *testing.T) {
	t.Parallel()
	// The magic numbers as statfs(2) returns them, sign extended where f_type is 32 bits.
	for magic, want := range map[int64]string{0x6969: "NFS", 0xFF534D42: "SMB", 0xFE534D42: "SMB", 0xEF53: ""} {
		if got := networkFS[magic]; got != want {
			t.Errorf("file system %#x: %q, want %q", magic, got, want)
		}
	}
}

// mountTmpfs mounts a small file system, in which only root can.
func mountTmpfs(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("cannot mount a small tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestAFullDiskIsNamedAndLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := mountTmpfs(t, "size=4m")
	s := open(t, dir)
	for name, opaque := range map[string]bool{"error as a value": false, "error as text": true} {
		_, _, err := s.Build(t.Context(), step(name), func(_ context.Context, out, _ string) error {
			err := os.WriteFile(filepath.Join(out, "big"), make([]byte, 16<<20), 0o644)
			if opaque {
				return errors.New("plugin: " + err.Error())
			}
			return err
		})
		if err == nil || !strings.Contains(err.Error(), "the disk of the cache "+dir+" is full") {
			t.Errorf("%s: %v; want the full disk named", name, err)
		}
		if left := list(t, filepath.Join(dir, "tmp")); len(left) > 0 {
			t.Errorf("%s: left %v", name, left)
		}
	}
	// With the space given back, the same store goes on.
	mustBuild(t, s, step("small"), writes(map[string]string{"f": "x"}))
}

func TestOpenOnAFullDiskSaysSo(t *testing.T) {
	t.Parallel()
	dir := mountTmpfs(t, "size=1m")
	open(t, dir)
	os.WriteFile(filepath.Join(dir, "sources", "filler"), make([]byte, 2<<20), 0o644)
	_, err := Open(dir)
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "is full") {
		t.Errorf("Open: %v", err)
	}
}

func TestOpenOfAReadOnlyStoreSaysSo(t *testing.T) {
	t.Parallel()
	dir := mountTmpfs(t, "size=1m")
	open(t, dir)
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Skipf("cannot remount read-only: %v", err)
	}
	_, err := Open(dir)
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "cannot be written; make it writable or set LEANLAB_CACHE") {
		t.Errorf("Open: %v", err)
	}
}

func TestOpenWithoutPermissionSaysSo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := asNobody(t, "open", dir, dir)
	os.Chmod(dir, 0o555)
	b, _ := cmd.CombinedOutput()
	if got := string(b); !strings.Contains(got, "permission denied") || !strings.Contains(got, "cannot be written; make it writable") {
		t.Errorf("Open said: %s", got)
	}
}

// A step may leave directories without write permission; removing them takes a
// chmod first, for everybody but root.
func TestReadOnlyDirectoriesInAResultCanBePruned(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if b, err := asNobody(t, "readonly-tree", dir, dir).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, b)
	}
}

// asNobody runs the test binary in a role, without root's powers. It owns dir.
func asNobody(t *testing.T, role, dir string, owns ...string) *exec.Cmd {
	t.Helper()
	cmd := child(t, role, dir)
	if os.Getuid() != 0 {
		return cmd
	}
	const nobody = 65534
	for _, path := range owns {
		if err := os.Chown(path, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		for p := path; p != os.TempDir() && p != "/"; p = filepath.Dir(p) {
			os.Chmod(p, 0o755) // t.TempDir is 0700 in some releases of Go
		}
	}
	// The binary lies where only root may go; nobody gets a copy.
	exe := filepath.Join(t.TempDir(), "store.test")
	// cp(1), because a file that this process has just written cannot be executed
	// while another test forks (ETXTBSY; golang.org/issue/22315).
	if b, err := exec.Command("cp", cmd.Path, exe).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, b)
	}
	os.Chmod(filepath.Dir(exe), 0o755)
	os.Chmod(filepath.Dir(filepath.Dir(exe)), 0o755)
	cmd.Path = exe
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return cmd
}

func TestWhatADeadProcessLeftIsSwept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	live, dead := step("live"), step("dead")
	l, err := tryLock(s.lockPath(live.Key()[:shortKey]))
	if l == nil {
		t.Fatal(err)
	}
	defer l.release()
	old, fresh := filepath.Join(dir, "tmp", tempPrefix+"old"), filepath.Join(dir, "tmp", tempPrefix+"fresh")
	for _, path := range []string{s.tmpPath(live.Key()), s.tmpPath(dead.Key())} {
		if err := os.MkdirAll(filepath.Join(path, "work"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	os.WriteFile(old, nil, 0o644)
	os.Chtimes(old, time.Time{}, time.Now().Add(-2*staleAfter))
	os.WriteFile(fresh, nil, 0o644)

	open(t, dir)
	for path, want := range map[string]bool{s.tmpPath(live.Key()): true, s.tmpPath(dead.Key()): false, old: false, fresh: true} {
		if _, err := os.Lstat(path); (err == nil) != want {
			t.Errorf("%s exists: %v, want %v", path, err == nil, want)
		}
	}
}
