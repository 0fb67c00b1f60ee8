// Command leanlab-builder-example is the plugin to copy for a strategy of your
// own: it takes a kernel and a root filesystem that exist already and passes
// them on as a machine. It imports core/builder and the standard library only.
//
// In order of events: main.go (who it is, its block, what is wrong with it),
// plan.go (steps and what changes them), build.go (the steps), package.go
// (artifacts of its own, which are optional).
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

func main() { builder.Serve(example{}) }

// example implements builder.Builder, and builder.Packager in package.go.
type example struct{}

// config is the block `example { … }`. Its names are those of the schema.
type config struct {
	Kernel  string `json:"kernel"`
	Rootfs  string `json:"rootfs"`
	Libc    string `json:"libc"`
	Cmdline string `json:"cmdline"`
}

func (example) Describe() builder.Description {
	return builder.Description{
		Name:         "example", // also the end of the binary's name
		Version:      "0.1.0",
		Arches:       []string{"x86_64", "aarch64"},
		Capabilities: []string{builder.CapabilityPackage},
		Schema: builder.Schema{Attributes: []builder.Attribute{
			{Name: "kernel", Type: "string", Required: true,
				Doc: "Kernel image that boots: a bzImage, or an Image on aarch64. A relative path is relative to the project."},
			{Name: "rootfs", Type: "string", Required: true,
				Doc: "Root filesystem as an uncompressed tar."},
			{Name: "libc", Type: "string", Default: `"static"`,
				Doc: "What its programs are linked against: static, glibc or musl."},
			{Name: "cmdline", Type: "string", Default: `""`,
				Doc: "Words to add to the kernel command line."},
		}},
	}
}

// decode reads the block. The host has checked it against the schema and put in
// the defaults.
func decode(def *builder.Definition) (config, error) {
	var c config
	if err := builder.DecodeConfig(def.Config, &c); err != nil {
		return c, err
	}
	for _, path := range []*string{&c.Kernel, &c.Rootfs} {
		if !filepath.IsAbs(*path) {
			*path = filepath.Join(def.Root, *path)
		}
	}
	return c, nil
}

// Probe has nothing to look for: this builder runs no programs.
func (example) Probe(context.Context, *builder.Definition) ([]builder.Missing, error) {
	return nil, nil
}

// Validate says what the schema cannot, and where: the host shows file, line
// and column of the attribute that Path names.
func (example) Validate(_ context.Context, def *builder.Definition) (builder.Diagnostics, error) {
	c, err := decode(def)
	if err != nil {
		return nil, err
	}
	var ds builder.Diagnostics
	wrong := func(attribute, summary, detail string) {
		ds = append(ds, builder.Diagnostic{
			Severity: builder.Error, Summary: summary, Detail: detail, Path: []string{attribute},
		})
	}
	for _, file := range []struct{ attribute, path string }{{"kernel", c.Kernel}, {"rootfs", c.Rootfs}} {
		if err := regular(file.path); err != nil {
			wrong(file.attribute, "No such file", err.Error())
		}
	}
	switch c.Libc {
	case "static", "glibc", "musl":
	default:
		wrong("libc", "Unknown C library", fmt.Sprintf("%q is none of static, glibc and musl.", c.Libc))
	}
	return ds, nil
}

// regular reports why path is not a regular file.
func regular(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New(path + " is not a regular file")
	}
	return nil
}
