package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// The steps' ids.
const (
	stepUnpack        = "buildroot"
	stepToolchain     = "toolchain"
	stepConfiguration = "configuration"
	stepBuild         = "build"
	stepMachine       = "machine"
)

// Recipes are raised when a step makes something else of the same inputs.
const (
	recipeConfiguration = "3"
	recipeBuild         = "2"
	recipeMachine       = "1"
)

// Plan names everything that can change a result. What is a directory on this
// machine is digested: Buildroot, the external trees, and what those refer to.
func (buildroot) Plan(ctx context.Context, def *builder.Definition) (*builder.Plan, error) {
	c, err := decode(def)
	if err != nil {
		return nil, err
	}
	plan := &builder.Plan{Sources: []builder.Source{
		{Name: "erlang", Series: def.OTP.Version},
		{Name: "elixir", Series: def.Elixir},
	}}
	if c.Kernel != "" {
		plan.Sources = append(plan.Sources, builder.Source{Name: "linux", Series: c.Kernel})
	}
	inputs, err := configurationInputs(ctx, def, c)
	if err != nil {
		return nil, err
	}
	configuration := builder.Step{ID: stepConfiguration, Title: "Buildroot's configuration", KeepWork: true, Inputs: inputs}
	for _, s := range plan.Sources {
		configuration.Sources = append(configuration.Sources, s.Name)
	}
	if c.BuildrootDir == "" {
		plan.Sources = append(plan.Sources, builder.Source{Name: "buildroot", Series: c.Buildroot})
		plan.Steps = append(plan.Steps, builder.Step{ID: stepUnpack, Title: "Buildroot " + c.Buildroot, Sources: []string{"buildroot"}})
		configuration.Needs = append(configuration.Needs, stepUnpack)
	}
	if c.Toolchain == toolchainHost {
		inputs, err := hostToolchainInputs(ctx, def.Arch)
		if err != nil {
			return nil, err
		}
		if inputs["script"], err = treeDigest(filepath.Join(def.Root, externalDir, hostScript), nil); err != nil {
			return nil, err
		}
		plan.Steps = append(plan.Steps, builder.Step{ID: stepToolchain, Title: "toolchain of the host's packages (not for production)", Inputs: inputs})
		configuration.Needs = append(configuration.Needs, stepToolchain)
	}
	// What make reads beyond its configuration is in the configuration's inputs,
	// so that one key says it all.
	build := builder.Step{
		ID: stepBuild, Title: "Buildroot", KeepWork: true, Downloads: stepConfiguration,
		Needs: append(configuration.Needs[:len(configuration.Needs):len(configuration.Needs)], stepConfiguration), Sources: configuration.Sources,
		Inputs: map[string]string{"recipe": recipeBuild},
	}
	plan.Steps = append(plan.Steps, configuration, build, builder.Step{
		ID: stepMachine, Title: "machine", Needs: []string{stepBuild},
		Inputs: map[string]string{"recipe": recipeMachine, "cmdline": c.Cmdline, "link": def.OTP.Link, "arch": def.Arch,
			"root": def.Output.Root + " " + def.Output.Compression},
	})
	return plan, nil
}

// Build runs one step.
func (b buildroot) Build(ctx context.Context, req *builder.BuildRequest, ev builder.Events) (*builder.Machine, error) {
	switch req.Step {
	case stepUnpack:
		return nil, unpackTree(ctx, req, ev)
	case stepToolchain:
		return nil, buildToolchain(ctx, req, ev)
	case stepConfiguration:
		return nil, buildConfiguration(ctx, req, ev)
	case stepBuild:
		return nil, buildAll(ctx, req, ev)
	case stepMachine:
		return machine(req)
	}
	return nil, fmt.Errorf("step %q: the buildroot builder has no such step", req.Step)
}

// configurationInputs is everything but sources that decides about the
// configuration and what make makes of it.
func configurationInputs(ctx context.Context, def *builder.Definition, c config) (map[string]string, error) {
	trees, err := c.externals(def)
	if err != nil {
		return nil, err
	}
	inputs := map[string]string{
		"recipe": recipeConfiguration,
		"arch":   def.Arch,
		"lines":  ownText(def, c),
	}
	var br *tree
	if c.BuildrootDir != "" {
		if br, err = openTree(under(def, c.BuildrootDir)); err != nil {
			return nil, err
		}
		inputs["buildroot "+br.version] = ""
		if inputs["buildroot "+br.version], err = treeDigest(br.dir, notSource); err != nil {
			return nil, err
		}
	}
	if path, err := c.findDefconfig(def, trees, br); err == nil {
		if inputs["defconfig"], err = treeDigest(path, nil); err != nil {
			return nil, err
		}
		if err := namedInputs(path, inputs); err != nil {
			return nil, err
		}
	} else if br != nil {
		return nil, err
	} else {
		inputs["defconfig"] = c.Defconfig // in the release that is to be unpacked
	}
	// Not that they change what is made, but the list of downloads names them.
	inputs["dl_dir"], inputs["mirror"] = c.DLDir, c.Mirror
	for i, e := range trees {
		if err := externalInputs(def, e, i, inputs); err != nil {
			return nil, err
		}
	}
	for name, dir := range c.OverrideSrcdir {
		if inputs["override_srcdir "+name], err = treeDigest(under(def, dir), notSource); err != nil {
			return nil, err
		}
	}
	if c.ExtraHashes != "" {
		if inputs["extra_hashes"], err = treeDigest(under(def, c.ExtraHashes), notSource); err != nil {
			return nil, err
		}
	}
	return inputs, addTools(ctx, def, c, inputs)
}

