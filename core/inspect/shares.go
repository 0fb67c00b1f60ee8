package inspect

import (
	"cmp"
	"maps"
	"path"
	"slices"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// Share is the part of an image that some of its files take.
type Share struct {
	Name        string
	Bytes       int64 // of contents, as the running system sees them; hard links count once
	PackedBytes int64 // of the image
}

// Other is the share of what is in no group, and of what belongs to no file.
const Other = "other"

// Shares says what each group of paths takes of the image. A directory in a group
// stands for all below it; the longest path decides, and of two groups with one
// path the first in the alphabet.
//
// The PackedBytes, which are of Stored and Rest, add up to Bytes. In a compressed
// stream a block of 128 KiB or so is shared by bytes, which is how fine they are:
// what is smaller weighs like its neighbours. What repeats earlier contents is
// cheap, so of two groups that have code in common the later in the image is
// charged less. What takes most comes first.
func (i *Image) Shares(groups map[string][]string) ([]Share, error) {
	owner := map[string]string{}
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(groups))) {
		for _, p := range groups[name] {
			owner[path.Clean(p)] = name
		}
	}
	shares := map[string]*Share{}
	share := func(name string) *Share {
		if shares[name] == nil {
			shares[name] = &Share{Name: name}
		}
		return shares[name]
	}
	counted := map[rootfs.FileID]bool{}
	err := i.Tree.Walk(func(e *rootfs.Entry) error {
		if e.Type != rootfs.Regular {
			return nil
		}
		s := share(ownerOf(e.Path, owner))
		s.PackedBytes += i.Stored[e.Path]
		if !counted[e.FileID()] {
			counted[e.FileID()] = true
			s.Bytes += e.Size()
		}
		return nil
	})
	for _, n := range i.Rest {
		share(Other).PackedBytes += n
	}
	if k := i.Kernel; k != nil {
		share(ownerOf(path.Join("/", k.Path), owner)).PackedBytes += k.Bytes
	}
	var list []Share
	for _, s := range shares {
		list = append(list, *s)
	}
	slices.SortFunc(list, func(a, b Share) int {
		return cmp.Or(cmp.Compare(b.PackedBytes, a.PackedBytes), cmp.Compare(a.Name, b.Name))
	})
	return list, err
}

func ownerOf(name string, owner map[string]string) string {
	for ; ; name = path.Dir(name) {
		if o, ok := owner[name]; ok {
			return o
		}
		if name == "/" {
			return Other
		}
	}
}
