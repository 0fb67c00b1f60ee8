package inspect

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// Features of ext4 that change how it is read: Documentation/filesystems/ext4,
// "Super Block", s_feature_incompat. Those that are known and not here, such as
// an encrypted tree or a journal elsewhere, are refused by number.
const (
	ext4Recover    = 0x4
	ext4Bits64     = 0x80
	ext4InlineData = 0x8000
	// filetype, recover, extents, 64bit, mmp, flex_bg, ea_inode, csum_seed,
	// large_dir, inline_data, casefold
	ext4Known = 0x2 | ext4Recover | 0x40 | ext4Bits64 | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 | ext4InlineData | 0x20000
)

// Flags of an inode.
const (
	ext4Extents = 0x80000
	ext4Inline  = 0x10000000
)

const (
	ext4RootInode    = 2
	ext4JournalInode = 8
)

// ext4FS reads ext2, ext3 and ext4: Documentation/filesystems/ext4. The journal
// is not replayed: what an unclean file system had not yet written is as it was.
type ext4FS struct {
	*opener
	s                         source
	root                      *root
	blockSize, blocks         int64
	firstBlock                int64
	inodes                    uint32
	inodesPerGroup, perGroup  uint32
	inodeSize, descriptorSize int64
	bits64                    bool
	claims                    claims            // of blocks, by files and by what maps them
	linked                    map[uint32]string // inodes with several names, by the first
	dirs                      map[uint32]bool   // that were read
}

type ext4Inode struct {
	number, flags uint32
	mode, links   uint16
	uid, gid      uint32
	size          int64
	raw           []byte // all of it
}

func (i *ext4Inode) block() []byte { return i.raw[0x28:0x64] }

func (o *opener) ext4(s source) (*root, error) {
	e := &ext4FS{opener: o, s: s, root: newRoot("ext4", "file system structures"), linked: map[uint32]string{}, dirs: map[uint32]bool{}}
	if err := e.superblock(); err != nil {
		return nil, fmt.Errorf("ext4: %w", err)
	}
	if err := e.tree(); err != nil {
		return nil, fmt.Errorf("ext4: %w", err)
	}
	if err := e.others(); err != nil {
		return nil, fmt.Errorf("ext4: %w", err)
	}
	return e.root, nil
}

func (e *ext4FS) superblock() error {
	sb := make([]byte, 1024)
	if err := e.s.full(sb, 1024); err != nil {
		return err
	}
	le := binary.LittleEndian
	u32 := func(at int) uint32 { return le.Uint32(sb[at:]) }
	e.inodes, e.perGroup, e.inodesPerGroup = u32(0), u32(0x20), u32(0x28)
	e.firstBlock = int64(u32(0x14))
	logSize := u32(0x18)
	e.inodeSize, e.descriptorSize = 128, 32
	if u32(0x4c) > 0 { // revision
		e.inodeSize = int64(le.Uint16(sb[0x58:]))
	}
	incompat := u32(0x60)
	if unknown := incompat &^ ext4Known; unknown != 0 {
		return fmt.Errorf("has features %#x, which cannot be read (s_feature_incompat)", unknown)
	}
	blocks := uint64(u32(4))
	if e.bits64 = incompat&ext4Bits64 != 0; e.bits64 {
		blocks |= uint64(u32(0x150)) << 32
		e.descriptorSize = int64(le.Uint16(sb[0xfe:]))
	}
	if logSize > 6 {
		return fmt.Errorf("damaged superblock: blocks of 2^%d KiB", logSize)
	}
	e.blockSize = 1024 << logSize
	if blocks > uint64(e.s.Size()/e.blockSize) {
		return fmt.Errorf("is cut short: it has %d blocks of %d bytes, and there are %d bytes", blocks, e.blockSize, e.s.Size())
	}
	e.blocks = int64(blocks)
	if e.inodeSize < 128 || e.inodeSize > e.blockSize || e.descriptorSize < 32 || e.descriptorSize > e.blockSize || e.bits64 && e.descriptorSize < 64 {
		return fmt.Errorf("damaged superblock: inodes of %d bytes, descriptors of %d", e.inodeSize, e.descriptorSize)
	}
	const leastPerGroup = 256 // mkfs.ext4's
	if e.perGroup < leastPerGroup || int64(e.perGroup) > 8*e.blockSize || e.inodesPerGroup == 0 {
		return fmt.Errorf("damaged superblock: %d blocks and %d inodes in a group", e.perGroup, e.inodesPerGroup)
	}
	return nil
}

// descriptor reads the descriptor of a block group.
func (e *ext4FS) descriptor(group uint32) ([]byte, error) {
	d := make([]byte, e.descriptorSize)
	err := e.s.full(d, (e.firstBlock+1)*e.blockSize+int64(group)*e.descriptorSize)
	return d, err
}

