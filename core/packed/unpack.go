package packed

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/pierrec/lz4/v4"
	"github.com/therootcompany/xz"
)

// Magics of the formats, and of a zstd frame that decoders skip.
var magics = []struct{ compression, magic string }{
	{"gzip", "\x1f\x8b"},
	{"xz", "\xfd7zXZ\x00"},
	{"zstd", "\x28\xb5\x2f\xfd"},
	{"lz4", lz4Legacy},
	{"lz4", lz4Frame},
}

const (
	lz4Legacy = "\x02\x21\x4c\x18"
	lz4Frame  = "\x04\x22\x4d\x18"
)

// Detect names the compression of what begins with head, and "" if none is
// known. Six bytes are enough.
func Detect(head []byte) string {
	for _, m := range magics {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			return m.compression
		}
	}
	return ""
}

// Stream is a compressed stream that was read.
type Stream struct {
	Compression string
	Blocks      []Block // their Raw adds up to what came out
	Packed      int64   // the stream's length in bytes
}

// Unpack writes what the compressed stream at the beginning of r unpacks to to
// w. Streams of the same form that follow it directly belong to it, as gzip(1)
// and the others have it; anything else ends it. An error of w ends it too.
//
// Where the blocks are is known exactly for xz and lz4's legacy form; for the
// others as exactly as their decoders read, which is a block for zstd and lz4
// and 32 KiB of output for gzip.
func Unpack(ctx context.Context, r *io.SectionReader, w io.Writer) (s Stream, err error) {
	head := make([]byte, 6)
	if n, err := r.ReadAt(head, 0); err != nil && err != io.EOF {
		return s, err
	} else if s.Compression = Detect(head[:n]); s.Compression == "" {
		return s, errors.New("is not compressed in a way that is known: gzip, xz, zstd, lz4")
	}
	// What decoders of others do with hostile input is not in our hands.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: damaged: %v", s.Compression, r)
		}
	}()
	unpack := map[string]func(context.Context, *io.SectionReader, io.Writer) ([]Block, int64, error){
		"gzip": unpackGzip, "xz": unpackXZ, "zstd": unpackZstd, "lz4": unpackLZ4,
	}[s.Compression]
	s.Blocks, s.Packed, err = unpack(ctx, r, w)
	if err == nil && s.Packed > r.Size() { // a checksum that a decoder did not ask for
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", s.Compression, err)
	}
	return s, err
}

func unpackGzip(ctx context.Context, r *io.SectionReader, w io.Writer) ([]Block, int64, error) {
	in := newInput(io.NewSectionReader(r, 0, r.Size()))
	var blocks []Block
	z, err := gzip.NewReader(in.Reader)
	for err == nil {
		z.Multistream(false)
		var member []Block
		if member, err = measure(ctx, in, z, w); err != nil {
			break
		}
		blocks = append(blocks, member...)
		if next, _ := in.Peek(2); string(next) != magics[0].magic {
			return blocks, in.read(), nil
		}
		err = z.Reset(in.Reader)
	}
	return nil, 0, err
}

func unpackXZ(ctx context.Context, r *io.SectionReader, w io.Writer) ([]Block, int64, error) {
	scan := bufio.NewReader(io.NewSectionReader(r, 0, r.Size()))
	var blocks []Block
	var size int64
	for {
		more, n, err := xzStream(scan)
		if err != nil {
			return nil, 0, err
		}
		blocks, size = append(blocks, more...), size+n
		if next, _ := scan.Peek(6); Detect(next) != "xz" {
			break
		}
	}
	z, err := xz.NewReader(io.NewSectionReader(r, 0, size), maxWindow)
	if err != nil {
		return nil, 0, err
	}
	_, err = io.Copy(w, contextReader{ctx, z})
	return blocks, size, err
}

// unpackZstd hands the decoder no more than the frames: it reads on until the
// end of its input, and what follows the frames may be no zstd.
func unpackZstd(ctx context.Context, r *io.SectionReader, w io.Writer) ([]Block, int64, error) {
	var size int64
	for {
		n, err := zstdFrame(r, size)
		if err != nil {
			return nil, 0, err
		}
		if n == 0 {
			break
		}
		size += n
	}
	blocks, err := zstdBlocks(ctx, io.NewSectionReader(r, 0, size), w)
	return blocks, size, err
}

