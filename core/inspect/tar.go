package inspect

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/somebloke1/elixir-lean-lab/core/packed"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

func isTar(head []byte) bool {
	return len(head) >= 262 && string(head[257:262]) == "ustar"
}

// errEnough ends an unpacking of which the beginning is enough.
var errEnough = errors.New("enough was unpacked")

// beginning keeps the first 512 bytes that are written to it.
type beginning struct{ data []byte }

func (b *beginning) Write(p []byte) (int, error) {
	b.data = append(b.data, p[:min(len(p), 512-len(b.data))]...)
	if len(b.data) == 512 {
		return 0, errEnough
	}
	return len(p), nil
}

// unpackedHead returns the first bytes of what a compressed stream holds.
func (o *opener) unpackedHead(s source) ([]byte, error) {
	var b beginning
	if _, err := packed.Unpack(o.ctx, s.SectionReader, &b); err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	return b.data, nil
}

// tarStream returns the archive that s is, unpacked if need be.
func (o *opener) tarStream(r *root, s source) (source, error) {
	head := make([]byte, 6)
	if n, err := s.ReadAt(head, 0); err != nil && err != io.EOF {
		return s, err
	} else if packed.Detect(head[:n]) == "" {
		return s, nil
	}
	in, stream, err := o.unpack(s)
	if err == nil && r.compression == "" {
		r.compression = stream.Compression
	}
	return in, err
}

// tar reads a tar archive, which is a root file system or has a container image
// in it.
func (o *opener) tar(s source) (*root, error) {
	r := newRoot("tar", "headers")
	in, err := o.tarStream(r, s)
	if err != nil {
		return nil, err
	}
	files, err := o.containerFiles(in)
	if err != nil {
		return nil, err
	}
	if files != nil {
		return r, o.container(r, files)
	}
	return r, o.eachTar(in, func(h *tar.Header, body source) error {
		if err := o.entry(r.tree, tarName(h)); err != nil {
			return err
		}
		return r.addTar(h, body)
	})
}

// eachTar calls fn for each entry of an archive and what is in it.
func (o *opener) eachTar(s source, fn func(*tar.Header, source) error) error {
	in := io.NewSectionReader(s, 0, s.Size())
	tr := tar.NewReader(in)
	for n := 0; ; n++ {
		if err := o.ctx.Err(); err != nil {
			return err
		}
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("tar: after %d entries: %w", n, err)
		}
		// tar.Reader reads whole headers and nothing ahead: here is the file.
		offset, err := in.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		var size int64
		if h.Typeflag == tar.TypeReg {
			size = h.Size
		}
		if size > s.Size()-offset {
			return fmt.Errorf("tar: %s: its %d bytes end beyond the archive, which is cut short", h.Name, size)
		}
		if err := fn(h, s.section(offset, size)); err != nil {
			return fmt.Errorf("tar: %w", err)
		}
	}
}

// addTar adds an entry, whose contents take whole blocks of 512 bytes.
func (r *root) addTar(h *tar.Header, body source) error {
	e, err := r.tree.AddTarEntry(h, body.SectionReader)
	if err != nil || e == nil {
		return err
	}
	if h.Typeflag == tar.TypeReg {
		r.takes(e, body.bytes(0, (body.Size()+511)&^511))
	}
	return nil
}

// tarName is an entry's name as paths of a tree are.
func tarName(h *tar.Header) string { return path.Join("/", h.Name) }

// layer applies a layer of a container image: what it deletes of the layers
// below, and then what it adds (OCI Image Layer Filesystem Changeset).
func (o *opener) layer(r *root, s source) error {
	in, err := o.tarStream(r, s)
	if err != nil {
		return err
	}
	if err := o.deleteBelow(r.tree, in); err != nil {
		return err
	}
	return o.eachTar(in, func(h *tar.Header, body source) error {
		if _, ok := whiteout(tarName(h)); ok {
			return nil
		}
		if err := o.entry(r.tree, tarName(h)); err != nil {
			return err
		}
		return r.addTar(h, body)
	})
}

// opaque is the whiteout of all that a directory has in the layers below.
const opaque = ".wh..wh..opq"

// whiteout returns the name that the file called name deletes.
func whiteout(name string) (string, bool) {
	dir, base := path.Split(name)
	if len(base) <= 4 || base[:4] != ".wh." {
		return "", false
	}
	return path.Join(dir, base[4:]), true
}

// deleteBelow deletes all that the layer in deletes of tree, at once: one by one
// would take hostile layers the square of their size.
func (o *opener) deleteBelow(tree *rootfs.Tree, in source) error {
	gone, emptied := map[string]bool{}, map[string]bool{}
	err := o.eachTar(in, func(h *tar.Header, _ source) error {
		name := tarName(h)
		deleted, ok := whiteout(name)
		switch {
		case path.Base(name) == opaque:
			if dir, ok := tree.Get(path.Dir(name)); ok {
				emptied[dir.Path] = true
			}
		case ok:
			if e, ok := tree.Get(deleted); ok {
				gone[e.Path] = true
			}
		default: // a directory instead of something else, or the reverse
			e, ok := tree.Get(name)
			if ok && (e.Type == rootfs.Directory) != (h.Typeflag == tar.TypeDir) {
				gone[e.Path] = true
			}
		}
		if len(gone)+len(emptied) > o.limits.Files {
			return fmt.Errorf("a layer deletes more than %d files", o.limits.Files)
		}
		return nil
	})
	if err != nil || len(gone)+len(emptied) == 0 {
		return err
	}
	tree.RemoveFunc(func(e *rootfs.Entry) bool {
		return gone[e.Path] || emptied[path.Dir(e.Path)]
	})
	return nil
}
