package store

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func tree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for path, text := range map[string]string{"mix.exs": "defmodule", "lib/a.ex": "a", "lib/b.ex": "b", "_build/x": "junk"} {
		path = filepath.Join(dir, path)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a.ex", filepath.Join(dir, "lib", "link")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func ignoreBuild(rel string, _ fs.DirEntry) bool { return rel == "_build" }

func digest(t *testing.T, dir string) string {
	t.Helper()
	d, err := DigestTree(dir, ignoreBuild)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestATreesDigestSeesWhatCanChangeABuild(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(dir string) error
		seen   bool
	}{
		"contents":    {func(d string) error { return os.WriteFile(d+"/lib/a.ex", []byte("z"), 0o644) }, true},
		"name":        {func(d string) error { return os.Rename(d+"/lib/a.ex", d+"/lib/c.ex") }, true},
		"new file":    {func(d string) error { return os.WriteFile(d+"/lib/c.ex", nil, 0o644) }, true},
		"empty dir":   {func(d string) error { return os.Mkdir(d+"/priv", 0o755) }, true},
		"x bit":       {func(d string) error { return os.Chmod(d+"/lib/a.ex", 0o755) }, true},
		"link target": {func(d string) error { os.Remove(d + "/lib/link"); return os.Symlink("b.ex", d+"/lib/link") }, true},
		"link to file": {func(d string) error {
			os.Remove(d + "/lib/link")
			return os.WriteFile(d+"/lib/link", []byte("a.ex"), 0o644)
		}, true},
		"a pipe":         {func(d string) error { return syscall.Mkfifo(d+"/pipe", 0o644) }, true},
		"other modes":    {func(d string) error { return os.Chmod(d+"/lib/a.ex", 0o600) }, false},
		"times":          {func(d string) error { return os.Chtimes(d+"/lib/a.ex", time.Time{}, time.Unix(1, 0)) }, false},
		"ignored":        {func(d string) error { return os.WriteFile(d+"/_build/y", nil, 0o644) }, false},
		"swapped by two": {func(d string) error { return os.WriteFile(d+"/lib/a.ex", []byte("b"), 0o644) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := tree(t)
			before := digest(t, dir)
			if err := tt.change(dir); err != nil {
				t.Fatal(err)
			}
			if changed := digest(t, dir) != before; changed != tt.seen {
				t.Errorf("the digest changed: %v, want %v", changed, tt.seen)
			}
		})
	}
}

func TestATreesDigestDoesNotDependOnWhereItIs(t *testing.T) {
	t.Parallel()
	a, b := tree(t), tree(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(b, link); err != nil {
		t.Fatal(err)
	}
	if digest(t, a) != digest(t, b) || digest(t, a) != digest(t, link) {
		t.Error("equal trees have different digests")
	}
}

func TestDigestsNameWhatCannotBeDigested(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	dir := tree(t)
	file, gone := filepath.Join(dir, "mix.exs"), filepath.Join(dir, "gone")
	for name, err := range map[string]error{
		file: second(s.DigestTree(file, nil)),
		gone: second(s.DigestTree(gone, nil)),
		dir:  second(s.DigestFile(dir)),
	} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("digest of %s: %v", name, err)
		}
	}
	if err := second(s.DigestFile(gone)); err == nil || !strings.Contains(err.Error(), gone) {
		t.Errorf("DigestFile: %v", err)
	}
}

func second(_ string, err error) error { return err }

// age makes a file look as if it had been left alone; what counts is ctime,
// which only time can change, so the records' clock is moved instead.
func ageRecords(t *testing.T, s *Store, dir string, by time.Duration) *digests {
	t.Helper()
	k, err := s.knownDigests(dir)
	if err != nil {
		t.Fatal(err)
	}
	k.began = time.Now().Add(by)
	return k
}

func TestUntouchedFilesAreNotReadAgain(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	dir := tree(t)
	k := ageRecords(t, s, dir, time.Hour)
	want, err := digestTree(dir, ignoreBuild, k)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.save(); err != nil {
		t.Fatal(err)
	}
	if want != digest(t, dir) {
		t.Error("the digest is another with a memory than without")
	}
	// What is remembered is believed: a false memory shows that nothing was read.
	k = ageRecords(t, s, dir, time.Hour)
	if len(k.old) != 3 {
		t.Fatalf("remembered %v", k.old)
	}
	rec := k.old["lib/a.ex"]
	rec.SHA256 = strings.Repeat("0", 64)
	k.old["lib/a.ex"] = rec
	if got, err := digestTree(dir, ignoreBuild, k); err != nil || got == want {
		t.Errorf("lib/a.ex was read again (%v)", err)
	}
	// Any touch, also one that puts size and mtime back, makes it be read.
	fi, err := os.Stat(filepath.Join(dir, "lib/a.ex"))
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(dir, "lib/a.ex"), []byte("z"), 0o644)
	os.Chtimes(filepath.Join(dir, "lib/a.ex"), time.Time{}, fi.ModTime())
	got, err := s.DigestTree(dir, ignoreBuild)
	if err != nil || got == want || got != digest(t, dir) {
		t.Errorf("after the touch %s, %v; want %s", got, err, digest(t, dir))
	}
}

func TestFilesJustWrittenAreNotRemembered(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	dir := tree(t)
	k := ageRecords(t, s, dir, 0)
	if _, err := digestTree(dir, ignoreBuild, k); err != nil {
		t.Fatal(err)
	}
	if len(k.new) != 0 {
		t.Errorf("remembered files younger than a tick: %v", k.new)
	}
	file := filepath.Join(dir, "mix.exs")
	a, err := s.DigestFile(file)
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(file, []byte("defmodulE"), 0o644)
	if b, err := s.DigestFile(file); err != nil || a == b {
		t.Errorf("the second write was not seen: %v", err)
	}
}

func TestASpoiledMemoryIsForgotten(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	dir := tree(t)
	k := ageRecords(t, s, dir, 0)
	os.WriteFile(k.path, []byte(`{"mix.exs": {"Size": 9,`), 0o644)
	got, err := s.DigestTree(dir, ignoreBuild)
	if err != nil || got != digest(t, dir) {
		t.Errorf("%s, %v", got, err)
	}
}

func TestAFileWrittenWhileItIsReadIsNotRemembered(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	dir := tree(t)
	file := filepath.Join(dir, "mix.exs")
	listed, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(file, []byte("longer than it was"), 0o644)
	k := ageRecords(t, s, dir, time.Hour)
	if _, err := k.digest(file, "mix.exs", listed); err != nil {
		t.Fatal(err)
	}
	if len(k.new) != 0 {
		t.Errorf("remembered %v", k.new)
	}
}
