package inspect

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

var compressors = map[string][]string{
	"gzip": {"gzip", "-9c"}, "xz": {"xz", "-c", "--check=crc32", "--x86", "--lzma2=preset=9"},
	"zstd": {"zstd", "-19qc"}, "lz4": {"lz4", "-9qcl"}, "lz4 frame": {"lz4", "-9qc", "-B5"},
}

func compress(t testing.TB, data []byte, command ...string) []byte {
	t.Helper()
	need(t, command[0])
	return output(t, "", append(command, writeFile(t, "data", data))...)
}

func TestAnInitrdIsReadInEveryCompression(t *testing.T) {
	t.Parallel()
	plain := cpioBytes(t, sampleTree(t))
	img := open(t, writeFile(t, "plain", plain))
	checkSample(t, img.Tree)
	if img.Format != "cpio" || img.Compression != "" || img.Stored["/usr/lib/zeros"] != 600_000 {
		t.Errorf("it is %s, compressed with %q; zeros take %d", img.Format, img.Compression, img.Stored["/usr/lib/zeros"])
	}
	for name, command := range compressors {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			img := open(t, writeFile(t, "initrd", compress(t, plain, command...)))
			checkSample(t, img.Tree)
			if img.Compression != strings.Fields(name)[0] {
				t.Errorf("compressed with %q", img.Compression)
			}
			if name != "lz4" { // in one block
				checkCompressed(t, img, 128<<10)
			}
		})
	}
}

// TestArchivesFollowEachOther is an initrd as distributions have them: microcode
// in a plain archive, and then the root, here in several parts.
func TestArchivesFollowEachOther(t *testing.T) {
	t.Parallel()
	file := func(name, data string) []byte {
		tree := rootfs.New()
		must(t, tree.File(name, 0o644, []byte(data)))
		return cpioBytes(t, tree)
	}
	data := file("/kernel/x86/microcode/GenuineIntel.bin", "microcode")
	data = append(data, file("/etc/x", "first")...)
	data = append(data, make([]byte, 508)...)
	data = append(data, compress(t, cpioBytes(t, sampleTree(t)), compressors["zstd"]...)...)
	data = append(data, compress(t, file("/etc/y", "why"), compressors["gzip"]...)...)
	data = append(data, make([]byte, 5)...)
	data = append(data, compress(t, file("/etc/x", "second"), compressors["xz"]...)...)
	data = append(data, compress(t, file("/etc/z", "last"), compressors["lz4"]...)...)
	img := open(t, writeFile(t, "initrd", data))
	for name, want := range map[string]string{
		"/etc/x": "second", "/etc/y": "why", "/etc/z": "last", "/etc/hostname": "lean\n",
		"/kernel/x86/microcode/GenuineIntel.bin": "microcode",
	} {
		if got := string(contents(t, img.Tree, name)); got != want {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
	if img.Rest["replaced files"] != 8 {
		t.Errorf("the first /etc/x takes %d of it", img.Rest["replaced files"])
	}
}

func TestCPIOsOwnArchivesAreRead(t *testing.T) {
	t.Parallel()
	need(t, "cpio")
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "d"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "d/a"), []byte("linked"), 0o640))
	must(t, os.Link(filepath.Join(dir, "d/a"), filepath.Join(dir, "d/b")))
	must(t, os.Symlink("a", filepath.Join(dir, "d/l")))
	for _, format := range []string{"newc", "crc"} {
		cmd := exec.Command("cpio", "--quiet", "-o", "-H", format)
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(".\n./d\n./d/a\n./d/b\n./d/l\n")
		out, err := cmd.Output()
		must(t, err)
		img := open(t, writeFile(t, "x", out))
		for _, name := range []string{"/d/a", "/d/b", "/d/l"} {
			if got := string(contents(t, img.Tree, name)); got != "linked" {
				t.Errorf("%s: %s holds %q", format, name, got)
			}
		}
		if img.Stored["/d/a"]+img.Stored["/d/b"] != 8 {
			t.Errorf("%s: stored are %v", format, img.Stored)
		}
	}
	cmd := exec.Command("cpio", "--quiet", "-o", "-H", "odc")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader("./d/a\n")
	out, err := cmd.Output()
	must(t, err)
	_, err = Open(t.Context(), writeFile(t, "x", out), DefaultLimits)
	wantError(t, err, "old cpio (odc) is recognised but cannot be read")
}

// member is a member of a cpio archive, made by hand.
func member(name string, mode, nlink, size uint32, body string) string {
	return fmt.Sprintf("070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s",
		1, mode, 0, 0, nlink, 0, size, 0, 0, 0, 0, len(name)+1, 0, name) +
		strings.Repeat("\x00", 4-(110+len(name))%4) + body + strings.Repeat("\x00", -len(body)&3)
}

var trailer = member("TRAILER!!!", 0, 1, 0, "")

