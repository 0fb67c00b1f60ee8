package beam

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// MaxSize is the size in bytes of the largest form that Parse accepts, after
// decompression. The largest module of OTP 27 has 2 MB, debug information
// included.
const MaxSize = 64 << 20

// formHeader is "FOR1", the size, and "BEAM".
const formHeader = 12

// chunkHeader is a chunk's id and size.
const chunkHeader = 8

// Chunk is a part of a BEAM file.
type Chunk struct {
	ID   string // four bytes
	Data []byte // without padding
}

// File is a BEAM file as its chunks, in the order of the file. An id occurs
// once: of several, the loader uses the last, and so does Parse.
type File struct {
	Chunks []Chunk
}

// IsBEAM reports whether data starts like a BEAM file, compressed or not.
func IsBEAM(data []byte) bool {
	return isForm(data) || isGzip(data)
}

func isForm(data []byte) bool { return bytes.HasPrefix(data, []byte("FOR1")) }

// isGzip tests for the magic of RFC 1952 and its only method, deflate.
func isGzip(data []byte) bool { return bytes.HasPrefix(data, []byte{0x1f, 0x8b, 8}) }

// Parse reads a BEAM file. A file compressed with gzip, as the compiler's
// option compressed and beam_lib:strip_files/1 write it, is expanded first.
// The chunks of an uncompressed file share memory with data. Bytes behind the
// form are ignored, as the loader does.
func Parse(data []byte) (*File, error) {
	if isGzip(data) {
		expanded, err := gunzip(data)
		if err != nil {
			return nil, err
		}
		data = expanded
	}
	if len(data) < formHeader || !isForm(data) {
		return nil, errors.New("not a BEAM file: it does not start with an IFF form (FOR1)")
	}
	if len(data) > MaxSize {
		return nil, fmt.Errorf("BEAM file of %d bytes: more than %d are not accepted", len(data), MaxSize)
	}
	size := int64(binary.BigEndian.Uint32(data[4:]))
	if size+8 > int64(len(data)) {
		return nil, fmt.Errorf("truncated BEAM file: its form says %d bytes, the file has %d", size+8, len(data))
	}
	if size < 4 || string(data[8:12]) != "BEAM" {
		return nil, fmt.Errorf("IFF form of type %q, not BEAM", data[8:12])
	}
	f := &File{}
	if err := f.parseChunks(data[formHeader : 8+size]); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *File) parseChunks(rest []byte) error {
	at := formHeader
	index := map[string]int{}
	for len(rest) > 0 {
		if len(rest) < chunkHeader {
			return fmt.Errorf("offset %d: %d bytes left where a chunk header of %d should be", at, len(rest), chunkHeader)
		}
		id := string(rest[:4])
		size := int64(binary.BigEndian.Uint32(rest[4:]))
		stored := (size + 3) &^ 3
		if chunkHeader+stored > int64(len(rest)) {
			return fmt.Errorf("offset %d: chunk %q of %d bytes does not fit in the form", at, id, size)
		}
		chunk := Chunk{ID: id, Data: rest[chunkHeader : chunkHeader+size : chunkHeader+size]}
		if i, seen := index[id]; seen {
			f.Chunks[i] = chunk
		} else {
			index[id] = len(f.Chunks)
			f.Chunks = append(f.Chunks, chunk)
		}
		rest = rest[chunkHeader+stored:]
		at += chunkHeader + int(stored)
	}
	return nil
}

func gunzip(data []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("gzip-compressed BEAM file: %w", err)
	}
	out, err := io.ReadAll(io.LimitReader(z, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("gzip-compressed BEAM file: %w", err)
	}
	if len(out) > MaxSize {
		return nil, fmt.Errorf("gzip-compressed BEAM file expands to more than %d bytes", MaxSize)
	}
	return out, nil
}

// Bytes returns the file uncompressed, as beam_asm and beam_lib:build_module/1
// write it.
func (f *File) Bytes() []byte {
	size := formHeader
	for _, c := range f.Chunks {
		size += chunkHeader + (len(c.Data)+3)&^3
	}
	out := make([]byte, 0, size)
	out = append(out, "FOR1"...)
	out = binary.BigEndian.AppendUint32(out, uint32(size-8))
	out = append(out, "BEAM"...)
	for _, c := range f.Chunks {
		out = append(out, c.ID...)
		out = binary.BigEndian.AppendUint32(out, uint32(len(c.Data)))
		out = append(out, c.Data...)
		for len(out)%4 != 0 {
			out = append(out, 0)
		}
	}
	return out
}

// Chunk returns the data of the chunk with that id.
func (f *File) Chunk(id string) ([]byte, bool) {
	for _, c := range f.Chunks {
		if c.ID == id {
			return c.Data, true
		}
	}
	return nil, false
}
