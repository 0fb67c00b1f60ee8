package handover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/somebloke1/elixir-lean-lab/core/guest"
	"github.com/somebloke1/elixir-lean-lab/core/inspect"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
	"github.com/somebloke1/elixir-lean-lab/core/vm"
)

// ErrOwnLoader means that nothing can be handed to a machine: what boots it is on
// its disk.
var ErrOwnLoader = errors.New("it starts its own boot loader, and only a kernel that is started from here can be told of another boot file")

// maxFile bounds what of a boot file is read; guest.Parse takes less.
const maxFile = 1 << 20

// BootOf reads the boot file in a machine's root. That there is none is
// guest.ErrNoBoot.
func BootOf(ctx context.Context, cfg vm.Config) (guest.Boot, error) {
	if cfg.Initrd != "" {
		return guest.BootOf(cfg.Initrd)
	}
	if cfg.Kernel == "" {
		return guest.Boot{}, ErrOwnLoader
	}
	boot, err := bootOn(ctx, cfg.Disk)
	if err != nil {
		return guest.Boot{}, fmt.Errorf("%s: %w", cfg.Disk, err)
	}
	return boot, nil
}

func bootOn(ctx context.Context, disk string) (guest.Boot, error) {
	img, err := inspect.Open(ctx, disk, inspect.DefaultLimits)
	if err != nil {
		return guest.Boot{}, err
	}
	defer img.Close()
	e, err := img.Tree.Resolve(guest.BootPath)
	if err != nil || e.Type != rootfs.Regular {
		return guest.Boot{}, guest.ErrNoBoot
	}
	r, err := e.Open()
	if err != nil {
		return guest.Boot{}, err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxFile))
	if err != nil {
		return guest.Boot{}, err
	}
	return guest.Parse(text)
}

// Give has the machine, which has all its other disks, find boot instead of its
// image's. What carries it is a file in dir, in the temporary directory if that is
// empty, for the user only: a boot file may hold what others are not to read. QEMU
// has it open once it has started; whoever starts it removes the file.
func Give(cfg *vm.Config, dir string, boot guest.Boot) (file string, err error) {
	f, err := os.CreateTemp(dir, "leanlab-boot-")
	if err != nil {
		return "", err
	}
	if cfg.Initrd != "" {
		err = guest.WithBoot(f, cfg.Initrd, boot)
		cfg.Initrd = f.Name()
	} else {
		var data []byte
		if data, err = boot.Disk(); err == nil {
			_, err = f.Write(data)
		}
		cfg.Handed = f.Name()
		cfg.Cmdline += " " + guest.BootWord + cfg.HandedDevice()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}
