package rootfs

import (
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"slices"
	"strings"
)

// inode is what hard links have in common.
type inode struct {
	content  *content
	mode     fs.FileMode
	uid, gid int
}

func (e *Entry) inode() inode { return inode{e.content, e.Mode, e.UID, e.GID} }

// cpioTrailer is the name of the entry that ends an archive.
const cpioTrailer = "TRAILER!!!"

// WriteCPIO writes the tree as a cpio archive in the "newc" format, the one that
// Linux unpacks as an initramfs: Documentation/driver-api/early-userspace/
// buffer-format.rst, init/initramfs.c. Equal trees give equal bytes.
//
// Directories come first, in Walk's order, then all else in packing order. The
// contents of hard links come with the last of them, as GNU cpio has it.
func (t *Tree) WriteCPIO(w io.Writer) error {
	entries := t.packed()
	if _, ok := t.entries["/"+cpioTrailer]; ok {
		return fmt.Errorf("/%s: a file of that name ends a cpio archive: rename it", cpioTrailer)
	}
	links := map[inode]uint32{} // how many
	for _, e := range entries {
		if e.Type == Regular {
			links[e.inode()]++
		}
	}
	c := cpioWriter{w: w, links: links, left: map[inode]uint32{}, inos: map[inode]uint32{}}
	for _, e := range entries {
		if err := c.entry(e); err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
	}
	return c.header(cpioHeader{nlink: 1}, cpioTrailer)
}

// packed returns the entries as WriteCPIO orders them. Files of one kind stand
// next to each other: a compressor finds more that is alike in its window.
func (t *Tree) packed() []*Entry {
	var dirs, rest []*Entry
	t.Walk(func(e *Entry) error {
		if e.Type == Directory {
			dirs = append(dirs, e)
		} else {
			rest = append(rest, e)
		}
		return nil
	})
	slices.SortStableFunc(rest, func(a, b *Entry) int {
		return cmp.Or(
			cmp.Compare(path.Ext(a.Path), path.Ext(b.Path)),
			cmp.Compare(a.Path, b.Path))
	})
	return append(dirs, rest...)
}

type cpioWriter struct {
	w     io.Writer
	n     int64 // bytes written
	ino   uint32
	links map[inode]uint32
	left  map[inode]uint32 // of links, how many were written
	inos  map[inode]uint32
}

type cpioHeader struct {
	ino, mode, uid, gid, nlink, size, major, minor uint32
}

// Type bits of c_mode: inode(7).
var cpioType = map[Type]uint32{
	FIFO: 0o010000, CharDevice: 0o020000, Directory: 0o040000,
	BlockDevice: 0o060000, Regular: 0o100000, Symlink: 0o120000,
}

func (c *cpioWriter) entry(e *Entry) error {
	if e.Size() > math.MaxUint32 {
		return fmt.Errorf("is %d bytes long; a cpio archive has room for 4 GiB less one", e.Size())
	}
	h := cpioHeader{
		mode:  cpioType[e.Type] | unixMode(e.Mode),
		uid:   uint32(e.UID),
		gid:   uint32(e.GID),
		nlink: 1,
		major: e.Major,
		minor: e.Minor,
	}
	c.ino++
	h.ino = c.ino
	body := func() error { return nil }
	switch e.Type {
	case Directory:
		h.nlink = 2
	case Symlink:
		h.size = uint32(len(e.Link))
		body = func() error { _, err := io.WriteString(c, e.Link); return err }
	case Regular:
		id := e.inode()
		h.nlink = c.links[id]
		if c.left[id]++; c.left[id] == 1 {
			c.inos[id] = h.ino
		}
		h.ino = c.inos[id]
		if c.left[id] == h.nlink {
			h.size = uint32(e.Size())
			body = func() error { return e.copyTo(c) }
		}
	}
	if err := c.header(h, cpioName(e.Path)); err != nil {
		return err
	}
	if err := body(); err != nil {
		return err
	}
	return c.pad()
}

func cpioName(p string) string {
	if p == "/" {
		return "."
	}
	return strings.TrimPrefix(p, "/")
}

// header writes a header with its name. The time is 0, the archive's device 0:0,
// and the checksum 0, as 070701 has none.
func (c *cpioWriter) header(h cpioHeader, name string) error {
	_, err := fmt.Fprintf(c, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		h.ino, h.mode, h.uid, h.gid, h.nlink, 0, h.size, 0, 0, h.major, h.minor, len(name)+1, 0, name)
	if err != nil {
		return err
	}
	return c.pad()
}

func (c *cpioWriter) pad() error {
	_, err := c.Write(make([]byte, -c.n&3))
	return err
}

func (c *cpioWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
