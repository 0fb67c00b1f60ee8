package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/image"
	"github.com/somebloke1/elixir-lean-lab/core/internal/foreign"
	"github.com/somebloke1/elixir-lean-lab/core/internal/store"
	"github.com/somebloke1/elixir-lean-lab/core/internal/ui"
	"github.com/somebloke1/elixir-lean-lab/core/vm"
)

// defaultBuild is whose kernel and /init boot a root that has neither.
const defaultBuild = "build/custom"

// rootUse is what a root file system is made ready for.
type rootUse struct {
	packed bool   // as small as a build's own root, to be weighed
	kernel string // whose kernel it is without --kernel; empty: the default build's
	ui     ui.UI  // nil: one of its own, for as long as it takes
}

// rootTarget is for a root file system without a kernel.
func (a *App) rootTarget(ctx context.Context, arg, path string, f machineFlags, use rootUse) (*target, error) {
	if f.initrd != "" {
		return nil, usageError{fmt.Errorf("%s is a root file system: leave out --initrd", arg)}
	}
	k, err := a.rootKernel(ctx, arg, cmp.Or(f.kernel, use.kernel))
	if err != nil {
		return nil, err
	}
	cache, err := store.DefaultDir(a.getenv)
	if err != nil {
		return nil, err
	}
	st, err := store.Open(cache)
	if err != nil {
		return nil, err
	}
	if use.ui == nil {
		if use.ui, err = ui.New("auto", a.Stderr, a.getenv, filepath.Join(st.LogDir(), "run.log")); err != nil {
			return nil, errors.Join(err, st.Close())
		}
		defer use.ui.Close()
	}
	r, err := foreign.Prepare(ctx, path, foreign.Options{
		Arch: k.Arch, Kernel: k.Kernel, Init: k.init, Packed: use.packed, Network: !use.packed,
		Command: foreign.Command{Entrypoint: f.entrypoint, Args: f.args}, Store: st, UI: use.ui,
	})
	var info os.FileInfo
	if err == nil {
		info, err = os.Stat(r.Initrd)
	}
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	t := &target{Config: k.Config, image: arg, name: strings.TrimSuffix(stem(path), ".tar"), root: r, saysReady: r.Given, close: st.Close}
	t.Initrd = r.Initrd
	t.Cmdline = strings.Join(strings.Fields(strings.Join([]string{k.Cmdline, foreign.Cmdline, r.Words, f.append}, " ")), " ")
	t.enoughMiB, t.leastMiB = foreign.MemoryMiB(r.Bytes, info.Size())
	t.MemoryMiB = max(t.enoughMiB, defaultMemoryMiB)
	return t, nil
}

// rootKernel is a kernel and the /init that goes with it.
type rootKernel struct {
	vm.Config
	init []byte
}

// rootKernel takes both from a build's directory. With a kernel in a file, /init
// is the default build's.
func (a *App) rootKernel(ctx context.Context, arg, given string) (*rootKernel, error) {
	dir := filepath.Join(a.Dir, defaultBuild)
	file := ""
	if given != "" {
		info, err := os.Stat(a.path(given))
		if err != nil {
			return nil, fmt.Errorf("--kernel: %w", err)
		}
		if info.IsDir() {
			dir = a.path(given)
		} else {
			file = a.path(given)
		}
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s brings no kernel, and there is no %s to take one from, with its /init: build it (make vm), or name the directory of another build with --kernel", arg, dir)
	}
	b, err := bundleTarget(dir)
	if err == nil && b.Initrd == "" {
		err = fmt.Errorf("%s has its root on a disk, so that its kernel may not unpack one into memory: give a build whose root is an initramfs with --kernel", dir)
	}
	if err != nil {
		return nil, err
	}
	k := &rootKernel{Config: b.Config}
	if k.init, err = foreign.InitOf(ctx, filepath.Dir(b.Kernel)); err != nil {
		return nil, err
	}
	k.Initrd = ""
	if file == "" {
		return k, nil
	}
	arch, err := image.KernelArch(file)
	if err == nil && arch != k.Arch {
		err = fmt.Errorf("%s is a kernel for %s, and the /init in %s for %s", file, arch, dir, k.Arch)
	}
	k.Kernel, k.Cmdline = file, ""
	return k, err
}
