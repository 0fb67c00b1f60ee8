package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/bundle"
	"github.com/somebloke1/elixir-lean-lab/core/packed"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// supported is what Open's errors name.
const supported = "a bundle, a build directory that has one, an initrd (cpio), a Linux kernel, " +
	"tar, docker save and OCI archives, an OCI layout, ext4 (ext2, ext3), squashfs, erofs, " +
	"disks with GPT or MBR, qcow2"

// Open reads the image that file is, which is known by its content and never by its
// name. The error of anything else names file, what was found there and what is
// supported. Close ends it.
//
// Of a directory, the bundle is read that it is or has as bundle/, or the OCI
// layout. Of a disk, it is the first partition with /sbin/init, /init or /etc. Of
// a container image for several platforms, it is the one for Linux on the
// architecture of this program, or the only one.
//
// Stored is measured where a format has blocks of its own. Of a compressed
// stream each block is shared among the files whose bytes it holds, by how many
// these are; a block is what packed.Unpack can tell. A file with several names
// has its bytes at one of them. Sockets are left out of the tree.
//
// A compressed archive is unpacked to a temporary file in os.TempDir that has no
// name and goes with the process.
func Open(ctx context.Context, file string, limits Limits) (*Image, error) {
	o := newOpener(ctx, limits)
	img, err := o.open(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", file, err), o.closeAll())
	}
	img.Path, img.close = file, o.close
	return img, nil
}

// Close ends reading of contents.
func (i *Image) Close() error {
	return (&opener{close: i.close}).closeAll()
}

// opener is what reading one image has in common.
type opener struct {
	ctx      context.Context
	limits   Limits
	files    int
	names    int // bytes of them
	unpacked int64
	size     int64    // of the files that the image is
	small    int64    // may be unpacked of any image
	temp     *os.File // of all that was unpacked; nil before
	tempEnd  int64
	close    []func() error
}

// Archives unpack to disk before they are read. Of an image of any size that may
// be this much, and of a large one this many times its size: roots of programs
// stay below 10, and zeros, which a bomb is made of, reach 1000 in gzip and more
// in xz and zstd.
const (
	smallImage = 2 << 30
	mostRatio  = 200
)

func newOpener(ctx context.Context, limits Limits) *opener {
	return &opener{ctx: ctx, limits: limits, small: smallImage}
}

func (o *opener) closeAll() error {
	var err error
	for _, c := range slices.Backward(o.close) {
		err = errors.Join(err, c())
	}
	o.close = nil
	return err
}

// maxDepth and maxNames bound what names may take: a short archive can have long
// ones in it, and each directory above a file that it does not mention is one
// more. They are far above any image that boots.
const (
	maxDepth = 128
	maxNames = 512 << 20
)

// entry is called for each entry of a tree, before it is added.
func (o *opener) entry(tree *rootfs.Tree, name string) error {
	added := 1
	if _, ok := tree.Get(path.Dir(name)); !ok {
		added = strings.Count(name, "/")
	}
	if strings.Count(name, "/") > maxDepth {
		return fmt.Errorf("%.100q… is more than %d directories deep", name, maxDepth)
	}
	return o.count(added, name)
}

// count counts n files whose names are no longer than name.
func (o *opener) count(n int, name string) error {
	o.files += n
	o.names += n * len(name)
	if o.files > o.limits.Files {
		return fmt.Errorf("holds more than %d files", o.limits.Files)
	}
	if o.names > maxNames {
		return fmt.Errorf("its files' names take more than %d bytes", maxNames)
	}
	return o.ctx.Err()
}

// contents is called for n bytes of contents.
func (o *opener) contents(n int64) error {
	if n < 0 || n > o.limits.Unpacked-o.unpacked {
		return fmt.Errorf("holds more than %d bytes of contents", o.limits.Unpacked)
	}
	o.unpacked += n
	return nil
}

func (o *opener) open(file string) (*Image, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, reason(err)
	}
	if info.IsDir() {
		return o.openDir(file)
	}
	s, err := o.openFile(file)
	if err != nil {
		return nil, err
	}
	img, err := o.openImage(s)
	if err != nil {
		return nil, err
	}
	switch img.Format {
	case "kernel":
		img.Kernel.Path = file
	case "cpio":
		img.Initrd = file
	}
	return img, nil
}

