package inspect

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
)

// A compressed file is cut into logical clusters of a block each. Its index says
// of each whether it is the head of an extent, some bytes that are compressed by
// themselves: where in the cluster the extent begins, and in which physical
// cluster it is. Extents follow each other without holes.

// Kinds of logical clusters: Z_EROFS_LCLUSTER_TYPE_*.
const (
	erofsLiteral = iota // head of an extent that is not compressed
	erofsHead1
	erofsNoHead
	erofsHead2
)

// What the header before an index says: Z_EROFS_ADVISE_*.
const (
	erofsCompact2   = 0x01 // indexes of 2 bytes, where 16 of them fit
	erofsBig1       = 0x02 // physical clusters of more than a block, for literals
	erofsBig2       = 0x04 // and second heads too
	erofsInlineEnd  = 0x08 // the last extent is beside the inode
	erofsInterlaced = 0x10 // literals stand where they do in their logical cluster
	erofsFragment   = 0x20 // the last extent is in the packed inode
)

const (
	erofsMaxCluster = 1 << 20  // Z_EROFS_PCLUSTER_MAX_SIZE
	erofsMaxExtent  = 12 << 20 // Z_EROFS_PCLUSTER_MAX_DSIZE

	// erofsCount marks, in the first cluster after a head, the number of blocks.
	erofsCount = 1 << 11
)

// erofsExtent is from start to the next one, or to the end of the file.
type erofsExtent struct {
	start     int64
	position  int64 // on disk, or in the packed inode
	bytes     int64 // there
	algorithm uint8
	inline    bool
}

// Algorithms are those of Z_EROFS_COMPRESSION_*, and how else contents are held.
const (
	erofsLZ4 = iota
	erofsLZMA
	erofsDeflate
	erofsZstd
	erofsShifted // literals, from the cluster's first byte on
	erofsRotated // literals, where they stand in their logical cluster
	erofsInPacked
)

var erofsAlgorithms = [...]string{erofsLZ4: "lz4", erofsLZMA: "lzma", erofsDeflate: "deflate", erofsZstd: "zstd"}

// algorithms names those that files have.
func (e *erofsFS) algorithms() string {
	var names []string
	for a, used := range e.used {
		if used {
			names = append(names, erofsAlgorithms[a])
		}
	}
	return strings.Join(names, ", ")
}

// erofsIndex is a file's index being read.
type erofsIndex struct {
	*erofsFS
	inode   *erofsInode
	advise  uint16
	heads   [4]uint8 // algorithms, by kind
	offset  int64    // of the file's end in the packed inode, its low half
	inline  int64    // bytes of what is inline
	extents []erofsExtent
	next    int64 // where the next logical cluster begins
	head    uint8 // the last cluster's kind, if it was one
	after   bool  // it was
	end     int64 // of what of the index was read
}

// erofsCluster is what an index says of a logical cluster.
type erofsCluster struct {
	kind   uint8
	offset int64 // of a head: where in the cluster it begins
	block  int64 // of a head
	blocks int64 // of what is no head: the number, where this is said
}

// compressedFile reads the index of a file.
func (e *erofsFS) compressedFile(i *erofsInode) (*erofsFile, error) {
	x := &erofsIndex{erofsFS: e, inode: i}
	if i.size == 0 {
		return x.file()
	}
	if err := x.read(); err != nil {
		return nil, fmt.Errorf("inode %d: %w", i.number, err)
	}
	return x.file()
}

// read reads the header, which is z_erofs_map_header, and what follows.
func (x *erofsIndex) read() error {
	start := (x.inode.end + 7) &^ 7
	var h [8]byte
	if err := x.s.full(h[:], start); err != nil {
		return err
	}
	le := binary.LittleEndian
	if h[7]&0x80 != 0 { // all of the file
		x.extents = []erofsExtent{{position: int64(le.Uint64(h[:]) &^ (1 << 63)), algorithm: erofsInPacked}}
		return nil
	}
	x.advise = le.Uint16(h[4:])
	if n := h[7] & 0xf; n != 0 {
		return fmt.Errorf("has logical clusters of 2^%d blocks, which cannot be read", n)
	}
	if h[6]&0xf > erofsZstd || h[6]>>4 > erofsZstd {
		return fmt.Errorf("is compressed by the algorithms %d and %d, which cannot be read; %d to %d can (lz4, lzma, deflate, zstd)", h[6]&0xf, h[6]>>4, erofsLZ4, erofsZstd)
	}
	x.heads = [4]uint8{erofsLiteral: erofsShifted, erofsHead1: h[6] & 0xf, erofsHead2: h[6] >> 4}
	if x.advise&erofsInterlaced != 0 {
		x.heads[erofsLiteral] = erofsRotated
	}
	x.offset = int64(le.Uint32(h[:]))
	x.inline = int64(le.Uint16(h[2:]))
	read := x.compact
	if x.inode.layout == erofsCompressedFull {
		read = x.full
	}
	if err := read(start + 8); err != nil {
		return err
	}
	return x.last()
}

// clusters is how many logical clusters the file has.
func (x *erofsIndex) clusters() int64 { return (x.inode.size-1)/x.blockSize + 1 }

