package lean

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// onDisk writes the fixture's files to a directory.
func (f fixture) onDisk() string {
	f.Helper()
	dir := f.TempDir()
	err := f.Walk(func(e *rootfs.Entry) error {
		to := filepath.Join(dir, e.Path)
		switch e.Type {
		case rootfs.Directory:
			return os.MkdirAll(to, 0o755)
		case rootfs.Symlink:
			return os.Symlink(e.Link, to)
		}
		data, err := contents(e)
		if err != nil {
			return err
		}
		return os.WriteFile(to, data, e.Mode.Perm())
	})
	if err != nil {
		f.Fatal(err)
	}
	return dir
}

func TestADirectoryIsLeanedAsATreeIs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.file("/etc/passwd", []byte("root:x:0:0::/root:/bin/sh\n"))
	dir := f.onDisk()
	o := Options{Level: LevelClosure}
	change, err := Directory(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if change.Removed == 0 || change.Rewritten == 0 || change.Bytes <= 0 {
		t.Errorf("%+v", change)
	}
	o.Release.Dir = "/srv/hello_world"
	if _, err := Apply(t.Context(), f.Tree, o); err != nil {
		t.Fatal(err)
	}
	got := rootfs.New()
	if err := got.AddDir(dir, "/", rootfs.Owner{}); err != nil {
		t.Fatal(err)
	}
	want, have := entries(f.Tree), entries(got)
	for name, e := range want {
		h := have[name]
		if h == nil {
			t.Errorf("%s is gone", name)
			continue
		}
		if e.Type != rootfs.Regular {
			continue
		}
		a, _ := contents(e)
		b, _ := contents(h)
		if string(a) != string(b) {
			t.Errorf("%s has other contents", name)
		}
	}
	for name := range have {
		if want[name] == nil {
			t.Errorf("%s is still there", name)
		}
	}
}

// The script that says what a release loads goes too, so that a build which
// leans the same root again, as Buildroot does, finds nothing more to do.
func TestLeaningADirectoryAgainChangesNothing(t *testing.T) {
	t.Parallel()
	dir := newFixture(t).onDisk()
	if _, err := Directory(t.Context(), dir, Options{Level: LevelClosure}); err != nil {
		t.Fatal(err)
	}
	if _, err := Directory(t.Context(), dir, Options{Level: LevelClosure}); !errors.Is(err, ErrNoRelease) {
		t.Errorf("the second time: %v", err)
	}
}

func TestADirectoryWithoutAReleaseIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "motd"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Directory(t.Context(), dir, Options{Level: LevelClosure}); !errors.Is(err, ErrNoRelease) || !strings.Contains(err.Error(), dir) {
		t.Errorf("%v", err)
	}
}

func TestOfSeveralReleasesOneMustBeNamed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.file("/opt/other/releases/1/start.script", []byte("x"))
	dir := f.onDisk()
	if _, err := Directory(t.Context(), dir, Options{Level: LevelClosure}); err == nil || !strings.Contains(err.Error(), "/opt/other, /srv/hello_world") {
		t.Errorf("%v", err)
	}
	if _, err := Directory(t.Context(), dir, Options{Level: LevelClosure, Release: Release{Dir: "/srv/hello_world"}}); err != nil {
		t.Error(err)
	}
}
