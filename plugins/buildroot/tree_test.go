package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestATreesDigestIsOfNamesModesAndContents(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	digest := func() string {
		t.Helper()
		d, err := treeDigest(dir, notSource)
		must(err)
		return d
	}
	must(os.MkdirAll(filepath.Join(dir, "package/zlib"), 0o755))
	mk := filepath.Join(dir, "package/zlib/zlib.mk")
	must(os.WriteFile(mk, make([]byte, 200<<10), 0o644))
	must(os.WriteFile(filepath.Join(dir, "Makefile"), []byte("all:\n"), 0o644))
	must(os.Symlink("Makefile", filepath.Join(dir, "GNUmakefile")))
	seen := map[string]string{digest(): "nothing"}
	for _, change := range []struct {
		what string
		do   func() error
	}{
		{"the end of a long file", func() error { return os.WriteFile(mk, append(make([]byte, 200<<10-1), 1), 0o644) }},
		{"an x bit", func() error { return os.Chmod(mk, 0o755) }},
		{"a name", func() error { return os.Rename(mk, filepath.Join(dir, "package/zlib/zlib.mk2")) }},
		{"a name that a link leads to", func() error {
			return os.Rename(filepath.Join(dir, "Makefile"), filepath.Join(dir, "Makefile.in"))
		}},
	} {
		must(change.do())
		now := digest()
		if before, ok := seen[now]; ok {
			t.Errorf("%s: the digest is the one after %s", change.what, before)
		}
		seen[now] = change.what
	}
	before := digest()
	must(os.MkdirAll(filepath.Join(dir, "output/build"), 0o755))
	must(os.WriteFile(filepath.Join(dir, "output/build/log"), nil, 0o644))
	must(os.WriteFile(filepath.Join(dir, ".config.old"), nil, 0o644))
	if digest() != before {
		t.Error("what make leaves changes the digest")
	}
	if d, err := treeDigest(filepath.Join(dir, "nonesuch"), nil); err != nil || d != "absent" {
		t.Errorf("nothing there: %q, %v", d, err)
	}
	must(os.WriteFile(filepath.Join(dir, "vanishes"), nil, 0o644))
	_, err := treeDigest(dir, func(rel string, d fs.DirEntry) bool {
		if rel == "vanishes" {
			must(os.Remove(filepath.Join(dir, rel)))
		}
		return false
	})
	if err == nil {
		t.Error("a file that vanishes while it is read is no error")
	}
}
