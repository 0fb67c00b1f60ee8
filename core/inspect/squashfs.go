package inspect

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/pierrec/lz4/v4"

	"github.com/somebloke1/elixir-lean-lab/core/packed"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// squashfsFS reads squashfs 4.0: Documentation/filesystems/squashfs.rst,
// fs/squashfs/squashfs_fs.h.
type squashfsFS struct {
	*opener
	s         source
	root      *root
	decode    func(block []byte, limit int) ([]byte, error)
	blockSize int64
	inodes    int64 // where the table is, as are:
	dirs      int64
	ids       []uint32
	fragments []squashFragment
	metadata  *blockCache[int64]
	data      *blockCache[int64]
	linked    map[uint64]string // what has several names, by its place
	read      map[uint64]bool   // directories
	claimed   map[int64]bool    // data blocks that some file has, by where they are
}

// squashFragment is a block of the ends of files.
type squashFragment struct {
	start int64
	size  uint32 // with squashStored
	tails []tail
}

// squashStored marks a data block that is not compressed.
const squashStored = 1 << 24

const (
	squashMetadata   = 8192 // bytes that a metadata block holds at most
	squashNoFragment = 0xffffffff
)

var squashCompressions = map[uint16]string{1: "gzip", 2: "lzma", 3: "lzo", 4: "xz", 5: "lz4", 6: "zstd"}

func (o *opener) squashfs(s source) (*root, error) {
	q := &squashfsFS{
		opener: o, s: s, root: newRoot("squashfs", "file system structures"),
		metadata: newBlockCache[int64](64), data: newBlockCache[int64](8),
		linked: map[uint64]string{}, read: map[uint64]bool{}, claimed: map[int64]bool{},
	}
	rootInode, err := q.superblock()
	if err == nil {
		err = q.tree(rootInode)
	}
	if err != nil {
		return nil, fmt.Errorf("squashfs: %w", err)
	}
	q.shareFragments()
	return q.root, nil
}

func (q *squashfsFS) superblock() (rootInode uint64, err error) {
	sb := make([]byte, 96)
	if err := q.s.full(sb, 0); err != nil {
		return 0, err
	}
	le := binary.LittleEndian
	if major, minor := le.Uint16(sb[28:]), le.Uint16(sb[30:]); major != 4 || minor != 0 {
		return 0, fmt.Errorf("has version %d.%d; 4.0 can be read", major, minor)
	}
	q.blockSize = int64(le.Uint32(sb[12:]))
	if q.blockSize < 4096 || q.blockSize > 1<<20 || q.blockSize&(q.blockSize-1) != 0 {
		return 0, fmt.Errorf("damaged superblock: blocks of %d bytes", q.blockSize)
	}
	used := le.Uint64(sb[40:])
	if used > uint64(q.s.Size()) {
		return 0, fmt.Errorf("is cut short: it has %d bytes, and there are %d", used, q.s.Size())
	}
	q.root.compression = squashCompressions[le.Uint16(sb[20:])]
	if q.decode = squashDecoder(q.root.compression); q.decode == nil {
		return 0, fmt.Errorf("compression %d %s cannot be read; gzip, xz, lz4, zstd can", le.Uint16(sb[20:]), q.root.compression)
	}
	q.inodes, q.dirs = int64(le.Uint64(sb[64:])), int64(le.Uint64(sb[72:]))
	ids, err := q.table(int64(le.Uint64(sb[48:])), int64(le.Uint16(sb[26:])), 4)
	if err != nil {
		return 0, fmt.Errorf("table of owners: %w", err)
	}
	for ; len(ids) > 0; ids = ids[4:] {
		q.ids = append(q.ids, le.Uint32(ids))
	}
	fragments, err := q.table(int64(le.Uint64(sb[80:])), int64(le.Uint32(sb[16:])), 16)
	if err != nil {
		return 0, fmt.Errorf("table of fragments: %w", err)
	}
	for ; len(fragments) > 0; fragments = fragments[16:] {
		q.fragments = append(q.fragments, squashFragment{start: int64(le.Uint64(fragments)), size: le.Uint32(fragments[8:])})
	}
	return le.Uint64(sb[32:]), nil
}

// squashDecoder returns what decodes a block to limit bytes at most.
func squashDecoder(compression string) func(block []byte, limit int) ([]byte, error) {
	switch compression {
	case "gzip":
		return func(block []byte, limit int) ([]byte, error) {
			z, err := zlib.NewReader(bytes.NewReader(block))
			if err != nil {
				return nil, err
			}
			return readLimit(z, limit)
		}
	case "lz4":
		return func(block []byte, limit int) ([]byte, error) {
			out := make([]byte, limit)
			n, err := lz4.UncompressBlock(block, out)
			if err != nil {
				return nil, err
			}
			return out[:n], nil
		}
	case "xz", "zstd":
		return func(block []byte, limit int) ([]byte, error) {
			w := limitedBuffer{limit: limit}
			_, err := packed.Unpack(context.Background(), io.NewSectionReader(bytes.NewReader(block), 0, int64(len(block))), &w)
			return w.data, err
		}
	}
	return nil
}

