package definition

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/internal/check"
)

// Options says what to load and with which values.
type Options struct {
	Paths    []string // files, or directories of which every *.hcl is read in order of name
	Vars     []string // "name=value", as after --var; a later one wins
	VarFiles []string // files of name = value, as after --var-file; a later one wins
	Environ  []string // as from os.Environ; LEANLAB_VAR_name is read from it
	Dir      string   // absolute; what a relative path is relative to
	Version  string   // the host's own, such as "0.1.0", for required_version; empty satisfies any
}

// Definitions is the result of Load.
type Definitions struct {
	sources sources
	scope   *scope
	vms     []*VM
}

// VM is a vm block: what to build and what it must hold to. Its own attributes
// are constants that have been checked; those of the strategy's block are not
// looked at before DecodeConfig.
type VM struct {
	Name     string // the block's label; also the name of the directory below build/
	Strategy string
	Arch     string // "x86_64" or "aarch64"
	Hostname string // an RFC 1123 label; Name unless given

	App  *App              // nil: an iex console
	Env  map[string]string // BEAM's environment; one line each
	User string            // who BEAM runs as: "app", unprivileged, or "root"

	OTP    builder.OTP
	Elixir string // series, such as "1.18"

	Lean   Lean
	Output Output
	Budget Budget
	Proof  Proof

	block    *hclsyntax.Block // the vm block
	strategy *hclsyntax.Block // the strategy's block within it; nil when there is none
}

// App is the Mix project that goes into the VM.
type App struct {
	Path    string // as written, relative to Options.Dir unless absolute
	Release string // which of the project's releases; empty for the only one
}

// Lean is how far the image is cut down.
type Lean struct {
	Level string   // "none", "strip" or "closure"
	Keep  []string // OTP applications or modules that stay in any case
}

// Output is what is written.
type Output struct {
	Formats     []string // "bundle"
	Root        string   // what the root file system is in: "initramfs" or "disk"
	Compression string   // of it: "zstd" or "xz"
}

// Budget is what the image must stay within. Zero means no limit.
type Budget struct {
	Size   int64 // bytes to download: kernel and compressed root file system
	Memory int64 // bytes of RAM
}

// Proof is how the image is tried out.
type Proof struct {
	Checks  check.Set
	Timeout time.Duration // in real time: for the boot, for each request and evaluation, for going down
	Memory  int64         // the guest's RAM in bytes, whole MiB
}

// Load reads and evaluates definitions. All that is wrong is reported at once.
// The result is never nil, so that diagnostics can be written with it; its VMs
// may be used only when the diagnostics have no errors.
func Load(o Options) (*Definitions, hcl.Diagnostics) {
	d := &Definitions{sources: newSources(o.Dir)}
	bodies, diags := d.sources.readAll(o.Paths)
	diags = append(diags, d.evaluate(o, bodies)...)
	d.sources.sort(diags)
	return d, diags
}

// evaluate makes the passes over the bodies.
func (d *Definitions) evaluate(o Options, bodies []*hclsyntax.Body) hcl.Diagnostics {
	blocks, diags := topLevel(bodies)
	if unmet := checkVersion(blocks["leanlab"], o.Version); unmet.HasErrors() {
		return unmet // the rest may be in a language that this version does not know
	}
	variables, more := declareVariables(blocks["variable"])
	diags = append(diags, more...)
	diags = append(diags, d.assignVariables(variables, o)...)
	d.scope = newScope(variables)
	diags = append(diags, d.scope.evaluateLocals(blocks["locals"])...)
	diags = append(diags, d.decodeVMs(blocks["vm"])...)
	if len(d.vms) == 0 && len(bodies) > 0 && !diags.HasErrors() {
		diags = append(diags, &hcl.Diagnostic{
			Severity: hcl.DiagError,
			Summary:  "No VM is defined",
			Detail:   "A definition needs at least one block: vm \"NAME\" { strategy = \"custom\" }",
			Subject:  bodies[len(bodies)-1].EndRange.Ptr(),
		})
	}
	return diags
}

// topLevelBlocks are the blocks of a file, with the names of their labels.
var topLevelBlocks = []hcl.BlockHeaderSchema{
	{Type: "leanlab"},
	{Type: "variable", LabelNames: []string{"name"}},
	{Type: "locals"},
	{Type: "vm", LabelNames: []string{"name"}},
}

// topLevel sorts the blocks of all files by type.
func topLevel(bodies []*hclsyntax.Body) (map[string][]*hclsyntax.Block, hcl.Diagnostics) {
	var diags hcl.Diagnostics
	var known names
	for _, b := range topLevelBlocks {
		known.blocks = append(known.blocks, b.Type)
	}
	blocks := map[string][]*hclsyntax.Block{}
	for _, body := range bodies {
		diags = append(diags, known.unknown(body, "a definition")...)
		for _, block := range body.Blocks {
			for _, header := range topLevelBlocks {
				if header.Type != block.Type {
					continue
				}
				if bad := checkLabels(block, header.LabelNames); bad != nil {
					diags = append(diags, bad)
					continue
				}
				blocks[block.Type] = append(blocks[block.Type], block)
			}
		}
	}
	return blocks, diags
}

// checkLabels returns what is wrong with the labels of a block.
func checkLabels(block *hclsyntax.Block, want []string) *hcl.Diagnostic {
	switch {
	case len(block.Labels) < len(want):
		return errorAt(block.DefRange(), "Missing "+want[len(block.Labels)],
			"Write %s \"NAME\" { … }.", block.Type)
	case len(block.Labels) > len(want):
		return errorAt(block.LabelRanges[len(want)], "Too many labels",
			"%s block has %s.", capital(article(block.Type)), map[int]string{0: "no label", 1: "one label, its name"}[len(want)])
	}
	return nil
}

// Names returns the names of all VMs in the order of their definitions.
func (d *Definitions) Names() []string {
	var all []string
	for _, vm := range d.vms {
		all = append(all, vm.Name)
	}
	return all
}

// VM returns the VM of that name; with an empty name, the only one there is.
func (d *Definitions) VM(name string) (*VM, error) {
	all := d.Names()
	if name == "" {
		if len(d.vms) == 1 {
			return d.vms[0], nil
		}
		return nil, fmt.Errorf("which VM? %s defines: %s", d.sources.list(), strings.Join(all, ", "))
	}
	for _, vm := range d.vms {
		if vm.Name == name {
			return vm, nil
		}
	}
	return nil, fmt.Errorf("no VM %q in %s. %s", name, d.sources.list(), didYouMean(name, all))
}

// ForPlugin returns what the strategy's builder gets to know: constants only.
// root is the absolute directory that holds kernel-configs/ and overlays/;
// config is the result of DecodeConfig.
func (vm *VM) ForPlugin(root string, config []byte) *builder.Definition {
	var app *builder.App
	if vm.App != nil {
		app = &builder.App{Path: vm.App.Path, Release: vm.App.Release}
		if !filepath.IsAbs(app.Path) {
			app.Path = filepath.Join(root, app.Path)
		}
	}
	return &builder.Definition{
		VM:       vm.Name,
		Arch:     vm.Arch,
		Root:     root,
		OTP:      vm.OTP,
		Elixir:   vm.Elixir,
		Console:  vm.App == nil,
		App:      app,
		Config:   config,
		Hostname: vm.Hostname,
		Output:   builder.Output{Root: vm.Output.Root, Compression: vm.Output.Compression},
	}
}
