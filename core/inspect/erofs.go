package inspect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/packed"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// erofsFS reads erofs: Documentation/filesystems/erofs.rst, fs/erofs/erofs_fs.h.
type erofsFS struct {
	*opener
	s         source
	root      *root
	blockSize int64
	dirSize   int64 // of a directory's block
	meta      int64
	padded    bool       // compressed data is at the end of its blocks, after zeros
	packed    *erofsFile // what holds fragments, the ends of files; nil without
	claims    claims
	linked    map[uint64]string
	read      map[uint64]bool // directories
	dirBytes  int64           // that these took
	indexes   int64           // bytes of tables that say where contents are
	used      [4]bool         // algorithms
	tails     []tail          // in packed
	decoded   *blockCache[erofsPlace]
}

// erofsFile is a file's contents.
type erofsFile struct {
	*io.SectionReader
	pieces   []erofsPiece // one after the other, without what is in packed
	fragment int64        // where in packed the rest is
	tail     int64        // how much that is
}

// erofsPiece is a stretch of a file: raw bytes that take bytes from position on.
// What is inline stands beside the inode, where no block is the file's.
type erofsPiece struct {
	raw, position, bytes int64
	inline               bool
}

// Layouts of an inode's data.
const (
	erofsPlain          = 0
	erofsCompressedFull = 1
	erofsInline         = 2
	erofsCompressed     = 3
	erofsChunks         = 4
)

// Incompatible features. That a file is compressed in big clusters, in chunks,
// with its end inline or with a second algorithm, its own header says.
const (
	erofsZeroPadding = 0x1
	erofsFragments   = 0x20
	// zero padding, big clusters, chunks, second algorithm, inline ends, fragments
	// and shared clusters, prefixes of attributes
	erofsKnown = erofsZeroPadding | 0x2 | 0x4 | 0x8 | 0x10 | erofsFragments | 0x40
)

// erofsUnread are those of Linux 6.15 and later that cannot be read.
var erofsUnread = map[uint32]string{0x80: "48-bit block numbers", 0x100: "compressed metadata"}

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
	e := &erofsFS{opener: o, s: s, root: newRoot("erofs", "file system structures"),
		linked: map[uint64]string{}, read: map[uint64]bool{}, decoded: newBlockCache[erofsPlace](8)}
	rootInode, err := e.superblock()
	if err == nil {
		err = e.tree(rootInode)
	}
	if err != nil {
		return nil, fmt.Errorf("erofs: %w", err)
	}
	e.shareFragments()
	e.root.compression = e.algorithms()
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
	features := le.Uint32(sb[80:])
	if unknown := features &^ erofsKnown; unknown != 0 {
		return 0, fmt.Errorf("has features %#x%s, which cannot be read", unknown, erofsNames(unknown))
	}
	if n := le.Uint16(sb[86:]); n != 0 {
		return 0, fmt.Errorf("has contents on %d more devices, which cannot be read", n)
	}
	e.padded = features&erofsZeroPadding != 0
	e.meta = int64(le.Uint32(sb[40:])) * e.blockSize
	if packed := le.Uint64(sb[96:]); features&erofsFragments != 0 && packed != 0 {
		if err := e.readPacked(packed); err != nil {
			return 0, fmt.Errorf("packed inode: %w", err)
		}
	}
	return uint64(le.Uint16(sb[14:])), nil
}

func erofsNames(features uint32) string {
	var names []string
	for _, bit := range slices.Sorted(maps.Keys(erofsUnread)) {
		if features&bit != 0 {
			names = append(names, erofsUnread[bit])
		}
	}
	if len(names) == 0 {
		return ""
	}
	return " (" + strings.Join(names, ", ") + ")"
}

// readPacked reads the inode whose contents are the ends of many files.
func (e *erofsFS) readPacked(number uint64) error {
	i, err := e.inode(number)
	if err != nil {
		return err
	}
	packed, err := e.contentsOf(i)
	if err == nil && packed.tail > 0 {
		err = errors.New("damaged: it has a part in itself")
	}
	e.packed = packed
	return err
}

