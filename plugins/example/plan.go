package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// stepMachine is the only step.
const stepMachine = "machine"

// Plan names all that can change a step's result, since the host takes the
// result from its cache when nothing has changed: of a file the digest, not the
// path. A builder that compiles something lists what it needs in Sources, and
// the host fetches it.
func (example) Plan(_ context.Context, def *builder.Definition) (*builder.Plan, error) {
	c, err := decode(def)
	if err != nil {
		return nil, err
	}
	kernel, err := digest(c.Kernel)
	if err != nil {
		return nil, err
	}
	rootfs, err := digest(c.Rootfs)
	if err != nil {
		return nil, err
	}
	return &builder.Plan{Steps: []builder.Step{{
		ID:     stepMachine,
		Title:  "Prebuilt kernel and root filesystem",
		Inputs: map[string]string{"kernel": kernel, "rootfs": rootfs, "libc": c.Libc, "cmdline": c.Cmdline},
	}}}, nil
}

func digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
