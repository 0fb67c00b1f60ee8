package foreign

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/somebloke1/elixir-lean-lab/core/bundle"
	"github.com/somebloke1/elixir-lean-lab/core/guest"
	"github.com/somebloke1/elixir-lean-lab/core/image"
	"github.com/somebloke1/elixir-lean-lab/core/inspect"
	"github.com/somebloke1/elixir-lean-lab/core/internal/store"
	"github.com/somebloke1/elixir-lean-lab/core/internal/ui"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// initPath is where our /init lies in a root that is not ours: an image may have
// an /init of its own.
const initPath = "/etc/leanlab/init"

// Cmdline is what the kernel must be told beside Root's own words. Without it the
// root is a tmpfs, which takes no more than half of the RAM (init/do_mounts.c,
// init_rootfs; mm/shmem.c).
const Cmdline = "rootfstype=ramfs"

// Options is how to make a root ready.
type Options struct {
	Arch   string // of the kernel that will boot it: "x86_64"
	Kernel string // path of it
	Init   []byte // our /init for that
	// Packed is whether the initramfs is compressed as a build's is: as small as it
	// gets, and slow to make. Otherwise it is not compressed at all.
	Packed  bool
	Network bool // the program finds QEMU's user network set up
	Command Command
	Store   *store.Store
	UI      ui.UI
}

// Command replaces what a container image says is to be run, as the flags of
// `docker run` do.
type Command struct {
	Entrypoint string   // instead of the image's, with its arguments; empty: the image's
	Args       []string // instead of the image's Cmd; empty: the image's
}

// Root is a root file system that is ready to boot.
type Root struct {
	Initrd string `json:"-"`
	Bytes  int64  // what it takes in memory, unpacked
	Arch   string // "x86_64"; empty: the image does not say
	// Words are for the kernel's command line, beside Cmdline.
	Words string
	// Boot is what our /init runs. Without one, process 1 is the image's own init.
	Boot *guest.Boot
	// BEAM is whether there is an emulator in it.
	BEAM bool
	// Given is whether Boot is the root's own, which says when it is ready.
	Given bool
	// Changed is whether Boot is not what stands in Initrd.
	Changed bool `json:"-"`
}

// What an entry of the store has.
const (
	initrdFile = "initrd"
	rootFile   = "root.json"
)

// recipe changes whenever Prepare would make something else of the same.
const recipe = "1"

// Prepare makes the root in file, which may be a directory in the OCI image
// layout, ready to boot.
func Prepare(ctx context.Context, file string, o Options) (*Root, error) {
	step, err := o.step(file)
	if err != nil {
		return nil, err
	}
	entry, _, err := o.Store.Build(ctx, step, func(ctx context.Context, out, _ string) error {
		ev := o.UI.Start("root", filepath.Base(file)+": root file system")
		if err := o.build(ctx, file, out, ev); err != nil {
			ev.Fail(err)
			return err
		}
		ev.Done("")
		return nil
	})
	if err != nil {
		return nil, err
	}
	r := &Root{Initrd: filepath.Join(entry.Dir, initrdFile)}
	data, err := os.ReadFile(filepath.Join(entry.Dir, rootFile))
	if err == nil {
		err = json.Unmarshal(data, r)
	}
	if err != nil {
		return nil, err
	}
	if r.Arch != "" && r.Arch != o.Arch {
		return nil, fmt.Errorf("%s: is for %s, and the kernel for %s: give a build for %s with --kernel", file, r.Arch, o.Arch, r.Arch)
	}
	if o.Command.Entrypoint != "" || len(o.Command.Args) > 0 {
		return r, o.command(ctx, file, r)
	}
	if r.Boot == nil && r.Words == "" {
		return nil, fmt.Errorf("%s: says nothing of what to run in it: it has neither a configuration nor /init nor /sbin/init; name a program with --entrypoint", file)
	}
	return r, nil
}

