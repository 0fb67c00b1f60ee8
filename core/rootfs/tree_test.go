package rootfs

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantError checks that err says each of the words.
func wantError(t testing.TB, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one about %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

// list describes a tree, an entry a line.
func list(t testing.TB, tree *Tree) string {
	t.Helper()
	var b strings.Builder
	must(t, tree.Walk(func(e *Entry) error {
		fmt.Fprintf(&b, "%s %v %04o %d:%d", e.Path, e.Type, unixMode(e.Mode), e.UID, e.GID)
		switch e.Type {
		case Symlink:
			fmt.Fprintf(&b, " -> %s", e.Link)
		case CharDevice, BlockDevice:
			fmt.Fprintf(&b, " %d,%d", e.Major, e.Minor)
		case Regular:
			fmt.Fprintf(&b, " %d bytes", e.Size())
		}
		b.WriteByte('\n')
		return nil
	}))
	return b.String()
}

func contents(t testing.TB, tree *Tree, name string) string {
	t.Helper()
	e, err := tree.Resolve(name)
	must(t, err)
	r, err := e.Open()
	must(t, err)
	defer r.Close()
	data, err := io.ReadAll(r)
	must(t, err)
	return string(data)
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		must(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	must(t, err)
	if got != string(want) {
		t.Errorf("%s differs (go test -update rewrites it); got:\n%s\nwant:\n%s", file, got, want)
	}
}

// writeFiles makes files below a fresh directory; a content "-> x" is a link.
func writeFiles(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		file := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(file), 0o755))
		if link, ok := strings.CutPrefix(data, "-> "); ok {
			must(t, os.Symlink(link, file))
			continue
		}
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(data, "#!") {
			mode = 0o755
		}
		must(t, os.WriteFile(file, []byte(data), mode))
	}
	return dir
}

func TestParentsAreMadeAsRootsDirectories(t *testing.T) {
	t.Parallel()
	tree := New()
	must(t, tree.File("/usr/share/doc/x", 0o640, []byte("hello")))
	want := `/ directory 0755 0:0
/usr directory 0755 0:0
/usr/share directory 0755 0:0
/usr/share/doc directory 0755 0:0
/usr/share/doc/x file 0640 0:0 5 bytes
`
	if got := list(t, tree); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestModesKeepSetuidAndStickyInBothSpellings(t *testing.T) {
	t.Parallel()
	tree := New()
	must(t, tree.Dir("/tmp", 0o1777))
	must(t, tree.Dir("/var/tmp", fs.ModeSticky|0o777))
	must(t, tree.File("/bin/su", fs.ModeSetuid|0o755, nil))
	for name, want := range map[string]uint32{"/tmp": 0o1777, "/var/tmp": 0o1777, "/bin/su": 0o4755} {
		e, _ := tree.Get(name)
		if got := unixMode(e.Mode); got != want {
			t.Errorf("%s has mode %04o, want %04o", name, got, want)
		}
	}
	if e, _ := tree.Get("/tmp"); e.Mode != fs.ModeSticky|0o777 {
		t.Errorf("0o1777 became %v, not fs.ModeSticky|0o777", e.Mode)
	}
}

func TestLinksAreFollowedInsideTheTree(t *testing.T) {
	t.Parallel()
	tree := New()
	must(t, tree.Dir("/usr/lib", 0o755))
	must(t, tree.Symlink("/lib", "usr/lib"))
	must(t, tree.Symlink("/lib64", "/lib"))
	must(t, tree.File("/lib64/libc.so", 0o755, []byte("x")))
	if e, ok := tree.Get("/lib64/libc.so"); !ok || e.Path != "/usr/lib/libc.so" {
		t.Errorf("Get through two links: %+v", e)
	}
	must(t, tree.Dir("/lib", 0o711)) // as an overlay's directory of that name
	if e, _ := tree.Get("/lib"); e.Type != Symlink {
		t.Errorf("a directory replaced the link to one: %+v", e)
	}
	if e, _ := tree.Get("/usr/lib"); e.Mode != 0o711 {
		t.Errorf("/usr/lib has mode %v, want that of the directory put on its link", e.Mode)
	}
	must(t, tree.Symlink("/out", "../../../etc"))
	must(t, tree.File("/etc/passwd", 0o644, nil))
	if e, err := tree.Resolve("/out/passwd"); err != nil || e.Path != "/etc/passwd" {
		t.Errorf("a link above the root ends at %+v, %v", e, err)
	}
}

func TestPathsThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	tree := New()
	must(t, tree.File("/file", 0o644, nil))
	must(t, tree.Symlink("/loop", "loop"))
	must(t, tree.Symlink("/dangling", "nowhere"))
	must(t, tree.File("/full/x", 0o644, nil))
	for name, want := range map[string]string{
		"etc":                          "absolute",
		"/a/../../b":                   "..",
		"/a\x00b":                      "NUL",
		"/" + strings.Repeat("n", 256): "255",
		strings.Repeat("/"+strings.Repeat("n", 200), 21): "4095",
		"/file/x":     "its parent /file is a file",
		"/loop/x":     "symbolic links",
		"/dangling/x": "does not exist",
		"/full":       "cannot replace a directory",
		"/":           "root",
	} {
		wantError(t, tree.File(name, 0o644, nil), want)
	}
	wantError(t, tree.Symlink("/l", ""), "target")
	wantError(t, tree.Device("/d", Regular, 0o600, 1, 1), "no device")
}

