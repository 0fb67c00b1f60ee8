package inspect

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"

	"github.com/somebloke1/elixir-lean-lab/core/packed"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// initrd reads what Linux takes for an initramfs: cpio archives in the "newc"
// format, each plain or in a compressed stream, with zeros between them
// (Documentation/driver-api/early-userspace/buffer-format.rst).
func (o *opener) initrd(s source) (*root, error) {
	r := newRoot("cpio", "headers")
	for offset := int64(0); ; {
		start, err := skipZeros(s, offset)
		if err != nil {
			return nil, err
		}
		if start == s.Size() {
			if start == 0 || offset == 0 {
				return nil, errors.New("holds nothing but zeros")
			}
			return r, nil
		}
		n, err := o.archives(r, s.section(start, s.Size()-start))
		if err != nil {
			return nil, fmt.Errorf("at byte %d: %w", start, err)
		}
		offset = start + n
	}
}

// archives reads the plain archives or the one compressed stream that s begins
// with, and returns the length of them.
func (o *opener) archives(r *root, s source) (int64, error) {
	head := make([]byte, 6)
	n, err := s.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return 0, err
	}
	if isCPIO(head[:n]) {
		return o.cpio(r, s)
	}
	if packed.Detect(head[:n]) == "" {
		return 0, fmt.Errorf("there is %q, neither a cpio archive (newc) nor a compressed one (gzip, xz, zstd, lz4)", head[:n])
	}
	in, stream, err := o.unpack(s)
	if err != nil {
		return 0, err
	}
	if r.compression == "" {
		r.compression = stream.Compression
	}
	if end, err := o.cpio(r, in); err != nil {
		return 0, fmt.Errorf("unpacked %s: %w", stream.Compression, err)
	} else if end != in.Size() {
		return 0, fmt.Errorf("unpacked %s: at byte %d there is no cpio archive (newc)", stream.Compression, end)
	}
	return stream.Packed, nil
}

// skipZeros returns the offset of the first byte from start on that is not 0,
// or the end.
func skipZeros(s source, start int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for start < s.Size() {
		n, err := s.ReadAt(buf, start)
		if n == 0 {
			return 0, err
		}
		rest := bytes.TrimLeft(buf[:n], "\x00")
		start += int64(n - len(rest))
		if len(rest) > 0 {
			break
		}
	}
	return start, nil
}

func isCPIO(head []byte) bool {
	return bytes.HasPrefix(head, []byte("070701")) || bytes.HasPrefix(head, []byte("070702"))
}

// cpioHeader is what of a header matters here.
type cpioHeader struct {
	ino, mode, uid, gid, nlink, size, major, minor, rmajor, rminor, nameSize uint32
}

const cpioHeaderSize = 6 + 13*8

// cpioMaxName is PATH_MAX, the longest name that Linux takes, with its NUL.
const cpioMaxName = 4096

type cpioReader struct {
	*opener
	root  *root
	s     source
	links map[cpioLink]*cpioGroup
}

// cpioLink tells files apart: init/initramfs.c, find_link.
type cpioLink struct{ ino, major, minor, format uint32 }

// cpioGroup is what is known of a file with several names.
type cpioGroup struct {
	names    []string
	contents bool // have come
}

// cpio reads the plain archives that s begins with, with the zeros after them,
// and returns where they end.
func (o *opener) cpio(r *root, s source) (int64, error) {
	c := cpioReader{opener: o, root: r, s: s, links: map[cpioLink]*cpioGroup{}}
	for offset := int64(0); ; {
		name, next, err := c.member(offset)
		if err != nil {
			return 0, err
		}
		if offset = next; name != "TRAILER!!!" {
			continue
		}
		clear(c.links)
		if offset, err = skipZeros(s, offset); err != nil || offset == s.Size() {
			return offset, err
		}
		head := make([]byte, 6)
		if _, err := s.ReadAt(head, offset); err != nil && err != io.EOF {
			return 0, err
		}
		// Linux takes a plain archive at a multiple of 4 only.
		if !isCPIO(head) || offset%4 != 0 {
			return offset, nil
		}
	}
}

// member reads the member at offset, and returns its name and where the next is.
func (c *cpioReader) member(offset int64) (string, int64, error) {
	h, err := c.header(offset)
	if err != nil {
		return "", 0, err
	}
	name := make([]byte, h.nameSize)
	if err := c.s.full(name, offset+cpioHeaderSize); err != nil {
		return "", 0, err
	}
	name, _, _ = bytes.Cut(name, []byte{0})
	start := align4(offset + cpioHeaderSize + int64(h.nameSize))
	end := start + int64(h.size)
	if end > c.s.Size() {
		return "", 0, fmt.Errorf("is cut short: %.100q at %d ends beyond it", name, offset)
	}
	if string(name) != "TRAILER!!!" {
		if err := c.add(string(name), h, start); err != nil {
			return "", 0, err
		}
	}
	// What follows the last member may be missing.
	return string(name), min(align4(end), c.s.Size()), nil
}

