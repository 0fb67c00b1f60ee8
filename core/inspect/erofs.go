package inspect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// erofsFS reads erofs without compression: Documentation/filesystems/erofs.rst,
// fs/erofs/erofs_fs.h.
type erofsFS struct {
	*opener
	s         source
	root      *root
	blockSize int64
	dirSize   int64 // of a directory's block
	meta      int64
	claims    claims
	linked    map[uint64]string
	read      map[uint64]bool // directories
}

// Layouts of an inode's data.
const (
	erofsPlain          = 0
	erofsCompressedFull = 1
	erofsInline         = 2
	erofsCompressed     = 3
	erofsChunks         = 4
)

// erofsKnown are the incompatible features that are known or change nothing
// here: zero padding of compressed blocks, chunked files, prefixes of attributes.
const erofsKnown = 0x1 | 0x4 | 0x40

type erofsInode struct {
	number   uint64
	at       int64 // of it
	end      int64 // of it and its attributes: what is inline comes there
	mode     uint16
	layout   uint16
	links    uint32
	uid, gid uint32
	size     int64
	u        uint32 // block address, device, or chunk format
}

func (o *opener) erofs(s source) (*root, error) {
	e := &erofsFS{opener: o, s: s, root: newRoot("erofs", "file system structures"), linked: map[uint64]string{}, read: map[uint64]bool{}}
	rootInode, err := e.superblock()
	if err == nil {
		err = e.tree(rootInode)
	}
	if err != nil {
		return nil, fmt.Errorf("erofs: %w", err)
	}
	return e.root, nil
}

func (e *erofsFS) superblock() (rootInode uint64, err error) {
	sb := make([]byte, 128)
	if err := e.s.full(sb, 1024); err != nil {
		return 0, err
	}
	le := binary.LittleEndian
	if bits := sb[12]; bits < 9 || bits > 16 || sb[90] > 16 {
		return 0, fmt.Errorf("damaged superblock: blocks of 2^%d bytes", bits)
	}
	e.blockSize = 1 << sb[12]
	e.dirSize = e.blockSize << sb[90]
	if blocks := int64(le.Uint32(sb[36:])); blocks*e.blockSize > e.s.Size() {
		return 0, fmt.Errorf("is cut short: it has %d blocks of %d bytes, and there are %d bytes", blocks, e.blockSize, e.s.Size())
	}
	if unknown := le.Uint32(sb[80:]) &^ erofsKnown; unknown != 0 || le.Uint16(sb[86:]) != 0 {
		return 0, fmt.Errorf("has features %#x and %d more devices, which cannot be read: make it without compression", unknown, le.Uint16(sb[86:]))
	}
	e.meta = int64(le.Uint32(sb[40:])) * e.blockSize
	return uint64(le.Uint16(sb[14:])), nil
}

func (e *erofsFS) inode(number uint64) (*erofsInode, error) {
	if number > uint64(e.s.Size())/32 {
		return nil, fmt.Errorf("there is no inode %d", number)
	}
	i := &erofsInode{number: number, at: e.meta + int64(number)*32}
	b := make([]byte, 64)
	if err := e.s.full(b[:32], i.at); err != nil {
		return nil, fmt.Errorf("inode %d: %w", number, err)
	}
	le := binary.LittleEndian
	format := le.Uint16(b)
	i.layout, i.mode, i.u = format>>1&7, le.Uint16(b[4:]), le.Uint32(b[16:])
	i.end = i.at + 32
	if format&1 == 0 {
		i.links, i.size = uint32(le.Uint16(b[6:])), int64(le.Uint32(b[8:]))
		i.uid, i.gid = uint32(le.Uint16(b[24:])), uint32(le.Uint16(b[26:]))
	} else {
		if err := e.s.full(b, i.at); err != nil {
			return nil, fmt.Errorf("inode %d: %w", number, err)
		}
		i.size, i.links = int64(le.Uint64(b[8:])), le.Uint32(b[44:])
		i.uid, i.gid = le.Uint32(b[24:]), le.Uint32(b[28:])
		i.end += 32
	}
	if n := int64(le.Uint16(b[2:])); n > 0 { // attributes
		i.end += 12 + 4*(n-1)
	}
	if i.size < 0 {
		return nil, fmt.Errorf("inode %d has %d bytes", number, i.size)
	}
	return i, nil
}

func (e *erofsFS) tree(rootInode uint64) error {
	return walk(rootInode, e.directory, func(p string, number uint64) (directory bool, err error) {
		i, err := e.inode(number)
		if err != nil {
			return false, err
		}
		return i.mode&0xf000 == 0x4000, e.add(p, i)
	})
}