func (i *erofsInode) compressed() bool {
	return i.layout == erofsCompressed || i.layout == erofsCompressedFull
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
	r, err := e.contentsOf(i)
	if err == nil {
		err = e.boundDirectory(i, r)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
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

// boundDirectory sees to it that no block is read again and again, however many
// directories there are: directories take what the image has for them, and
// compressed ones unpack to what their entries can be.
func (e *erofsFS) boundDirectory(i *erofsInode, r *erofsFile) error {
	const entry = 12 + 255
	e.dirBytes += i.size
	for _, p := range r.pieces {
		e.dirBytes += p.bytes
	}
	if e.dirBytes > 2*e.s.Size()+2*entry*int64(e.limits.Files) {
		return fmt.Errorf("damaged: has directories of %d bytes", e.dirBytes)
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
		if i.compressed() {
			return errors.New("a link whose target is compressed, which cannot be read")
		}
		r, err := e.contentsOf(i)
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
		file, err := e.contentsOf(i)
		if err != nil {
			return err
		}
		if err := e.root.tree.Add(entry, file.SectionReader); err != nil {
			return err
		}
		for _, p := range file.pieces {
			e.root.takes(entry, e.stored(p))
		}
		if file.tail > 0 {
			e.tails = append(e.tails, tail{entry, file.fragment, file.tail})
		}
		return nil
	}
	return e.root.tree.Add(entry, nil)
}

// stored is what a piece takes that no other file has. Clusters that files share
// are the same from their first block on.
func (e *erofsFS) stored(p erofsPiece) int64 {
	if p.inline {
		return e.s.bytes(p.position, p.position+p.bytes)
	}
	if p.bytes == 0 || !e.claims.claim(p.position/e.blockSize) {
		return 0
	}
	first := e.s.bytes(p.position, min(p.position+e.blockSize, e.s.Size()))
	rest := run{0, p.position + e.blockSize, max(p.bytes-e.blockSize, 0)}
	return first + e.claims.stored(e.s, []run{rest}, e.blockSize)
}

// shareFragments shares what packed takes among the files whose ends it holds.
func (e *erofsFS) shareFragments() {
	if e.packed == nil {
		return
	}
	var blocks []packed.Block
	for _, p := range e.packed.pieces {
		blocks = append(blocks, packed.Block{Raw: p.raw, Packed: e.stored(p)})
	}
	e.root.share(e.tails, packed.NewIndex(blocks))
}

func (e *erofsFS) contentsOf(i *erofsInode) (*erofsFile, error) {
	if i.compressed() {
		return e.compressedFile(i)
	}
	var list []run
	start, inline := int64(i.u)*e.blockSize, int64(-1)
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
			inline = whole
			list = append(list, run{whole, i.end, tail})
		}
	case erofsChunks:
		var err error
		if list, err = e.chunks(i); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("inode %d: damaged: layout %d", i.number, i.layout)
	}
	r, err := e.s.file(list, i.size)
	if err != nil {
		return nil, err
	}
	file := &erofsFile{SectionReader: r}
	end := int64(0)
	for _, x := range list {
		if x.logical > end { // a hole
			file.pieces = append(file.pieces, erofsPiece{raw: x.logical - end})
		}
		file.pieces = append(file.pieces, erofsPiece{x.n, x.physical, x.n, x.logical == inline})
		end = x.logical + x.n
	}
	return file, nil
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
		if err := e.index(unit); err != nil {
			return nil, err
		}
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

// index is called for n bytes of a table. All of them lie in the image, each
// once: so inodes on top of each other cannot have a small image read for long.
func (e *erofsFS) index(n int64) error {
	if e.indexes += n; e.indexes > e.s.Size() {
		return fmt.Errorf("damaged: tables of more than its %d bytes", e.s.Size())
	}
	return e.ctx.Err()
}
