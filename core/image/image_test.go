package image

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/somebloke1/elixir-lean-lab/core/bundle"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

var update = flag.Bool("update", false, "rewrite the golden files")

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

// kernelFile is a file with an architecture's magic, of which no other byte is
// looked at.
func kernelFile(t testing.TB, arch string) string {
	t.Helper()
	data := make([]byte, 1024)
	for _, m := range magics {
		if m.arch == arch {
			copy(data[m.offset:], m.magic)
		}
	}
	file := filepath.Join(t.TempDir(), "kernel-"+arch)
	must(t, os.WriteFile(file, data, 0o644))
	return file
}

// noise does not compress, and is the same every time.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func sampleTree(t testing.TB) *rootfs.Tree {
	t.Helper()
	tree := rootfs.New()
	must(t, tree.File("/init", 0o755, noise(1, 50_000)))
	must(t, tree.File("/app/noise.beam", 0o644, noise(2, 300_000)))
	must(t, tree.File("/app/zeros.beam", 0o644, make([]byte, 1_000_000)))
	must(t, tree.File("/app/lib/text.beam", 0o644, bytes.Repeat([]byte("kernel stdlib "), 20_000)))
	must(t, tree.Dir("/tmp", 0o1777))
	return tree
}

func spec(t testing.TB, arch, compression string) Spec {
	t.Helper()
	return specOf(t, bundle.Initramfs, arch, compression)
}

func specOf(t testing.TB, root, arch, compression string) Spec {
	t.Helper()
	p, err := PackerOf(root, compression)
	must(t, err)
	needs(t, p.Program)
	return Spec{Tree: sampleTree(t), Kernel: kernelFile(t, arch), Cmdline: "quiet x=y",
		Root: root, Arch: arch, Compression: compression, Name: "hello", MemoryMiB: 64}
}

func needs(t testing.TB, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is not installed: %v", program, err)
	}
}

func write(t testing.TB, s Spec) (dir string, artifacts []Artifact) {
	t.Helper()
	out := t.TempDir()
	artifacts, err := Write(t.Context(), "bundle", s, out, nil)
	must(t, err)
	return out, artifacts
}

// eachPacker runs a test for each kind of root and compression.
func eachPacker(t *testing.T, test func(t *testing.T, s Spec)) {
	for root, byCompression := range packers {
		for compression := range byCompression {
			t.Run(root+" "+compression, func(t *testing.T) {
				t.Parallel()
				test(t, specOf(t, root, "x86_64", compression))
			})
		}
	}
}

func TestABundleIsKernelRootCmdlineAndRun(t *testing.T) {
	t.Parallel()
	eachPacker(t, func(t *testing.T, s Spec) {
		{
			out, artifacts := write(t, s)
			var names []string
			for _, a := range artifacts {
				names = append(names, a.Path)
				data, err := os.ReadFile(filepath.Join(out, a.Path))
				must(t, err)
				sum := sha256.Sum256(data)
				if a.Format != "bundle" || a.Bytes != int64(len(data)) || a.SHA256 != hex.EncodeToString(sum[:]) {
					t.Errorf("%+v is not what the file is", a)
				}
			}
			want := map[string]string{
				bundle.Initramfs: "bundle/kernel bundle/initrd bundle/cmdline bundle/run",
				bundle.Disk:      "bundle/kernel bundle/root.squashfs bundle/cmdline bundle/run",
			}[s.Root]
			if got := strings.Join(names, " "); got != want {
				t.Errorf("artifacts are %s", got)
			}
			entries, err := os.ReadDir(out)
			must(t, err)
			files, err := os.ReadDir(filepath.Join(out, "bundle"))
			must(t, err)
			if len(entries) != 1 || len(files) != 4 {
				t.Errorf("besides the artifacts there is more: %v, %v", entries, files)
			}
			cmdline, err := os.ReadFile(filepath.Join(out, "bundle/cmdline"))
			must(t, err)
			if want := map[string]string{
				bundle.Initramfs: "quiet x=y\n",
				bundle.Disk:      "quiet x=y root=/dev/vda rootfstype=squashfs init=/init\n",
			}[s.Root]; string(cmdline) != want {
				t.Errorf("cmdline is %q", cmdline)
			}
		}
	})
}

