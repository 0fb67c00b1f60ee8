package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// beamPrograms are what BEAM is started with: all of OTP's that stay in the root.
var beamPrograms = []string{"beam.smp", "erl_child_setup"}

// home is a directory that holds an emulator: an installed OTP, or a release.
type home struct {
	dir  string // "/usr/lib/erlang", "/app"
	bin  string // "/usr/lib/erlang/erts-15.2/bin"
	beam *rootfs.ELF
}

// homes finds every emulator.
func (r *root) homes() ([]home, error) {
	files, err := rootfs.ELFs(r.tree)
	if err != nil {
		return nil, err
	}
	var all []home
	for _, f := range files {
		bin := path.Dir(f.Path)
		if ok, _ := path.Match("erts-*", path.Base(path.Dir(bin))); ok && path.Base(bin) == "bin" && path.Base(f.Path) == "beam.smp" {
			all = append(all, home{dir: path.Dir(path.Dir(bin)), bin: bin, beam: f})
		}
	}
	return all, nil
}

// isRelease tells a release from an installed OTP: `mix release` writes vm.args
// beside its boot script.
func (r *root) isRelease(h home) bool {
	found := false
	_ = r.tree.Walk(func(e *rootfs.Entry) error {
		ok, _ := path.Match(h.dir+"/releases/*/vm.args", e.Path)
		found = found || ok
		return nil
	})
	return found
}

// takeOTP moves OTP out of the root into a directory on the build host, where
// `mix release` takes applications from; a release brings those that it needs.
func (r *root) takeOTP(out string, def *builder.Definition) error {
	h, err := r.theOne(false, def)
	if err != nil {
		return err
	}
	return r.takeOut(h, filepath.Join(out, rootOTP), forReleases)
}

// forReleases are the parts of an installed OTP that mix release reads.
var forReleases = []string{"erts-*/bin", "lib/*/ebin", "lib/*/priv", "lib/*/include", "releases"}

// takeRelease moves a release out of the root.
func (r *root) takeRelease(out string, def *builder.Definition) error {
	h, err := r.theOne(true, def)
	if err != nil {
		return err
	}
	return r.takeOut(h, filepath.Join(out, rootRelease), []string{"lib", "releases", "bin"})
}

// theOne is the only OTP, or the only release, and its emulator is of the right
// architecture.
func (r *root) theOne(release bool, def *builder.Definition) (home, error) {
	all, err := r.homes()
	if err != nil {
		return home{}, err
	}
	what := map[bool]string{false: "OTP", true: "release"}[release]
	var found, others []string
	var one home
	for _, h := range all {
		if r.isRelease(h) == release {
			found, one = append(found, h.dir), h
		} else {
			others = append(others, h.dir)
		}
	}
	switch {
	case len(found) > 1:
		return home{}, fmt.Errorf("the root has %d of what should be one %s: %s", len(found), what, strings.Join(found, ", "))
	case len(found) == 0 && release && len(others) > 0:
		return home{}, fmt.Errorf("the root has no release that `mix release` made with its emulator, only OTP in %s: name the app to add, app { path = … }", strings.Join(others, ", "))
	case len(found) == 0 && len(others) > 0:
		return home{}, fmt.Errorf("the root has no OTP to add an app to, only a release in %s: leave app out, to run that", strings.Join(others, ", "))
	case len(found) == 0:
		return home{}, fmt.Errorf("the root has no %s: no beam.smp in any erts-*/bin", what)
	}
	if want := (map[string]elf.Machine{"x86_64": elf.EM_X86_64, "aarch64": elf.EM_AARCH64})[def.Arch]; one.beam.Machine != want {
		return home{}, fmt.Errorf("%s is for %v, the VM is %s: take an image or packages for it", one.beam.Path, one.beam.Machine, def.Arch)
	}
	return one, nil
}

// takeOut copies parts of h's directory to dir on the build host, and removes all
// of it from the root but the programs.
func (r *root) takeOut(h home, dir string, parts []string) error {
	stays := map[string]bool{}
	for _, name := range beamPrograms {
		e, err := r.tree.Resolve(path.Join(h.bin, name))
		if err != nil {
			return fmt.Errorf("OTP: %w", err)
		}
		for at := e.Path; at != "/"; at = path.Dir(at) {
			stays[at] = true
		}
	}
	if err := r.copyOut(h.dir, dir, parts); err != nil {
		return err
	}
	r.tree.RemoveFunc(func(e *rootfs.Entry) bool { return strings.HasPrefix(e.Path, h.dir+"/") && !stays[e.Path] })
	r.removeLinks(h.dir)
	return nil
}

// removeLinks removes links into dir that lead nowhere now: erl, erlc, mix.
func (r *root) removeLinks(dir string) {
	r.tree.RemoveFunc(func(e *rootfs.Entry) bool {
		if e.Type != rootfs.Symlink {
			return false
		}
		target := e.Link
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(e.Path), target)
		}
		if !strings.HasPrefix(target, dir+"/") {
			return false
		}
		_, err := r.tree.Resolve(e.Path)
		return errors.Is(err, fs.ErrNotExist)
	})
}

// copyOut copies parts of a directory in the root.
func (r *root) copyOut(from, to string, parts []string) error {
	return r.tree.Walk(func(e *rootfs.Entry) error {
		rel, ok := strings.CutPrefix(e.Path, from+"/")
		if !ok || !slices.ContainsFunc(parts, func(pattern string) bool { return below(pattern, rel) }) {
			return nil
		}
		file := filepath.Join(to, filepath.FromSlash(rel))
		if e.Type != rootfs.Directory {
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				return err
			}
		}
		switch e.Type {
		case rootfs.Directory:
			return os.MkdirAll(file, 0o755)
		case rootfs.Symlink:
			return os.Symlink(e.Link, file)
		case rootfs.Regular:
			in, err := e.Open()
			if err != nil {
				return err
			}
			defer in.Close()
			out, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644|e.Mode.Perm()&0o111)
			if err != nil {
				return err
			}
			_, err = io.Copy(out, in)
			return errors.Join(err, out.Close())
		}
		return nil
	})
}

// below reports whether name is what pattern matches, or lies in it.
func below(pattern, name string) bool {
	n := strings.Count(pattern, "/") + 1
	parts := strings.SplitN(name, "/", n+1)
	if len(parts) < n {
		return false
	}
	ok, _ := path.Match(pattern, strings.Join(parts[:n], "/"))
	return ok
}
