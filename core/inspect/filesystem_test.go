package inspect

import (
	"bytes"
	"encoding/binary"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// sampleDir has sampleTree in it, for tools that read a directory.
func sampleDir(t testing.TB) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("run as root to make the device node that the sample has")
	}
	return treeDir(t, sampleTree(t))
}

// treeDir has a tree like sampleTree in it.
func treeDir(t testing.TB, tree *rootfs.Tree) string {
	t.Helper()
	dir := t.TempDir()
	must(t, tree.Remove("/usr/lib/noise.link"))
	must(t, tree.Walk(func(e *rootfs.Entry) error {
		file := filepath.Join(dir, e.Path)
		switch e.Type {
		case rootfs.Directory:
			if err := os.MkdirAll(file, 0o755); err != nil {
				return err
			}
		case rootfs.Symlink:
			return os.Symlink(e.Link, file)
		case rootfs.CharDevice:
			if err := syscall.Mknod(file, syscall.S_IFCHR, int(e.Major<<8|e.Minor)); err != nil {
				return err
			}
		case rootfs.Regular:
			if err := os.WriteFile(file, contents(t, tree, e.Path), 0o644); err != nil {
				return err
			}
		}
		return os.Chmod(file, e.Mode)
	}))
	must(t, os.Link(filepath.Join(dir, "usr/lib/noise"), filepath.Join(dir, "usr/lib/noise.link")))
	return dir
}

// makeFS makes a file system of dir with a command, in which DIR and IMAGE are
// replaced.
func makeFS(t testing.TB, dir, command string) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	words := strings.Fields(strings.NewReplacer("DIR", dir, "IMAGE", image).Replace(command))
	need(t, words[0])
	output(t, "", words...)
	return image
}

var squashfsCommands = map[string]string{
	"gzip":         "mksquashfs DIR IMAGE -quiet -no-progress",
	"xz":           "mksquashfs DIR IMAGE -quiet -no-progress -comp xz -b 256K",
	"xz x86":       "mksquashfs DIR IMAGE -quiet -no-progress -comp xz -Xbcj x86",
	"zstd":         "mksquashfs DIR IMAGE -quiet -no-progress -comp zstd -b 1M",
	"lz4":          "mksquashfs DIR IMAGE -quiet -no-progress -comp lz4 -b 4K",
	"no fragments": "mksquashfs DIR IMAGE -quiet -no-progress -no-fragments",
	"stored":       "mksquashfs DIR IMAGE -quiet -no-progress -noI -noD -noF",
}

func TestASquashfsIsRead(t *testing.T) {
	t.Parallel()
	dir := sampleDir(t)
	for name, command := range squashfsCommands {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			img := open(t, makeFS(t, dir, command))
			checkSample(t, img.Tree)
			if img.Format != "squashfs" {
				t.Errorf("it is a %s", img.Format)
			}
			if name != "stored" {
				checkCompressed(t, img, 4096)
			}
		})
	}
}

var ext4Commands = map[string]string{
	"ext4":        "mkfs.ext4 -q -d DIR IMAGE 16M",
	"inline data": "mkfs.ext4 -q -O inline_data -I 256 -d DIR IMAGE 16M",
	"large":       "mkfs.ext4 -q -b 4096 -O 64bit -d DIR IMAGE 300M",
	"1k":          "mkfs.ext4 -q -b 1024 -O ^has_journal,^64bit -d DIR IMAGE 12M",
	"ext2":        "mkfs.ext2 -q -b 1024 -d DIR IMAGE 16M",
	"ext3":        "mkfs.ext3 -q -d DIR IMAGE 20M",
}

func TestAnExt4IsRead(t *testing.T) {
	t.Parallel()
	dir := sampleDir(t)
	for name, command := range ext4Commands {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			img := open(t, makeFS(t, dir, command))
			checkSample(t, img.Tree)
			if n := img.Stored["/usr/lib/noise"] + img.Stored["/usr/lib/noise.link"]; img.Format != "ext4" || n < 700_001 || n > 704_512 {
				t.Errorf("it is a %s, noise takes %d", img.Format, n)
			}
			if img.Rest["free space"] < img.Bytes/3 || img.Rest["file system structures"] > img.Bytes/4 {
				t.Errorf("the rest is %v", img.Rest)
			}
		})
	}
}

func TestAFileSystemThatCannotBeReadIsNamed(t *testing.T) {
	t.Parallel()
	for _, f := range filesystems() {
		if f.read != nil {
			continue
		}
		data := make([]byte, f.offset+4096)
		copy(data[f.offset:], f.magic)
		_, err := Open(t.Context(), writeFile(t, "x", data), DefaultLimits)
		wantError(t, err, f.name+" is recognised but cannot be read; supported: ", "squashfs")
	}
}

func TestFileSystemsThatAreCutShortOrTooLargeAreRefused(t *testing.T) {
	t.Parallel()
	dir := sampleDir(t)
	for name, command := range map[string]string{"ext4": ext4Commands["1k"], "squashfs": squashfsCommands["gzip"], "erofs": erofsCommands["plain"]} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(makeFS(t, dir, command))
			must(t, err)
			_, err = Open(t.Context(), writeFile(t, "x", data[:len(data)*2/3]), DefaultLimits)
			wantError(t, err, name, "cut short")
			_, err = Open(t.Context(), writeFile(t, "x", data), Limits{Files: 50, Unpacked: 1 << 30})
			wantError(t, err, "more than 50 files")
			_, err = Open(t.Context(), writeFile(t, "x", data), Limits{Files: 5000, Unpacked: 1 << 20})
			wantError(t, err, "more than 1048576 bytes")
		})
	}
}

