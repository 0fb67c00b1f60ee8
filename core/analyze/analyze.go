package analyze

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/inspect"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// Schema is the version of the JSON form of an Analysis; docs/analyze.md has its
// members. Members may be added to a version; a changed meaning makes a new one.
const Schema = 1

// Analysis is what an image consists of.
type Analysis struct {
	Schema         int      `json:"schema"`
	Image          string   `json:"image"`                 // what was asked about
	Format         string   `json:"format"`                // inspect.Image.Format
	Compression    string   `json:"compression,omitempty"` // inspect.Image.Compression
	AccountedBytes int64    `json:"accounted_bytes"`       // of the root's PackedBytes: what is not unowned
	Warnings       []string `json:"warnings,omitempty"`    // what could not be read, and what that means

	// Marginal is how MarginalBytes were measured; nil if they were not.
	Marginal *Marginal `json:"marginal,omitempty"`

	// Root is the whole image: its children are groups, theirs components, and
	// theirs files. Of the groups "unowned" and "structure" the children are files
	// and structures themselves.
	Root *Component `json:"root"`
}

// Accounted is the share of the image that is not unowned, from 0 to 1.
func (a *Analysis) Accounted() float64 {
	if a.Root.PackedBytes == 0 {
		return 1
	}
	return float64(a.AccountedBytes) / float64(a.Root.PackedBytes)
}

// Unowned are the files that belong to no component, what costs most first.
func (a *Analysis) Unowned() []*Component {
	if g := a.Root.group(kindUnowned); g != nil {
		return g.Children
	}
	return nil
}

// Analyze says what img consists of. What it cannot read of an application or a
// package database is a warning: the files are there all the same.
func Analyze(ctx context.Context, img *inspect.Image) (*Analysis, error) {
	s := &survey{ctx: ctx, img: img, root: &Component{Name: path.Base(img.Path), Kind: kindImage},
		components: map[componentID]*Component{}, otpRoots: map[string]bool{}, dirs: map[string]claim{}, packages: map[string]claim{}}
	for _, step := range []func() error{s.list, s.runtimes, s.applications, s.releases, s.packageDatabases, s.assign, s.structures} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	s.root.sum()
	if s.root.PackedBytes != img.Bytes {
		return nil, fmt.Errorf("%s: its parts add up to %d bytes, not to its %d, which is a fault in leanlab's reading of the format %q: please report it with the image",
			img.Path, s.root.PackedBytes, img.Bytes, img.Format)
	}
	a := &Analysis{Schema: Schema, Image: img.Path, Format: img.Format, Compression: img.Compression,
		AccountedBytes: s.root.PackedBytes, Warnings: s.warnings, Root: s.root}
	for _, file := range a.Unowned() {
		a.AccountedBytes -= file.PackedBytes
	}
	return a, nil
}

// survey is an analysis being made.
type survey struct {
	ctx      context.Context
	img      *inspect.Image
	root     *Component
	warnings []string

	files      []*rootfs.Entry // regular ones, by path
	otpRoots   map[string]bool // directories that OTP is installed in
	components map[componentID]*Component
	dirs       map[string]claim // by a directory: whose all below is, but for deeper ones
	packages   map[string]claim // by path: which package has the file
}

// componentID tells components of one group apart: two versions of an
// application lie in two directories.
type componentID struct{ group, name, dir string }

// claim is that something is of a component.
type claim struct {
	componentID
	version string
	// base is the directory that names of files are relative to, so that they are
	// the same in another version; empty for absolute ones.
	base string
}

func (s *survey) warn(format string, args ...any) {
	s.warnings = append(s.warnings, fmt.Sprintf(format, args...))
}

// list finds the regular files.
func (s *survey) list() error {
	return s.img.Tree.Walk(func(e *rootfs.Entry) error {
		if e.Type == rootfs.Regular {
			s.files = append(s.files, e)
		}
		return s.ctx.Err()
	})
}