func (c *cpioReader) header(offset int64) (h cpioHeader, err error) {
	var buf [cpioHeaderSize]byte
	if err := c.s.full(buf[:], offset); err != nil {
		return h, err
	}
	if !isCPIO(buf[:]) {
		return h, fmt.Errorf("at byte %d of the cpio archive there is %q, no header of the newc format: is it damaged, or made without \"-H newc\"?", offset, buf[:6])
	}
	var ignored uint32
	for i, field := range []*uint32{
		&h.ino, &h.mode, &h.uid, &h.gid, &h.nlink, &ignored, &h.size,
		&h.major, &h.minor, &h.rmajor, &h.rminor, &h.nameSize, &ignored,
	} {
		digits := string(buf[6+8*i:][:8])
		n, err := strconv.ParseUint(digits, 16, 32)
		if err != nil {
			return h, fmt.Errorf("at byte %d of the cpio archive: the header has %q where a number must be", offset, digits)
		}
		*field = uint32(n)
	}
	if h.nameSize == 0 || h.nameSize > cpioMaxName {
		return h, fmt.Errorf("at byte %d of the cpio archive: a name of %d bytes", offset, h.nameSize)
	}
	return h, nil
}

// add adds a member whose body is at start.
func (c *cpioReader) add(name string, h cpioHeader, start int64) error {
	if err := c.entry(c.root.tree, "/"+name); err != nil {
		return err
	}
	e := &rootfs.Entry{Path: "/" + name, Mode: fs.FileMode(h.mode & 0o7777), UID: int(h.uid), GID: int(h.gid)}
	typ, ok := typeOf(h.mode)
	if !ok {
		return nil
	}
	e.Type = typ
	switch typ {
	case rootfs.Symlink:
		if h.size > cpioMaxName {
			return fmt.Errorf("%.100q: a link's target of %d bytes", name, h.size)
		}
		target := make([]byte, h.size)
		if err := c.s.full(target, start); err != nil {
			return err
		}
		target, _, _ = bytes.Cut(target, []byte{0})
		e.Link = string(target)
	case rootfs.CharDevice, rootfs.BlockDevice:
		e.Major, e.Minor = h.rmajor, h.rminor
	}
	if typ == rootfs.Directory || h.nlink < 2 {
		return c.put(e, h, start)
	}
	return c.addLinked(e, h, start)
}

// put adds e by itself.
func (c *cpioReader) put(e *rootfs.Entry, h cpioHeader, start int64) error {
	body := c.s.section(start, int64(h.size))
	if err := c.root.tree.Add(e, body.SectionReader); err != nil {
		return err
	}
	if e.Type == rootfs.Regular {
		c.root.takes(e, body.bytes(0, align4(body.Size())))
	}
	return nil
}

// addLinked adds a file with several names. Any of them may have the contents;
// cpio(1) gives them to the last. Names from the next contents on are another
// file's: so no name is linked more than twice.
func (c *cpioReader) addLinked(e *rootfs.Entry, h cpioHeader, start int64) error {
	id := cpioLink{h.ino, h.major, h.minor, h.mode & 0o170000}
	group := c.links[id]
	if group == nil {
		group = &cpioGroup{}
		c.links[id] = group
	}
	if h.size == 0 && len(group.names) > 0 {
		if err := c.root.tree.HardLink(e.Path, group.names[0]); err != nil {
			return err
		}
		group.names = append(group.names, e.Path)
		return nil
	}
	if err := c.put(e, h, start); err != nil {
		return err
	}
	if !group.contents {
		for _, name := range group.names {
			if path.Clean(name) == e.Path {
				continue
			}
			if err := c.root.tree.HardLink(name, e.Path); err != nil {
				return err
			}
		}
	}
	*group = cpioGroup{names: append(group.names[:0], e.Path), contents: h.size > 0}
	return nil
}

func align4(n int64) int64 { return (n + 3) &^ 3 }

// typeOf takes the type bits of inode(7). A tree has no sockets.
func typeOf(mode uint32) (rootfs.Type, bool) {
	t, ok := map[uint32]rootfs.Type{
		0o010000: rootfs.FIFO, 0o020000: rootfs.CharDevice, 0o040000: rootfs.Directory,
		0o060000: rootfs.BlockDevice, 0o100000: rootfs.Regular, 0o120000: rootfs.Symlink,
	}[mode&0o170000]
	return t, ok
}
