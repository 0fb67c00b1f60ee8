package image

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"

	"github.com/somebloke1/elixir-lean-lab/core/packed"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// Component is the part of an initrd that some of its files take.
type Component struct {
	Name        string
	Bytes       int64 // of the archive, headers included
	PackedBytes int64 // of the compressed archive
}

// Other is the component of what is in no group.
const Other = "other"

// PackedSizes says what each group of paths takes of initrd, which Write made of
// t. A directory in a group stands for all below it; the longest path decides.
//
// The figures are measured, not modelled: a compressed file consists of blocks,
// and the bytes of a block are shared among the components by how much of its
// uncompressed content is theirs. A block has 128 KiB or so, which is how fine
// the figures are: a component smaller than that weighs like its neighbours. What
// repeats earlier content is cheap, so of
// two components that share code the later in the archive is charged less; what
// the image would lose with a component can differ by that. PackedBytes add up
// to the size of initrd, Bytes to that of the archive in it. Sorted by
// PackedBytes, largest first.
func PackedSizes(ctx context.Context, t *rootfs.Tree, initrd string, groups map[string][]string, compression string) ([]Component, error) {
	f, err := os.Open(initrd)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	blocks, err := packed.Blocks(ctx, f, compression)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", initrd, err)
	}
	components, err := share(t.CPIOLayout(), blocks, owners(groups))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", initrd, err)
	}
	return round(components, info.Size()), nil
}

// owners maps each path of groups to its group. Of two groups that claim a
// path, the one that comes first in the alphabet gets it.
func owners(groups map[string][]string) map[string]string {
	owner := map[string]string{}
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(groups))) {
		for _, p := range groups[name] {
			owner[path.Clean(p)] = name
		}
	}
	return owner
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

// part is a Component before it is rounded.
type part struct {
	raw    int64
	packed float64
}

// share goes through the archive and the blocks side by side.
func share(layout []rootfs.Extent, blocks []packed.Block, owner map[string]string) (map[string]part, error) {
	parts := map[string]part{}
	var used int64 // of blocks[0].Raw
	take := func(name string, n int64) error {
		p := parts[name]
		p.raw += n
		for n > 0 {
			if len(blocks) == 0 {
				return errors.New("is shorter than the root file system: it was not made of it")
			}
			step := min(n, blocks[0].Raw-used)
			if step > 0 {
				p.packed += float64(step) * float64(blocks[0].Packed) / float64(blocks[0].Raw)
			}
			n, used = n-step, used+step
			if used == blocks[0].Raw {
				blocks, used = blocks[1:], 0
			}
		}
		parts[name] = p
		return nil
	}
	for _, extent := range layout {
		if err := take(ownerOf(extent.Entry.Path, owner), extent.Bytes); err != nil {
			return nil, err
		}
	}
	rest := -used // the archive's trailer
	for _, b := range blocks {
		rest += b.Raw
	}
	return parts, take(Other, rest)
}

// round makes the parts whole numbers that add up to size. What no block has,
// such as the compressed file's own header and index, is Other's.
func round(parts map[string]part, size int64) []Component {
	var components []Component
	left := size
	for name, p := range parts {
		if name != Other {
			c := Component{name, p.raw, int64(p.packed)}
			components = append(components, c)
			left -= c.PackedBytes
		}
	}
	components = append(components, Component{Other, parts[Other].raw, left})
	slices.SortFunc(components, func(a, b Component) int {
		if a.PackedBytes != b.PackedBytes {
			return int(b.PackedBytes - a.PackedBytes)
		}
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return components
}
