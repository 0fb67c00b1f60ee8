package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/otp"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// Files of the build step.
const (
	kernelFile     = "kernel"
	rootFile       = "rootfs.tar"
	hostOTP        = "host/lib/erlang"
	hostElixir     = "host/lib/elixir"
	componentsFile = "components.json"
	configFile     = "config" // for people: what it was built with
	linuxConfig    = "linux-config"
)

// collect copies what the machine is made of out of make's directory, which
// goes on changing.
func (b *build) collect(g graph) error {
	image := map[string]string{"x86_64": "bzImage", "aarch64": "Image"}[b.req.Definition.Arch]
	files := map[string]string{
		filepath.Join("images", image):    kernelFile,
		filepath.Join("images", rootFile): rootFile,
		".config":                         configFile,
	}
	if linux := g["linux"]; linux != nil {
		files[filepath.Join(linux.StampDir, ".config")] = linuxConfig
	}
	for from, to := range files {
		if err := copyFile(filepath.Join(b.out(), from), filepath.Join(b.req.Out, to)); err != nil {
			return fmt.Errorf("make ended without making it: %w", err)
		}
	}
	if err := b.collectToolchain(); err != nil {
		return err
	}
	return b.collectComponents(g)
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}

// collectToolchain copies the OTP and Elixir of the build host. Where the VM
// links dynamically, apps may have NIFs, and all of Buildroot's host directory
// goes along: its compiler finds the rest by its own place.
func (b *build) collectToolchain() error {
	host := filepath.Join(b.out(), "host")
	if b.req.Definition.OTP.Link == "dynamic" {
		return copyTree(host, filepath.Join(b.req.Out, "host"))
	}
	for _, dir := range []string{"lib/erlang", "lib/elixir"} {
		if err := os.MkdirAll(filepath.Join(b.req.Out, "host", filepath.Dir(dir)), 0o755); err != nil {
			return err
		}
		if err := copyTree(filepath.Join(host, dir), filepath.Join(b.req.Out, "host", dir)); err != nil {
			return err
		}
	}
	// OTP's crypto is linked against Buildroot's OpenSSL, found by RUNPATH
	// relative to itself (support/scripts/fix-rpath).
	libs, err := filepath.Glob(filepath.Join(host, "lib", "*.so*"))
	if err != nil {
		return err
	}
	for _, lib := range libs {
		name := filepath.Base(lib)
		if !strings.HasPrefix(name, "libcrypto.so") && !strings.HasPrefix(name, "libssl.so") && !strings.HasPrefix(name, "libz.so") {
			continue
		}
		if err := copyTree(lib, filepath.Join(b.req.Out, "host", "lib", name)); err != nil {
			return err
		}
	}
	return nil
}

// copyTree copies with links as they are. What cp(1) cannot copy, it names.
func copyTree(from, to string) error {
	out, err := exec.Command("cp", "-a", "--no-preserve=ownership", "--reflink=auto", from, to).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cp %s: %w: %s", from, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// collectComponents notes which package installed which file of the root.
func (b *build) collectComponents(g graph) error {
	var components []builder.Component
	for _, name := range g.built() {
		p := g[name]
		if p.Type != "target" || p.Virtual {
			continue
		}
		paths := b.installed(p.StampDir, targetList)
		if len(paths) == 0 {
			paths = b.installed(p.StampDir, keptTargetList)
		}
		if len(paths) == 0 {
			continue
		}
		c := builder.Component{Name: name, Version: p.Version}
		for _, path := range sortedKeys(paths) {
			c.Paths = append(c.Paths, "/"+path)
		}
		components = append(components, c)
	}
	data, err := json.MarshalIndent(components, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.req.Out, componentsFile), data, 0o644)
}

// machine describes what came out, and takes from the root what nothing in it
// loads.
func machine(req *builder.BuildRequest) (*builder.Machine, error) {
	c, err := decode(req.Definition)
	if err != nil {
		return nil, err
	}
	built := req.Needs[stepBuild]
	if err := checkRoot(req.Definition, filepath.Join(built, linuxConfig)); err != nil {
		return nil, err
	}
	tree := rootfs.New()
	if err := tree.AddTar(filepath.Join(built, rootFile), "/"); err != nil {
		return nil, err
	}
	m := &builder.Machine{
		Kernel: builder.Ref{Step: stepBuild, Path: kernelFile},
		Rootfs: builder.Ref{Step: stepMachine, Path: rootFile},
		// quiet: a serial console takes its time for every line.
		Cmdline: strings.TrimSpace("quiet " + c.Cmdline),
		Toolchain: builder.Toolchain{
			OTP:    builder.Ref{Step: stepBuild, Path: hostOTP},
			Elixir: builder.Ref{Step: stepBuild, Path: hostElixir},
		},
	}
	if m.Emulators, err = emulators(tree); err != nil {
		return nil, err
	}
	if m.Libc, err = libcOf(tree, m.Emulators); err != nil {
		return nil, err
	}
	if m.Libc == "static" {
		if err := dropLibraries(tree); err != nil {
			return nil, err
		}
	} else if m.Toolchain.Env, err = crossCompiler(filepath.Join(built, "host", "bin")); err != nil {
		return nil, err
	}
	if m.Components, err = components(tree, built); err != nil {
		return nil, err
	}
	return m, tree.WriteTarFile(filepath.Join(req.Out, rootFile))
}

