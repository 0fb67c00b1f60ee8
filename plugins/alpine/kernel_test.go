package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

func gzipped(data string) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write([]byte(data))
	w.Close()
	return out.Bytes()
}

func zstded(t *testing.T, data string) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll([]byte(data), nil)
}

// zboot is an EFI image that unpacks itself, as arm64 kernels are packaged.
func zboot(kind string, payload []byte) []byte {
	head := make([]byte, 128)
	copy(head, "MZ")
	copy(head[4:], "zimg")
	binary.LittleEndian.PutUint32(head[8:], uint32(len(head)))
	binary.LittleEndian.PutUint32(head[12:], uint32(len(payload)))
	copy(head[24:], kind)
	return append(head, payload...)
}

// kernelRoot has a kernel and modules in all the ways that packages have them.
func kernelRoot(t *testing.T, image []byte) *root {
	t.Helper()
	r := &root{tree: rootfs.New()}
	dir := "/lib/modules/6.12.60-0-virt/"
	for name, data := range map[string][]byte{
		packagedKernel:                               image,
		dir + "kernel/net/core/failover.ko.gz":       gzipped("failover"),
		dir + "kernel/drivers/net/net_failover.ko":   []byte("net_failover"),
		dir + "kernel/drivers/net/virtio_net.ko.zst": zstded(t, "virtio_net"),
		dir + "kernel/drivers/acpi/button.ko":        []byte("button"),
		dir + "kernel/sound/soundcore.ko":            []byte("soundcore"),
		dir + "modules.dep": []byte("kernel/net/core/failover.ko.gz:\n" +
			"kernel/drivers/net/net_failover.ko: kernel/net/core/failover.ko.gz\n" +
			"kernel/drivers/net/virtio_net.ko.zst: kernel/drivers/net/net_failover.ko kernel/net/core/failover.ko.gz\n" +
			"kernel/drivers/acpi/button.ko:\nkernel/sound/soundcore.ko:\n"),
	} {
		if err := r.tree.File(name, 0o644, data); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func TestNeededModulesStayInTheOrderOfTheirDependencies(t *testing.T) {
	t.Parallel()
	r := kernelRoot(t, []byte("a kernel"))
	image, err := r.takeKernel()
	if err != nil || string(image) != "a kernel" {
		t.Fatalf("got %q, %v", image, err)
	}
	modules, err := loadedModules(r.tree)
	if err != nil {
		t.Fatal(err)
	}
	want := "/lib/modules/leanlab/00-failover.ko /lib/modules/leanlab/01-net_failover.ko /lib/modules/leanlab/02-virtio_net.ko /lib/modules/leanlab/03-button.ko"
	if got := strings.Join(modules, " "); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	for _, m := range modules {
		e, err := r.tree.Resolve(m)
		if err != nil {
			t.Fatal(err)
		}
		if data, err := readEntry(e); err != nil || !strings.HasSuffix(m, "-"+string(data)+".ko") {
			t.Errorf("%s holds %q, %v", m, data, err)
		}
	}
	for _, gone := range []string{"/boot", "/lib/modules/6.12.60-0-virt"} {
		if _, ok := r.tree.Get(gone); ok {
			t.Errorf("%s is still there", gone)
		}
	}
}

func TestKernelsOfArm64AreUnpacked(t *testing.T) {
	t.Parallel()
	for name, image := range map[string][]byte{
		"gzip": gzipped("an Image"), "EFI, gzip": zboot("gzip", gzipped("an Image")), "EFI, zstd": zboot("zstd", zstded(t, "an Image")),
	} {
		if got, err := kernelRoot(t, image).takeKernel(); err != nil || string(got) != "an Image" {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	for name, image := range map[string][]byte{
		"packed with":  zboot("lzo", []byte("?")),
		"is cut short": zboot("gzip", gzipped("an Image"))[:130],
	} {
		if _, err := kernelRoot(t, image).takeKernel(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %q", err, name)
		}
	}
}

func TestPackageWithoutAKernelIsNamed(t *testing.T) {
	t.Parallel()
	r := &root{tree: rootfs.New()}
	if _, err := r.takeKernel(); err == nil || !strings.Contains(err.Error(), "package linux-virt: /boot/vmlinuz-virt") {
		t.Errorf("got %v", err)
	}
}

func FuzzModulesDep(f *testing.F) {
	f.Add([]byte("a.ko: b.ko\nb.ko:\n"))
	f.Add([]byte(":::\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		needs, files, err := parseModulesDep(text)
		if err == nil && len(files) > len(needs) {
			t.Errorf("%d names for %d files", len(files), len(needs))
		}
	})
}
