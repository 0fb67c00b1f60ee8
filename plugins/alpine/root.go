package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"chainguard.dev/apko/pkg/apk/apk"
	"chainguard.dev/apko/pkg/apk/expandapk"
	section "chainguard.dev/apko/pkg/apk/expandapk/tarfs"
	apkfs "chainguard.dev/apko/pkg/apk/fs"
	"chainguard.dev/apko/pkg/tarfs"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// What the root step publishes.
const (
	rootTar      = "root.tar"      // all but OTP's libraries
	rootPackages = "packages.json" // []installed
	rootOTP      = "otp"           // OTP as it was installed, for releases
	rootRelease  = "release"       // or a release that was there
	rootKernel   = "kernel"        // Alpine's, when it is asked for
	apkDatabase  = "/lib/apk/db/installed"
)

// installed is a package in the root.
type installed struct {
	Name, Version string
	Files         []string // absolute; no directories
}

// buildRoot makes the root: of packages, or of an image.
func buildRoot(ctx context.Context, req *builder.BuildRequest, ev builder.Events) error {
	c, err := decode(req.Definition)
	if err != nil {
		return err
	}
	if c.container() {
		return buildContainerRoot(ctx, req, c, ev)
	}
	if c.Base == baseOCI {
		return buildImageRoot(ctx, req, c, ev)
	}
	set := req.Sources[sourceAlpine]
	keys, err := knownKeys(c, req.Definition, set)
	if err != nil {
		return err
	}
	root, err := installPackages(ctx, req.Definition.Arch, set, keys, req.Work, ev)
	if err != nil {
		return err
	}
	if err := root.linkApplets(ev); err != nil {
		return err
	}
	if err := root.takeOTP(req.Out, req.Definition); err != nil {
		return err
	}
	if err := root.writeKernel(c, req.Out); err != nil {
		return err
	}
	packages, err := root.writeDatabase()
	if err != nil {
		return err
	}
	return root.write(req.Out, packages)
}

// write writes the root and what it consists of.
func (r *root) write(out string, packages []installed) error {
	data, err := json.MarshalIndent(packages, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, rootPackages), data, 0o644); err != nil {
		return err
	}
	return r.tree.WriteTarFile(filepath.Join(out, rootTar))
}

// writeKernel takes Alpine's kernel, when it is asked for.
func (r *root) writeKernel(c config, out string) error {
	if c.Kernel != kernelAlpine {
		return nil
	}
	image, err := r.takeKernel()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, rootKernel), image, 0o644)
}

// knownKeys are the keys of all repositories. Which of them signed which package
// was checked when the packages were resolved; the lock file has held them since.
func knownKeys(c config, def *builder.Definition, set builder.FetchedSource) (keyring, error) {
	ring := keyring{}
	for _, s := range c.origins(def) {
		own, err := readKeys(s.keys)
		if err != nil {
			return nil, err
		}
		maps.Copy(ring, own)
	}
	for _, f := range set.Files {
		if strings.HasSuffix(f.Name, keySuffix) {
			data, err := os.ReadFile(f.Path)
			if err != nil {
				return nil, err
			}
			ring[f.Name] = data
		}
	}
	return ring, nil
}

// root is a root file system with packages in it.
type root struct {
	apkfs.FullFS // apko's own files, and who owns what
	tree         *rootfs.Tree
	packages     []*apk.InstalledPackage
}

// epoch is the time of everything, so that equal packages give equal bytes.
var epoch = time.Unix(0, 0)

// installPackages has apko install packages that are on disk.
func installPackages(ctx context.Context, arch string, set builder.FetchedSource, keys keyring, work string, ev builder.Events) (*root, error) {
	r := &root{FullFS: tarfs.New(), tree: rootfs.New()}
	g := &getter{files: map[string]string{}, keys: keys, work: work}
	var packages []apk.InstallablePackage
	for _, f := range set.Files {
		if strings.HasSuffix(f.Name, ".apk") {
			name := strings.TrimSuffix(f.Name, "."+arch+".apk")
			g.files[name] = f.Path
			packages = append(packages, apkName(strings.TrimSuffix(name, "-"+f.Version)+" "+name))
		}
	}
	ctx = quiet(ctx)
	a, err := apk.New(ctx, apk.WithFS(r), apk.WithArch(arch), apk.WithPackageGetter(g), apk.WithIgnoreMknodErrors(true))
	if err != nil {
		return nil, err
	}
	if err := a.InitDB(ctx); err != nil {
		return nil, err
	}
	if _, err := a.InstallPackages(ctx, &epoch, packages); err != nil {
		return nil, explainInstall(err)
	}
	ev.Emit(builder.Progress{Done: int64(len(packages)), Total: int64(len(packages)), Unit: "packages"})
	r.packages, err = a.GetInstalled()
	return r, err
}