func readLimit(r io.Reader, limit int) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err == nil && len(data) > limit {
		err = errTooLong
	}
	return data, err
}

var errTooLong = errors.New("a block unpacks to more than a block")

// limitedBuffer takes limit bytes.
type limitedBuffer struct {
	data  []byte
	limit int
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if len(p) > b.limit-len(b.data) {
		return 0, errTooLong
	}
	b.data = append(b.data, p...)
	return len(p), nil
}

// table reads a table of n entries of size bytes: a list at start of where its
// metadata blocks are.
func (q *squashfsFS) table(start, n, size int64) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	if n > q.s.Size() {
		return nil, fmt.Errorf("claims %d entries", n)
	}
	var data []byte
	for left := n * size; left > 0; start += 8 {
		var at [8]byte
		if err := q.s.full(at[:], start); err != nil {
			return nil, err
		}
		block, _, err := q.metadataBlock(int64(binary.LittleEndian.Uint64(at[:])))
		if err != nil {
			return nil, err
		}
		if want := min(left, squashMetadata); int64(len(block)) < want {
			return nil, fmt.Errorf("a block of it has %d bytes, not %d", len(block), want)
		}
		data = append(data, block[:min(left, squashMetadata)]...)
		left -= squashMetadata
	}
	return data, nil
}

// metadataBlock returns the metadata block at position, and where the next is.
func (q *squashfsFS) metadataBlock(position int64) ([]byte, int64, error) {
	var head [2]byte
	if position < 0 {
		return nil, 0, fmt.Errorf("refers to %d", position)
	}
	if err := q.s.full(head[:], position); err != nil {
		return nil, 0, err
	}
	h := binary.LittleEndian.Uint16(head[:])
	size := int64(h & 0x7fff)
	block, err := q.metadata.get(position, func() ([]byte, error) {
		raw := make([]byte, size)
		if err := q.s.full(raw, position+2); err != nil {
			return nil, err
		}
		if h&0x8000 != 0 {
			return raw[:min(size, squashMetadata)], nil
		}
		b, err := q.decode(raw, squashMetadata)
		if err != nil {
			return nil, fmt.Errorf("metadata at %d: %w", position, err)
		}
		return b, nil
	})
	return block, position + 2 + size, err
}

// squashCursor reads metadata, from block to block.
type squashCursor struct {
	q        *squashfsFS
	position int64 // of the block
	offset   int
}

func (c *squashCursor) read(n int) ([]byte, error) {
	var data []byte
	for len(data) < n {
		block, next, err := c.q.metadataBlock(c.position)
		if err != nil {
			return nil, err
		}
		if c.offset > len(block) || len(block) == 0 {
			return nil, fmt.Errorf("damaged: refers to byte %d of the %d in the metadata at %d", c.offset, len(block), c.position)
		}
		step := min(n-len(data), len(block)-c.offset)
		data = append(data, block[c.offset:c.offset+step]...)
		if c.offset += step; c.offset == len(block) {
			c.position, c.offset = next, 0
		}
	}
	return data, nil
}

// squashInode is an inode's beginning, which all types have, with a cursor at
// the rest.
type squashInode struct {
	ref              uint64
	typ, mode        uint16
	uid, gid, number uint32
	rest             squashCursor
}

func (q *squashfsFS) inode(ref uint64) (*squashInode, error) {
	i := &squashInode{ref: ref, rest: squashCursor{q, q.inodes + int64(ref>>16), int(ref & 0xffff)}}
	b, err := i.rest.read(16)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	i.typ, i.mode, i.number = le.Uint16(b), le.Uint16(b[2:]), le.Uint32(b[12:])
	uid, gid := int(le.Uint16(b[4:])), int(le.Uint16(b[6:]))
	if uid >= len(q.ids) || gid >= len(q.ids) {
		return nil, fmt.Errorf("inode %d: refers to owners %d and %d of %d", i.number, uid, gid, len(q.ids))
	}
	i.uid, i.gid = q.ids[uid], q.ids[gid]
	return i, nil
}

// Types of inodes; the extended ones are 7 more.
const (
	squashDirectory = 1 + iota
	squashFile
	squashSymlink
	squashBlockDevice
	squashCharDevice
	squashFIFO
	squashSocket
)