// hostFiles are symbols that name files and directories which Buildroot reads.
// Others may hold paths, too, but of the VM, or of where things are to go.
var hostFiles = regexp.MustCompile(`^BR2_(ROOTFS_(OVERLAY|(STATIC_)?DEVICE_TABLE|USERS_TABLES|[A-Z_]*SCRIPT)|GLOBAL_PATCH_DIR|PACKAGE_OVERRIDE_FILE|` +
	`.*_CONFIG(_FRAGMENT_FILES|_FILE)?|.*_PATCH|.*_(DTS|LOGO)_PATH)$`)

// namedInputs digests the files and directories that a defconfig names by whole
// paths, such as an overlay beside the project; those that it names by an
// external tree's variable are digested with the tree.
func namedInputs(defconfig string, inputs map[string]string) error {
	r, err := readDefconfig(defconfig)
	if err != nil {
		return nil // Validate has said so
	}
	for _, s := range r.Symbols {
		if !hostFiles.MatchString(s.Name) {
			continue
		}
		for word := range strings.FieldsSeq(unquote(s.Value)) {
			if !filepath.IsAbs(word) || !exists(word) {
				continue
			}
			if inputs["named "+s.Name+" "+filepath.Base(word)], err = treeDigest(word, notSource); err != nil {
				return err
			}
		}
	}
	return nil
}

// externalInputs digests an external tree and what it refers to. Its own makes
// no difference by where it lies; what lies outside is named by the last
// element of its path.
func externalInputs(def *builder.Definition, e external, i int, inputs map[string]string) error {
	var err error
	if inputs[fmt.Sprintf("external %d %s", i, e.name)], err = treeDigest(e.dir, notSource); err != nil {
		return err
	}
	outside, err := e.outside()
	if err != nil {
		return err
	}
	for _, path := range outside {
		rel, err := filepath.Rel(e.dir, path)
		if err != nil {
			return err
		}
		if inputs["outside "+e.name+" "+filepath.ToSlash(rel)], err = treeDigest(path, notSource); err != nil {
			return err
		}
	}
	return nil
}

// addTools adds what of the host decides: the compiler's version is asked for in
// Config.in, and an external toolchain is what everything is compiled with.
func addTools(ctx context.Context, def *builder.Definition, c config, inputs map[string]string) error {
	version, err := exec.CommandContext(ctx, "gcc", "-dumpversion").Output()
	if err != nil {
		return fmt.Errorf("gcc -dumpversion: %w", err)
	}
	inputs["gcc"] = strings.TrimSpace(string(version))
	if c.Toolchain == toolchainExternal && c.ToolchainPath != "" {
		f, err := probeToolchain(ctx, under(def, c.ToolchainPath), "")
		if err != nil {
			return fmt.Errorf("toolchain_path: %w", err)
		}
		full, err := ask(ctx, f.program("gcc"), "-dumpfullversion")
		if err != nil {
			return err
		}
		inputs["toolchain"] = fmt.Sprintf("%s gcc %s, Linux %d.%d, %s", f.prefix, full, f.headers[0], f.headers[1], f.libc)
	}
	return nil
}

// ownText is the definition's own lines, and what else of the block make is
// told, as one input. Jobs, mirrors and directories change nothing.
func ownText(def *builder.Definition, c config) string {
	var b strings.Builder
	for _, s := range ownLines(def, c) {
		fmt.Fprintln(&b, s)
	}
	fmt.Fprintf(&b, "toolchain %s\nkernel %s\n", c.Toolchain, c.Kernel)
	return b.String()
}

// jobs is how many processes a package's make runs side by side.
func (c config) jobs(req *builder.BuildRequest) string {
	if c.Jobs > 0 {
		return strconv.Itoa(c.Jobs)
	}
	return strconv.Itoa(max(req.Jobs, 1))
}
