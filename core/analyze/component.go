package analyze

import (
	"cmp"
	"slices"
)

// Groups are the parts of an image that a root component's children are, by
// Kind, with what people call them.
var Groups = map[string]string{
	"kernel":     "kernel",
	"libc":       "C library",
	"busybox":    "BusyBox",
	"beam":       "BEAM",
	"otp":        "OTP",
	"elixir":     "Elixir",
	"dependency": "dependencies",
	"app":        "app",
	"package":    "packages",
	"init":       "init",
	"config":     "configuration and data",
	"unowned":    "unowned",
	"structure":  "image structures",
}

// Kinds of components that are no group.
const (
	kindImage     = "image"
	kindModule    = "module" // a .beam file of an application
	kindFile      = "file"
	kindUnowned   = "unowned"
	kindStructure = "structure" // what the format takes beside the files
)

// Component is a part of an image. Its children, if it has any, add up to it.
type Component struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`              // "image", a group's, "module" or "file"
	Version string `json:"version,omitempty"` // as it says itself
	Path    string `json:"path,omitempty"`    // in the running system, where it is one directory or file

	// Bytes is what the component's files hold, as the running system sees them. Hard
	// links count once; what the image's format takes beside the files is 0.
	Bytes int64 `json:"bytes"`
	// PackedBytes is its part of the image: inspect.Image.Stored.
	PackedBytes int64 `json:"packed_bytes"`
	// MarginalBytes is what the image would lose without its files, as Measure has
	// measured it; nil where nobody has asked.
	MarginalBytes *int64 `json:"marginal_bytes,omitempty"`
	Files         int    `json:"files"` // regular files

	Children []*Component `json:"children,omitempty"` // what costs most first
}

// sum makes a component what its children add up to, and sorts them.
func (c *Component) sum() {
	if len(c.Children) == 0 {
		return
	}
	c.Bytes, c.PackedBytes, c.Files = 0, 0, 0
	for _, child := range c.Children {
		child.sum()
		c.Bytes += child.Bytes
		c.PackedBytes += child.PackedBytes
		c.Files += child.Files
	}
	slices.SortStableFunc(c.Children, func(a, b *Component) int {
		return cmp.Or(
			cmp.Compare(b.PackedBytes, a.PackedBytes),
			cmp.Compare(b.Bytes, a.Bytes),
			cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.Path, b.Path))
	})
}

// group returns the child of that kind, nil for none.
func (c *Component) group(kind string) *Component {
	i := slices.IndexFunc(c.Children, func(g *Component) bool { return g.Kind == kind })
	if i < 0 {
		return nil
	}
	return c.Children[i]
}

// IsLeaf reports whether c is a file, or what stands for one.
func (c *Component) IsLeaf() bool {
	return c.Kind == kindModule || c.Kind == kindFile
}
