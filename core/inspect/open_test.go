package inspect

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// bzImage is a kernel's header with a version, and some more.
func bzImage() []byte {
	k := make([]byte, 40_000)
	copy(k[0x1fe:], "\x55\xaaxxHdrS")
	binary.LittleEndian.PutUint16(k[0x20e:], 0x3000)
	copy(k[0x3200:], "6.12.107 (who@where) #1 SMP\x00")
	return k
}

func arm64Image() []byte {
	k := make([]byte, 3<<20)
	copy(k[0x38:], "ARM\x64")
	copy(k[1<<20:], "Linux version %s (%s)\x00")
	copy(k[2<<20-20:], "Linux version 6.18.1-lean (who@where)\x00")
	return k
}

func writeBundle(t testing.TB, dir string) {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	for name, data := range map[string][]byte{
		"kernel": bzImage(), "initrd": cpioBytes(t, sampleTree(t)), "cmdline": []byte("quiet\n"), "run": []byte("#!/bin/sh\n"),
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), data, 0o644))
	}
}

func TestABundleAndTheDirectoryAroundItAreOneImage(t *testing.T) {
	t.Parallel()
	build := t.TempDir()
	writeBundle(t, filepath.Join(build, "bundle"))
	for _, dir := range []string{build, filepath.Join(build, "bundle")} {
		img := open(t, dir)
		checkSample(t, img.Tree)
		if img.Format != "bundle" || img.Path != dir {
			t.Errorf("%s is a %s", img.Path, img.Format)
		}
		if k := img.Kernel; k == nil || *k != (Kernel{"kernel", 40_000, "6.12.107"}) {
			t.Errorf("the kernel is %+v", k)
		}
		if got := names(img.Rest); got != "cmdline, headers, run" || img.Rest["cmdline"] != 6 {
			t.Errorf("the rest is %v", img.Rest)
		}
	}
}

func TestABundleWithADiskIsRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeBundle(t, dir)
	must(t, os.Rename(makeFS(t, sampleDir(t), squashfsCommands["zstd"]), filepath.Join(dir, "root.squashfs")))
	_, err := Open(t.Context(), dir, DefaultLimits)
	wantError(t, err, "initrd and root.squashfs: which of them is the root?")
	must(t, os.Remove(filepath.Join(dir, "initrd")))
	img := open(t, dir)
	checkSample(t, img.Tree)
	if img.Format != "bundle" || img.Compression != "zstd" || img.Kernel.Version != "6.12.107" {
		t.Errorf("it is a %s, %s, with %+v", img.Format, img.Compression, img.Kernel)
	}
	if got := names(img.Rest); got != "cmdline, file system structures, run" {
		t.Errorf("the rest is %v", img.Rest)
	}
	must(t, os.Truncate(filepath.Join(dir, "root.squashfs"), 10_000))
	_, err = Open(t.Context(), dir, DefaultLimits)
	wantError(t, err, dir, "root.squashfs: squashfs: is cut short")
}

func TestAKernelAloneIsAnImage(t *testing.T) {
	t.Parallel()
	for _, k := range []struct {
		version string
		data    []byte
	}{{"6.12.107", bzImage()}, {"6.18.1-lean", arm64Image()}, {"6.18.1-lean", compress(t, arm64Image(), compressors["gzip"]...)}} {
		file := writeFile(t, "initrd.tar", k.data)
		img := open(t, file)
		if img.Format != "kernel" || img.Kernel.Path != file || img.Kernel.Version != k.version || img.Kernel.Bytes != int64(len(k.data)) {
			t.Errorf("it is a %s: %+v", img.Format, img.Kernel)
		}
	}
}

func TestWhatIsNoImageIsSaidToBeNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	must(t, syscall.Mkfifo(fifo, 0o600))
	for path, words := range map[string][]string{
		filepath.Join(dir, "absent"): {"absent", "no such file"},
		dir:                          {"a directory with neither a kernel and its root (initrd or root.squashfs)"},
		fifo:                         {"fifo", "neither a file nor a directory"},
		writeFile(t, "empty", nil):   {"is empty", "supported: a bundle"},
		writeFile(t, "text", []byte("hello, world")): {`begins with "hello, world"`, "supported: a bundle"},
		writeFile(t, "short", []byte("0707")):        {"is no image"},
	} {
		_, err := Open(t.Context(), path, DefaultLimits)
		wantError(t, err, append(words, path)...)
	}
	writeBundle(t, filepath.Join(dir, "b"))
	must(t, os.WriteFile(filepath.Join(dir, "b/kernel"), []byte("no kernel"), 0o644))
	_, err := Open(t.Context(), filepath.Join(dir, "b"), DefaultLimits)
	wantError(t, err, "kernel: is no Linux kernel")
}

func TestOpenEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Open(ctx, writeFile(t, "x", cpioBytes(t, sampleTree(t))), DefaultLimits)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}

func TestContentsEndWithClose(t *testing.T) {
	t.Parallel()
	img, err := Open(t.Context(), writeFile(t, "x", cpioBytes(t, sampleTree(t))), DefaultLimits)
	must(t, err)
	must(t, img.Close())
	e, _ := img.Tree.Get("/etc/hostname")
	r, err := e.Open()
	must(t, err)
	_, err = r.Read(make([]byte, 1))
	wantError(t, err, "closed")
}
