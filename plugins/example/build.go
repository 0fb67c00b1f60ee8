package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// Build runs a step. It writes below req.Out, which is published when the step
// succeeds, and below req.Work, which is not. Commands are run with
// builder.Run, which shows their output and ends them when ctx is cancelled.
func (example) Build(ctx context.Context, req *builder.BuildRequest, ev builder.Events) (*builder.Machine, error) {
	if req.Step != stepMachine {
		return nil, fmt.Errorf("unknown step %q", req.Step)
	}
	c, err := decode(req.Definition)
	if err != nil {
		return nil, err
	}
	for _, file := range []struct{ from, name string }{{c.Kernel, "kernel"}, {c.Rootfs, "rootfs.tar"}} {
		if err := copyFile(ctx, ev, file.from, filepath.Join(req.Out, file.name)); err != nil {
			return nil, err
		}
	}
	// The result lives in the host's cache, so the machine refers to what is in
	// it and not to where it came from. A builder that can compile apps brings a
	// Toolchain too, and lists its Emulators and Components.
	return &builder.Machine{
		Kernel:  builder.Ref{Step: stepMachine, Path: "kernel"},
		Rootfs:  builder.Ref{Step: stepMachine, Path: "rootfs.tar"},
		Cmdline: c.Cmdline,
		Libc:    c.Libc,
	}, nil
}

// copyFile copies a file, showing how far it is, and stops when ctx is done.
func copyFile(ctx context.Context, ev builder.Events, from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	ev.Emit(builder.Log{Line: fmt.Sprintf("copying %s (%d bytes)", from, info.Size())})
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	for done := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("copying %s: %w", from, err)
		}
		n, err := io.CopyN(out, in, 8<<20)
		done += n
		ev.Emit(builder.Progress{Done: done, Total: max(done, info.Size()), Unit: "bytes"})
		if err == io.EOF {
			return out.Close()
		}
		if err != nil {
			return err
		}
	}
}