// address reads a block number whose high half is elsewhere.
func (e *ext4FS) address(d []byte, low, high int) int64 {
	n := uint64(binary.LittleEndian.Uint32(d[low:]))
	if e.bits64 {
		n |= uint64(binary.LittleEndian.Uint32(d[high:])) << 32
	}
	return int64(n & (1<<48 - 1))
}

func (e *ext4FS) inode(number uint32) (*ext4Inode, error) {
	if number == 0 || number > e.inodes {
		return nil, fmt.Errorf("there is no inode %d", number)
	}
	d, err := e.descriptor((number - 1) / e.inodesPerGroup)
	if err != nil {
		return nil, err
	}
	i := &ext4Inode{number: number, raw: make([]byte, e.inodeSize)}
	at := e.address(d, 8, 0x28)*e.blockSize + int64((number-1)%e.inodesPerGroup)*e.inodeSize
	if err := e.s.full(i.raw, at); err != nil {
		return nil, fmt.Errorf("inode %d: %w", number, err)
	}
	le := binary.LittleEndian
	i.mode, i.links, i.flags = le.Uint16(i.raw), le.Uint16(i.raw[0x1a:]), le.Uint32(i.raw[0x20:])
	i.uid = uint32(le.Uint16(i.raw[2:])) | uint32(le.Uint16(i.raw[0x78:]))<<16
	i.gid = uint32(le.Uint16(i.raw[0x18:])) | uint32(le.Uint16(i.raw[0x7a:]))<<16
	i.size = int64(uint64(le.Uint32(i.raw[4:])) | uint64(le.Uint32(i.raw[0x6c:]))<<32)
	return i, nil
}

func (e *ext4FS) tree() error {
	return walk(uint32(ext4RootInode), e.directory, func(p string, number uint32) (directory bool, err error) {
		i, err := e.inode(number)
		if err != nil {
			return false, err
		}
		return i.mode&0xf000 == 0x4000, e.add(p, i)
	})
}

// directory calls fn for each entry.
func (e *ext4FS) directory(name string, number uint32, fn func(string, uint32) error) error {
	if e.dirs[number] {
		return fmt.Errorf("%s is in the tree twice (inode %d)", name, number)
	}
	e.dirs[number] = true
	i, err := e.inode(number)
	if err != nil {
		return err
	}
	if i.mode&0xf000 != 0x4000 {
		return fmt.Errorf("%s is no directory (inode %d)", name, number)
	}
	if i.flags&ext4Inline != 0 {
		data, err := e.inline(i)
		if err != nil || len(data) < 60 {
			return errors.Join(err, e.entries(name, data[min(4, len(data)):], fn))
		}
		// The first four bytes are the parent; the attribute begins anew.
		if err := e.entries(name, data[4:60], fn); err != nil {
			return err
		}
		return e.entries(name, data[60:], fn)
	}
	r, list, err := e.contentsOf(i)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	// So no block is read twice, however many directories there are.
	if n := e.claims.claimAll(list, e.blockSize); n < i.size {
		return fmt.Errorf("%s: damaged directory: only %d of its %d bytes are its own", name, n, i.size)
	}
	block := make([]byte, e.blockSize)
	for at := int64(0); at < i.size; at += e.blockSize {
		if _, err := r.ReadAt(block, at); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := e.entries(name, block, fn); err != nil {
			return err
		}
	}
	return nil
}

// entries calls fn for each entry in a directory's block. Those of an index are
// hidden in entries without inode.
func (e *ext4FS) entries(dir string, block []byte, fn func(string, uint32) error) error {
	for len(block) >= 8 {
		number := binary.LittleEndian.Uint32(block)
		length := int(binary.LittleEndian.Uint16(block[4:]))
		if length == 0xffff || length == 0 && len(block) == 1<<16 { // of blocks of 64 KiB
			length = len(block)
		}
		nameLength := int(block[6])
		if length < 8 || length > len(block) || nameLength > length-8 {
			return fmt.Errorf("%s: damaged directory: an entry of %d bytes with a name of %d, and %d left", dir, length, nameLength, len(block))
		}
		name := string(block[8:][:nameLength])
		block = block[length:]
		if number == 0 || name == "." || name == ".." {
			continue
		}
		if err := checkName(dir, name); err != nil {
			return err
		}
		if err := fn(name, number); err != nil {
			return err
		}
	}
	return nil
}

