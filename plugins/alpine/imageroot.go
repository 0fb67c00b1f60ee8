package main

import (
	"context"
	"path"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// buildImageRoot makes the root of a container image.
func buildImageRoot(ctx context.Context, req *builder.BuildRequest, c config, ev builder.Events) error {
	img, err := openImage(ctx, req, c, ev)
	if err != nil {
		return err
	}
	defer img.Close()
	r := &root{tree: img.Tree}
	r.dropContainers()
	r.dropElixir()
	take := r.takeOTP
	if req.Definition.Console {
		take = r.takeRelease
	}
	if err := take(req.Out, req.Definition); err != nil {
		return err
	}
	if err := r.writeKernel(c, req.Out); err != nil {
		return err
	}
	packages, err := r.readDatabase()
	if err != nil {
		return err
	}
	return r.write(req.Out, packages)
}

// containerFiles are what container engines leave in a root for themselves: marks,
// and what they mount over when a container runs.
var containerFiles = []string{"/.dockerenv", "/run/.containerenv", "/run/secrets", "/etc/mtab"}

// dropContainers takes away what only a container has. /dev is the kernel's in a
// VM, and an empty resolv.conf, which engines mount over, would hide the DHCP
// client's.
func (r *root) dropContainers() {
	r.tree.RemoveFunc(func(e *rootfs.Entry) bool {
		for _, name := range containerFiles {
			if e.Path == name {
				return true
			}
		}
		switch e.Path {
		case "/etc/resolv.conf", "/etc/hosts", "/etc/hostname":
			return e.Type == rootfs.Regular && e.Size() == 0
		}
		return path.Dir(e.Path) == "/dev" && e.Path != "/dev/console"
	})
}

// dropElixir takes away an installed Elixir: a release brings its modules, and
// nothing in a VM runs mix.
func (r *root) dropElixir() {
	const mark = "/lib/elixir/ebin/elixir.app"
	var dirs []string
	_ = r.tree.Walk(func(e *rootfs.Entry) error {
		if dir, ok := strings.CutSuffix(e.Path, mark); ok {
			if _, err := r.tree.Resolve(dir + "/bin/mix"); err == nil {
				dirs = append(dirs, dir)
			}
		}
		return nil
	})
	for _, dir := range dirs {
		r.tree.RemoveFunc(func(e *rootfs.Entry) bool { return e.Path == dir })
		r.removeLinks(dir)
	}
}