func TestTheContentsOfLinksMayComeWithAnyName(t *testing.T) {
	t.Parallel()
	const file = 0o100644
	img := open(t, writeFile(t, "x", []byte(
		member("a", file, 2, 0, "")+member("b", file, 2, 3, "one")+member("c", file, 2, 0, "")+
			member("d", file, 2, 3, "two")+member("e", file, 2, 0, "")+trailer)))
	for name, want := range map[string]string{"/a": "one", "/b": "one", "/c": "one", "/d": "two", "/e": "two"} {
		if got := string(contents(t, img.Tree, name)); got != want {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
}

func TestHostileInitrdsAreRefused(t *testing.T) {
	t.Parallel()
	const file, dir, link = 0o100644, 0o040755, 0o120777
	bomb := compress(t, bytes.Repeat([]byte{0}, 4<<20), compressors["zstd"]...)
	for name, test := range map[string]struct{ data, want string }{
		"no trailer":            {member("a", file, 1, 0, ""), "cut short"},
		"ends in a file":        {member("a", file, 1, 100, "x"), "cut short"},
		"absurd size":           {member("a", file, 1, 0xffffffff, "x"), "cut short"},
		"no name":               {strings.Replace(member("a", file, 1, 0, ""), "00000002", "00000000", 1) + trailer, "a name of 0"},
		"absurd name":           {strings.Replace(member("a", file, 1, 0, ""), "00000002", "FFFFFFFF", 1) + trailer, "a name of 4294967295"},
		"no number":             {strings.Replace(member("a", file, 1, 0, ""), "00000001", "0000000z", 1) + trailer, "where a number"},
		"leads out":             {member("../a", file, 1, 1, "x") + trailer, ".."},
		"a link's loop":         {member("a", link, 1, 1, "b") + member("b", link, 1, 1, "a") + member("a/x", file, 1, 0, "") + trailer, "symbolic links"},
		"a link of megabytes":   {member("a", link, 1, 5000, strings.Repeat("x", 5000)) + trailer, "target of 5000"},
		"below a file":          {member("a", file, 1, 0, "") + member("a/b", file, 1, 0, "") + trailer, "is a file"},
		"a file for a root":     {member(".", file, 1, 0, "") + trailer, "root"},
		"rubbish after it":      {member("a", file, 1, 0, "") + trailer + "rubbish", "neither a cpio archive"},
		"deep":                  {member(strings.Repeat("d/", 2000), dir, 1, 0, "") + trailer, "more than 128 directories deep"},
		"many by being deep":    {member(strings.Repeat("d/", 70), dir, 1, 0, "") + member(strings.Repeat("e/", 70), dir, 1, 0, "") + trailer, "more than 100 files"},
		"zeros":                 {string(bomb), "no header"},
		"too many":              {strings.Repeat(member("a", dir, 1, 0, ""), 101) + trailer, "more than 100 files"},
		"a bomb":                {string(compress(t, make([]byte, 9<<20), compressors["xz"]...)), "more than 8388608 bytes"},
		"cut compressed stream": {string(compress(t, cpioBytes(t, sampleTree(t)), compressors["zstd"]...)[:5000]), "zstd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := writeFile(t, "x", []byte(test.data))
			_, err := Open(t.Context(), path, Limits{Files: 100, Unpacked: 8 << 20})
			wantError(t, err, path, test.want)
		})
	}
}

// TestABombEndsBeforeTheDiskIsFull is what DefaultLimits alone would let through.
func TestABombEndsBeforeTheDiskIsFull(t *testing.T) {
	t.Parallel()
	for name, command := range compressors {
		if strings.HasPrefix(name, "lz4") { // 255 times is the most that it can be
			continue
		}
		o := newOpener(t.Context(), DefaultLimits)
		o.small = 1 << 20
		_, err := o.open(writeFile(t, "x", compress(t, make([]byte, 40<<20), command...)))
		wantError(t, errors.Join(err, o.closeAll()), "times its size")
		if o.tempEnd > 20<<20 {
			t.Errorf("%s: %d bytes were written", name, o.tempEnd)
		}
	}
}

// fuzzOpen opens hostile images: an error is fine, a panic, a hang or parts
// that do not add up are not.
func fuzzOpen(f *testing.F, seeds ...[]byte) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data []byte) { tryOpen(t, data) })
}

// discard takes n bytes.
type discard struct{ n int }

func (d *discard) Write(p []byte) (int, error) {
	if d.n -= len(p); d.n < 0 {
		return 0, os.ErrProcessDone
	}
	return len(p), nil
}

func FuzzInitrd(f *testing.F) {
	tree := rootfs.New()
	must(f, tree.File("/etc/x", 0o644, []byte("contents")))
	must(f, tree.HardLink("/etc/y", "/etc/x"))
	must(f, tree.Symlink("/l", "etc"))
	plain := cpioBytes(f, tree)
	seeds := [][]byte{plain, append(bytes.Clone(plain), plain...)}
	for _, command := range compressors {
		if _, err := exec.LookPath(command[0]); err == nil {
			seeds = append(seeds, compress(f, plain, command...))
		}
	}
	fuzzOpen(f, seeds...)
}
