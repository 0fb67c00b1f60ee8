package rootfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// content is where a regular file's bytes are: size bytes from offset of a file
// on the host, or of what a reader reads. Hard links share one.
type content struct {
	host   string      // "" for reader
	reader io.ReaderAt // nil for host
	offset int64
	size   int64
}

func bytesContent(data []byte) *content {
	return &content{reader: bytes.NewReader(data), size: int64(len(data))}
}

func hostContent(file string) (*content, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", file)
	}
	return &content{host: file, size: info.Size()}, nil
}

// Contents reads a regular file.
type Contents struct {
	*io.SectionReader
	file *os.File
}

// Close ends reading.
func (c *Contents) Close() error {
	if c.file == nil {
		return nil
	}
	return c.file.Close()
}

// Size is a regular file's size in bytes, and 0 for all else.
func (e *Entry) Size() int64 {
	if e.content == nil {
		return 0
	}
	return e.content.size
}

// FileID is equal for the hard links of one file, and for no others.
type FileID struct{ content *content }

// FileID tells whose contents a regular file's name leads to.
func (e *Entry) FileID() FileID { return FileID{e.content} }

// Open opens a regular file's contents.
func (e *Entry) Open() (*Contents, error) {
	c := e.content
	if c == nil {
		return nil, fmt.Errorf("%s: a %v has no contents", e.Path, e.Type)
	}
	if c.reader != nil {
		return &Contents{SectionReader: io.NewSectionReader(c.reader, c.offset, c.size)}, nil
	}
	f, err := os.Open(c.host)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.Path, err)
	}
	return &Contents{SectionReader: io.NewSectionReader(f, c.offset, c.size), file: f}, nil
}

// copyTo writes the contents to w, all Size bytes of them or an error: a host
// file may have shrunk since it was added.
func (e *Entry) copyTo(w io.Writer) error {
	r, err := e.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.CopyN(w, r, e.Size())
	if errors.Is(err, io.EOF) && e.content.host != "" {
		return fmt.Errorf("%s: %s became shorter after it was added: build again", e.Path, e.content.host)
	}
	return err
}
