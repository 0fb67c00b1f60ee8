package inspect

import (
	"cmp"
	"errors"
	"maps"
	"slices"

	"github.com/somebloke1/elixir-lean-lab/core/packed"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// root is a root file system that was read.
type root struct {
	format, compression string
	tree                *rootfs.Tree
	extents             []extent
	rest                map[string]int64
	structures          string // what to call all that is left
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

// tail is the end of a file in a block that holds those of others too.
type tail struct {
	entry         *rootfs.Entry
	offset, bytes int64
}

// share shares blocks among the files whose ends they hold. Files that are equal
// have one place, which the first of them takes.
func (r *root) share(tails []tail, blocks *packed.Index) {
	slices.SortStableFunc(tails, func(a, b tail) int { return cmp.Compare(a.offset, b.offset) })
	var end int64 // of what is shared out
	for _, t := range tails {
		start := max(t.offset, end)
		if end = max(end, t.offset+t.bytes); start < end {
			r.takes(t.entry, blocks.Packed(end)-blocks.Packed(start))
		}
	}
}

// image accounts for all of the bytes that the root takes on disk.
func (r *root) image(bytes int64) (*Image, error) {
	img := &Image{
		Format: r.format, Compression: r.compression, Bytes: bytes, Tree: r.tree,
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