// assign puts every file into its component.
func (s *survey) assign() error {
	counted := map[rootfs.FileID]bool{}
	for _, e := range s.files {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		leaf := &Component{Name: e.Path, Kind: kindFile, Path: e.Path, PackedBytes: s.packed(e.Path), Files: 1}
		if !counted[e.FileID()] {
			counted[e.FileID()] = true
			leaf.Bytes = e.Size()
		}
		c, ok := s.owner(e.Path)
		if !ok {
			g := s.groupOf(kindUnowned)
			g.Children = append(g.Children, leaf)
			continue
		}
		if c.base != "" {
			leaf.Name = strings.TrimPrefix(e.Path, c.base+"/")
		}
		if module, ok := strings.CutSuffix(path.Base(e.Path), ".beam"); ok {
			leaf.Name, leaf.Kind = module, kindModule
		}
		owner := s.component(c)
		owner.Children = append(owner.Children, leaf)
	}
	return nil
}

// packed is what a file takes of the image. Of a kernel in the root, the image
// may have said so apart from Stored.
func (s *survey) packed(name string) int64 {
	n, stored := s.img.Stored[name]
	if k := s.img.Kernel; !stored && k != nil && k.Path == name {
		return k.Bytes
	}
	return n
}

// owner says whose a file is. Applications and releases come first, since a
// distribution puts many into one package; what each image has comes before
// packages, so that images of different makers can be compared.
func (s *survey) owner(name string) (claim, bool) {
	if k := s.img.Kernel; k != nil && k.Path == name {
		return s.kernel(), true
	}
	for dir := path.Dir(name); dir != "/"; dir = path.Dir(dir) {
		if c, ok := s.dirs[dir]; ok {
			return c, true
		}
	}
	if r := ruleFor(name, true); r != nil {
		return r.claim(), true
	}
	if c, ok := s.packages[name]; ok {
		return c, true
	}
	if r := ruleFor(name, false); r != nil {
		return r.claim(), true
	}
	return claim{}, false
}

func (r *rule) claim() claim { return claim{componentID: componentID{group: r.Group, name: r.Name}} }

func (s *survey) kernel() claim {
	return claim{componentID: componentID{group: "kernel", name: "linux"}, version: s.img.Kernel.Version}
}

// structures adds the kernel beside the root, and what is of no file.
func (s *survey) structures() error {
	if k := s.img.Kernel; k != nil {
		if e, inRoot := s.img.Tree.Get(k.Path); !inRoot || e.Path != k.Path {
			c := s.component(s.kernel())
			c.Children = append(c.Children, &Component{Name: path.Base(k.Path), Kind: kindFile, Bytes: k.Bytes, PackedBytes: k.Bytes, Files: 1})
		}
	}
	for name, n := range s.img.Rest {
		g := s.groupOf(kindStructure)
		g.Children = append(g.Children, &Component{Name: name, Kind: kindStructure, PackedBytes: n})
	}
	return s.versions()
}

// component returns the component of a claim, made if it is the first.
func (s *survey) component(c claim) *Component {
	if have, ok := s.components[c.componentID]; ok {
		have.Version = cmp.Or(have.Version, c.version)
		return have
	}
	made := &Component{Name: c.name, Kind: c.group, Version: c.version, Path: c.dir}
	s.components[c.componentID] = made
	g := s.groupOf(c.group)
	g.Children = append(g.Children, made)
	return made
}

func (s *survey) groupOf(kind string) *Component {
	if g := s.root.group(kind); g != nil {
		return g
	}
	g := &Component{Name: Groups[kind], Kind: kind}
	s.root.Children = append(s.root.Children, g)
	return g
}

// versions finds the versions that the data says where to look for.
func (s *survey) versions() error {
	for _, r := range rules() {
		c := s.components[r.claim().componentID]
		if c == nil || r.version == nil || c.Version != "" {
			continue
		}
		i := slices.IndexFunc(c.Children, func(leaf *Component) bool { return matches(r.VersionIn, leaf.Path) })
		if i < 0 {
			continue
		}
		data, err := s.read(c.Children[i].Path, maxProgram)
		if err != nil {
			s.warn("%s: %v; the version of %s is not known", c.Children[i].Path, err, r.Name)
			continue
		}
		if m := r.version.FindSubmatch(data); m != nil {
			c.Version = string(m[1])
		}
	}
	return nil
}
