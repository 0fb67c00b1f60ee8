package inspect

import (
	"bytes"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

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

// need skips a test where a program is missing.
func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%v: install it to run this test", err)
		}
	}
}

// output runs a program in dir and returns its output.
func output(t testing.TB, dir string, command ...string) []byte {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(command, " "), err, out, &stderr)
	}
	return out
}

func noise(seed uint64, n int) []byte {
	data := make([]byte, n)
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	return data
}

// sampleFiles are the contents of sampleTree's files.
var sampleFiles = map[string][]byte{
	"/etc/hostname":   []byte("lean\n"),
	"/etc/empty":      {},
	"/usr/lib/noise":  noise(1, 700_001),
	"/usr/lib/zeros":  make([]byte, 600_000),
	"/usr/lib/text":   bytes.Repeat([]byte("to be or not to be\n"), 20_000),
	"/usr/lib/text.1": noise(2, 5_000),
}

// sampleTree is a root file system with one of everything.
func sampleTree(t testing.TB) *rootfs.Tree {
	t.Helper()
	tree := rootfs.New()
	must(t, tree.File("/sbin/init", 0o755, []byte("#!/bin/sh\n")))
	for name, data := range sampleFiles {
		must(t, tree.File(name, 0o644, data))
	}
	must(t, tree.HardLink("/usr/lib/noise.link", "/usr/lib/noise"))
	must(t, tree.Symlink("/lib", "usr/lib"))
	must(t, tree.Dir("/tmp", 0o1777))
	must(t, tree.Device("/dev/console", rootfs.CharDevice, 0o600, 5, 1))
	for i := range 300 {
		must(t, tree.File("/usr/share/many/a-file-with-a-long-name-"+strings.Repeat("x", i%50)+string(rune('a'+i%26)), 0o644, noise(uint64(i), i)))
	}
	return tree
}

func cpioBytes(t testing.TB, tree *rootfs.Tree) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, tree.WriteCPIO(&b))
	return b.Bytes()
}

func writeFile(t testing.TB, name string, data []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(file, data, 0o644))
	return file
}

// open opens an image, whose parts must add up.
func open(t testing.TB, path string) *Image {
	t.Helper()
	img, err := Open(t.Context(), path, DefaultLimits)
	must(t, err)
	t.Cleanup(func() { must(t, img.Close()) })
	checkSum(t, img)
	return img
}

func checkSum(t testing.TB, img *Image) {
	t.Helper()
	var sum int64
	for name, n := range img.Stored {
		if e, ok := img.Tree.Get(name); !ok || e.Type != rootfs.Regular || n < 0 {
			t.Errorf("%s has %d bytes stored and is %+v", name, n, e)
		}
		sum += n
	}
	for name, n := range img.Rest {
		if n < 0 {
			t.Errorf("%s is %d bytes", name, n)
		}
		sum += n
	}
	if img.Kernel != nil {
		sum += img.Kernel.Bytes
	}
	if sum != img.Bytes {
		t.Errorf("the parts add up to %d of %d bytes: rest %v", sum, img.Bytes, img.Rest)
	}
}

func contents(t testing.TB, tree *rootfs.Tree, name string) []byte {
	t.Helper()
	e, err := tree.Resolve(name)
	must(t, err)
	r, err := e.Open()
	must(t, err)
	defer r.Close()
	data, err := io.ReadAll(r)
	must(t, err)
	return data
}

// checkSample checks that tree is sampleTree.
func checkSample(t testing.TB, tree *rootfs.Tree) {
	t.Helper()
	want := sampleTree(t)
	must(t, want.Walk(func(w *rootfs.Entry) error {
		e, ok := tree.Get(w.Path)
		if !ok {
			t.Errorf("%s is missing", w.Path)
			return nil
		}
		if e.Type != w.Type || e.Link != w.Link || e.Major != w.Major || e.Minor != w.Minor {
			t.Errorf("%s is %+v, want %+v", w.Path, e, w)
		}
		if w.Path != "/" && (e.Mode != w.Mode || e.UID != w.UID || e.GID != w.GID) {
			t.Errorf("%s is %v %d:%d, want %v %d:%d", w.Path, e.Mode, e.UID, e.GID, w.Mode, w.UID, w.GID)
		}
		if w.Type == rootfs.Regular && !bytes.Equal(contents(t, tree, w.Path), contents(t, want, w.Path)) {
			t.Errorf("%s has other contents", w.Path)
		}
		return nil
	}))
	must(t, tree.Walk(func(e *rootfs.Entry) error {
		if _, ok := want.Get(e.Path); !ok && e.Path != "/lost+found" {
			t.Errorf("%s is too much", e.Path)
		}
		return nil
	}))
}

// checkCompressed checks what a compressing format says of sampleTree's files,
// to within a block.
func checkCompressed(t testing.TB, img *Image, block int64) {
	t.Helper()
	noise := img.Stored["/usr/lib/noise"] + img.Stored["/usr/lib/noise.link"]
	if noise < 700_000-block || noise > 720_000+block {
		t.Errorf("noise of 700001 bytes takes %d", noise)
	}
	if zeros := img.Stored["/usr/lib/zeros"]; zeros > 10_000+block {
		t.Errorf("zeros take %d", zeros)
	}
}

func names(m map[string]int64) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}