// erlangRoot is where leanlab-otp installs the emulator.
const erlangRoot = "/usr/lib/erlang"

// emulators finds those that leanlab-otp installed.
func emulators(tree *rootfs.Tree) ([]builder.Emulator, error) {
	var found []builder.Emulator
	err := tree.Walk(func(e *rootfs.Entry) error {
		if !strings.HasPrefix(e.Path, erlangRoot+"/erts-") {
			return nil
		}
		switch path.Base(e.Path) {
		case "beam.plain.smp":
			found = append(found, builder.Emulator{Path: e.Path})
		case "beam.smp":
			found = append(found, builder.Emulator{Path: e.Path, NIFs: otp.CryptoNIFs})
		}
		return nil
	})
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%s: the root has no %s/erts-*/bin/beam.smp: the package leanlab-otp did not install one", rootFile, erlangRoot)
	}
	return found, err
}

// libcOf is what the emulators are linked to, which decides what a NIF must be
// linked to.
func libcOf(tree *rootfs.Tree, emulators []builder.Emulator) (string, error) {
	files, err := rootfs.ELFs(tree)
	if err != nil {
		return "", err
	}
	for _, f := range files {
		if f.Path != emulators[0].Path {
			continue
		}
		if f.Static() {
			return "static", nil
		}
		return string(f.Libc), nil
	}
	return "", fmt.Errorf("%s is no program", emulators[0].Path)
}

// dropLibraries removes the shared libraries that no program in the root needs,
// directly or not: Buildroot installs the toolchain's and those of every
// package, and a static emulator loads none.
func dropLibraries(tree *rootfs.Tree) error {
	files, err := rootfs.ELFs(tree)
	if err != nil {
		return err
	}
	byName := map[string]*rootfs.ELF{}
	var queue []*rootfs.ELF
	for _, f := range files {
		if isLibrary(f) {
			byName[path.Base(f.Path)] = f
			if f.Soname != "" {
				byName[f.Soname] = f
			}
		} else {
			queue = append(queue, f)
		}
	}
	needed := map[string]bool{}
	for len(queue) > 0 {
		f := queue[0]
		queue = queue[1:]
		for _, name := range append(slices.Clone(f.Needed), path.Base(f.Interpreter)) {
			if lib := byName[name]; lib != nil && !needed[lib.Path] {
				needed[lib.Path] = true
				queue = append(queue, lib)
			}
		}
	}
	gone := map[string]bool{}
	for _, f := range files {
		if isLibrary(f) && !needed[f.Path] {
			gone[f.Path] = true
		}
	}
	tree.RemoveFunc(func(e *rootfs.Entry) bool { return gone[e.Path] })
	return dropDangling(tree)
}

// isLibrary reports whether a file is a shared library in one of the directories
// that the dynamic linker looks in. Plugins of programs lie elsewhere.
func isLibrary(f *rootfs.ELF) bool {
	dir := path.Dir(f.Path)
	return strings.Contains(path.Base(f.Path), ".so") && slices.Contains([]string{"/lib", "/lib64", "/usr/lib", "/usr/lib64"}, dir)
}

// dropDangling removes links in those directories that lead nowhere any more.
func dropDangling(tree *rootfs.Tree) error {
	var links []string
	err := tree.Walk(func(e *rootfs.Entry) error {
		if e.Type != rootfs.Symlink || !strings.Contains(path.Base(e.Path), ".so") {
			return nil
		}
		if _, err := tree.Resolve(e.Path); err != nil {
			links = append(links, e.Path)
		}
		return nil
	})
	for _, link := range links {
		if err == nil {
			err = tree.Remove(link)
		}
	}
	return err
}

// crossCompiler is what NIFs are compiled with: the compilers that Buildroot put
// its wrapper around, which knows its sysroot (toolchain/toolchain-wrapper.mk).
func crossCompiler(bin string) (map[string]string, error) {
	found, err := filepath.Glob(filepath.Join(bin, "*-gcc"))
	if err != nil {
		return nil, err
	}
	for _, cc := range found {
		if link, err := os.Readlink(cc); err != nil || link != "toolchain-wrapper" {
			continue
		}
		prefix := strings.TrimSuffix(cc, "gcc")
		return map[string]string{
			"CC": prefix + "gcc", "CXX": prefix + "g++", "AR": prefix + "ar", "LD": prefix + "ld", "STRIP": prefix + "strip", "RANLIB": prefix + "ranlib",
			"CROSSCOMPILE": strings.TrimSuffix(prefix, "-"),
		}, nil
	}
	return nil, fmt.Errorf("%s: none of the compilers there is wrapped by Buildroot (a link to toolchain-wrapper)", bin)
}

// components are the packages whose files are still in the root.
func components(tree *rootfs.Tree, built string) ([]builder.Component, error) {
	file := filepath.Join(built, componentsFile)
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all, left []builder.Component
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, c := range all {
		c.Paths = slices.DeleteFunc(c.Paths, func(p string) bool { _, ok := tree.Get(p); return !ok })
		if len(c.Paths) > 0 {
			left = append(left, c)
		}
	}
	return left, nil
}
