package inspect

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz/lzma"
)

// erofsPlace tells decoded extents apart: what files share is cut at the length
// that each has of it.
type erofsPlace struct{ position, length int64 }

// decode returns the n bytes of an extent, which may not be all that its cluster
// holds.
func (e *erofsFS) decode(x erofsExtent, n int64) ([]byte, error) {
	return e.decoded.get(erofsPlace{x.position, n}, func() ([]byte, error) {
		in := make([]byte, x.bytes)
		if err := e.s.full(in, x.position); err != nil {
			return nil, err
		}
		if e.padded || x.algorithm != erofsLZ4 {
			in = bytes.TrimLeft(in, "\x00")
		}
		out := make([]byte, n)
		return out, erofsDecoders[x.algorithm](out, in)
	})
}

// erofsDecoders fill out with the beginning of what in unpacks to.
var erofsDecoders = [...]func(out, in []byte) error{
	erofsLZ4:  lz4Beginning,
	erofsLZMA: microLZMA,
	erofsDeflate: func(out, in []byte) error {
		_, err := io.ReadFull(flate.NewReader(bytes.NewReader(in)), out)
		return err
	},
	erofsZstd: func(out, in []byte) error {
		z, err := zstd.NewReader(bytes.NewReader(in), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(erofsMaxExtent))
		if err != nil {
			return err
		}
		defer z.Close()
		_, err = io.ReadFull(z, out)
		return err
	},
}

// microLZMA decodes what xz calls MicroLZMA (src/liblzma/api/lzma/container.h):
// LZMA without its header, whose properties stand negated in place of the first
// byte, which is always 0. With the header it is a .lzma file, which the library
// reads.
func microLZMA(out, in []byte) error {
	if len(in) == 0 {
		return io.ErrUnexpectedEOF
	}
	head := make([]byte, lzma.HeaderLen+1)
	head[0] = ^in[0]
	le := binary.LittleEndian
	le.PutUint32(head[1:], uint32(max(len(out), lzma.MinDictCap))) // nothing is further back
	le.PutUint64(head[5:], uint64(len(out)))
	r, err := lzma.ReaderConfig{DictCap: erofsMaxExtent}.NewReader(io.MultiReader(bytes.NewReader(head), bytes.NewReader(in[1:])))
	if err != nil {
		return err
	}
	_, err = io.ReadFull(r, out)
	return err
}

var errLZ4 = errors.New("damaged lz4 block")

// lz4Beginning fills out from an lz4 block (lz4_Block_format.md). The library's
// decoder gives nothing unless the block ends with out and in with the block;
// here out may be the beginning of a block that other files have more of, and
// what Linux before 5.3 reads does not tell where in ends.
func lz4Beginning(out, in []byte) error {
	done := 0
	for len(in) > 0 {
		token := int(in[0])
		literals, rest, err := lz4Length(token>>4, in[1:])
		if err != nil {
			return err
		}
		literals = min(literals, len(out)-done)
		if literals > len(rest) {
			return errLZ4
		}
		done += copy(out[done:], rest[:literals])
		if done == len(out) {
			return nil
		}
		if rest = rest[literals:]; len(rest) < 2 {
			return errLZ4
		}
		distance := int(binary.LittleEndian.Uint16(rest))
		match, rest, err := lz4Length(token&15, rest[2:])
		if err != nil {
			return err
		}
		if distance == 0 || distance > done {
			return errLZ4
		}
		// A match has 4 bytes at least, and may go on into what it makes.
		for end := min(done+match+4, len(out)); done < end; {
			done += copy(out[done:end], out[done-distance:done])
		}
		if done == len(out) {
			return nil
		}
		in = rest
	}
	return errLZ4
}

// lz4Length reads the rest of a length that 15 in the token only begins.
func lz4Length(n int, in []byte) (int, []byte, error) {
	if n < 15 {
		return n, in, nil
	}
	for i, b := range in {
		if n += int(b); b != 255 {
			return n, in[i+1:], nil
		}
	}
	return 0, nil, errLZ4
}
