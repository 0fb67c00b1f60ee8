package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/guest"
	"github.com/somebloke1/elixir-lean-lab/core/kernel"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// machineTar is the root in the machine step's result.
const machineTar = "rootfs.tar"

// assemble puts /init and the overlays over the packages.
func assemble(_ context.Context, req *builder.BuildRequest, _ builder.Events) (*builder.Machine, error) {
	def := req.Definition
	c, err := decode(def)
	if err != nil {
		return nil, err
	}
	tree := rootfs.New()
	if err := tree.AddTar(filepath.Join(req.Needs[stepRoot], rootTar), "/"); err != nil {
		return nil, err
	}
	if err := tree.HostFile("/init", 0o755, filepath.Join(req.Needs[stepInit], guest.InitFile)); err != nil {
		return nil, err
	}
	if err := addOverlays(tree, def, c); err != nil {
		return nil, err
	}
	m := &builder.Machine{
		Kernel: builder.Ref{Step: stepKernel, Path: kernel.ImageFile},
		Rootfs: builder.Ref{Step: stepMachine, Path: machineTar},
		// quiet: a serial console takes its time for every line, and the kernel's
		// would mix with the app's. Warnings still appear; dmesg has the rest.
		Cmdline:    strings.TrimSpace("quiet " + c.Cmdline),
		Components: []builder.Component{{Name: "init", Paths: []string{"/init"}}},
	}
	if c.bringsRelease(def) {
		m.Release = builder.Ref{Step: stepRoot, Path: rootRelease}
	} else {
		m.Toolchain = builder.Toolchain{
			OTP:    builder.Ref{Step: stepOTP, Path: "."},
			Elixir: builder.Ref{Step: stepElixir, Path: "."},
			Target: builder.Ref{Step: stepRoot, Path: rootOTP},
			Env:    nativeEnv(def.Arch),
		}
	}
	if c.Kernel == kernelAlpine {
		m.Kernel = builder.Ref{Step: stepRoot, Path: rootKernel}
	}
	if m.Modules, err = loadedModules(tree); err != nil {
		return nil, err
	}
	if len(m.Modules) > 0 {
		m.Components = append(m.Components, builder.Component{Name: "kernel modules", Paths: []string{ourModules}})
	}
	if m.Emulators, m.Libc, err = emulators(tree); err != nil {
		return nil, err
	}
	packages, err := components(filepath.Join(req.Needs[stepRoot], rootPackages))
	if err != nil {
		return nil, err
	}
	m.Components = append(append(m.Components, packages...), unpackaged(m.Emulators, packages)...)
	return m, tree.WriteTarFile(filepath.Join(req.Out, machineTar))
}

// addOverlays adds the overlays last, so that a team's has the last word, except
// that accounts which packages brought stay beside the overlays': files of
// packages belong to them.
func addOverlays(tree *rootfs.Tree, def *builder.Definition, c config) error {
	before := map[string][]byte{}
	for _, file := range []string{"/etc/passwd", "/etc/group"} {
		text, err := contents(tree, file)
		if err != nil {
			return err
		}
		before[file] = text
	}
	dirs, err := rootfs.FindOverlays(def.Root, c.Overlays)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := tree.AddOverlay(dir); err != nil {
			return err
		}
	}
	for file, theirs := range before {
		text, err := contents(tree, file)
		if err != nil {
			return err
		}
		if err := tree.File(file, 0o644, mergeAccounts(text, theirs)); err != nil {
			return err
		}
	}
	return nil
}

// contents is a file's text; nothing for one that is not there.
func contents(tree *rootfs.Tree, file string) ([]byte, error) {
	e, err := tree.Resolve(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return readEntry(e)
}

// mergeAccounts adds those lines of theirs whose name and number are not in ours;
// in passwd(5) and group(5) they are the first and third field.
func mergeAccounts(ours, theirs []byte) []byte {
	taken := map[string]bool{}
	merged := bytes.Clone(ours)
	for i, text := range [][]byte{ours, theirs} {
		lines := bufio.NewScanner(bytes.NewReader(text))
		for lines.Scan() {
			f := strings.Split(lines.Text(), ":")
			if len(f) < 3 {
				continue
			}
			name, id := "name "+f[0], "id "+f[2]
			if i == 1 && !taken[name] && !taken[id] {
				merged = append(append(merged, lines.Bytes()...), '\n')
			}
			taken[name], taken[id] = true, true
		}
	}
	return merged
}

// emulators finds BEAM, and which C library it is linked to. NIFs are loaded, none
// is linked in.
func emulators(tree *rootfs.Tree) (found []builder.Emulator, libc string, err error) {
	homes, err := (&root{tree: tree}).homes()
	if err != nil {
		return nil, "", err
	}
	for _, h := range homes {
		found = append(found, builder.Emulator{Path: h.beam.Path})
		libc = string(h.beam.Libc)
	}
	if len(found) == 0 {
		return nil, "", errors.New("the root has no beam.smp in any erts-*/bin")
	}
	if libc == string(rootfs.NoLibc) {
		libc = "static"
	}
	return found, libc, nil
}

// unpackaged are the emulators that no package has: of a release, or of an image
// whose OTP was compiled there.
func unpackaged(emulators []builder.Emulator, packages []builder.Component) []builder.Component {
	beam := builder.Component{Name: "beam"}
	for _, e := range emulators {
		if !slices.ContainsFunc(packages, func(p builder.Component) bool { return slices.Contains(p.Paths, e.Path) }) {
			beam.Paths = append(beam.Paths, path.Dir(e.Path))
		}
	}
	if beam.Paths == nil {
		return nil
	}
	return []builder.Component{beam}
}

// components are the packages, for the size report.
func components(file string) ([]builder.Component, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var packages []installed
	if err := json.Unmarshal(data, &packages); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var all []builder.Component
	for _, p := range packages {
		if len(p.Files) > 0 {
			all = append(all, builder.Component{Name: "apk: " + p.Name, Version: p.Version, Paths: p.Files})
		}
	}
	return all, nil
}