// reason is err without the path, which Open says.
func reason(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// openFile opens a regular file: reading anything else may never end.
func (o *opener) openFile(file string) (source, error) {
	info, err := os.Stat(file)
	if err != nil {
		return source{}, reason(err)
	}
	if !info.Mode().IsRegular() {
		return source{}, fmt.Errorf("is neither a file nor a directory (%v); supported: %s", info.Mode().Type(), supported)
	}
	f, err := os.Open(file)
	if err != nil {
		return source{}, reason(err)
	}
	o.close = append(o.close, f.Close)
	o.size += info.Size()
	return source{
		SectionReader: io.NewSectionReader(f, 0, info.Size()),
		on:            func(offset int64) int64 { return offset },
	}, nil
}

// openDir opens a bundle, or what is around one.
func (o *opener) openDir(dir string) (*Image, error) {
	if b, err := bundle.Find(dir); err == nil {
		return o.openBundle(b)
	} else if !errors.Is(err, bundle.ErrNone) {
		return nil, err
	}
	if isLayout(dir) {
		img, err := o.openLayout(dir)
		if err != nil {
			return nil, err
		}
		return img, findKernel(img)
	}
	return nil, fmt.Errorf("is a directory with neither a kernel and its root (%s or %s) nor bundle/ nor oci-layout in it; supported: %s",
		bundle.RootFile(bundle.Initramfs), bundle.RootFile(bundle.Disk), supported)
}

func (o *opener) openBundle(b bundle.Bundle) (*Image, error) {
	name := bundle.RootFile(b.Root)
	file, err := o.openFile(b.RootPath())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	read := o.initrd
	if b.Root == bundle.Disk {
		read = o.squashfs
	}
	r, err := read(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	img, err := r.image(file.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if file, err = o.openFile(b.Path(bundle.Kernel)); err != nil {
		return nil, fmt.Errorf("kernel: %w", err)
	}
	k, err := kernelOf(file)
	if err != nil {
		return nil, fmt.Errorf("kernel: %w", err)
	}
	k.Path = bundle.Kernel
	img.Format, img.Kernel, img.Bytes = bundle.Format, k, img.Bytes+k.Bytes
	if b.Root == bundle.Initramfs {
		img.Initrd = b.RootPath()
	}
	for _, name := range []string{bundle.Cmdline, bundle.Run} {
		info, err := os.Stat(b.Path(name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, reason(err))
		}
		img.Rest[name] = info.Size()
		img.Bytes += info.Size()
	}
	return img, nil
}

// openImage opens what is one file.
func (o *opener) openImage(s source) (*Image, error) {
	if s.Size() == 0 {
		return nil, errors.New("is empty; supported: " + supported)
	}
	if k, err := kernelOf(s); err == nil {
		return &Image{Format: "kernel", Bytes: s.Size(), Kernel: k, Tree: rootfs.New(), Stored: map[string]int64{}, Rest: map[string]int64{}}, nil
	} else if !errors.Is(err, errNoKernel) {
		return nil, err
	}
	r, err := o.wholeFile(s)
	if err != nil {
		return nil, err
	}
	img, err := r.image(s.Size())
	if err != nil {
		return nil, err
	}
	return img, findKernel(img)
}

// wholeFile reads the root file system of what may be a disk in a file.
func (o *opener) wholeFile(s source) (*root, error) {
	head := make([]byte, len(qcow2Magic))
	if err := s.full(head, 0); err != nil || string(head) != qcow2Magic {
		return o.root(s)
	}
	disk, err := o.qcow2(s)
	if err != nil {
		return nil, err
	}
	r, err := o.root(disk)
	if err != nil {
		return nil, fmt.Errorf("qcow2: %w", err)
	}
	r.format = "qcow2"
	r.rest["qcow2 structures"] = s.Size() - disk.all()
	return r, nil
}

// root reads the root file system that s holds, whatever its format.
func (o *opener) root(s source) (*root, error) {
	head := make([]byte, 512)
	n, err := s.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	head = head[:n]
	unpacked := head
	if packed.Detect(head) != "" {
		if unpacked, err = o.unpackedHead(s); err != nil {
			return nil, err
		}
	}
	switch {
	case isTar(unpacked):
		return o.tar(s)
	case isCPIO(head) || packed.Detect(head) != "":
		return o.initrd(s)
	}
	if f, ok := filesystemOf(s); ok && f.read != nil {
		return f.read(o, s)
	} else if ok {
		return nil, fmt.Errorf("%s is recognised but cannot be read; supported: %s", f.name, supported)
	}
	list, table, err := partitions(s)
	if err != nil {
		return nil, err
	}
	if len(list) > 0 {
		return o.disk(s, list, table)
	}
	return nil, fmt.Errorf("is no image that is known (it begins with %.16q); supported: %s", head, supported)
}
