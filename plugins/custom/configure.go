package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/kernel"
	"github.com/somebloke1/elixir-lean-lab/core/source"
)

// tools are what Configure can be asked for, by the names that Buildroot's
// makefile gives them.
var tools = []string{"linux-menuconfig", "busybox-menuconfig", "savedefconfig"}

// Configure opens an editor on the configuration and folds what was changed
// into the checked-in files. The build directory below req.Work stays, so that
// other tools of the kernel's makefile can be used in it by hand, and
// savedefconfig afterwards.
func (custom) Configure(ctx context.Context, req *builder.ConfigureRequest) error {
	ev := terminalEvents{}
	var b *kernel.Build
	var err error
	switch req.Tool {
	case "linux-menuconfig", "savedefconfig":
		b, err = configuredKernel(ctx, req, ev)
	case "busybox-menuconfig":
		b, err = configuredBusybox(ctx, req)
	default:
		return fmt.Errorf("no tool %q; the custom builder has %s", req.Tool, strings.Join(tools, ", "))
	}
	if err != nil {
		return err
	}
	var edits []kernel.Edit
	if req.Tool == "savedefconfig" {
		if _, statErr := os.Stat(filepath.Join(b.Out, ".config")); errors.Is(statErr, os.ErrNotExist) {
			if err := b.Configure(ctx, ev); err != nil {
				return err
			}
		}
		edits, err = b.Savedefconfig(ctx, ev, "", os.Stdout)
	} else {
		edits, err = b.Menuconfig(ctx, ev, "", os.Stdin, os.Stdout)
	}
	for _, edit := range edits {
		fmt.Fprintln(os.Stderr, edit)
	}
	if err == nil && len(edits) == 0 {
		fmt.Fprintln(os.Stderr, "nothing changed")
	}
	return err
}

func configuredKernel(ctx context.Context, req *builder.ConfigureRequest, ev builder.Events) (*kernel.Build, error) {
	c, err := decode(req.Definition)
	if err != nil {
		return nil, err
	}
	b, err := c.kernel().Plan(req.Definition, req.Work, req.Jobs)
	if err != nil {
		return nil, err
	}
	return b, unpackOnce(ctx, req.Sources["linux"], b.Source, ev)
}

// configuredBusybox edits core/guest/busybox.config in the checkout: the
// copy in the plugin's binary comes from there.
func configuredBusybox(ctx context.Context, req *builder.ConfigureRequest) (*kernel.Build, error) {
	config := filepath.Join(req.Definition.Root, "core", "guest", "busybox.config")
	b, err := busyboxBuild(req.Definition, config, req.Work, req.Jobs)
	if err != nil {
		return nil, fmt.Errorf("%w; busybox-menuconfig edits a checkout of leanlab", err)
	}
	return b, unpackOnce(ctx, req.Sources["busybox"], b.Source, terminalEvents{})
}

// unpackOnce unpacks an archive unless this very archive was unpacked before.
func unpackOnce(ctx context.Context, archive builder.FetchedSource, dir string, ev builder.Events) error {
	stamp := dir + ".sha256"
	if have, err := os.ReadFile(stamp); err == nil && string(have) == archive.SHA256 {
		return nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	ev.Emit(builder.StepStarted{Title: "unpacking " + archive.Path})
	if err := source.Unpack(ctx, archive.Path, dir, source.UnpackOptions{Strip: 1}); err != nil {
		return err
	}
	return os.WriteFile(stamp, []byte(archive.SHA256), 0o644)
}

// terminalEvents tells a waiting person what goes on: titles only.
type terminalEvents struct{}

func (terminalEvents) Emit(e builder.Event) {
	if s, ok := e.(builder.StepStarted); ok {
		fmt.Fprintln(os.Stderr, s.Title)
	}
}
