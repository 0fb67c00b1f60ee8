package rootfs

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"
)

// maxTarEntries bounds the memory that an archive can claim: a header is 512
// bytes in it and about as much in a Tree. A full Debian has some 200 000.
const maxTarEntries = 1 << 20

// AddTar adds what the uncompressed tar archive file holds, below the directory
// at. Contents stay in the archive, which must not change before the tree is
// written. Of two entries with one name the later counts. Owners, modes and
// devices are the archive's; times and extended attributes are dropped.
//
// Archives are untrusted: a name with "..", a type that a root file system does
// not have, and a file that ends beyond the archive are errors. Absolute names
// and links are data: everything happens inside the tree.
func (t *Tree) AddTar(file, at string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := t.addTar(f, info.Size(), file, at); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

func (t *Tree) addTar(r io.ReadSeeker, size int64, file, at string) error {
	tr := tar.NewReader(r)
	for n := 0; ; n++ {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("after %d entries: %w", n, err)
		}
		if n == maxTarEntries {
			return fmt.Errorf("more than %d entries", maxTarEntries)
		}
		// tar.Reader reads whole headers and nothing ahead: here is the file.
		offset, err := r.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		c := &content{host: file, offset: offset, size: h.Size}
		if h.Typeflag == tar.TypeReg && h.Size > size-offset {
			return fmt.Errorf("%s: its %d bytes end beyond the archive, which is cut short", h.Name, h.Size)
		}
		if _, err := t.addHeader(h, c, at); err != nil {
			return err
		}
	}
}

// AddTarEntry adds one entry of an archive as AddTar does, and returns it: nil
// for a header that describes no file. Contents are what follows the header.
func (t *Tree) AddTarEntry(h *tar.Header, contents *io.SectionReader) (*Entry, error) {
	return t.addHeader(h, &content{reader: contents, size: contents.Size()}, "/")
}

func (t *Tree) addHeader(h *tar.Header, c *content, at string) (*Entry, error) {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return nil, fmt.Errorf("%s: is stored sparse, which is not supported: pack it without --sparse", h.Name)
		}
	}
	e := &Entry{
		Path: strings.TrimSuffix(at, "/") + "/" + h.Name,
		Mode: fileMode(uint32(h.Mode & 0o7777)),
		UID:  h.Uid,
		GID:  h.Gid,
	}
	switch h.Typeflag {
	case tar.TypeReg:
		e.Type, e.content = Regular, c
	case tar.TypeDir:
		e.Type = Directory
	case tar.TypeSymlink:
		e.Type, e.Link = Symlink, h.Linkname
	case tar.TypeFifo:
		e.Type = FIFO
	case tar.TypeChar, tar.TypeBlock:
		e.Type = CharDevice
		if h.Typeflag == tar.TypeBlock {
			e.Type = BlockDevice
		}
		if err := checkDevice(h.Devmajor, h.Devminor); err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
		e.Major, e.Minor = uint32(h.Devmajor), uint32(h.Devminor)
	case tar.TypeLink:
		return e, t.addHardLink(e, strings.TrimSuffix(at, "/")+"/"+h.Linkname)
	case tar.TypeXGlobalHeader: // git archive's: a comment, for no file
		return nil, nil
	default:
		return nil, fmt.Errorf("%s: entries of type %q are not supported", h.Name, h.Typeflag)
	}
	return e, t.add(e)
}

// addHardLink makes e a link to target, an earlier entry: a link is that entry
// under one more name, whatever else its own header says.
func (t *Tree) addHardLink(e *Entry, target string) error {
	to, ok := t.Get(target)
	if !ok {
		if _, err := cleanPath(target); err != nil {
			return fmt.Errorf("%s: is a hard link: %w", e.Path, err)
		}
		return fmt.Errorf("%s: is a hard link to %s, which does not come before it", e.Path, target)
	}
	if to.Type == Directory {
		return fmt.Errorf("%s: is a hard link to %s, a directory", e.Path, target)
	}
	name := e.Path
	*e = *to
	e.Path = name
	return t.add(e)
}

// checkDevice holds device numbers to Linux' 12 and 20 bits
// (include/linux/kdev_t.h).
func checkDevice(major, minor int64) error {
	if major < 0 || major >= 1<<12 || minor < 0 || minor >= 1<<20 {
		return fmt.Errorf("device %d:%d is not between 0:0 and 4095:1048575", major, minor)
	}
	return nil
}

// WriteTar writes the tree as an uncompressed tar archive in Walk's order, with
// names as "etc/passwd" and the root as "./". Equal trees give equal bytes.
func (t *Tree) WriteTar(w io.Writer) error {
	tw := tar.NewWriter(w)
	first := map[inode]string{}
	err := t.Walk(func(e *Entry) error {
		h := tarHeader(e)
		if e.Type == Regular {
			if name, ok := first[e.inode()]; ok {
				h.Typeflag, h.Linkname, h.Size = tar.TypeLink, name, 0
			} else {
				first[e.inode()] = h.Name
			}
		}
		if err := tw.WriteHeader(h); err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
		if h.Typeflag != tar.TypeReg {
			return nil
		}
		if err := e.copyTo(tw); err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
		return nil
	})
	return errors.Join(err, closeUnless(err, tw))
}

// closeUnless closes c if there was no err: closing a tar.Writer in the middle
// of a file is an error that says nothing new.
func closeUnless(err error, c io.Closer) error {
	if err != nil {
		return nil
	}
	return c.Close()
}

func tarHeader(e *Entry) *tar.Header {
	h := &tar.Header{
		Name:     strings.TrimPrefix(e.Path, "/"),
		Mode:     int64(unixMode(e.Mode)),
		Uid:      e.UID,
		Gid:      e.GID,
		Devmajor: int64(e.Major),
		Devminor: int64(e.Minor),
		Linkname: e.Link,
		Size:     e.Size(),
		ModTime:  time.Unix(0, 0),
	}
	switch e.Type {
	case Directory:
		h.Typeflag, h.Name = tar.TypeDir, path.Join(".", h.Name)+"/"
	case Regular:
		h.Typeflag = tar.TypeReg
	case Symlink:
		h.Typeflag = tar.TypeSymlink
	case CharDevice:
		h.Typeflag = tar.TypeChar
	case BlockDevice:
		h.Typeflag = tar.TypeBlock
	case FIFO:
		h.Typeflag = tar.TypeFifo
	}
	return h
}

// WriteTarFile writes the tree as WriteTar does to a new file.
func (t *Tree) WriteTarFile(file string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := t.WriteTar(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}
