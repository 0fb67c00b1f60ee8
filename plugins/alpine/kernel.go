package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// Where Alpine's kernel lies in the root, and where its modules go.
const (
	packagedKernel  = "/boot/vmlinuz-virt"
	packagedModules = "/lib/modules"
	ourModules      = "/lib/modules/leanlab"
)

// neededModules are what a VM cannot do without and Alpine's kernel does not have
// built in (aports, main/linux-lts/virt.*.config): the network card and what the
// DHCP client sends its packets through, the power button, random numbers. What
// is built in, in this kernel or the next, is passed over.
var neededModules = []string{"virtio_pci", "virtio_mmio", "virtio_net", "af_packet", "virtio_rng", "button", "evdev"}

// takeKernel takes Alpine's kernel out of the root and leaves those of its modules
// that are needed, uncompressed and in the order of their dependencies, which
// their names begin with: /init loads them.
func (r *root) takeKernel() (image []byte, err error) {
	if image, err = readKernel(r.tree); err != nil {
		return nil, fmt.Errorf("package %s: %w", kernelPackage, err)
	}
	modules, err := neededFiles(r.tree)
	if err != nil {
		return nil, fmt.Errorf("package %s: %w", kernelPackage, err)
	}
	unpacked := make([][]byte, len(modules))
	for i, file := range modules {
		if unpacked[i], err = unpackModule(r.tree, file); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	for _, dir := range []string{path.Dir(packagedKernel), packagedModules} {
		e, err := r.tree.Resolve(dir)
		if err != nil {
			continue
		}
		if err := r.tree.Remove(e.Path); err != nil {
			return nil, err
		}
	}
	for i, file := range modules {
		name := fmt.Sprintf("%s/%02d-%s.ko", ourModules, i, moduleName(file))
		if err := r.tree.File(name, 0o644, unpacked[i]); err != nil {
			return nil, err
		}
	}
	return image, nil
}

// readKernel returns a bootable image. On arm64 the file is an Image in gzip, or
// one that an EFI program unpacks (CONFIG_EFI_ZBOOT).
func readKernel(tree *rootfs.Tree) ([]byte, error) {
	e, err := tree.Resolve(packagedKernel)
	if err != nil {
		return nil, err
	}
	data, err := readEntry(e)
	if err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(data, []byte{0x1f, 0x8b}):
		return decompress("gz", data)
	case len(data) > 64 && string(data[:2]) == "MZ" && string(data[4:8]) == "zimg":
		return unpackZboot(data)
	}
	return data, nil
}

// unpackZboot reads the header of drivers/firmware/efi/libstub/zboot-header.S:
// the payload's offset and size at 8 and 12, its compression's name at 24.
func unpackZboot(data []byte) ([]byte, error) {
	offset, size := uint64(binary.LittleEndian.Uint32(data[8:])), uint64(binary.LittleEndian.Uint32(data[12:]))
	if offset+size > uint64(len(data)) {
		return nil, errors.New("the kernel's EFI image is cut short")
	}
	name, _, _ := strings.Cut(string(data[24:56]), "\x00")
	kind := map[string]string{"gzip": "gz", "zstd": "zst", "xzkern": "xz"}[name]
	if kind == "" {
		return nil, fmt.Errorf("the kernel's EFI image is packed with %q: gzip, zstd and xz are known", name)
	}
	return decompress(kind, data[offset:offset+size])
}

// neededFiles are the files of neededModules and of what they depend on, those
// that come first in front.
func neededFiles(tree *rootfs.Tree) ([]string, error) {
	var list *rootfs.Entry
	err := tree.Walk(func(e *rootfs.Entry) error {
		if path.Base(e.Path) == "modules.dep" && strings.Contains(e.Path, packagedModules+"/") {
			list = e
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if list == nil {
		return nil, fmt.Errorf("there is no modules.dep below %s", packagedModules)
	}
	text, err := readEntry(list)
	if err != nil {
		return nil, err
	}
	needs, files, err := parseModulesDep(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", list.Path, err)
	}
	var order []string
	add := func(file string) {
		if file = path.Join(path.Dir(list.Path), file); !slices.Contains(order, file) {
			order = append(order, file)
		}
	}
	for _, name := range neededModules {
		file, ok := files[name]
		if !ok {
			continue // built in
		}
		// modules.dep lists all that a module needs, the nearest first.
		for _, need := range slices.Backward(needs[file]) {
			add(need)
		}
		add(file)
	}
	return order, nil
}

// parseModulesDep reads "FILE: FILE FILE…", paths below its own directory
// (modules.dep(5)).
func parseModulesDep(text []byte) (needs map[string][]string, files map[string]string, err error) {
	needs, files = map[string][]string{}, map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		file, rest, ok := strings.Cut(lines.Text(), ":")
		if !ok {
			return nil, nil, fmt.Errorf("line %d is not of the form FILE: FILE…", n)
		}
		needs[file], files[moduleName(file)] = strings.Fields(rest), file
	}
	return needs, files, lines.Err()
}

// moduleName is a module's name: - and _ are the same in it.
func moduleName(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".")
	return strings.ReplaceAll(name, "-", "_")
}

func unpackModule(tree *rootfs.Tree, file string) ([]byte, error) {
	e, err := tree.Resolve(file)
	if err != nil {
		return nil, err
	}
	data, err := readEntry(e)
	if err != nil {
		return nil, err
	}
	if kind := strings.TrimPrefix(path.Ext(file), "."); kind != "ko" {
		return decompress(kind, data)
	}
	return data, nil
}

// maxUnpacked bounds a kernel or a module: the largest kernels have some 100 MB.
const maxUnpacked = 512 << 20

func decompress(kind string, data []byte) ([]byte, error) {
	var r io.Reader
	var err error
	switch kind {
	case "gz":
		r, err = gzip.NewReader(bytes.NewReader(data))
	case "xz":
		r, err = xz.NewReader(bytes.NewReader(data), 0)
	case "zst":
		var d *zstd.Decoder
		if d, err = zstd.NewReader(bytes.NewReader(data)); err == nil {
			defer d.Close()
			r = d
		}
	default:
		return nil, fmt.Errorf("compression %q is not known", kind)
	}
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(io.LimitReader(r, maxUnpacked+1))
	if err == nil && len(out) > maxUnpacked {
		err = fmt.Errorf("unpacked it has more than %d bytes", maxUnpacked)
	}
	return out, err
}

// readEntry is a regular file's contents.
func readEntry(e *rootfs.Entry) ([]byte, error) {
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// loadedModules are what /init loads, in order.
func loadedModules(tree *rootfs.Tree) ([]string, error) {
	var all []string
	err := tree.Walk(func(e *rootfs.Entry) error {
		if e.Type == rootfs.Regular && path.Base(path.Dir(e.Path)) == path.Base(ourModules) && path.Ext(e.Path) == ".ko" {
			all = append(all, e.Path)
		}
		return nil
	})
	return all, err
}