func TestRemoveTakesAllBelow(t *testing.T) {
	t.Parallel()
	tree := New()
	for _, name := range []string{"/a/b/c", "/a/d", "/ab"} {
		must(t, tree.File(name, 0o644, nil))
	}
	must(t, tree.Remove("/a"))
	must(t, tree.Remove("/none"))
	want := "/ directory 0755 0:0\n/ab file 0644 0:0 0 bytes\n"
	if got := list(t, tree); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	wantError(t, tree.Remove("/"), "root")
}

func TestWalkSkipsWhatItsFunctionRemoved(t *testing.T) {
	t.Parallel()
	tree := New()
	must(t, tree.File("/a/b/c", 0o644, nil))
	must(t, tree.File("/d", 0o644, nil))
	var seen []string
	must(t, tree.Walk(func(e *Entry) error {
		seen = append(seen, e.Path)
		if e.Path == "/a" {
			return tree.Remove("/a")
		}
		return nil
	}))
	if got := strings.Join(seen, " "); got != "/ /a /d" {
		t.Errorf("visited %s", got)
	}
}

func TestAHostFileThatShrankIsNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "app.beam")
	must(t, os.WriteFile(file, []byte("twelve bytes"), 0o644))
	tree := New()
	must(t, tree.HostFile("/app.beam", 0o644, file))
	must(t, os.Truncate(file, 3))
	wantError(t, tree.WriteCPIO(io.Discard), "/app.beam", file, "shorter")
	wantError(t, tree.WriteTar(io.Discard), "/app.beam", file, "shorter")
}

// sample has one of everything.
func sample(t testing.TB, dir string) *Tree {
	t.Helper()
	tree := New()
	must(t, os.WriteFile(filepath.Join(dir, "beam.smp"), bytes.Repeat([]byte("BEAM"), 1001), 0o600))
	must(t, tree.HostFile("/usr/lib/erlang/bin/beam.smp", 0o755, filepath.Join(dir, "beam.smp")))
	must(t, tree.File("/etc/passwd", 0o644, []byte("root:*:0:0:root:/root:/bin/sh\napp:*:1000:100:app:/:/bin/sh\n")))
	must(t, tree.File("/etc/group", 0o644, []byte("users:*:100:app\n")))
	must(t, tree.Symlink("/bin/sh", "busybox"))
	must(t, tree.Dir("/tmp", 0o1777))
	must(t, tree.Device("/dev/console", CharDevice, 0o600, 5, 1))
	must(t, tree.Device("/dev/vda", BlockDevice, 0o660, 254, 0))
	must(t, os.WriteFile(filepath.Join(dir, "busybox"), []byte("applets"), 0o755))
	links := filepath.Join(dir, "links")
	must(t, os.MkdirAll(links, 0o755))
	for _, name := range []string{"busybox", "ls", "cat"} {
		must(t, os.Link(filepath.Join(dir, "busybox"), filepath.Join(links, name)))
	}
	must(t, tree.AddDir(links, "/bin", Owner{}))
	must(t, tree.ApplyDeviceTable("t", strings.NewReader("/srv d 2750 app users - - - - -\n/run/fifo p 600 app users")))
	return tree
}

