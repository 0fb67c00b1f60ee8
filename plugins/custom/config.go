package main

import (
	"context"
	"fmt"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/cc"
	"github.com/somebloke1/elixir-lean-lab/core/kernel"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// config is the block `custom { … }` of a definition.
type config struct {
	Kernel    string   `json:"kernel"`
	Fragments []string `json:"fragments"`
	Overlays  []string `json:"overlays"`
	Busybox   bool     `json:"busybox"`
	Cmdline   string   `json:"cmdline"`
}

// busyboxSeries is not an option: the checked-in busybox.config belongs to it.
const busyboxSeries = "1.37"

func (custom) Describe() builder.Description {
	return builder.Description{
		Name:         "custom",
		Version:      "0.1.0",
		Arches:       []string{"x86_64", "aarch64"},
		Capabilities: []string{builder.CapabilityConfigure},
		Schema: builder.Schema{Attributes: []builder.Attribute{
			{Name: "kernel", Type: "string", Default: `"6.12"`,
				Doc: "Linux release series."},
			{Name: "fragments", Type: "list(string)", Default: `["base","virtio","net"]`,
				Doc: "Kernel configuration on top of tinyconfig: names in kernel-configs/, or paths. Later ones win."},
			{Name: "overlays", Type: "list(string)", Default: `["common"]`,
				Doc: "Directories copied over the root: names in overlays/, or paths. Later ones win."},
			{Name: "busybox", Type: "bool", Default: `true`,
				Doc: "A shell and DHCP. Without it the VM has only its loopback interface."},
			{Name: "cmdline", Type: "string", Default: `""`,
				Doc: "Words to add to the kernel command line."},
		}},
	}
}

func (c config) kernel() kernel.Recipe {
	return kernel.Recipe{Series: c.Kernel, Fragments: c.Fragments}
}

func decode(def *builder.Definition) (config, error) {
	var c config
	err := builder.DecodeConfig(def.Config, &c)
	return c, err
}

// Validate checks names against the data folders.
func (custom) Validate(_ context.Context, def *builder.Definition) (builder.Diagnostics, error) {
	c, err := decode(def)
	if err != nil {
		return nil, err
	}
	ds, err := kernel.CheckFragments(def, "fragments", c.Fragments)
	if err != nil {
		return nil, err
	}
	ds = append(ds, rootfs.CheckOverlays(def.Root, "overlays", c.Overlays)...)
	if def.OTP.Link == "dynamic" && def.Arch != cc.HostArch() {
		ds = append(ds, builder.Diagnostic{
			Severity: builder.Error,
			Summary:  "Dynamic linking needs the target's C library",
			Detail: fmt.Sprintf("With link = \"dynamic\" the C library is taken from the build host, which is %s; the definition is for %s. Build on such a host, or link statically.",
				cc.HostArch(), def.Arch),
		})
	}
	return ds, nil
}
