package source

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ulikunitz/xz"
)

// entry is a tar header; text is a file's content.
type entry struct {
	name, text string
	kind       byte // default tar.TypeReg
	link       string
	mode       int64
	time       time.Time
}

func makeTar(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Linkname: e.link, Mode: e.mode, ModTime: e.time, Size: int64(len(e.text)), Uid: 12345, Gid: 12345}
		if e.kind == 0 {
			h.Typeflag = tar.TypeReg
		}
		if e.kind == tar.TypeXGlobalHeader {
			h = &tar.Header{Typeflag: e.kind, PAXRecords: map[string]string{"comment": "a commit"}}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func xzed(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := xz.NewWriter(&out)
	if err == nil {
		_, err = w.Write(b)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

var (
	older = time.Unix(1_000_000_000, 0)
	newer = time.Unix(1_000_000_001, 0)
)

// release is a tarball as upstreams make them.
func release(t testing.TB) []byte {
	return makeTar(t,
		entry{kind: tar.TypeXGlobalHeader},
		entry{name: "p-1.0/", kind: tar.TypeDir, mode: 0o775, time: newer},
		entry{name: "p-1.0/configure.ac", text: "AC_INIT", mode: 0o664, time: older},
		entry{name: "p-1.0/configure", text: "#!/bin/sh", mode: 0o4775, time: newer},
		entry{name: "p-1.0/doc/", kind: tar.TypeDir, mode: 0o700, time: older},
		entry{name: "p-1.0/doc/guide", text: "read me", mode: 0o600, time: older},
		entry{name: "p-1.0/src/x86/main.c", text: "int main;", mode: 0o644, time: older},
		entry{name: "p-1.0/include/asm", kind: tar.TypeSymlink, link: "../src/x86"},
		entry{name: "p-1.0/README", kind: tar.TypeSymlink, link: "doc/guide"},
		entry{name: "p-1.0/configure.sh", kind: tar.TypeLink, link: "p-1.0/configure"},
	)
}

// tree lists a directory: "name", "name* " for executable, "name -> target".
func tree(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			name += "/"
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			name += " -> " + target
		case info.Mode() == 0o755:
			name += "*"
		case info.Mode() != 0o644:
			name += " " + info.Mode().String()
		}
		out = append(out, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestReleaseTarballsUnpackTheSameFromEveryFormat(t *testing.T) {
	t.Parallel()
	plain := release(t)
	archives := map[string][]byte{"tar": plain, "tar.gz": gzipped(t, plain), "tar.xz": xzed(t, plain)}
	if path, err := exec.LookPath("bzip2"); err != nil {
		t.Logf("tar.bz2 is not tested: %v", err)
	} else {
		cmd := exec.Command(path, "-c")
		cmd.Stdin = bytes.NewReader(plain)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		archives["tar.bz2"] = out
	}
	want := []string{
		"README -> doc/guide", "configure*", "configure.ac", "configure.sh*", "doc/", "doc/guide",
		"include/", "include/asm -> ../src/x86", "src/", "src/x86/", "src/x86/main.c",
	}
	for format, content := range archives {
		dir := t.TempDir()
		archive := filepath.Join(dir, "a")
		write(t, archive, string(content))
		out := filepath.Join(dir, "out")
		if err := Unpack(t.Context(), archive, out, UnpackOptions{Strip: 1}); err != nil {
			t.Errorf("%s: %v", format, err)
			continue
		}
		if got := tree(t, out); !slices.Equal(got, want) {
			t.Errorf("%s: %q", format, got)
		}
		wantContent(t, filepath.Join(out, "include/asm/main.c"), []byte("int main;"))
		for name, want := range map[string]time.Time{"configure": newer, "configure.ac": older, "doc": older, "doc/guide": older} {
			info, err := os.Stat(filepath.Join(out, name))
			if err != nil || !info.ModTime().Equal(want) {
				t.Errorf("%s: %s: %v, %v; want the time %v", format, name, info.ModTime(), err, want)
			}
		}
		a, _ := os.Stat(filepath.Join(out, "configure"))
		b, _ := os.Stat(filepath.Join(out, "configure.sh"))
		if !os.SameFile(a, b) {
			t.Errorf("%s: configure.sh is not linked to configure", format)
		}
	}
}

func TestOnlyWhatIsKeptIsUnpacked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), string(release(t)))
	out := filepath.Join(dir, "out")
	var asked []string
	err := Unpack(t.Context(), filepath.Join(dir, "a"), out, UnpackOptions{Strip: 1, Keep: func(name string) bool {
		asked = append(asked, name)
		return strings.HasPrefix(name, "src/")
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := tree(t, out), []string{"src/", "src/x86/", "src/x86/main.c"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if !slices.Contains(asked, "doc") || !slices.Contains(asked, "configure.ac") {
		t.Errorf("asked for %q", asked)
	}
}

func TestHostileArchivesAreRefusedAndLeaveNothing(t *testing.T) {
	t.Parallel()
	sentinel := "the tree next door"
	for _, c := range []struct {
		name    string
		strip   int
		entries []entry
		want    string
	}{
		{"absolute path", 0, []entry{{name: "/etc/passwd"}}, `entry "/etc/passwd": absolute path`},
		{"dot dot", 0, []entry{{name: "a/../../x"}}, `".." in the path`},
		{"dot dot in what is stripped", 1, []entry{{name: "../x"}}, `".." in the path`},
		{"link to an absolute path", 0, []entry{{name: "l", kind: tar.TypeSymlink, link: "/etc"}}, `entry "l": link to "/etc", out of the tree`},
		{"link up", 0, []entry{{name: "l", kind: tar.TypeSymlink, link: ".."}}, "out of the tree"},
		{"link up from below", 0, []entry{{name: "a/b/l", kind: tar.TypeSymlink, link: "../../../x"}}, "out of the tree"},
		{"link up, stripped", 1, []entry{{name: "p/l", kind: tar.TypeSymlink, link: "../x"}}, "out of the tree"},
		{"link up behind a link", 0, []entry{
			{name: "d/up", kind: tar.TypeSymlink, link: ".."},
			{name: "out", kind: tar.TypeSymlink, link: "d/up/.."},
		}, `entry "out": link to "d/up/..": ".." behind another element`},
		{"empty link", 0, []entry{{name: "l", kind: tar.TypeLink, link: ""}}, "is no file that was unpacked"},
		{"writing through a link", 0, []entry{
			{name: "d/", kind: tar.TypeDir},
			{name: "l", kind: tar.TypeSymlink, link: "d"},
			{name: "l/x", text: "x"},
		}, `entry "l/x": l is no directory`},
		{"replacing a link by writing", 0, []entry{
			{name: "l", kind: tar.TypeSymlink, link: "x"},
			{name: "l", text: "x"},
		}, `entry "l": the path is there already`},
		{"replacing a directory by a link", 0, []entry{
			{name: "d/f", text: "x"},
			{name: "d", kind: tar.TypeSymlink, link: "."},
		}, `entry "d": the path is there already`},
		{"the same file twice", 0, []entry{{name: "f", text: "1"}, {name: "./f", text: "2"}}, `entry "./f": the path is there already`},
		{"a directory over a file", 0, []entry{{name: "f", text: "1"}, {name: "f/", kind: tar.TypeDir}}, "the path is there already"},
		{"hard link out", 0, []entry{{name: "l", kind: tar.TypeLink, link: "../sentinel"}}, `".." in the path`},
		{"hard link to an absolute path", 0, []entry{{name: "l", kind: tar.TypeLink, link: "/etc/passwd"}}, "absolute path"},
		{"hard link to a link", 0, []entry{
			{name: "s", kind: tar.TypeSymlink, link: "f"},
			{name: "l", kind: tar.TypeLink, link: "s"},
		}, "is no file that was unpacked"},
		{"hard link to a directory", 0, []entry{{name: "d/", kind: tar.TypeDir}, {name: "l", kind: tar.TypeLink, link: "d"}}, "is no file that was unpacked"},
		{"device", 0, []entry{{name: "null", kind: tar.TypeChar}}, `tar type '3': only files`},
		{"block device", 0, []entry{{name: "sda", kind: tar.TypeBlock}}, `tar type '4': only files`},
		{"FIFO", 0, []entry{{name: "pipe", kind: tar.TypeFifo}}, `tar type '6': only files`},
	} {
		for _, existed := range []bool{false, true} {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "sentinel"), sentinel)
			archive := filepath.Join(dir, "a.tar")
			write(t, archive, string(makeTar(t, append([]entry{{name: "p/good", text: "good"}}, c.entries...)...)))
			out := filepath.Join(dir, "out")
			if existed {
				if err := os.Mkdir(out, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			err := Unpack(t.Context(), archive, out, UnpackOptions{Strip: c.strip})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), archive) {
				t.Errorf("%s: %v\nwant %s", c.name, err, c.want)
			}
			want := []string{"a.tar", "sentinel"}
			if existed {
				want = []string{"a.tar", "out/", "sentinel"}
			}
			if got := tree(t, dir); !slices.Equal(got, want) {
				t.Errorf("%s: left %q", c.name, got)
			}
			wantContent(t, filepath.Join(dir, "sentinel"), []byte(sentinel))
		}
	}
}

// A skeleton of another root file system holds links from that root's /.
func TestLinksThatAreDataAreMadeAndNothingIsUnpackedThroughThem(t *testing.T) {
	t.Parallel()
	o := UnpackOptions{Data: func(name string) bool { return strings.HasPrefix(name, "skeleton/") }}
	link := entry{name: "skeleton/l", kind: tar.TypeSymlink, link: "/etc/init.d/rcS"}
	for _, c := range []struct {
		entries []entry
		want    string
	}{
		{[]entry{link}, ""},
		{[]entry{link, {name: "skeleton/l/x", text: "x"}}, `entry "skeleton/l/x": skeleton/l is no directory`},
		{[]entry{{name: "l", kind: tar.TypeSymlink, link: "/etc"}}, "out of the tree"},
	} {
		dir := t.TempDir()
		archive := filepath.Join(dir, "a.tar")
		write(t, archive, string(makeTar(t, c.entries...)))
		err := Unpack(t.Context(), archive, filepath.Join(dir, "out"), o)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.Readlink(filepath.Join(dir, "out", link.name)); err != nil || got != link.link {
			t.Errorf("made %q, %v", got, err)
		}
	}
}

func TestBombsAreRefused(t *testing.T) {
	t.Parallel()
	zeros := strings.Repeat("\x00", 4<<20)
	small := limits{bytes: 8 << 20, entries: 10, ratio: 100, ratioFrom: 1 << 20}
	var many []entry
	for i := range 11 {
		many = append(many, entry{name: strings.Repeat("d/", i) + "f"})
	}
	for _, c := range []struct {
		name    string
		content []byte
		want    string
	}{
		{"expands", gzipped(t, makeTar(t, entry{name: "f", text: zeros})), "more than 100 times as much"},
		{"expands after the end of the tar", gzipped(t, append(makeTar(t), zeros...)), "more than 100 times as much"},
		{"bytes", makeTar(t, entry{name: "f", text: zeros}, entry{name: "g", text: zeros}, entry{name: "h", text: "x"}), "more than 8388608 bytes"},
		{"entries", makeTar(t, many...), "more than 10 entries"},
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "a"), string(c.content))
		err := unpack(t.Context(), filepath.Join(dir, "a"), filepath.Join(dir, "out"), UnpackOptions{}, small)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
		if got := tree(t, dir); !slices.Equal(got, []string{"a"}) {
			t.Errorf("%s: left %q", c.name, got)
		}
	}
}

func TestDamagedArchivesAreRefused(t *testing.T) {
	t.Parallel()
	plain := makeTar(t, entry{name: "f", text: string(testContent[:1<<20])})
	flip := func(b []byte, at int) []byte {
		b = bytes.Clone(b)
		b[at] ^= 1
		return b
	}
	gz, x := gzipped(t, plain), xzed(t, plain)
	for name, content := range map[string][]byte{
		"tar cut":            plain[:len(plain)/2],
		"gzip cut":           gz[:len(gz)/2],
		"gzip without end":   gz[:len(gz)-4],
		"gzip checksum":      flip(gz, len(gz)-6),
		"xz cut":             x[:len(x)/2],
		"xz flipped":         flip(x, len(x)/2),
		"xz without footer":  x[:len(x)-12],
		"no archive":         []byte("<html>404 not found</html>" + strings.Repeat(" ", 512)),
		"gzip of no archive": gzipped(t, []byte(strings.Repeat("no tar", 200))),
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "a"), string(content))
		if err := Unpack(t.Context(), filepath.Join(dir, "a"), filepath.Join(dir, "out"), UnpackOptions{}); err == nil {
			t.Errorf("%s was unpacked", name)
		}
		if got := tree(t, dir); !slices.Equal(got, []string{"a"}) {
			t.Errorf("%s: left %q", name, got)
		}
	}
}

func TestUnpackingNeedsAnEmptyDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), string(release(t)))
	write(t, filepath.Join(dir, "out/mine"), "mine")
	err := Unpack(t.Context(), filepath.Join(dir, "a"), filepath.Join(dir, "out"), UnpackOptions{})
	if err == nil || !strings.Contains(err.Error(), "is not empty: mine is there") {
		t.Error(err)
	}
	wantContent(t, filepath.Join(dir, "out/mine"), []byte("mine"))
}

func TestUnpackingStopsWhenCancelled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), string(makeTar(t, entry{name: "f", text: string(testContent)})))
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("interrupted")
	err := Unpack(ctx, filepath.Join(dir, "a"), filepath.Join(dir, "out"), UnpackOptions{Keep: func(string) bool {
		cancel(stop)
		return true
	}})
	if !errors.Is(err, stop) {
		t.Error(err)
	}
	if got := tree(t, dir); !slices.Equal(got, []string{"a"}) {
		t.Errorf("left %q", got)
	}
}

// FuzzUnpack holds that, whatever the archive, nothing outside of the directory
// changes, every link stays inside, and failure leaves nothing.
func FuzzUnpack(f *testing.F) {
	f.Add(release(f), 1)
	f.Add(gzipped(f, release(f)), 1)
	f.Add(makeTar(f, entry{name: "d/up", kind: tar.TypeSymlink, link: ".."}, entry{name: "d/up/x", text: "x"}), 0)
	f.Add(makeTar(f, entry{name: "a/b", text: "x"}, entry{name: "a/l", kind: tar.TypeLink, link: "a/b"}), 0)
	small := limits{bytes: 1 << 20, entries: 100, ratio: 100, ratioFrom: 1 << 16}
	f.Fuzz(func(t *testing.T, content []byte, strip int) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "a"), string(content))
		write(t, filepath.Join(dir, "sentinel"), "sentinel")
		out := filepath.Join(dir, "out")
		err := unpack(t.Context(), filepath.Join(dir, "a"), out, UnpackOptions{Strip: max(strip, 0)}, small)
		entries, _ := os.ReadDir(dir)
		if want := map[bool]int{true: 3, false: 2}[err == nil]; len(entries) != want {
			t.Fatalf("%v, and beside the archive lie %v", err, entries)
		}
		wantContent(t, filepath.Join(dir, "sentinel"), []byte("sentinel"))
		if err != nil {
			return
		}
		real, err := filepath.EvalSymlinks(out)
		if err != nil {
			t.Fatal(err)
		}
		filepath.WalkDir(out, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				t.Fatal(err)
			}
			if !d.IsDir() && !d.Type().IsRegular() && d.Type() != fs.ModeSymlink {
				t.Fatalf("%s is a %s", path, d.Type())
			}
			if target, err := filepath.EvalSymlinks(path); err == nil && target != real && !strings.HasPrefix(target, real+"/") {
				t.Fatalf("%s leads to %s", path, target)
			}
			return nil
		})
	})
}