func TestATreeListsAsTheGoldenFile(t *testing.T) {
	t.Parallel()
	golden(t, "sample.list", list(t, sample(t, t.TempDir())))
}

func TestEqualTreesGiveEqualBytes(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(*Tree, io.Writer) error{"tar": (*Tree).WriteTar, "cpio": (*Tree).WriteCPIO} {
		var a, b bytes.Buffer
		must(t, write(sample(t, t.TempDir()), &a))
		must(t, write(sample(t, t.TempDir()), &b))
		if !bytes.Equal(a.Bytes(), b.Bytes()) {
			t.Errorf("%s archives of one tree, made in two directories, differ", name)
		}
		if a.Len() < 4004 {
			t.Errorf("the %s archive has %d bytes: the contents are missing", name, a.Len())
		}
	}
}

func TestATreeSurvivesTar(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "root.tar")
	f, err := os.Create(file)
	must(t, err)
	tree := sample(t, t.TempDir())
	must(t, tree.WriteTar(f))
	must(t, f.Close())
	back := New()
	must(t, back.AddTar(file, "/"))
	if got, want := list(t, back), list(t, tree); got != want {
		t.Errorf("came back as:\n%s\nwent as:\n%s", got, want)
	}
	if got, want := contents(t, back, "/usr/lib/erlang/bin/beam.smp"), strings.Repeat("BEAM", 1001); got != want {
		t.Errorf("a file came back as %.20q…, %d bytes", got, len(got))
	}
	var a, b bytes.Buffer
	must(t, tree.WriteCPIO(&a))
	must(t, back.WriteCPIO(&b))
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("the cpio archive of the tree that came back differs: hard links or owners were lost")
	}
}

// tool runs a program that reads an archive.
func tool(t *testing.T, stdin io.Reader, dir, program string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is not installed: %v", program, err)
	}
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdin = dir, stdin
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", cmd, err, &stderr)
	}
	return string(out)
}

func TestCpioReadsTheArchive(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	must(t, sample(t, t.TempDir()).WriteCPIO(&b))
	golden(t, "sample.cpio.list", tool(t, &b, "", "cpio", "--quiet", "-itvn"))
}

func TestCpioExtractsContentsAndHardLinks(t *testing.T) {
	t.Parallel()
	tree := sample(t, t.TempDir())
	must(t, tree.Remove("/dev")) // making nodes needs root
	var b bytes.Buffer
	must(t, tree.WriteCPIO(&b))
	dir := t.TempDir()
	tool(t, &b, dir, "cpio", "--quiet", "-i", "--no-preserve-owner")
	beam, err := os.ReadFile(filepath.Join(dir, "usr/lib/erlang/bin/beam.smp"))
	must(t, err)
	if len(beam) != 4004 {
		t.Errorf("beam.smp has %d bytes, want 4004", len(beam))
	}
	var infos []fs.FileInfo
	for _, name := range []string{"busybox", "cat", "ls"} {
		data, err := os.ReadFile(filepath.Join(dir, "bin", name))
		must(t, err)
		if string(data) != "applets" {
			t.Errorf("bin/%s has %q", name, data)
		}
		info, err := os.Stat(filepath.Join(dir, "bin", name))
		must(t, err)
		infos = append(infos, info)
	}
	if !os.SameFile(infos[0], infos[1]) || !os.SameFile(infos[0], infos[2]) {
		t.Error("hard links were extracted as files of their own")
	}
}

func TestTarReadsTheArchive(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	must(t, sample(t, t.TempDir()).WriteTar(&b))
	golden(t, "sample.tar.list", tool(t, &b, "", "tar", "--numeric-owner", "-tvf", "-"))
}