func TestTheInitrdUnpacksToTheTreesArchive(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ arch, compression string }{{"x86_64", "zstd"}, {"x86_64", "xz"}, {"aarch64", "xz"}} {
		t.Run(test.arch+" "+test.compression, func(t *testing.T) {
			t.Parallel()
			s := spec(t, test.arch, test.compression)
			out, _ := write(t, s)
			got, err := exec.Command(test.compression, "-dc", "--", filepath.Join(out, "bundle/initrd")).Output()
			if test.compression == "zstd" {
				got, err = exec.Command("sh", "-c", "exec zstd -dc <"+filepath.Join(out, "bundle/initrd")).Output()
			}
			must(t, err)
			var want bytes.Buffer
			must(t, s.Tree.WriteCPIO(&want))
			if !bytes.Equal(got, want.Bytes()) {
				t.Errorf("%d bytes, not the archive's %d", len(got), want.Len())
			}
		})
	}
}

func TestAnInitrdByItselfIsTheBundles(t *testing.T) {
	for _, test := range []struct{ arch, compression string }{{"x86_64", "zstd"}, {"x86_64", "xz"}, {"aarch64", "xz"}} {
		t.Run(test.arch+" "+test.compression, func(t *testing.T) {
			s := spec(t, test.arch, test.compression)
			out, _ := write(t, s)
			temp := t.TempDir()
			t.Setenv("TMPDIR", temp)
			t.Setenv("ZSTD_CLEVEL", "1")
			t.Setenv("XZ_OPT", "-0")
			var got bytes.Buffer
			must(t, WriteInitrd(t.Context(), s.Tree, test.compression, test.arch, &got))
			want, err := os.ReadFile(filepath.Join(out, "bundle/initrd"))
			must(t, err)
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%d bytes, not the bundle's %d", got.Len(), len(want))
			}
			if left, _ := os.ReadDir(temp); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			p, err := PackerOf(bundle.Initramfs, test.compression)
			must(t, err)
			command := p.Command(test.arch)
			if !strings.HasPrefix(command, test.compression+" -") || strings.Contains(command, "stdout") || strings.HasSuffix(command, "--") {
				t.Errorf("the command is %q", command)
			}
		})
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := WriteInitrd(canceled, sampleTree(t), "zstd", "x86_64", io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled, the error is %v", err)
	}
}

// Not parallel: it changes the process's environment and umask.
func TestTwoWritesGiveEqualBytes(t *testing.T) {
	for root, byCompression := range packers {
		for compression := range byCompression {
			s := specOf(t, root, "x86_64", compression)
			t.Setenv("TZ", "UTC")
			_, a := write(t, s)
			t.Setenv("TZ", "Asia/Tokyo")
			t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
			t.Setenv("XZ_DEFAULTS", "--check=sha256")
			old := syscall.Umask(0o077)
			_, b := write(t, s)
			syscall.Umask(old)
			if !slices.Equal(a, b) {
				t.Errorf("%s %s: %+v and %+v", root, compression, a, b)
			}
		}
	}
}

// What the kernel's decoders take: lib/decompress_unzstd.c allocates the window
// that the frame asks for; Documentation/staging/xz.rst knows CRC32 only.
func TestInitrdsAskTheKernelForNoMoreThanItHas(t *testing.T) {
	t.Parallel()
	s := spec(t, "x86_64", "zstd")
	must(t, s.Tree.File("/large", 0o644, make([]byte, 40<<20)))
	out, _ := write(t, s)
	data, err := os.ReadFile(filepath.Join(out, "bundle/initrd"))
	must(t, err)
	var h zstd.Header
	must(t, h.Decode(data))
	if h.WindowSize == 0 || h.WindowSize > 16<<20 {
		t.Errorf("a zstd window of %d bytes, want at most 16 MiB", h.WindowSize)
	}
	out, _ = write(t, spec(t, "x86_64", "zstd"))
	data, err = os.ReadFile(filepath.Join(out, "bundle/initrd"))
	must(t, err)
	must(t, h.Decode(data))
	if !h.SingleSegment || h.FrameContentSize > 2<<20 {
		t.Errorf("a small root asks for a window larger than itself: %+v", h)
	}
	out, _ = write(t, spec(t, "x86_64", "xz"))
	data, err = os.ReadFile(filepath.Join(out, "bundle/initrd"))
	must(t, err)
	if data[7] != 1 { // The .xz File Format, 2.1.1.2: 1 is CRC32
		t.Errorf("xz check %d, want 1", data[7])
	}
}

func TestAKernelOfAnotherArchitectureIsRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ kernel, arch, want string }{
		{kernelFile(t, "aarch64"), "x86_64", "an aarch64 kernel"},
		{kernelFile(t, "x86_64"), "aarch64", "an x86_64 kernel"},
		{kernelFile(t, "none"), "x86_64", "bzImage"},
		{kernelFile(t, "x86_64"), "riscv64", `"riscv64"`},
		{"/none/bzImage", "x86_64", "/none/bzImage"},
	} {
		out := t.TempDir()
		_, err := Write(t.Context(), "bundle", Spec{Tree: rootfs.New(), Kernel: test.kernel, Arch: test.arch, Root: bundle.Initramfs, Compression: "zstd"}, out, nil)
		wantError(t, err, "kernel: ", test.want)
		if left, _ := os.ReadDir(out); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	if err := CheckKernel(kernelFile(t, "aarch64"), "aarch64"); err != nil {
		t.Error(err)
	}
}

func TestAnArm64ImageIsShippedInGzip(t *testing.T) {
	t.Parallel()
	kernel := kernelFile(t, "aarch64")
	written := filepath.Join(t.TempDir(), "kernel")
	if err := writeKernel(Spec{Kernel: kernel, Arch: "aarch64"}, written); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(written)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if want, err := os.ReadFile(kernel); err != nil || !bytes.Equal(got, want) {
		t.Errorf("it unpacks to %d bytes, want the kernel's %d (%v)", len(got), len(want), err)
	}
	if arch, err := KernelArch(written); arch != "aarch64" || err != nil {
		t.Errorf("it is taken for %q, %v", arch, err)
	}
}

func TestAKernelTellsItsArchitecture(t *testing.T) {
	t.Parallel()
	for _, arch := range []string{"x86_64", "aarch64"} {
		if got, err := KernelArch(kernelFile(t, arch)); got != arch || err != nil {
			t.Errorf("%s: got %q, %v", arch, got, err)
		}
	}
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, []byte("\x1f\x8b"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := KernelArch(other); err == nil || !strings.Contains(err.Error(), other) {
		t.Errorf("got %v", err)
	}
}

func TestFailuresLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx    context.Context
		format string
		change func(*Spec)
		want   string
	}{
		"unknown format":      {t.Context(), "floppy", func(*Spec) {}, `"floppy"; known are bundle`},
		"unknown compression": {t.Context(), "bundle", func(s *Spec) { s.Compression = "lzma" }, `"lzma"`},
		"unknown root":        {t.Context(), "bundle", func(s *Spec) { s.Root = "tape" }, `"tape"`},
		"two-line cmdline":    {t.Context(), "bundle", func(s *Spec) { s.Cmdline = "a\nb" }, "more than a line"},
		"unwritable tree": {t.Context(), "bundle", func(s *Spec) {
			must(t, s.Tree.File("/TRAILER!!!", 0o644, nil))
		}, "TRAILER"},
		"canceled": {canceled, "bundle", func(*Spec) {}, "canceled"},
		"unreadable tree, disk": {t.Context(), "bundle", func(s *Spec) {
			s.Root = bundle.Disk
			must(t, s.Tree.Add(&rootfs.Entry{Path: "/cut", Type: rootfs.Regular}, io.NewSectionReader(strings.NewReader("short"), 0, 9)))
		}, "/cut"},
		"foreign root, disk": {t.Context(), "bundle", func(s *Spec) {
			root, err := s.Tree.Resolve("/")
			must(t, err)
			s.Root, root.UID = bundle.Disk, 7
		}, "belongs to 7:0"},
		"canceled, disk": {canceled, "bundle", func(s *Spec) { s.Root = bundle.Disk }, "canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := spec(t, "x86_64", "zstd")
			test.change(&s)
			if s.Root == bundle.Disk {
				needs(t, "mksquashfs")
			}
			out := t.TempDir()
			_, err := Write(test.ctx, test.format, s, out, nil)
			wantError(t, err, test.want)
			if left, _ := os.ReadDir(out); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestAnImageIsNotOverwritten(t *testing.T) {
	t.Parallel()
	s := spec(t, "x86_64", "zstd")
	out, _ := write(t, s)
	_, err := Write(t.Context(), "bundle", s, out, nil)
	wantError(t, err, "exists already")
}

func TestProgressReachesTheTotal(t *testing.T) {
	t.Parallel()
	eachPacker(t, func(t *testing.T, s Spec) {
		var last, total int64
		_, err := Write(t.Context(), "bundle", s, t.TempDir(), func(d, n int64) {
			if d < last || d > n {
				t.Errorf("%d of %d after %d", d, n, last)
			}
			last, total = d, n
		})
		must(t, err)
		if last != total || total < 1_600_000 {
			t.Errorf("ended at %d of %d", last, total)
		}
	})
}

func TestAMissingCompressorIsNamedWithItsPackage(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for root, want := range map[string][]string{
		bundle.Initramfs: {"xz", "Debian: xz-utils"},
		bundle.Disk:      {"mksquashfs", "Debian: squashfs-tools"},
	} {
		p, err := PackerOf(root, "xz")
		must(t, err)
		_, err = p.Version()
		wantError(t, err, want...)
		if !errors.Is(err, exec.ErrNotFound) {
			t.Errorf("%v is not exec.ErrNotFound", err)
		}
		_, err = Write(t.Context(), "bundle", Spec{Tree: sampleTree(t), Kernel: kernelFile(t, "x86_64"), Root: root, Arch: "x86_64", Compression: "xz"}, t.TempDir(), nil)
		wantError(t, err, want...)
	}
}

func TestCompressorsTellTheirRelease(t *testing.T) {
	t.Parallel()
	for root, byCompression := range packers {
		for compression, p := range byCompression {
			needs(t, p.Program)
			v, err := p.Version()
			must(t, err)
			if !strings.ContainsAny(v, "0123456789") || strings.Contains(v, "\n") {
				t.Errorf("%s %s: %q", root, compression, v)
			}
		}
	}
	_, err := PackerOf(bundle.Disk, "gzip")
	wantError(t, err, `"gzip"`)
	_, err = PackerOf("tape", "xz")
	wantError(t, err, `"tape"; known are initramfs, disk`)
}

// fakeQEMU makes a directory with a QEMU that prints its arguments.
func fakeQEMU(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\nfor a; do echo \"$a\"; done\n"), 0o755))
	// As on a machine of another architecture: no hardware virtualisation.
	must(t, os.WriteFile(filepath.Join(dir, "uname"), []byte("#!/bin/sh\necho other\n"), 0o755))
	return dir
}

