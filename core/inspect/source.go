package inspect

import (
	"bufio"
	"fmt"
	"io"
	"os"

	"github.com/somebloke1/elixir-lean-lab/core/packed"
)

// source is a stretch of what an image holds, unpacked or not.
type source struct {
	*io.SectionReader
	on func(offset int64) int64 // how many bytes on disk are before offset; never falls
}

// section is n bytes from offset, or what there is of them.
func (s source) section(offset, n int64) source {
	return source{
		SectionReader: io.NewSectionReader(s, offset, min(n, s.Size()-offset)),
		on:            func(o int64) int64 { return s.on(offset + o) },
	}
}

// bytes is what the bytes from start to end take on disk.
func (s source) bytes(start, end int64) int64 { return s.on(end) - s.on(start) }

// all is what all of s takes on disk.
func (s source) all() int64 { return s.bytes(0, s.Size()) }

// full fills p from offset. That s ends before is an error.
func (s source) full(p []byte, offset int64) error {
	n, err := s.ReadAt(p, offset)
	if n == len(p) {
		return nil
	}
	if err == io.EOF {
		return fmt.Errorf("is cut short: %d bytes at %d are beyond its end at %d", len(p), offset, s.Size())
	}
	return err
}

// unpack unpacks the compressed stream that s begins with.
func (o *opener) unpack(s source) (source, packed.Stream, error) {
	if err := o.needTemp(); err != nil {
		return source{}, packed.Stream{}, err
	}
	start := o.tempEnd
	w := bufio.NewWriterSize(spool{o}, 1<<18)
	stream, err := packed.Unpack(o.ctx, s.SectionReader, w)
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		return source{}, stream, err
	}
	index := packed.NewIndex(stream.Blocks)
	return source{
		SectionReader: io.NewSectionReader(o.temp, start, o.tempEnd-start),
		on:            func(offset int64) int64 { return s.on(index.Packed(offset)) },
	}, stream, nil
}

// needTemp makes the temporary file. It has no name, so that it is gone with
// the process however that ends.
func (o *opener) needTemp() error {
	if o.temp != nil {
		return nil
	}
	f, err := os.CreateTemp("", "leanlab-inspect-")
	if err != nil {
		return err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return err
	}
	o.temp, o.close = f, append(o.close, f.Close)
	return nil
}

// spool writes to the end of the temporary file, as far as Limits allow.
type spool struct{ o *opener }

func (s spool) Write(p []byte) (int, error) {
	if err := s.o.contents(int64(len(p))); err != nil {
		return 0, err
	}
	if end := s.o.tempEnd + int64(len(p)); end > max(s.o.small, mostRatio*s.o.size) {
		return 0, fmt.Errorf("unpacks to %d bytes and more, %d times its size: nothing that boots does", end, end/max(s.o.size, 1))
	}
	n, err := s.o.temp.WriteAt(p, s.o.tempEnd)
	s.o.tempEnd += int64(n)
	return n, err
}