// area counts and opens n bytes of the image as the next part of the index.
func (x *erofsIndex) area(start, n int64) (*bufio.Reader, error) {
	if err := x.index(n); err != nil {
		return nil, err
	}
	if start > x.s.Size()-n {
		return nil, fmt.Errorf("is cut short: its index of %d bytes at %d is beyond the image's end at %d", n, start, x.s.Size())
	}
	x.end = start + n
	return bufio.NewReader(io.NewSectionReader(x.s, start, n)), nil
}

// full reads an index of 8 bytes for each cluster: z_erofs_lcluster_index. There
// are 8 bytes before it that nothing is in.
func (x *erofsIndex) full(start int64) error {
	const size = 8
	if x.clusters() > x.s.Size()/size {
		return errors.New("damaged: its index is longer than the image")
	}
	r, err := x.area(start+8, x.clusters()*size)
	if err != nil {
		return err
	}
	for range x.clusters() {
		var b [size]byte
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return err
		}
		le := binary.LittleEndian
		c := erofsCluster{kind: uint8(le.Uint16(b[:]) & 3)}
		if c.kind != erofsNoHead {
			c.offset, c.block = int64(le.Uint16(b[2:])), int64(le.Uint32(b[4:]))
		} else if d := le.Uint16(b[4:]); d&erofsCount != 0 {
			c.blocks = int64(d &^ erofsCount)
		}
		if err := x.add(c); err != nil {
			return err
		}
	}
	return nil
}

// compact reads an index in packs that end in a block number: of two clusters
// in 8 bytes, and of 16 in 32, which are aligned at their size.
func (x *erofsIndex) compact(start int64) error {
	if x.blockSize > 1<<14 {
		return fmt.Errorf("has a compact index for blocks of %d bytes, which there is not", x.blockSize)
	}
	if big := x.advise & (erofsBig1 | erofsBig2); big != 0 && big != erofsBig1|erofsBig2 {
		return errors.New("damaged: big clusters for one kind of head only")
	}
	left := x.clusters()
	if left > x.s.Size()/2 {
		return errors.New("damaged: its index is longer than the image")
	}
	initial := min(left, (32-start%32)%32/4)
	var packs int64 // of 16
	if x.advise&erofsCompact2 != 0 {
		packs = (left - initial) / 16
	}
	for _, part := range []struct{ clusters, inPack, size int64 }{
		{initial, 2, 8}, {packs * 16, 16, 32}, {left - initial - packs*16, 2, 8},
	} {
		n := (part.clusters + part.inPack - 1) / part.inPack * part.size
		if n == 0 {
			continue
		}
		r, err := x.area(start, n)
		if err != nil {
			return err
		}
		start += n
		pack := make([]byte, part.size)
		for left := part.clusters; left > 0; left -= part.inPack {
			if _, err := io.ReadFull(r, pack); err != nil {
				return err
			}
			if err := x.pack(pack, part.inPack, min(left, part.inPack)); err != nil {
				return err
			}
		}
	}
	return nil
}

// pack reads the first n of a pack. Where blocks are is counted from the number
// at its end: without big clusters, that is the one before the first head's.
func (x *erofsIndex) pack(pack []byte, inPack, n int64) error {
	bits := (int64(len(pack)) - 4) * 8 / inPack
	low := uint32(max(x.blockSize, 2*erofsCount) - 1)
	block := int64(binary.LittleEndian.Uint32(pack[len(pack)-4:]))
	big := x.advise&erofsBig1 != 0
	one := !big // block is the last head's, which has one block as far as is known
	for i := range n {
		v := binary.LittleEndian.Uint32(pack[i*bits/8:]) >> (i * bits & 7)
		value := v & low
		c := erofsCluster{kind: uint8(v / (low + 1) & 3)}
		switch {
		case c.kind != erofsNoHead:
			if one {
				block++
			}
			c.offset, c.block = int64(value), block
			one = true
		case big && value&erofsCount != 0:
			c.blocks = int64(value &^ erofsCount)
			block, one = block+c.blocks, false
		}
		if err := x.add(c); err != nil {
			return err
		}
	}
	return nil
}

// add adds the next logical cluster.
func (x *erofsIndex) add(c erofsCluster) error {
	start := x.next + c.offset
	x.next += x.blockSize
	if c.kind == erofsNoHead {
		return x.continues(c)
	}
	if c.offset >= x.blockSize {
		return fmt.Errorf("damaged: an extent begins at %d in a cluster of %d", c.offset, x.blockSize)
	}
	x.head, x.after = c.kind, true
	if start >= x.inode.size { // marks the end
		return nil
	}
	if len(x.extents) == 0 && start != 0 {
		return fmt.Errorf("damaged: its first extent begins at %d", start)
	}
	x.extents = append(x.extents, erofsExtent{start: start, position: c.block * x.blockSize, bytes: x.blockSize, algorithm: x.heads[c.kind]})
	return nil
}