// explainInstall puts the one conflict that the index does not show into words.
func explainInstall(err error) error {
	var conflict apk.FileConflictError
	if errors.As(err, &conflict) {
		return fmt.Errorf("packages %s both have the file %s, and neither says that it replaces the other: leave one out", strings.Join(slices.Sorted(maps.Keys(conflict.Origins)), " and "), conflict.Path)
	}
	return err
}

// apkName is a package to install: its name, a space, and its name with the
// version.
type apkName string

func (n apkName) PackageName() string { name, _, _ := strings.Cut(string(n), " "); return name }
func (n apkName) URL() string         { _, full, _ := strings.Cut(string(n), " "); return full }
func (n apkName) String() string      { return n.URL() }

// ChecksumString is asked by apko's own getter only.
func (n apkName) ChecksumString() string { return "" }

// getter hands apko the packages that were fetched, each once it is verified.
type getter struct {
	files map[string]string // by name and version
	keys  keyring
	work  string
}

// GetPackage does what expandapk.ExpandApk does, in one pass with the
// verification, and without reading and writing the first sections byte by byte.
func (g *getter) GetPackage(_ context.Context, p apk.InstallablePackage) (*expandapk.APKExpanded, error) {
	file := g.files[p.URL()]
	data, err := os.Create(filepath.Join(g.work, p.URL()+".tar"))
	if err != nil {
		return nil, err
	}
	buffered := bufio.NewWriterSize(data, 1<<20)
	v, err := verifyPackage(file, g.keys, buffered)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if err := buffered.Flush(); err != nil {
		return nil, err
	}
	info, err := data.Stat()
	if err != nil {
		return nil, err
	}
	x := &expandapk.APKExpanded{
		ControlFile: filepath.Join(g.work, p.URL()+".control.tar.gz"), ControlHash: v.control[:], ControlSize: int64(len(v.sections[1])),
		TarFile: data.Name(), PackageHash: v.data[:], Signed: true,
	}
	if err := os.WriteFile(x.ControlFile, v.sections[1], 0o644); err != nil {
		return nil, err
	}
	control, err := x.ControlData()
	if err != nil {
		return nil, err
	}
	if x.ControlFS, err = section.New(bytes.NewReader(control), int64(len(control))); err != nil {
		return nil, err
	}
	x.TarFS, err = section.New(data, info.Size())
	return x, err
}

// WriteHeader is how apko hands over a file of a package (apk.WriteHeaderer).
// apko's own file system decides what stands when two packages have it, but
// forgets owners and special modes; the tree has all of the header.
func (r *root) WriteHeader(h tar.Header, files fs.FS, p *apk.Package) (bool, error) {
	stands, err := r.FullFS.(apk.WriteHeaderer).WriteHeader(h, files, p)
	if err != nil || !stands {
		return stands, err
	}
	var contents *io.SectionReader
	if h.Typeflag == tar.TypeReg {
		f, err := files.Open(h.Name)
		if err != nil {
			return false, err
		}
		at, ok := f.(io.ReaderAt)
		if !ok {
			return false, fmt.Errorf("%s: apko opens it as a %T, which cannot be read twice", h.Name, f)
		}
		contents = io.NewSectionReader(at, 0, h.Size)
	} else {
		contents = io.NewSectionReader(strings.NewReader(""), 0, 0)
	}
	_, err = r.tree.AddTarEntry(&h, contents)
	return true, err
}

// writeDatabase writes apk's database of what is in the root: scanners read it,
// and leanlab analyze. Packages stay listed without the files that are not there.
func (r *root) writeDatabase() ([]installed, error) {
	var list []installed
	var text strings.Builder
	for _, p := range r.packages {
		in := installed{Name: p.Name, Version: p.Version}
		for _, line := range apk.PackageToInstalled(&p.Package) {
			text.WriteString(line + "\n")
		}
		dir := "\x00"
		for _, h := range p.Files {
			name := path.Clean("/" + h.Name)
			e, ok := r.tree.Get(name)
			if !ok || e.Type == rootfs.Directory {
				continue
			}
			if d := strings.TrimPrefix(path.Dir(name), "/"); d != dir {
				dir = d
				text.WriteString("F:" + dir + "\n")
			}
			text.WriteString("R:" + path.Base(name) + "\n")
			in.Files = append(in.Files, name)
		}
		text.WriteString("\n")
		list = append(list, in)
	}
	return list, r.tree.File(apkDatabase, 0o644, []byte(text.String()))
}
