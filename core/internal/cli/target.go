package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/bundle"
	"github.com/somebloke1/elixir-lean-lab/core/image"
	"github.com/somebloke1/elixir-lean-lab/core/inspect"
	"github.com/somebloke1/elixir-lean-lab/core/internal/foreign"
	"github.com/somebloke1/elixir-lean-lab/core/internal/handover"
	"github.com/somebloke1/elixir-lean-lab/core/internal/report"
	"github.com/somebloke1/elixir-lean-lab/core/vm"
)

// defaultMemoryMiB is for images of which nothing is known.
const defaultMemoryMiB = 256

// target is what is to run.
type target struct {
	vm.Config
	name     string           // that an instance of it may have
	image    string           // as the user gave it
	manifest *report.Manifest // nil: there is none

	root      *foreign.Root // of an image that is a root file system without a kernel; nil for any other
	enoughMiB int           // memory that is enough for that, and for a program
	leastMiB  int           // with less memory it does not unpack
	saysReady bool          // what runs in it is known to say when it is ready
	close     func() error  // when its files are no longer needed; nil: nothing to do
}

// done gives up the target's files.
func (t *target) done() {
	if t.close != nil {
		t.close()
	}
}

// machineFlags describe a machine where no bundle does.
type machineFlags struct {
	kernel, initrd, append string
	entrypoint             string
	args                   []string // after --; of the app, where it is not a container image's
}

func (f machineFlags) given() bool { return f.kernel+f.initrd+f.append+f.entrypoint != "" }

// runnable names what findTarget takes, for its errors.
const runnable = "what runs is a bundle or build/<vm>, a raw or qcow2 disk, an OCI or docker archive, an OCI layout, a tar archive of a root, or --kernel with --initrd or a disk"

// findTarget finds out what IMAGE is. It may be the name of a VM below build/.
// Call done on what it returns.
func (a *App) findTarget(ctx context.Context, arg string, f machineFlags, use rootUse) (*target, error) {
	if arg == "" {
		return a.kernelTarget(ctx, "", f)
	}
	path, info, err := a.imagePath(arg)
	if err != nil {
		return nil, err
	}
	if root, err := inspect.HasRoot(ctx, path); err != nil {
		return nil, fmt.Errorf("%w; is it truncated? %s", err, runnable)
	} else if root {
		return a.rootTarget(ctx, arg, path, f, use)
	}
	if f.entrypoint != "" {
		return nil, usageError{fmt.Errorf("--entrypoint is for container images and tar archives of a root; %s is none", arg)}
	}
	if info.IsDir() {
		if f.given() {
			return nil, usageError{fmt.Errorf("%s is a bundle, which has its kernel, root and command line: leave out --kernel, --initrd and --append", arg)}
		}
		t, err := bundleTarget(path)
		if err != nil {
			return nil, err
		}
		t.image = arg
		return t, nil
	}
	format, err := diskFormat(path, f.kernel == "")
	if err != nil {
		return nil, err
	}
	t := &target{}
	if f.kernel != "" {
		if t, err = a.kernelTarget(ctx, path, f); err != nil {
			return nil, err
		}
	} else if f.given() {
		return nil, usageError{errors.New("--initrd and --append are for a kernel: give it with --kernel, or leave them out and the disk's boot loader starts")}
	} else {
		t.Arch, t.MemoryMiB = "x86_64", defaultMemoryMiB
	}
	t.Disk, t.Format, t.image, t.name = path, format, arg, stem(path)
	if t.Kernel != "" {
		_, err := handover.BootOf(ctx, t.Config) // a root that cannot be read has none that is known
		t.saysReady = err == nil
	}
	return t, nil
}

// imagePath is where IMAGE is.
func (a *App) imagePath(arg string) (string, os.FileInfo, error) {
	path := a.path(arg)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && filepath.Base(arg) == arg {
		path = filepath.Join(a.Dir, "build", arg)
		if info, err = os.Stat(path); err != nil {
			return "", nil, fmt.Errorf("%s: there is no such image, and no VM of that name in build/; %s", arg, runnable)
		}
	}
	if err != nil {
		return "", nil, fmt.Errorf("%w; %s", err, runnable)
	}
	return path, info, nil
}

func stem(path string) string {
	return strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
}

func (a *App) kernelTarget(ctx context.Context, disk string, f machineFlags) (*target, error) {
	kernel := a.path(f.kernel)
	if info, err := os.Stat(kernel); err == nil && info.IsDir() {
		b, err := bundleTarget(kernel)
		if err != nil {
			return nil, err
		}
		kernel = b.Kernel
	}
	arch, err := image.KernelArch(kernel)
	if err != nil {
		return nil, err
	}
	t := &target{name: stem(kernel), image: f.kernel, Config: vm.Config{
		Arch: arch, Kernel: kernel, Cmdline: f.append, MemoryMiB: defaultMemoryMiB}}
	if f.initrd != "" {
		t.Initrd = a.path(f.initrd)
		_, err := handover.BootOf(ctx, t.Config)
		t.saysReady = err == nil
	}
	if f.initrd == "" && disk == "" {
		return nil, usageError{errors.New("--kernel alone has no root to run: add --initrd, or a disk as IMAGE")}
	}
	return t, nil
}

// bundleTarget is for a bundle's directory or the output of a build.
func bundleTarget(dir string) (*target, error) {
	b, err := bundle.Find(dir)
	if err != nil {
		return nil, fmt.Errorf("%w; %s", err, runnable)
	}
	output := filepath.Dir(b.Dir)
	arch, err := image.KernelArch(b.Path(bundle.Kernel))
	if err != nil {
		return nil, err
	}
	t := &target{name: filepath.Base(output), saysReady: true}
	if t.Config, err = vm.OfBundle(b, arch); err != nil {
		return nil, err
	}
	t.MemoryMiB = defaultMemoryMiB
	t.manifest, err = report.Read(filepath.Join(output, report.FileName))
	if errors.Is(err, fs.ErrNotExist) {
		if t.name = filepath.Base(b.Dir); t.name == bundle.Format { // a bundle that was copied elsewhere
			t.name = filepath.Base(output)
		}
	} else if err != nil {
		return nil, err
	}
	return t, nil
}