// zstdFrame returns the length of the frame at offset, and 0 if there is none:
// RFC 8878, 3.1.1 and 3.1.2.
func zstdFrame(r *io.SectionReader, offset int64) (int64, error) {
	var head [8]byte
	if _, err := r.ReadAt(head[:], offset); err != nil {
		return 0, eofIsNone(err)
	}
	magic := binary.LittleEndian.Uint32(head[:])
	if magic&^0xf == 0x184d2a50 {
		return 8 + int64(binary.LittleEndian.Uint32(head[4:])), nil
	}
	if magic != 0xfd2fb528 {
		return 0, nil
	}
	descriptor := head[4]
	n := int64(5) + []int64{0, 1, 2, 4}[descriptor&3] + []int64{0, 2, 4, 8}[descriptor>>6]
	if single := descriptor&0x20 != 0; !single || descriptor>>6 == 0 {
		n++ // the window's descriptor, or a content size of one byte in its place
	}
	for last := false; !last; {
		var b [3]byte
		if _, err := r.ReadAt(b[:], offset+n); err != nil {
			return 0, cutShort(err)
		}
		h := int64(b[0]) | int64(b[1])<<8 | int64(b[2])<<16
		last = h&1 != 0
		if h>>1&3 == 1 { // run-length: one byte, whatever its size
			h = 1 << 3
		}
		n += 3 + h>>3
	}
	if descriptor&4 != 0 {
		n += 4 // checksum
	}
	return n, nil
}

// unpackLZ4 is for both forms. A stream of the legacy form has no end mark; it
// ends at the end of the file or at a block of size 0, as in Linux'
// lib/decompress_unlz4.c.
func unpackLZ4(ctx context.Context, r *io.SectionReader, w io.Writer) ([]Block, int64, error) {
	var head [4]byte
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return nil, 0, err
	}
	if string(head[:]) == lz4Legacy {
		return unpackLegacyLZ4(ctx, r, w)
	}
	var blocks []Block
	var size int64
	for {
		n, err := lz4FrameSize(r, size)
		if n == 0 || err != nil {
			return blocks, size, err
		}
		in := newInput(io.NewSectionReader(r, size, n))
		frame, err := measure(ctx, in, lz4.NewReader(in.Reader), w)
		if err != nil {
			return nil, 0, err
		}
		blocks, size = append(blocks, frame...), size+n
	}
}

// lz4FrameSize returns the length of the frame at offset, and 0 if there is
// none: LZ4 Frame Format Description 1.6.4.
func lz4FrameSize(r *io.SectionReader, offset int64) (int64, error) {
	var head [5]byte
	if _, err := r.ReadAt(head[:], offset); err != nil {
		return 0, eofIsNone(err)
	}
	if string(head[:4]) != lz4Frame {
		return 0, nil
	}
	n, flags := int64(7), head[4]
	if flags&8 != 0 {
		n += 8 // content size
	}
	if flags&1 != 0 {
		n += 4 // dictionary
	}
	for {
		var b [4]byte
		if _, err := r.ReadAt(b[:], offset+n); err != nil {
			return 0, cutShort(err)
		}
		n += 4
		size := int64(binary.LittleEndian.Uint32(b[:]) &^ (1 << 31))
		if size == 0 {
			break
		}
		n += size
		if flags&0x10 != 0 {
			n += 4 // block checksum
		}
	}
	if flags&4 != 0 {
		n += 4 // content checksum
	}
	return n, nil
}

// legacyBlock is the most that a block of the legacy form unpacks to.
const legacyBlock = 8 << 20

func unpackLegacyLZ4(ctx context.Context, r *io.SectionReader, w io.Writer) (blocks []Block, size int64, err error) {
	var out []byte
	for size = 4; ; {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		var b [4]byte
		if _, err := r.ReadAt(b[:], size); err == io.EOF {
			return blocks, min(size, r.Size()), nil
		} else if err != nil {
			return nil, 0, err
		}
		n := int64(binary.LittleEndian.Uint32(b[:]))
		switch {
		case n == 0:
			return blocks, size, nil
		case string(b[:]) == lz4Legacy:
			size += 4
			continue
		case n > int64(lz4.CompressBlockBound(legacyBlock)):
			return nil, 0, fmt.Errorf("a block at %d claims %d bytes, which no block has", size, n)
		}
		in := make([]byte, n)
		if _, err := r.ReadAt(in, size+4); err != nil {
			return nil, 0, cutShort(err)
		}
		if out == nil {
			out = make([]byte, legacyBlock)
		}
		raw, err := lz4.UncompressBlock(in, out)
		if err != nil {
			return nil, 0, fmt.Errorf("the block at %d is damaged: %w", size, err)
		}
		if _, err := w.Write(out[:raw]); err != nil {
			return nil, 0, err
		}
		blocks = append(blocks, Block{Raw: int64(raw), Packed: 4 + n})
		size += 4 + n
	}
}

func eofIsNone(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

func cutShort(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// contextReader ends when ctx does.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