func (e *erofsFS) directory(name string, number uint64, fn func(string, uint64) error) error {
	if e.read[number] {
		return fmt.Errorf("%s is in the tree twice (inode %d)", name, number)
	}
	e.read[number] = true
	i, err := e.inode(number)
	if err != nil {
		return err
	}
	if i.mode&0xf000 != 0x4000 {
		return fmt.Errorf("%s is no directory (inode %d)", name, number)
	}
	r, list, err := e.contentsOf(i)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	// So no block is read twice, however many directories there are.
	for _, x := range list {
		if x.physical%e.blockSize == 0 && e.claims.claimAll([]run{x}, e.blockSize) < x.n {
			return fmt.Errorf("%s: damaged directory: its blocks are another's", name)
		}
	}
	for at := int64(0); at < i.size; at += e.dirSize {
		block := make([]byte, min(e.dirSize, i.size-at))
		if _, err := r.ReadAt(block, at); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := erofsEntries(name, block, fn); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// erofsEntries reads a block of a directory: entries of 12 bytes, and then their
// names.
func erofsEntries(dir string, block []byte, fn func(string, uint64) error) error {
	le := binary.LittleEndian
	if len(block) < 12 {
		return errors.New("damaged directory: its block is too short")
	}
	first := int(le.Uint16(block[8:]))
	if first < 12 || first%12 != 0 || first > len(block) {
		return fmt.Errorf("damaged directory: its first name is at %d", first)
	}
	for at := 0; at < first; at += 12 {
		start, end := int(le.Uint16(block[at+8:])), len(block)
		if at+12 < first {
			end = int(le.Uint16(block[at+20:]))
		}
		if start < first || start > end || end > len(block) {
			return fmt.Errorf("damaged directory: a name from %d to %d", start, end)
		}
		name := block[start:end]
		for i, c := range name { // the last one's end
			if c == 0 {
				name = name[:i]
				break
			}
		}
		if string(name) == "." || string(name) == ".." {
			continue
		}
		if err := checkName(dir, string(name)); err != nil {
			return err
		}
		if err := fn(string(name), le.Uint64(block[at:])); err != nil {
			return err
		}
	}
	return nil
}

func (e *erofsFS) add(name string, i *erofsInode) error {
	if err := e.entry(e.root.tree, name); err != nil {
		return err
	}
	typ, ok := typeOf(uint32(i.mode))
	if !ok {
		return nil
	}
	if first, ok := e.linked[i.number]; ok {
		return e.root.tree.HardLink(name, first)
	}
	if typ != rootfs.Directory && i.links > 1 {
		e.linked[i.number] = name
	}
	entry := &rootfs.Entry{Path: name, Type: typ, Mode: fs.FileMode(i.mode & 0o7777), UID: int(i.uid), GID: int(i.gid)}
	switch typ {
	case rootfs.CharDevice, rootfs.BlockDevice:
		device(entry, i.u)
	case rootfs.Symlink:
		if i.size > cpioMaxName {
			return fmt.Errorf("a link's target of %d bytes", i.size)
		}
		r, _, err := e.contentsOf(i)
		if err != nil {
			return err
		}
		target := make([]byte, i.size)
		if _, err := r.ReadAt(target, 0); err != nil {
			return err
		}
		entry.Link = string(target)
	case rootfs.Regular:
		if err := e.contents(i.size); err != nil {
			return err
		}
		r, list, err := e.contentsOf(i)
		if err != nil {
			return err
		}
		if err := e.root.tree.Add(entry, r); err != nil {
			return err
		}
		e.root.takes(entry, e.stored(list))
		return nil
	}
	return e.root.tree.Add(entry, nil)
}

// stored is what a file takes: its blocks, and what is inline beside the inode,
// which is no block.
func (e *erofsFS) stored(list []run) int64 {
	var sum int64
	for _, x := range list {
		if x.physical%e.blockSize == 0 {
			sum += e.claims.stored(e.s, []run{x}, e.blockSize)
		} else {
			sum += e.s.bytes(x.physical, x.physical+x.n)
		}
	}
	return sum
}

func (e *erofsFS) contentsOf(i *erofsInode) (*io.SectionReader, []run, error) {
	var list []run
	start := int64(i.u) * e.blockSize
	switch i.layout {
	case erofsPlain:
		if i.size > 0 {
			list = []run{{0, start, i.size}}
		}
	case erofsInline:
		whole := i.size / e.blockSize * e.blockSize
		if whole > 0 {
			list = append(list, run{0, start, whole})
		}
		if tail := i.size - whole; tail > 0 {
			list = append(list, run{whole, i.end, tail})
		}
	case erofsChunks:
		var err error
		if list, err = e.chunks(i); err != nil {
			return nil, nil, err
		}
	case erofsCompressed, erofsCompressedFull:
		return nil, nil, fmt.Errorf("is compressed, which cannot be read in an erofs: make it without compression, or a squashfs")
	default:
		return nil, nil, fmt.Errorf("inode %d: damaged: layout %d", i.number, i.layout)
	}
	r, err := e.s.file(list, i.size)
	return r, list, err
}

// chunks reads the table of a file in chunks: after the inode, 4 bytes or an
// index of 8 for each.
func (e *erofsFS) chunks(i *erofsInode) ([]run, error) {
	const bits, indexes, hole = 0x1f, 0x20, 0xffffffff
	shift := i.u & bits
	if e.blockSize<<shift > 1<<40 {
		return nil, fmt.Errorf("inode %d: damaged: chunks of 2^%d blocks", i.number, shift)
	}
	chunk := e.blockSize << shift
	unit := int64(4)
	if i.u&indexes != 0 {
		unit = 8
	}
	var list []run
	table := (i.end + unit - 1) / unit * unit
	for at := int64(0); at < i.size; at += chunk {
		entry := make([]byte, unit)
		if err := e.s.full(entry, table); err != nil {
			return nil, fmt.Errorf("inode %d: %w", i.number, err)
		}
		table += unit
		if block := binary.LittleEndian.Uint32(entry[unit-4:]); block != hole {
			list = append(list, run{at, int64(block) * e.blockSize, min(chunk, i.size-at)})
		}
	}
	return list, nil
}
