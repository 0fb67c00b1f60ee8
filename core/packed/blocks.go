package packed

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sort"

	"github.com/klauspost/compress/zstd"
)

// maxWindow bounds a decoder's memory; it is Linux' own bound for zstd
// (lib/decompress_unzstd.c, ZSTD_WINDOWSIZE_MAX).
const maxWindow = 128 << 20

// Block is a stretch of a compressed stream: Raw bytes that take Packed.
type Block struct{ Raw, Packed int64 }

// Index tells for a place in what a stream unpacks to where in the stream that
// is. Inside a block each byte takes the same.
type Index struct {
	blocks      []Block
	raw, packed []int64 // where each block begins
}

// NewIndex makes the index of blocks that follow each other.
func NewIndex(blocks []Block) *Index {
	x := &Index{blocks: blocks, raw: make([]int64, len(blocks)), packed: make([]int64, len(blocks))}
	for i := 1; i < len(blocks); i++ {
		x.raw[i] = x.raw[i-1] + blocks[i-1].Raw
		x.packed[i] = x.packed[i-1] + blocks[i-1].Packed
	}
	return x
}

// Packed returns how many packed bytes the first raw bytes take, rounded down.
// It never falls as raw grows, so that the parts of a stream add up to it.
func (x *Index) Packed(raw int64) int64 {
	i := sort.Search(len(x.blocks), func(i int) bool { return x.raw[i] > raw }) - 1
	if i < 0 {
		return 0
	}
	b, in := x.blocks[i], raw-x.raw[i]
	if in >= b.Raw {
		return x.packed[i] + b.Packed
	}
	return x.packed[i] + int64(float64(in)/float64(b.Raw)*float64(b.Packed))
}

// input is a compressed stream as decoders read it. They must get the
// bufio.Reader itself: with one, gzip's takes a third less time, and reads no
// further ahead than it must.
type input struct {
	*bufio.Reader
	from countingReader
}

func newInput(r io.Reader) *input {
	in := &input{from: countingReader{r: r}}
	in.Reader = bufio.NewReaderSize(&in.from, 1<<16)
	return in
}

// read is how many bytes were read.
func (in *input) read() int64 { return in.from.n - int64(in.Buffered()) }

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

// measure copies what decoder makes of in to w. A decoder that reads no further
// than it must tells by that what its output takes: 4 KiB at a time is how
// exactly.
func measure(ctx context.Context, in *input, decoder io.Reader, w io.Writer) ([]Block, error) {
	var blocks []Block
	seen := in.read()
	buf := make([]byte, 4096)
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, err := io.ReadFull(decoder, buf)
		if now := in.read(); now != seen || len(blocks) == 0 {
			blocks = append(blocks, Block{Packed: now - seen})
			seen = now
		}
		blocks[len(blocks)-1].Raw += int64(n)
		if _, err := w.Write(buf[:n]); err != nil {
			return nil, err
		}
		switch err {
		case nil:
		case io.EOF:
			return blocks, nil
		case io.ErrUnexpectedEOF:
			// ReadFull's own, or the decoder's for a stream that is cut short.
			if _, err := decoder.Read(buf[:1]); err != io.EOF {
				return nil, io.ErrUnexpectedEOF
			}
			return blocks, nil
		default:
			return nil, err
		}
	}
}

// zstdBlocks unpacks zstd frames to w. A block's header does not tell its
// uncompressed size; a decoder without concurrency reads one at a time.
func zstdBlocks(ctx context.Context, r io.Reader, w io.Writer) ([]Block, error) {
	in := newInput(r)
	d, err := zstd.NewReader(in.Reader, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return measure(ctx, in, d, w)
}

// xzStream finds the LZMA2 chunks of an xz stream, and its length. A chunk has
// its sizes in its header: The .xz File Format 1.2.1, 2 to 4; Linux,
// lib/xz/xz_dec_lzma2.c.
func xzStream(r *bufio.Reader) ([]Block, int64, error) {
	x := xzScanner{r: r}
	var head [12]byte
	if err := x.read(head[:]); err != nil {
		return nil, 0, err
	}
	if string(head[:6]) != "\xfd7zXZ\x00" {
		return nil, 0, errors.New("is no xz file")
	}
	check, ok := map[byte]int64{0: 0, 1: 4, 4: 8, 10: 32}[head[7]]
	if !ok {
		return nil, 0, fmt.Errorf("xz: there is no check %d", head[7])
	}
	for {
		last, err := x.block(check)
		if err != nil {
			return nil, 0, err
		}
		if last {
			return x.blocks, x.n, nil
		}
	}
}

type xzScanner struct {
	r      *bufio.Reader
	n      int64
	blocks []Block
}

func (x *xzScanner) read(p []byte) error {
	n, err := io.ReadFull(x.r, p)
	x.n += int64(n)
	return err
}

func (x *xzScanner) skip(n int64) error {
	done, err := io.CopyN(io.Discard, x.r, n)
	x.n += done
	return err
}

// block scans a block with its padding and check, or what follows the last: the
// index and the stream's footer.
func (x *xzScanner) block(check int64) (last bool, err error) {
	var size [1]byte
	if err := x.read(size[:]); err != nil {
		return false, err
	}
	if size[0] == 0 {
		return true, x.index()
	}
	if err := x.skip((int64(size[0])+1)*4 - 1); err != nil {
		return false, err
	}
	for {
		b, end, err := x.chunk()
		if err != nil {
			return false, err
		}
		if end {
			return false, x.skip(-x.n&3 + check)
		}
		x.blocks = append(x.blocks, b)
	}
}

// index reads past the index, whose first byte was read, and the footer.
func (x *xzScanner) index() error {
	records, err := x.integer()
	if err != nil {
		return err
	}
	for range records {
		for range 2 {
			if _, err := x.integer(); err != nil {
				return err
			}
		}
	}
	const crc, footer = 4, 12
	return x.skip(-x.n&3 + crc + footer)
}

// integer reads a multibyte integer: The .xz File Format, 1.2.
func (x *xzScanner) integer() (n uint64, err error) {
	var b [1]byte
	for shift := 0; shift < 63; shift += 7 {
		if err := x.read(b[:]); err != nil {
			return 0, err
		}
		n |= uint64(b[0]&0x7f) << shift
		if b[0]&0x80 == 0 {
			return n, nil
		}
	}
	return 0, errors.New("damaged xz file: a number in its index is too large")
}

func (x *xzScanner) chunk() (b Block, end bool, err error) {
	var control [1]byte
	if err := x.read(control[:]); err != nil {
		return b, false, err
	}
	c := control[0]
	if c == 0 {
		return b, true, nil
	}
	var sizes [4]byte
	switch {
	case c == 1 || c == 2: // stored, with or without a new dictionary
		if err := x.read(sizes[:2]); err != nil {
			return b, false, err
		}
		n := int64(binary.BigEndian.Uint16(sizes[:])) + 1
		return Block{Raw: n, Packed: n + 3}, false, x.skip(n)
	case c >= 0x80:
		if err := x.read(sizes[:]); err != nil {
			return b, false, err
		}
		n := int64(binary.BigEndian.Uint16(sizes[2:])) + 1
		if c >= 0xc0 { // with new properties, a byte
			n++
		}
		b.Raw = int64(c&0x1f)<<16 + int64(binary.BigEndian.Uint16(sizes[:])) + 1
		b.Packed = n + 5
		return b, false, x.skip(n)
	}
	return b, false, fmt.Errorf("damaged xz file: a chunk begins with %#x", c)
}
