package image

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// Component is the part of an initrd that some of its files take.
type Component struct {
	Name        string
	Bytes       int64 // of the archive, headers included
	PackedBytes int64 // of the compressed archive
}

// Other is the component of what is in no group.
const Other = "other"

// PackedSizes says what each group of paths takes of initrd, which Write made of
// t. A directory in a group stands for all below it; the longest path decides.
//
// The figures are measured, not modelled: a compressed file consists of blocks,
// and the bytes of a block are shared among the components by how much of its
// uncompressed content is theirs. A block has 128 KiB or so, which is how fine
// the figures are: a component smaller than that weighs like its neighbours. What
// repeats earlier content is cheap, so of
// two components that share code the later in the archive is charged less; what
// the image would lose with a component can differ by that. PackedBytes add up
// to the size of initrd, Bytes to that of the archive in it. Sorted by
// PackedBytes, largest first.
func PackedSizes(ctx context.Context, t *rootfs.Tree, initrd string, groups map[string][]string, compression string) ([]Component, error) {
	f, err := os.Open(initrd)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	measure, ok := map[string]func(context.Context, io.Reader) ([]block, error){"zstd": zstdBlocks, "xz": xzBlocks}[compression]
	if !ok {
		return nil, fmt.Errorf("there is no compression %q; known are xz, zstd", compression)
	}
	blocks, err := measure(ctx, bufio.NewReaderSize(f, 1<<16))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", initrd, err)
	}
	components, err := share(t.CPIOLayout(), blocks, owners(groups))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", initrd, err)
	}
	return round(components, info.Size()), nil
}

// block is a stretch of a compressed file.
type block struct{ raw, packed int64 }

// owners maps each path of groups to its group. Of two groups that claim a
// path, the one that comes first in the alphabet gets it.
func owners(groups map[string][]string) map[string]string {
	owner := map[string]string{}
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(groups))) {
		for _, p := range groups[name] {
			owner[path.Clean(p)] = name
		}
	}
	return owner
}

func ownerOf(name string, owner map[string]string) string {
	for ; ; name = path.Dir(name) {
		if o, ok := owner[name]; ok {
			return o
		}
		if name == "/" {
			return Other
		}
	}
}

// part is a Component before it is rounded.
type part struct {
	raw    int64
	packed float64
}

// share goes through the archive and the blocks side by side.
func share(layout []rootfs.Extent, blocks []block, owner map[string]string) (map[string]part, error) {
	parts := map[string]part{}
	var used int64 // of blocks[0].raw
	take := func(name string, n int64) error {
		p := parts[name]
		p.raw += n
		for n > 0 {
			if len(blocks) == 0 {
				return errors.New("is shorter than the root file system: it was not made of it")
			}
			step := min(n, blocks[0].raw-used)
			if step > 0 {
				p.packed += float64(step) * float64(blocks[0].packed) / float64(blocks[0].raw)
			}
			n, used = n-step, used+step
			if used == blocks[0].raw {
				blocks, used = blocks[1:], 0
			}
		}
		parts[name] = p
		return nil
	}
	for _, extent := range layout {
		if err := take(ownerOf(extent.Entry.Path, owner), extent.Bytes); err != nil {
			return nil, err
		}
	}
	rest := -used // the archive's trailer
	for _, b := range blocks {
		rest += b.raw
	}
	return parts, take(Other, rest)
}

// round makes the parts whole numbers that add up to size. What no block has,
// such as the compressed file's own header and index, is Other's.
func round(parts map[string]part, size int64) []Component {
	var components []Component
	left := size
	for name, p := range parts {
		if name != Other {
			c := Component{name, p.raw, int64(p.packed)}
			components = append(components, c)
			left -= c.PackedBytes
		}
	}
	components = append(components, Component{Other, parts[Other].raw, left})
	slices.SortFunc(components, func(a, b Component) int {
		if a.PackedBytes != b.PackedBytes {
			return int(b.PackedBytes - a.PackedBytes)
		}
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return components
}

// countingReader counts what was read from it.
type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// zstdBlocks finds the blocks of a zstd frame. Their headers do not tell their
// uncompressed size, so it decodes them; a decoder without concurrency reads one
// block at a time. Reading 4 KiB at a time says where in the output the next
// block begins, to 4 KiB.
func zstdBlocks(ctx context.Context, r io.Reader) ([]block, error) {
	in := &countingReader{r: r}
	d, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(1<<windowLog))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var blocks []block
	var seen int64 // of in.n
	buf := make([]byte, 4096)
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, err := io.ReadFull(d, buf)
		if in.n != seen || len(blocks) == 0 {
			blocks = append(blocks, block{packed: in.n - seen})
			seen = in.n
		}
		blocks[len(blocks)-1].raw += int64(n)
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return blocks, nil
		default:
			return nil, err
		}
	}
}

// xzBlocks finds the LZMA2 chunks of the first block of an xz stream, which is
// the only one that a single-threaded xz writes. A chunk has its sizes in its
// header: The .xz File Format 1.2.1, 2 and 3; Linux, lib/xz/xz_dec_lzma2.c.
func xzBlocks(_ context.Context, r io.Reader) ([]block, error) {
	var head [13]byte // stream header and the block header's size
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	if string(head[:6]) != "\xfd7zXZ\x00" {
		return nil, errors.New("is no xz file")
	}
	rest := (int64(head[12])+1)*4 - 1
	if _, err := io.CopyN(io.Discard, r, rest); err != nil {
		return nil, err
	}
	var blocks []block
	for {
		b, last, err := lzma2Chunk(r)
		if err != nil {
			return nil, err
		}
		if last {
			return blocks, nil
		}
		blocks = append(blocks, b)
	}
}

func lzma2Chunk(r io.Reader) (b block, last bool, err error) {
	var control [1]byte
	var sizes [2]uint16
	if _, err := io.ReadFull(r, control[:]); err != nil {
		return b, false, err
	}
	c := control[0]
	switch {
	case c == 0:
		return b, true, nil
	case c == 1 || c == 2: // stored, with or without a new dictionary
		if err := binary.Read(r, binary.BigEndian, sizes[:1]); err != nil {
			return b, false, err
		}
		n := int64(sizes[0]) + 1
		b = block{raw: n, packed: n + 3}
		_, err = io.CopyN(io.Discard, r, n)
	case c >= 0x80:
		if err := binary.Read(r, binary.BigEndian, sizes[:]); err != nil {
			return b, false, err
		}
		b.raw = int64(c&0x1f)<<16 + int64(sizes[0]) + 1
		n := int64(sizes[1]) + 1
		if c >= 0xc0 { // with new properties, a byte
			n++
		}
		b.packed = n + 5
		_, err = io.CopyN(io.Discard, r, n)
	default:
		err = fmt.Errorf("damaged xz file: a chunk begins with %#x", c)
	}
	return b, false, err
}