func TestTheRunScriptStartsQEMU(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ root, arch string }{
		"x86_64":  {bundle.Initramfs, "x86_64"},
		"aarch64": {bundle.Initramfs, "aarch64"},
		"disk":    {bundle.Disk, "x86_64"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := machines[test.arch]
			// QEMU's options end at commas, unless they are doubled.
			out := filepath.Join(t.TempDir(), "a, b")
			must(t, os.Mkdir(out, 0o755))
			_, err := Write(t.Context(), "bundle", specOf(t, test.root, test.arch, "zstd"), out, nil)
			must(t, err)
			run := filepath.Join(out, "bundle/run")
			if msg, err := exec.Command("sh", "-n", run).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, msg)
			}
			cmd := exec.Command(run, "-m", "256")
			cmd.Env = []string{"PATH=" + fakeQEMU(t, m.qemu) + ":/usr/bin:/bin", "APPEND=leanlab.shell"}
			got, err := cmd.CombinedOutput()
			must(t, err)
			text := strings.NewReplacer(out, "OUT", strings.ReplaceAll(out, ",", ",,"), "OUT,,").Replace(string(got))
			golden(t, "run."+name+".args", text)
		})
	}
}

func TestTheRunScriptSaysWhenThereIsNoQEMU(t *testing.T) {
	t.Parallel()
	out, _ := write(t, spec(t, "x86_64", "zstd"))
	empty := t.TempDir()
	dirname, err := exec.LookPath("dirname")
	must(t, err)
	must(t, os.Symlink(dirname, filepath.Join(empty, "dirname")))
	cmd := exec.Command("/bin/sh", filepath.Join(out, "bundle/run"))
	cmd.Env = []string{"PATH=" + empty}
	msg, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(msg), "install QEMU (Debian: qemu-system-x86)") {
		t.Errorf("%v: %s", err, msg)
	}
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
		t.Errorf("%s differs (go test -update rewrites it); got:\n%s", file, got)
	}
}