// continues adds a logical cluster that goes on with the last extent. The first
// of them tells a big cluster's size, unless the extent is elsewhere.
func (x *erofsIndex) continues(c erofsCluster) error {
	if len(x.extents) == 0 {
		return errors.New("damaged: it does not begin with an extent")
	}
	big := uint16(erofsBig2)
	if x.head == erofsHead1 {
		big = erofsBig1
	}
	first := x.after && x.advise&big != 0
	x.after = false
	if first {
		x.extents[len(x.extents)-1].bytes = c.blocks * x.blockSize
	} else if c.blocks > 0 {
		return fmt.Errorf("damaged: a cluster of %d blocks ends at %d, which is in an extent", c.blocks, x.next)
	}
	return nil
}

// last is for an extent that is elsewhere, and checks all.
func (x *erofsIndex) last() error {
	end := &x.extents[len(x.extents)-1]
	switch {
	case x.advise&erofsFragment != 0:
		position := x.offset
		if x.inode.layout == erofsCompressedFull {
			position |= end.position / x.blockSize << 32
		}
		*end = erofsExtent{start: end.start, position: position, algorithm: erofsInPacked}
	case x.advise&erofsInlineEnd != 0 && x.inline > 0:
		end.position, end.bytes, end.inline = x.end, x.inline, true
		if x.end%x.blockSize+x.inline > x.blockSize {
			return fmt.Errorf("damaged: %d bytes inline at %d", x.inline, x.end)
		}
	}
	size := x.inode.size
	for i := range slices.Backward(x.extents) {
		if err := x.check(&x.extents[i], size-x.extents[i].start); err != nil {
			return fmt.Errorf("the extent at %d: %w", x.extents[i].start, err)
		}
		size = x.extents[i].start
	}
	return nil
}

// check checks an extent of n bytes.
func (x *erofsIndex) check(extent *erofsExtent, n int64) error {
	if extent.algorithm == erofsInPacked {
		return nil
	}
	if extent.bytes == 0 || extent.bytes > erofsMaxCluster || extent.position > x.s.Size()-extent.bytes {
		return fmt.Errorf("damaged: is in %d bytes at %d of %d", extent.bytes, extent.position, x.s.Size())
	}
	limit := int64(erofsMaxExtent)
	switch extent.algorithm {
	case erofsShifted:
		limit = extent.bytes
	case erofsRotated:
		limit = min(extent.bytes, x.blockSize)
		if extent.inline { // has no logical cluster that it could be rotated in
			extent.algorithm = erofsShifted
		}
	default:
		x.used[extent.algorithm] = true
	}
	if n > limit {
		return fmt.Errorf("damaged: has %d bytes, more than %d", n, limit)
	}
	return nil
}

// file makes the file of its extents.
func (x *erofsIndex) file() (*erofsFile, error) {
	c := &erofsContents{x.erofsFS, x.inode.size, x.extents}
	file := &erofsFile{SectionReader: io.NewSectionReader(c, 0, c.size)}
	for i, extent := range x.extents {
		n := c.end(i) - extent.start
		if extent.algorithm != erofsInPacked {
			file.pieces = append(file.pieces, erofsPiece{n, extent.position, extent.bytes, extent.inline})
			continue
		}
		if x.packed == nil || extent.position < 0 || extent.position > x.packed.Size()-n {
			return nil, fmt.Errorf("inode %d: damaged: refers to %d bytes at %d of the packed inode", x.inode.number, n, extent.position)
		}
		file.fragment, file.tail = extent.position, n
	}
	return file, nil
}

// erofsContents reads a compressed file.
type erofsContents struct {
	*erofsFS
	size    int64
	extents []erofsExtent
}

// end is where extent i ends.
func (c *erofsContents) end(i int) int64 {
	if i+1 < len(c.extents) {
		return c.extents[i+1].start
	}
	return c.size
}

func (c *erofsContents) ReadAt(p []byte, offset int64) (int, error) {
	done := 0
	for done < len(p) {
		at := offset + int64(done)
		i := sort.Search(len(c.extents), func(i int) bool { return c.end(i) > at })
		if i == len(c.extents) {
			return done, io.EOF
		}
		part := p[done:min(int64(len(p)), int64(done)+c.end(i)-at)]
		n, err := c.readExtent(part, c.extents[i], c.end(i), at)
		if done += n; err != nil {
			return done, fmt.Errorf("erofs: %w", err)
		}
	}
	return done, nil
}

// readExtent fills p from the extent that is until end, or as much as is easy.
func (c *erofsContents) readExtent(p []byte, x erofsExtent, end, at int64) (int, error) {
	in := at - x.start
	switch x.algorithm {
	case erofsInPacked:
		return c.packed.ReadAt(p, x.position+in)
	case erofsShifted:
		return len(p), c.s.full(p, x.position+in)
	case erofsRotated:
		in = at % c.blockSize
		p = p[:min(int64(len(p)), c.blockSize-in)]
		return len(p), c.s.full(p, x.position+in)
	}
	data, err := c.decode(x, end-x.start)
	if err != nil {
		return 0, fmt.Errorf("the cluster at %d: %w", x.position, err)
	}
	return copy(p, data[in:]), nil
}
