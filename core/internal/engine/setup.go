package engine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/image"
	"github.com/somebloke1/elixir-lean-lab/core/internal/ui"
	"github.com/somebloke1/elixir-lean-lab/core/vm"
)

// MissingError lists what the host lacks.
type MissingError struct{ Missing []builder.Missing }

func (e *MissingError) Error() string {
	var b strings.Builder
	b.WriteString("this machine lacks what the build needs:\n")
	for _, m := range e.Missing {
		fmt.Fprintf(&b, "  %-14s %s", m.What, m.Why)
		if m.Debian == "" {
			fmt.Fprintf(&b, "; %s", m.Remedy)
		}
		b.WriteString("\n")
	}
	if packages := debianPackages(e.Missing); len(packages) > 0 {
		b.WriteString("on Debian or Ubuntu, run:\n  ")
		for _, arch := range foreignArchitectures(packages) {
			fmt.Fprintf(&b, "sudo dpkg --add-architecture %s && ", arch)
		}
		if len(foreignArchitectures(packages)) > 0 {
			b.WriteString("sudo apt-get update && ")
		}
		fmt.Fprintf(&b, "sudo apt-get install --no-install-recommends %s", strings.Join(packages, " "))
	}
	return strings.TrimRight(b.String(), "\n")
}

func debianPackages(missing []builder.Missing) []string {
	var packages []string
	for _, m := range missing {
		if m.Debian != "" && !slices.Contains(packages, m.Debian) {
			packages = append(packages, m.Debian)
		}
	}
	slices.Sort(packages)
	return packages
}

// foreignArchitectures are those that packages name, as in libssl-dev:arm64.
// dpkg has to be told of them first, and apt has to read their lists.
func foreignArchitectures(packages []string) []string {
	var arches []string
	for _, p := range packages {
		if _, arch, ok := strings.Cut(p, ":"); ok && !slices.Contains(arches, arch) {
			arches = append(arches, arch)
		}
	}
	return arches
}

// checkHost stops, with a list of everything at once, when the host lacks what
// the plugin or the host's own part of the build needs.
func (e *Engine) checkHost(ctx context.Context) error {
	if e.hostChecked {
		return nil
	}
	missing, err := e.missing(ctx)
	if err != nil {
		return err
	}
	e.hostChecked = true
	if len(missing) == 0 {
		return nil
	}
	if e.Install {
		if err := installPackages(ctx, e.UI, debianPackages(missing)); err != nil {
			return fmt.Errorf("%w\n%w", err, &MissingError{missing})
		}
		if missing, err = e.missing(ctx); err != nil || len(missing) == 0 {
			return err
		}
	}
	return &MissingError{missing}
}

func (e *Engine) missing(ctx context.Context) ([]builder.Missing, error) {
	missing, err := e.plugin.Probe(ctx, e.def)
	if err != nil {
		return nil, err
	}
	own, err := e.hostNeeds()
	return append(missing, own...), err
}

// hostNeeds are the programs that the host itself runs.
func (e *Engine) hostNeeds() ([]builder.Missing, error) {
	packer, err := image.PackerOf(e.VM.Output.Root, e.VM.Output.Compression)
	if err != nil {
		return nil, err
	}
	programs := []builder.Missing{
		{What: packer.Program, Why: "packs the root file system", Debian: packer.Debian},
		{What: "strip", Why: "drops the symbols of programs", Debian: "binutils"},
	}
	if !e.NoProof {
		program, pkg := vm.Program(e.VM.Arch)
		programs = append(programs, builder.Missing{What: program, Why: "boots the image to prove that it works", Debian: pkg})
	}
	var missing []builder.Missing
	for _, m := range programs {
		if _, err := exec.LookPath(m.What); err != nil {
			m.Remedy = "install your distribution's package that holds it"
			missing = append(missing, m)
		}
	}
	return missing, nil
}

// installPackages runs apt-get, as root or through sudo where that asks nothing.
func installPackages(ctx context.Context, out ui.UI, packages []string) error {
	if len(packages) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("cannot install what is missing: there is no apt-get on this machine")
	}
	var prefix []string
	if os.Geteuid() != 0 {
		if err := exec.CommandContext(ctx, "sudo", "-n", "true").Run(); err != nil {
			return fmt.Errorf("cannot install what is missing: not root, and sudo wants a password or is absent")
		}
		prefix = []string{"sudo", "-n"}
	}
	step := out.Start("setup", "installing "+strings.Join(packages, " "))
	var commands [][]string
	for _, arch := range foreignArchitectures(packages) {
		commands = append(commands, []string{"dpkg", "--add-architecture", arch})
	}
	for _, args := range append(commands,
		[]string{"apt-get", "update", "-q"},
		append([]string{"apt-get", "install", "-q", "-y", "--no-install-recommends"}, packages...),
	) {
		args = append(prefix[:len(prefix):len(prefix)], args...)
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if err := builder.Run(ctx, step, cmd); err != nil {
			step.Fail(err)
			return err
		}
	}
	step.Done("")
	return nil
}
