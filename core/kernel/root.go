package kernel

import (
	"fmt"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// Root is what a kernel gets its root file system in, as the output block of a
// definition says it.
type Root struct {
	In          string // "initramfs", or "disk": a squashfs on a virtio disk
	Compression string // of either: "zstd" or "xz"
}

// RootOf is what a definition asks for.
func RootOf(def *builder.Definition) Root {
	return Root{In: def.Output.Root, Compression: def.Output.Compression}
}

// rootNeed is what a kernel needs for a Root.
type rootNeed struct {
	symbols   []string
	x86       []string // and these on x86_64: xz' filter for its code
	fragments []string // that bring them, of those in FragmentDir
}

var rootNeeds = map[Root]rootNeed{
	{"initramfs", "zstd"}: {[]string{"BLK_DEV_INITRD", "RD_ZSTD"}, nil, []string{"base"}},
	{"initramfs", "xz"}:   {[]string{"BLK_DEV_INITRD", "RD_XZ"}, []string{"XZ_DEC_X86"}, []string{"base", "initramfs-xz"}},
	{"disk", "zstd"}:      {[]string{"VIRTIO_BLK", "SQUASHFS", "SQUASHFS_ZSTD", "OVERLAY_FS"}, nil, []string{"virtio", "squashfs"}},
	{"disk", "xz"}:        {[]string{"VIRTIO_BLK", "SQUASHFS", "SQUASHFS_XZ", "OVERLAY_FS"}, []string{"XZ_DEC_X86"}, []string{"virtio", "squashfs"}},
}

// RootError says that a kernel could not get at its root.
type RootError struct {
	Root      Root
	Missing   []string // symbols that are off
	Fragments []string // that bring what is needed
}

func (e *RootError) Error() string {
	return fmt.Sprintf("for output { root = %q, compression = %q } the kernel needs CONFIG_%s=y; the fragments %s of kernel-configs/ bring all that it takes",
		e.Root.In, e.Root.Compression, strings.Join(e.Missing, "=y and CONFIG_"), strings.Join(e.Fragments, ", "))
}

// CheckRoot returns a *RootError unless the configuration has all that the kernel
// needs to get at its root. A kernel without it is built all the same, and panics.
func (c *Config) CheckRoot(arch Arch, root Root) error {
	need, ok := rootNeeds[root]
	if !ok {
		return fmt.Errorf("kernel: there is no root in %q with compression %q", root.In, root.Compression)
	}
	symbols := need.symbols
	if arch.Name == "x86_64" {
		symbols = append(symbols[:len(symbols):len(symbols)], need.x86...)
	}
	e := &RootError{Root: root, Fragments: need.fragments}
	for _, name := range symbols {
		if c.Value(name) != "y" {
			e.Missing = append(e.Missing, name)
		}
	}
	if len(e.Missing) > 0 {
		return e
	}
	return nil
}

// requestsRoot is CheckRoot for a kernel in which everything is off that no
// fragment asks for.
func requestsRoot(frags []*Fragment, arch Arch, root Root) error {
	asked := &Config{values: map[string]string{}}
	for _, s := range requests(frags) {
		asked.set(s.Name, s.Value)
	}
	return asked.CheckRoot(arch, root)
}