func TestTheLayoutIsTheArchives(t *testing.T) {
	t.Parallel()
	tree := sample(t, t.TempDir())
	var b bytes.Buffer
	must(t, tree.WriteCPIO(&b))
	at := 0
	for _, x := range tree.CPIOLayout() {
		name := cpioName(x.Entry.Path) + "\x00"
		if got := b.Bytes()[at+cpioHeaderSize:][:len(name)]; string(got) != name {
			t.Fatalf("at %d there is %q, want %q", at, got, name)
		}
		at += int(x.Bytes)
	}
	if rest := b.Len() - at; rest != 124 { // 110, TRAILER!!!, NUL, padding
		t.Errorf("%d bytes follow the last entry, want the trailer's 124", rest)
	}
}

func TestAFileNamedAsTheTrailerIsRefused(t *testing.T) {
	t.Parallel()
	tree := New()
	must(t, tree.File("/TRAILER!!!", 0o644, nil))
	wantError(t, tree.WriteCPIO(io.Discard), "TRAILER!!!")
}

func TestAnEntryOfAReaderIsReadWhenItIsNeeded(t *testing.T) {
	t.Parallel()
	tree := New()
	must(t, tree.Symlink("/lib", "usr/lib"))
	must(t, tree.Dir("/usr/lib", 0o755))
	e := &Entry{Path: "/lib//x", Type: Regular, Mode: 0o4755, UID: 5}
	must(t, tree.Add(e, io.NewSectionReader(strings.NewReader("before contents after"), 7, 8)))
	if e.Path != "/usr/lib/x" || e.Size() != 8 {
		t.Errorf("it stands at %s with %d bytes", e.Path, e.Size())
	}
	must(t, tree.HardLink("/y", "/lib/x"))
	for _, name := range []string{"/lib/x", "/y"} {
		if got := contents(t, tree, name); got != "contents" {
			t.Errorf("%s holds %q", name, got)
		}
	}
	if y, _ := tree.Get("/y"); y.inode() != e.inode() {
		t.Errorf("%+v is no link to %+v", y, e)
	}
	wantError(t, tree.Add(&Entry{Path: "/z", Type: Regular}, nil), "/z", "needs contents")
	wantError(t, tree.HardLink("/z", "/usr"), "a directory")
	must(t, tree.Add(&Entry{Path: "/cut", Type: Regular}, io.NewSectionReader(strings.NewReader("short"), 0, 9)))
	wantError(t, tree.WriteTar(io.Discard), "EOF")
}

func TestRemoveFuncTakesWhatIsBelow(t *testing.T) {
	t.Parallel()
	tree := New()
	for _, name := range []string{"/a/b/c", "/a.b", "/d", "/e/f"} {
		must(t, tree.File(name, 0o644, nil))
	}
	var asked []string
	tree.RemoveFunc(func(e *Entry) bool {
		asked = append(asked, e.Path)
		return e.Path == "/a" || e.Path == "/e/f" || e.Path == "/"
	})
	if got := strings.Join(asked, " "); got != "/a /a.b /d /e /e/f" {
		t.Errorf("asked about %s", got)
	}
	var left []string
	must(t, tree.Walk(func(e *Entry) error { left = append(left, e.Path); return nil }))
	if got := strings.Join(left, " "); got != "/ /a.b /d /e" {
		t.Errorf("left are %s", got)
	}
}

func TestATreeWithoutSomeFilesHasTheRest(t *testing.T) {
	t.Parallel()
	tree := New()
	must(t, tree.File("/a/x", 0o644, []byte("x")))
	must(t, tree.HardLink("/a/y", "/a/x"))
	must(t, tree.Symlink("/b", "a"))
	rest := tree.Without(func(e *Entry) bool { return e.Path != "/a/y" })
	var paths []string
	must(t, rest.Walk(func(e *Entry) error { paths = append(paths, e.Path); return nil }))
	if got := strings.Join(paths, " "); got != "/ /a /a/y" {
		t.Errorf("it has %s", got)
	}
	if e, ok := rest.Get("/a/y"); !ok || e.Size() != 1 {
		t.Errorf("what had two names is %+v", e)
	}
	if _, ok := tree.Get("/a/x"); !ok {
		t.Error("the tree itself has lost a file")
	}
}
