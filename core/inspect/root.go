package inspect

import (
	"errors"
	"maps"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// root is a root file system that was read.
type root struct {
	format, compression string
	tree                *rootfs.Tree
	extents             []extent
	rest                map[string]int64
	structures          string // what to call all that is left
	configFile          string // of a container image, by its name in the archive
	config              *Config
}

// extent is what some contents of a file take on disk.
type extent struct {
	entry *rootfs.Entry
	bytes int64
}

func newRoot(format, structures string) *root {
	return &root{format: format, tree: rootfs.New(), rest: map[string]int64{}, structures: structures}
}

func (r *root) takes(e *rootfs.Entry, bytes int64) {
	r.extents = append(r.extents, extent{e, bytes})
}

// image accounts for all of the bytes that the root takes on disk.
func (r *root) image(bytes int64) (*Image, error) {
	img := &Image{
		Format: r.format, Compression: r.compression, Bytes: bytes, Tree: r.tree, Config: r.config,
		Stored: map[string]int64{}, Rest: maps.Clone(r.rest),
	}
	left := bytes
	for _, x := range r.extents {
		left -= x.bytes
		if e, ok := r.tree.Get(x.entry.Path); ok && e == x.entry {
			img.Stored[e.Path] += x.bytes
		} else if x.bytes > 0 {
			img.Rest["replaced files"] += x.bytes
		}
	}
	for _, n := range r.rest {
		left -= n
	}
	if left < 0 {
		return nil, errors.New("is damaged: its files claim more of it than there is")
	}
	if left > 0 {
		img.Rest[r.structures] += left
	}
	return img, nil
}