// add adds an inode to the tree.
func (e *ext4FS) add(name string, i *ext4Inode) error {
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
	case rootfs.Symlink:
		target, err := e.target(i)
		if err != nil {
			return err
		}
		entry.Link = target
	case rootfs.CharDevice, rootfs.BlockDevice:
		b := i.block()
		if old := binary.LittleEndian.Uint16(b); old != 0 {
			entry.Major, entry.Minor = uint32(old>>8), uint32(old&0xff)
		} else {
			device(entry, binary.LittleEndian.Uint32(b[4:]))
		}
	case rootfs.Regular:
		return e.addFile(entry, i)
	}
	return e.root.tree.Add(entry, nil)
}

func (e *ext4FS) addFile(entry *rootfs.Entry, i *ext4Inode) error {
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
	e.root.takes(entry, e.claims.stored(e.s, list, e.blockSize))
	return nil
}

// target reads a symbolic link: short ones are where others have their extents.
func (e *ext4FS) target(i *ext4Inode) (string, error) {
	if i.size < 0 || i.size > cpioMaxName {
		return "", fmt.Errorf("a link's target of %d bytes", i.size)
	}
	if i.size < 60 && i.flags&(ext4Inline|ext4Extents) == 0 {
		return string(i.block()[:i.size]), nil
	}
	r, _, err := e.contentsOf(i)
	if err != nil {
		return "", err
	}
	data := make([]byte, i.size)
	_, err = r.ReadAt(data, 0)
	return string(data), err
}

// contentsOf returns what an inode holds, and where.
func (e *ext4FS) contentsOf(i *ext4Inode) (*io.SectionReader, []run, error) {
	if i.size < 0 {
		return nil, nil, fmt.Errorf("inode %d has %d bytes", i.number, i.size)
	}
	if i.flags&ext4Inline != 0 {
		data, err := e.inline(i)
		if err != nil {
			return nil, nil, err
		}
		// A file may be longer than that: mkfs.ext4 makes such of zeros.
		in := source{SectionReader: io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data)))}
		r, err := in.file([]run{{0, 0, min(i.size, in.Size())}}, i.size)
		return r, nil, err
	}
	var list []run
	var err error
	if i.flags&ext4Extents != 0 {
		list, err = e.extents(list, i.block(), 5)
	} else {
		list, err = e.blockMap(i)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("inode %d: %w", i.number, err)
	}
	list = clip(list, (i.size+e.blockSize-1)/e.blockSize*e.blockSize)
	r, err := e.s.file(list, i.size)
	return r, list, err
}

// inline returns what is in the inode itself: its block pointers' place, and the
// value of the attribute system.data.
func (e *ext4FS) inline(i *ext4Inode) ([]byte, error) {
	data := bytes.Clone(i.block())
	if len(i.raw) < 0x84 {
		return data, nil
	}
	start := 0x80 + int(binary.LittleEndian.Uint16(i.raw[0x80:]))
	if start+4 > len(i.raw) || binary.LittleEndian.Uint32(i.raw[start:]) != 0xea020000 {
		return data, nil
	}
	attributes := i.raw[start+4:]
	for a := attributes; len(a) >= 16 && a[0] != 0; {
		length, at := int(a[0]), int(binary.LittleEndian.Uint16(a[2:]))
		size := int(binary.LittleEndian.Uint32(a[8:]))
		if 16+length > len(a) {
			return nil, fmt.Errorf("inode %d: damaged attributes", i.number)
		}
		if a[1] == 7 && string(a[16:][:length]) == "data" {
			if size < 0 || at+size < at || at+size > len(attributes) {
				return nil, fmt.Errorf("inode %d: damaged attributes", i.number)
			}
			return append(data, attributes[at:at+size]...), nil
		}
		a = a[min(len(a), (16+length+3)&^3):]
	}
	return data, nil
}

// mapBlock reads a block that says where others are. Each is of one inode, and
// read once: what refers to one again would never end.
func (e *ext4FS) mapBlock(block int64) ([]byte, error) {
	if block >= e.blocks {
		return nil, fmt.Errorf("refers to block %d of %d", block, e.blocks)
	}
	if !e.claims.claim(block) {
		return nil, fmt.Errorf("refers to block %d, which is another's", block)
	}
	b := make([]byte, e.blockSize)
	return b, e.s.full(b, block*e.blockSize)
}

