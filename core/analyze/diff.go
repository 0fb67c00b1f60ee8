package analyze

import (
	"cmp"
	"slices"
)

// Difference is what changed from one image to another.
type Difference struct {
	Schema int    `json:"schema"`
	A      string `json:"a"` // Analysis.Image
	B      string `json:"b"`
	Change        // of the whole

	// Components are those that changed, what changed most first: by packed bytes,
	// then by bytes.
	Components []ComponentChange `json:"components"`
}

// Change is a size before and after.
type Change struct {
	BytesA  int64 `json:"bytes_a"`
	BytesB  int64 `json:"bytes_b"`
	PackedA int64 `json:"packed_bytes_a"`
	PackedB int64 `json:"packed_bytes_b"`
}

// Bytes is how much larger B is.
func (c Change) Bytes() int64 { return c.BytesB - c.BytesA }

// Packed is how much larger B is, packed.
func (c Change) Packed() int64 { return c.PackedB - c.PackedA }

// ComponentChange is a component in either image or both, and its files that are
// in one only or have another size. Files of the same size are not listed: where
// they stand in a compressed stream changes what they weigh.
type ComponentChange struct {
	Kind     string `json:"kind"`
	Name     string `json:"name"`
	VersionA string `json:"version_a,omitempty"`
	VersionB string `json:"version_b,omitempty"`
	Change
	Files []FileChange `json:"files,omitempty"` // what changed most first
}

// FileChange is a file in either image or both.
type FileChange struct {
	Name string `json:"name"` // as in its component
	Change
}

// componentKey and fileKey say what is the same in two images. Neither has a
// directory in it, whose name tells a version.
type componentKey struct{ kind, name string }

type fileKey struct{ kind, name string }

// Diff says what changed from a to b. Components are the same that have a kind
// and a name in common, files of them that have a name in common.
func Diff(a, b *Analysis) *Difference {
	d := &Difference{Schema: Schema, A: a.Image, B: b.Image}
	found := map[componentKey]*ComponentChange{}
	files := map[componentKey]map[fileKey]*FileChange{}
	for _, side := range []struct {
		root *Component
		b    bool
	}{{a.Root, false}, {b.Root, true}} {
		d.add(side.root, side.b)
		for _, c := range components(side.root) {
			key := componentKey{c.Kind, c.Name}
			if found[key] == nil {
				found[key] = &ComponentChange{Kind: c.Kind, Name: c.Name}
				files[key] = map[fileKey]*FileChange{}
			}
			change := found[key]
			change.add(c, side.b)
			if side.b {
				change.VersionB = cmp.Or(change.VersionB, c.Version)
			} else {
				change.VersionA = cmp.Or(change.VersionA, c.Version)
			}
			for _, leaf := range c.Children {
				name := fileKey{leaf.Kind, leaf.Name}
				if files[key][name] == nil {
					files[key][name] = &FileChange{Name: leaf.Name}
				}
				files[key][name].add(leaf, side.b)
			}
		}
	}
	for key, change := range found {
		for _, f := range files[key] {
			if f.Bytes() != 0 {
				change.Files = append(change.Files, *f)
			}
		}
		slices.SortFunc(change.Files, func(x, y FileChange) int { return cmp.Or(compare(x.Change, y.Change), cmp.Compare(x.Name, y.Name)) })
		if change.Change.Bytes() != 0 || change.Packed() != 0 || change.VersionA != change.VersionB || len(change.Files) > 0 {
			d.Components = append(d.Components, *change)
		}
	}
	slices.SortFunc(d.Components, func(x, y ComponentChange) int {
		return cmp.Or(compare(x.Change, y.Change), cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Name, y.Name))
	})
	return d
}

// components are the children of groups, and groups whose children are files.
func components(root *Component) []*Component {
	var found []*Component
	for _, group := range root.Children {
		if group.Kind == kindUnowned || group.Kind == kindStructure {
			found = append(found, group)
		} else {
			found = append(found, group.Children...)
		}
	}
	return found
}

func (c *Change) add(to *Component, b bool) {
	if b {
		c.BytesB += to.Bytes
		c.PackedB += to.PackedBytes
	} else {
		c.BytesA += to.Bytes
		c.PackedA += to.PackedBytes
	}
}

// compare puts the larger change first, whichever way it goes.
func compare(x, y Change) int {
	return cmp.Or(cmp.Compare(abs(y.Packed()), abs(x.Packed())), cmp.Compare(abs(y.Bytes()), abs(x.Bytes())))
}

func abs(n int64) int64 { return max(n, -n) }