// TestALoopOfDirectoriesEnds makes a directory its own child.
func TestALoopOfDirectoriesEnds(t *testing.T) {
	t.Parallel()
	need(t, "mkfs.ext4", "debugfs")
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "a/b/c"), 0o755))
	image := makeFS(t, dir, "mkfs.ext4 -q -O ^has_journal -d DIR IMAGE 4M")
	output(t, "", "debugfs", "-w", "-R", "link /a /a/b/c/again", image)
	_, err := Open(t.Context(), image, DefaultLimits)
	wantError(t, err, "ext4", "a/b/c/again", "twice")
}

// smallFS is a file system of a few files.
func smallFS(t testing.TB, command string) []byte {
	t.Helper()
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "etc/sub"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "etc/x"), bytes.Repeat([]byte("contents"), 700), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "etc/sub/y"), []byte("y"), 0o644))
	must(t, os.Symlink("etc", filepath.Join(dir, "l")))
	data, err := os.ReadFile(makeFS(t, dir, command))
	must(t, err)
	return data
}

// fuzzFS fuzzes file systems as patches of real ones: whole ones are too large to
// mutate. Those that this machine cannot make are left out.
func fuzzFS(f *testing.F, images ...[]byte) {
	if len(images) == 0 {
		f.Skip("no image could be made")
	}
	patch := func(at uint32, value uint64) []byte {
		return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(nil, at), value)
	}
	for i := range images {
		f.Add(uint8(i), patch(1024+24, 3))
		f.Add(uint8(i), append(patch(64, 1<<40), patch(1024+0x60, 0x2c2)...))
	}
	f.Fuzz(func(t *testing.T, which uint8, patches []byte) {
		data := bytes.Clone(images[int(which)%len(images)])
		for ; len(patches) >= 12; patches = patches[12:] {
			// What matters is in what is not 0.
			at := int(binary.LittleEndian.Uint32(patches)) % (len(data) - 8)
			for n := 0; n < 4096 && at < len(data)-9 && data[at] == 0; n++ {
				at++
			}
			copy(data[at:at+1+int(patches[3])%8], patches[4:12])
		}
		tryOpen(t, data)
	})
}

// tryOpen reads what may be an image: an error is fine, and if there is none, its
// parts add up.
func tryOpen(t *testing.T, data []byte) {
	o := newOpener(t.Context(), Limits{Files: 1000, Unpacked: 4 << 20})
	defer o.closeAll()
	img, err := o.openImage(source{
		SectionReader: io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data))),
		on:            func(offset int64) int64 { return offset },
	})
	if err != nil {
		return
	}
	checkSum(t, img)
	// Contents are read when they are asked for; an error is fine there too.
	_ = img.Tree.WriteTar(&discard{16 << 20})
}

// fuzzed is a small file system for fuzzFS, if its command is there.
func fuzzed(f *testing.F, command string) []byte {
	if program := strings.Fields(command)[0]; !installed(program) {
		f.Skipf("%s is not installed", program)
	}
	return smallFS(f, command)
}

func installed(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

func FuzzSquashfs(f *testing.F) { fuzzFS(f, fuzzed(f, squashfsCommands["gzip"])) }
func FuzzExt4(f *testing.F) {
	fuzzFS(f, fuzzed(f, "mkfs.ext4 -q -b 1024 -O ^has_journal,inline_data -I 256 -N 32 -d DIR IMAGE 256K"))
}
func FuzzExt2(f *testing.F) {
	fuzzFS(f, fuzzed(f, "mkfs.ext2 -q -b 1024 -N 32 -d DIR IMAGE 128K"))
}
func FuzzErofs(f *testing.F) {
	fuzzFS(f, fuzzed(f, erofsCommands["plain"]), fuzzed(f, erofsCommands["chunks"]))
}

// FuzzCompressedErofs has what this release of mkfs.erofs can make.
func FuzzCompressedErofs(f *testing.F) {
	if !installed("mkfs.erofs") {
		f.Skip("mkfs.erofs is not installed")
	}
	dir := f.TempDir()
	must(f, os.MkdirAll(filepath.Join(dir, "etc"), 0o755))
	for name, data := range map[string][]byte{"x": words(1, 150_000, 2000), "y": words(2, 9000, 50), "z": words(1, 30_000, 2000)} {
		must(f, os.WriteFile(filepath.Join(dir, "etc", name), data, 0o644))
	}
	var images [][]byte
	for _, options := range slices.Sorted(maps.Keys(erofsOptions)) {
		image := filepath.Join(f.TempDir(), "image")
		if exec.Command("mkfs.erofs", append(strings.Fields(options), "--quiet", image, dir)...).Run() != nil {
			continue // as the test of them says
		}
		data, err := os.ReadFile(image)
		must(f, err)
		images = append(images, data)
	}
	fuzzFS(f, images...)
}