// extents reads a node of an extent tree, of which depth levels may be left.
func (e *ext4FS) extents(list []run, node []byte, depth int) ([]run, error) {
	le := binary.LittleEndian
	entries, level := int(le.Uint16(node[2:])), int(le.Uint16(node[6:]))
	if le.Uint16(node) != 0xf30a || 12+12*entries > len(node) || level > depth {
		return nil, errors.New("damaged extents")
	}
	for ; entries > 0; entries-- {
		node = node[12:]
		if level > 0 {
			b, err := e.mapBlock(int64(le.Uint32(node[4:])) | int64(le.Uint16(node[8:]))<<32)
			if err != nil {
				return nil, err
			}
			if list, err = e.extents(list, b, level-1); err != nil {
				return nil, err
			}
			continue
		}
		start := int64(le.Uint32(node[8:])) | int64(le.Uint16(node[6:]))<<32
		n := int64(le.Uint16(node[4:]))
		if n > 1<<15 { // allocated and not written: zeros
			continue
		}
		if start+n > e.blocks {
			return nil, fmt.Errorf("refers to block %d of %d", start+n, e.blocks)
		}
		list = append(list, run{int64(le.Uint32(node)) * e.blockSize, start * e.blockSize, n * e.blockSize})
	}
	return list, nil
}

// blockMap reads the pointers of ext2 and ext3: 12 blocks, and one indirect of
// each depth.
func (e *ext4FS) blockMap(i *ext4Inode) ([]run, error) {
	m := blockMap{ext4FS: e, end: (i.size + e.blockSize - 1) / e.blockSize}
	if err := m.pointers(i.block()[:48], 0); err != nil {
		return nil, err
	}
	for depth := 1; depth <= 3; depth++ {
		if err := m.pointers(i.block()[44+4*depth:][:4], depth); err != nil {
			return nil, err
		}
	}
	return m.list, nil
}

type blockMap struct {
	*ext4FS
	next, end int64 // blocks of the file
	list      []run
}

func (m *blockMap) pointers(p []byte, depth int) error {
	covers := int64(1)
	for range depth {
		covers *= m.blockSize / 4
	}
	for ; len(p) > 0 && m.next < m.end; p = p[4:] {
		block := int64(binary.LittleEndian.Uint32(p))
		switch {
		case block == 0: // a hole
			m.next += covers
		case depth > 0:
			b, err := m.mapBlock(block)
			if err != nil {
				return err
			}
			if err := m.pointers(b, depth-1); err != nil {
				return err
			}
		case block >= m.blocks:
			return fmt.Errorf("refers to block %d of %d", block, m.blocks)
		default:
			m.data(block)
		}
	}
	return nil
}

// data adds a block, to the last run if it continues that.
func (m *blockMap) data(block int64) {
	logical, physical := m.next*m.blockSize, block*m.blockSize
	m.next++
	if len(m.list) > 0 {
		if last := &m.list[len(m.list)-1]; last.logical+last.n == logical && last.physical+last.n == physical {
			last.n += m.blockSize
			return
		}
	}
	m.list = append(m.list, run{logical, physical, m.blockSize})
}

// others accounts for the journal and for what is free.
func (e *ext4FS) others() error {
	if i, err := e.inode(ext4JournalInode); err == nil && i.mode&0xf000 == 0x8000 && i.links > 0 {
		_, list, err := e.contentsOf(i)
		if err != nil {
			return fmt.Errorf("the journal: %w", err)
		}
		if n := e.claims.stored(e.s, list, e.blockSize); n > 0 {
			e.root.rest["journal"] = n
		}
	}
	groups := (e.blocks - e.firstBlock + int64(e.perGroup) - 1) / int64(e.perGroup)
	for g := range groups {
		if err := e.ctx.Err(); err != nil {
			return err
		}
		if err := e.free(g); err != nil {
			return fmt.Errorf("block group %d: %w", g, err)
		}
	}
	return nil
}

// free accounts for the free blocks of a group.
func (e *ext4FS) free(group int64) error {
	d, err := e.descriptor(uint32(group))
	if err != nil {
		return err
	}
	first := e.firstBlock + group*int64(e.perGroup)
	n := min(int64(e.perGroup), e.blocks-first)
	const uninitialized = 2 // the bitmap: then what is in use comes first
	if binary.LittleEndian.Uint16(d[0x12:])&uninitialized != 0 {
		free := min(n, int64(binary.LittleEndian.Uint16(d[0xc:])))
		e.takeFree(first+n-free, first+n)
		return nil
	}
	bitmap := make([]byte, (n+7)/8)
	if err := e.s.full(bitmap, e.address(d, 0, 0x20)*e.blockSize); err != nil {
		return err
	}
	start := int64(-1)
	for b := range n + 1 {
		used := b == n || bitmap[b/8]&(1<<(b%8)) != 0
		switch {
		case used && start >= 0:
			e.takeFree(first+start, first+b)
			start = -1
		case !used && start < 0:
			start = b
		}
	}
	return nil
}

func (e *ext4FS) takeFree(from, to int64) {
	if n := e.s.bytes(from*e.blockSize, to*e.blockSize); n > 0 {
		e.root.rest["free space"] += n
	}
}