var squashTypes = map[uint16]rootfs.Type{
	squashDirectory: rootfs.Directory, squashFile: rootfs.Regular, squashSymlink: rootfs.Symlink,
	squashBlockDevice: rootfs.BlockDevice, squashCharDevice: rootfs.CharDevice, squashFIFO: rootfs.FIFO,
}

// basic is the type of an inode without its extension.
func (i *squashInode) basic() uint16 {
	if i.typ > squashSocket {
		return i.typ - squashSocket
	}
	return i.typ
}

func (i *squashInode) extended() bool { return i.typ > squashSocket }

func (q *squashfsFS) tree(rootInode uint64) error {
	return walk(rootInode, q.directory, func(p string, number uint64) (directory bool, err error) {
		i, err := q.inode(number)
		if err != nil {
			return false, err
		}
		return i.basic() == squashDirectory, q.add(p, i)
	})
}

func (q *squashfsFS) directory(name string, ref uint64, fn func(name string, ref uint64) error) error {
	if q.read[ref] {
		return fmt.Errorf("%s is in the tree twice", name)
	}
	q.read[ref] = true
	i, err := q.inode(ref)
	if err != nil {
		return err
	}
	if i.basic() != squashDirectory {
		return fmt.Errorf("%s is no directory", name)
	}
	n, le := 16, binary.LittleEndian
	if i.extended() {
		n = 24
	}
	b, err := i.rest.read(n)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	start, size, offset := le.Uint32(b), int64(le.Uint16(b[8:])), le.Uint16(b[10:])
	if i.extended() {
		size, start, offset = int64(le.Uint32(b[4:])), le.Uint32(b[8:]), le.Uint16(b[18:])
	}
	c := &squashCursor{q, q.dirs + int64(start), int(offset)}
	// The size counts "." and "..", which are not there, with 3.
	if err := q.listing(name, c, size-3, fn); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// listing reads size bytes of a directory.
func (q *squashfsFS) listing(dir string, c *squashCursor, size int64, fn func(name string, ref uint64) error) error {
	le := binary.LittleEndian
	for size > 0 {
		h, err := c.read(12)
		if err != nil {
			return err
		}
		size -= 12
		count, start := le.Uint32(h), uint64(le.Uint32(h[4:]))
		if count >= 256 {
			return fmt.Errorf("damaged directory: %d entries under one header", count)
		}
		for range count + 1 {
			e, err := c.read(8)
			if err != nil {
				return err
			}
			name, err := c.read(int(le.Uint16(e[6:])) + 1)
			if err != nil {
				return err
			}
			size -= int64(8 + len(name))
			if err := checkName(dir, string(name)); err != nil {
				return err
			}
			if err := fn(string(name), start<<16|uint64(le.Uint16(e))); err != nil {
				return err
			}
		}
	}
	return nil
}

func (q *squashfsFS) add(name string, i *squashInode) error {
	if err := q.entry(q.root.tree, name); err != nil {
		return err
	}
	if i.basic() == squashSocket {
		return nil
	}
	typ, ok := squashTypes[i.basic()]
	if !ok {
		return fmt.Errorf("damaged: an inode of type %d", i.typ)
	}
	if first, ok := q.linked[i.ref]; ok {
		return q.root.tree.HardLink(name, first)
	}
	if typ != rootfs.Directory {
		q.linked[i.ref] = name
	}
	e := &rootfs.Entry{Path: name, Type: typ, Mode: fs.FileMode(i.mode & 0o7777), UID: int(i.uid), GID: int(i.gid)}
	switch typ {
	case rootfs.Regular:
		return q.addFile(e, i)
	case rootfs.Symlink, rootfs.BlockDevice, rootfs.CharDevice:
		b, err := i.rest.read(8)
		if err != nil {
			return err
		}
		n := binary.LittleEndian.Uint32(b[4:])
		if typ != rootfs.Symlink {
			device(e, n)
			break
		}
		if n > cpioMaxName {
			return fmt.Errorf("a link's target of %d bytes", n)
		}
		target, err := i.rest.read(int(n))
		if err != nil {
			return err
		}
		e.Link = string(target)
	}
	return q.root.tree.Add(e, nil)
}

// squashContents reads a file.
type squashContents struct {
	q      *squashfsFS
	size   int64
	starts []int64 // of its blocks
	sizes  []uint32
	tail   *squashFragment // nil without
	offset int64           // in tail
}

func (q *squashfsFS) addFile(e *rootfs.Entry, i *squashInode) error {
	n, le := 16, binary.LittleEndian
	if i.extended() {
		n = 40
	}
	b, err := i.rest.read(n)
	if err != nil {
		return err
	}
	start, fragment, offset, size := int64(le.Uint32(b)), le.Uint32(b[4:]), le.Uint32(b[8:]), int64(le.Uint32(b[12:]))
	if i.extended() {
		start, size, fragment, offset = int64(le.Uint64(b)), int64(le.Uint64(b[8:])), le.Uint32(b[28:]), le.Uint32(b[32:])
	}
	if err := q.contents(size); err != nil {
		return err
	}
	c := &squashContents{q: q, size: size, offset: int64(offset)}
	blocks := size / q.blockSize
	if fragment == squashNoFragment {
		blocks = (size + q.blockSize - 1) / q.blockSize
	} else if int64(fragment) >= int64(len(q.fragments)) {
		return fmt.Errorf("refers to fragment %d of %d", fragment, len(q.fragments))
	} else {
		c.tail = &q.fragments[fragment]
	}
	stored, err := c.blocks(&i.rest, start, blocks)
	if err != nil {
		return err
	}
	if err := q.root.tree.Add(e, io.NewSectionReader(c, 0, size)); err != nil {
		return err
	}
	q.root.takes(e, stored)
	if c.tail != nil {
		c.tail.tails = append(c.tail.tails, tail{e, c.offset, size % q.blockSize})
	}
	return nil
}

// blocks reads the sizes of a file's n blocks, which follow each other from
// start, and returns what those take that no other file has.
func (c *squashContents) blocks(sizes *squashCursor, start, n int64) (int64, error) {
	var stored int64
	for range n {
		b, err := sizes.read(4)
		if err != nil {
			return 0, err
		}
		s := binary.LittleEndian.Uint32(b)
		length := int64(s &^ squashStored)
		if start < 0 || length > c.q.blockSize || start > c.q.s.Size()-length {
			return 0, fmt.Errorf("a block of %d bytes at %d of %d", length, start, c.q.s.Size())
		}
		c.starts, c.sizes = append(c.starts, start), append(c.sizes, s)
		if length > 0 && !c.q.claimed[start] {
			c.q.claimed[start] = true
			stored += c.q.s.bytes(start, start+length)
		}
		start += length
	}
	return stored, nil
}

func (c *squashContents) ReadAt(p []byte, offset int64) (int, error) {
	done := 0
	for done < len(p) {
		at := offset + int64(done)
		block, err := c.block(at / c.q.blockSize)
		if err != nil {
			return done, err
		}
		in := at % c.q.blockSize
		if in >= int64(len(block)) {
			return done, fmt.Errorf("squashfs: damaged: a block ends at %d of %d", len(block), c.q.blockSize)
		}
		done += copy(p[done:], block[in:])
	}
	return done, nil
}

// block returns the file's block n, or its tail.
func (c *squashContents) block(n int64) ([]byte, error) {
	length := min(c.q.blockSize, c.size-n*c.q.blockSize)
	if n >= int64(len(c.starts)) {
		b, err := c.q.dataBlock(c.tail.start, c.tail.size)
		if err != nil {
			return nil, err
		}
		if c.offset+length > int64(len(b)) {
			return nil, fmt.Errorf("squashfs: damaged: the file's end is at %d of a fragment of %d bytes", c.offset, len(b))
		}
		return b[c.offset : c.offset+length], nil
	}
	if c.sizes[n] == 0 { // a hole
		return make([]byte, length), nil
	}
	return c.q.dataBlock(c.starts[n], c.sizes[n])
}

func (q *squashfsFS) dataBlock(start int64, size uint32) ([]byte, error) {
	return q.data.get(start, func() ([]byte, error) {
		length := int64(size &^ squashStored)
		if length > q.blockSize || start < 0 {
			return nil, fmt.Errorf("squashfs: damaged: a block of %d bytes at %d", length, start)
		}
		raw := make([]byte, length)
		if err := q.s.full(raw, start); err != nil {
			return nil, fmt.Errorf("squashfs: %w", err)
		}
		if size&squashStored != 0 {
			return raw, nil
		}
		b, err := q.decode(raw, int(q.blockSize))
		if err != nil {
			return nil, fmt.Errorf("squashfs: the block at %d: %w", start, err)
		}
		return b, nil
	})
}

// shareFragments shares each fragment block among the files whose ends it holds.
func (q *squashfsFS) shareFragments() {
	for _, f := range q.fragments {
		var raw int64
		for _, t := range f.tails {
			raw = max(raw, t.offset+t.bytes)
		}
		packedSize := int64(f.size &^ squashStored)
		if raw == 0 || f.start < 0 || f.start > q.s.Size()-packedSize {
			continue
		}
		q.root.share(f.tails, packed.NewIndex([]packed.Block{{Raw: raw, Packed: q.s.bytes(f.start, f.start+packedSize)}}))
	}
}