func (o *Options) step(file string) (store.Step, error) {
	digest, err := digestOf(o.Store, file)
	if err != nil {
		return store.Step{}, err
	}
	init := sha256.Sum256(o.Init)
	inputs := store.Inputs{
		"image": digest, "init": hex.EncodeToString(init[:]), "recipe": recipe,
		"network": fmt.Sprint(o.Network),
	}
	if o.Packed {
		var packer image.Packer
		if packer, err = image.PackerOf(bundle.Initramfs, compression); err == nil {
			inputs["compression"], err = packer.Version()
		}
	}
	return store.Step{Kind: "root", Scope: filepath.Base(file), Inputs: inputs}, err
}

func digestOf(st *store.Store, file string) (string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	if info.IsDir() {
		return st.DigestTree(file, nil)
	}
	return st.DigestFile(file)
}

// build makes the initramfs and describes it.
func (o *Options) build(ctx context.Context, file, out string, ev ui.Step) error {
	img, err := inspect.Open(ctx, file, inspect.DefaultLimits)
	if err != nil {
		return err
	}
	defer img.Close()
	r, err := o.describe(img)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := o.complete(img.Tree, r); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	r.Bytes, r.BEAM = Bytes(img.Tree), hasBEAM(img.Tree)
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, rootFile), data, 0o644); err != nil {
		return err
	}
	return o.writeInitrd(ctx, img.Tree, out, ev)
}

// describe finds out what is to run.
func (o *Options) describe(img *inspect.Image) (*Root, error) {
	r := &Root{}
	if c := img.Config; c != nil && c.Architecture != "" {
		if c.OS != "" && c.OS != "linux" {
			return nil, fmt.Errorf("is an image for %s, not for Linux", c.OS)
		}
		if r.Arch = archs[c.Architecture]; r.Arch == "" {
			return nil, fmt.Errorf("is for the architecture %s; VMs are for amd64 and arm64", c.Architecture)
		}
	}
	if e, err := img.Tree.Resolve(guest.BootPath); err == nil {
		boot, err := bootFile(e)
		if err != nil {
			return nil, err
		}
		r.Boot, r.Given = &boot, true
		if _, err := img.Tree.Resolve("/init"); err != nil {
			r.Words = "rdinit=" + initPath
		}
		return r, nil
	}
	if img.Config != nil && len(img.Config.Config.Entrypoint)+len(img.Config.Config.Cmd) > 0 {
		boot, err := o.boot(img.Tree, img.Config, Command{})
		r.Boot, r.Words = &boot, "rdinit="+initPath
		return r, err
	}
	for _, own := range []string{"/init", "/sbin/init"} {
		if e, err := img.Tree.Resolve(own); err == nil && e.Type == rootfs.Regular {
			r.Words = "rdinit=" + own
			return r, checkProgram(e, o.Arch)
		}
	}
	return r, nil // that there is nothing matters only without a Command
}

// archs are the names of architectures: Go's, which container images use, and
// the kernel's.
var archs = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}

func bootFile(e *rootfs.Entry) (guest.Boot, error) {
	text, err := contents(e, 1<<20)
	if err != nil {
		return guest.Boot{}, err
	}
	return guest.Parse(text)
}

// command has the root run another command.
func (o *Options) command(ctx context.Context, file string, r *Root) error {
	if r.Given {
		return fmt.Errorf("%s: has a boot file of leanlab's, which says what it runs: leave out --entrypoint", file)
	}
	img, err := inspect.Open(ctx, file, inspect.DefaultLimits)
	if err != nil {
		return err
	}
	defer img.Close()
	config := img.Config
	if config == nil {
		config = &inspect.Config{}
	}
	boot, err := o.boot(img.Tree, config, o.Command)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	r.Boot, r.Words, r.Changed = &boot, "rdinit="+initPath, true
	return nil
}

// InitOf returns the /init of a build's bundle, which must be ours.
func InitOf(ctx context.Context, bundle string) ([]byte, error) {
	img, err := inspect.Open(ctx, bundle, inspect.DefaultLimits)
	if err != nil {
		return nil, err
	}
	defer img.Close()
	_, ours := img.Tree.Get(guest.BootPath)
	e, err := img.Tree.Resolve("/init")
	if err == nil && !ours {
		err = errors.New("its /init is not leanlab's, since it has no " + guest.BootPath)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: give the directory of a build", bundle, err)
	}
	return contents(e, 8<<20)
}
