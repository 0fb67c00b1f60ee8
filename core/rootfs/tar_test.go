package rootfs

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type tarEntry struct {
	tar.Header
	data string
}

func tarBytes(t testing.TB, entries ...tarEntry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := e.Header
		h.Size = int64(len(e.data))
		must(t, w.WriteHeader(&h))
		_, err := w.Write([]byte(e.data))
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

func addTarBytes(t testing.TB, tree *Tree, data []byte, at string) error {
	t.Helper()
	file := filepath.Join(t.TempDir(), "x.tar")
	must(t, os.WriteFile(file, data, 0o644))
	return tree.AddTar(file, at)
}

func TestOfTwoTarEntriesTheLaterCounts(t *testing.T) {
	t.Parallel()
	tree := New()
	must(t, addTarBytes(t, tree, tarBytes(t,
		tarEntry{tar.Header{Typeflag: tar.TypeReg, Name: "./etc/motd", Mode: 0o600}, "first"},
		tarEntry{tar.Header{Typeflag: tar.TypeReg, Name: "/etc/motd", Mode: 0o644, Uid: 7}, "second"},
		tarEntry{tar.Header{Typeflag: tar.TypeSymlink, Name: "abs", Linkname: "/etc/motd"}, ""},
	), "/chroot"))
	if got := contents(t, tree, "/chroot/etc/motd"); got != "second" {
		t.Errorf("contents are %q", got)
	}
	if e, _ := tree.Get("/chroot/etc/motd"); e.UID != 7 || e.Mode != 0o644 {
		t.Errorf("owner and mode are the first one's: %+v", e)
	}
	if e, _ := tree.Get("/chroot/abs"); e.Link != "/etc/motd" {
		t.Errorf("an absolute link became %q", e.Link)
	}
}

func TestATarDirectorySetsTheModeOfOneThatWasImplied(t *testing.T) {
	t.Parallel()
	tree := New()
	must(t, addTarBytes(t, tree, tarBytes(t,
		tarEntry{tar.Header{Typeflag: tar.TypeReg, Name: "var/x"}, ""},
		tarEntry{tar.Header{Typeflag: tar.TypeDir, Name: "var/", Mode: 0o1770, Gid: 9}, ""},
	), "/"))
	if e, _ := tree.Get("/var"); unixMode(e.Mode) != 0o1770 || e.GID != 9 {
		t.Errorf("/var is %+v", e)
	}
	if _, ok := tree.Get("/var/x"); !ok {
		t.Error("what was in the directory is gone")
	}
}

func TestHostileTarsAreRefused(t *testing.T) {
	t.Parallel()
	file := func(name string) tarEntry {
		return tarEntry{tar.Header{Typeflag: tar.TypeReg, Name: name}, "x"}
	}
	cut := tarBytes(t, tarEntry{tar.Header{Typeflag: tar.TypeReg, Name: "big"}, strings.Repeat("x", 4096)})[:2048]
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"name leads out":           {tarBytes(t, file("../etc/passwd")), ".."},
		"name leads out later":     {tarBytes(t, file("a/b/../../../x")), ".."},
		"hard link leads out":      {tarBytes(t, tarEntry{tar.Header{Typeflag: tar.TypeLink, Name: "a", Linkname: "../../etc/shadow"}, ""}), ".."},
		"hard link to nothing":     {tarBytes(t, tarEntry{tar.Header{Typeflag: tar.TypeLink, Name: "a", Linkname: "b"}, ""}), "does not come before"},
		"hard link to a directory": {tarBytes(t, tarEntry{tar.Header{Typeflag: tar.TypeLink, Name: "a", Linkname: "/"}, ""}), "a directory"},
		"file over a directory":    {tarBytes(t, file("a/b"), file("a")), "cannot replace a directory"},
		"below a file":             {tarBytes(t, file("a"), file("a/b")), "is a file"},
		"below a link to nothing":  {tarBytes(t, tarEntry{tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "/root"}, ""}, file("a/b")), "does not exist"},
		"cut short":                {cut, "big"},
		"no device of Linux":       {tarBytes(t, tarEntry{tar.Header{Typeflag: tar.TypeChar, Name: "d", Devmajor: 5000}, ""}), "5000"},
		"negative owner":           {tarBytes(t, tarEntry{tar.Header{Typeflag: tar.TypeReg, Name: "f", Uid: -1, Format: tar.FormatGNU}, ""}), "owner"},
		"no tar":                   {bytes.Repeat([]byte("garbage!"), 200), "after 0 entries"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantError(t, addTarBytes(t, New(), test.data, "/"), "x.tar", test.want)
		})
	}
}

// Whatever the archive, the tree stays one: every parent a directory, every
// path clean, every file inside the archive.
func FuzzAddTar(f *testing.F) {
	f.Add(tarBytes(f,
		tarEntry{tar.Header{Typeflag: tar.TypeDir, Name: "usr/lib/", Mode: 0o755}, ""},
		tarEntry{tar.Header{Typeflag: tar.TypeSymlink, Name: "lib", Linkname: "usr/lib"}, ""},
		tarEntry{tar.Header{Typeflag: tar.TypeReg, Name: "lib/x", Mode: 0o4755}, "data"},
		tarEntry{tar.Header{Typeflag: tar.TypeLink, Name: "y", Linkname: "lib/x"}, ""},
		tarEntry{tar.Header{Typeflag: tar.TypeChar, Name: "dev/console", Devmajor: 5, Devminor: 1}, ""}))
	f.Add(tarBytes(f, tarEntry{tar.Header{Typeflag: tar.TypeReg, Name: "a/../../x"}, "1"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		tree := New()
		// The first entries of an archive that goes bad stay: they must be sound too.
		err := tree.addTar(bytes.NewReader(data), int64(len(data)), "x", "/")
		_ = tree.Walk(func(e *Entry) error {
			if clean, err := cleanPath(e.Path); err != nil || clean != e.Path {
				t.Errorf("path %q: %v", e.Path, err)
			}
			if parent := tree.entries[filepath.Dir(e.Path)]; parent == nil || parent.Type != Directory {
				t.Errorf("the parent of %q is %+v", e.Path, parent)
			}
			if c := e.content; c != nil && c.offset+c.size > int64(len(data)) {
				t.Errorf("%q is %d bytes at %d of %d (%v)", e.Path, c.size, c.offset, len(data), err)
			}
			return nil
		})
	})
}
