package definition

import (
	"fmt"
	"math/big"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// vmSchema is the vm block without the strategy's own.
var vmSchema = builder.Schema{
	Attributes: []builder.Attribute{
		{Name: "strategy", Type: "string", Required: true},
		{Name: "arch", Type: "string", Default: `"x86_64"`},
		{Name: "hostname", Type: "string"},
		{Name: "elixir", Type: "string", Default: `"1.18"`},
	},
	Blocks: []builder.Block{
		{Name: "app", Schema: builder.Schema{Attributes: []builder.Attribute{
			{Name: "path", Type: "string", Required: true},
			{Name: "release", Type: "string"},
			{Name: "env", Type: "map(string)", Default: `{}`},
			{Name: "user", Type: "string", Default: `"app"`},
		}}},
		{Name: "otp", Schema: builder.Schema{Attributes: []builder.Attribute{
			{Name: "version", Type: "string", Default: `"27"`},
			{Name: "emulator", Type: "string", Default: `"interpreter"`},
			{Name: "link", Type: "string", Default: `"static"`},
		}}},
		{Name: "lean", Schema: builder.Schema{Attributes: []builder.Attribute{
			{Name: "level", Type: "string", Default: `"closure"`},
			{Name: "keep", Type: "list(string)", Default: `[]`},
		}}},
		{Name: "output", Schema: builder.Schema{Attributes: []builder.Attribute{
			{Name: "formats", Type: "list(string)", Default: `["bundle"]`},
			{Name: "compression", Type: "string", Default: `"zstd"`},
		}}},
		{Name: "budget", Schema: builder.Schema{Attributes: []builder.Attribute{
			{Name: "size", Type: "string"},
			{Name: "memory", Type: "string"},
		}}},
		{Name: "proof", Schema: builder.Schema{
			Attributes: []builder.Attribute{
				{Name: "expect", Type: "list(string)", Default: `[]`},
				{Name: "exit", Type: "string"},
				{Name: "timeout", Type: "string", Default: `"5m"`},
				{Name: "memory", Type: "string", Default: `"128MiB"`},
			},
			Blocks: []builder.Block{
				{Name: "http", List: true, Schema: builder.Schema{Attributes: []builder.Attribute{
					{Name: "port", Type: "number", Required: true},
					{Name: "path", Type: "string", Default: `"/"`},
					{Name: "status", Type: "number", Default: `200`},
					{Name: "body", Type: "string", Default: `""`},
				}}},
				{Name: "eval", List: true, Schema: builder.Schema{Attributes: []builder.Attribute{
					{Name: "code", Type: "string", Required: true},
					{Name: "result", Type: "string", Required: true},
				}}},
			},
		}},
	},
}

const (
	// leastSize is below what any bootable kernel takes; a BEAM emulator alone
	// takes 1.4 MB packed.
	leastSize = 500_000
	// leastMemory is below what a kernel and an idle BEAM hold together.
	leastMemory = 16 << 20
	mebibyte    = 1 << 20
)

// decodeVMs decodes all vm blocks. Those with errors are left out.
func (d *Definitions) decodeVMs(blocks []*hclsyntax.Block) hcl.Diagnostics {
	var diags hcl.Diagnostics
	first := map[string]hcl.Range{}
	for _, block := range blocks {
		name := block.Labels[0]
		if before, again := first[name]; again {
			diags = append(diags, duplicate(fmt.Sprintf("VM %q is defined twice", name), block.DefRange(), before))
			continue
		}
		first[name] = block.DefRange()
		vm, bad := d.decodeVM(block)
		diags = append(diags, bad...)
		if !bad.HasErrors() {
			d.vms = append(d.vms, vm)
		}
	}
	return diags
}

func (d *Definitions) decodeVM(block *hclsyntax.Block) (*VM, hcl.Diagnostics) {
	vm := &VM{Name: block.Labels[0], block: block}
	body, diags := d.takeStrategy(vm)
	full := withDefaultBlocks(body, block.DefRange(), vmSchema, "app")
	value, bad := d.scope.decode(full, block.DefRange(), "a vm block", vmSchema)
	r := &reader{body: block.Body, header: block.DefRange(), value: value, scope: d.scope, diags: append(diags, bad...)}
	r.checkName(block)
	vm.Hostname = r.hostname(vm.Name)
	vm.Arch = r.arch()
	vm.readApp(r)
	vm.readVersions(r)
	vm.OTP.Emulator = r.oneOf([]string{"interpreter", "jit"}, "otp", "emulator")
	vm.OTP.Link = r.oneOf([]string{"static", "dynamic"}, "otp", "link")
	vm.Lean.Level = r.oneOf([]string{"none", "strip", "closure"}, "lean", "level")
	vm.Lean.Keep = r.moduleNames("lean", "keep")
	vm.Output.Formats = r.someOf([]string{"bundle"}, "output", "formats")
	vm.Output.Compression = r.oneOf([]string{"zstd", "xz"}, "output", "compression")
	vm.Budget.Size = r.size(leastSize, "Even a kernel that can do nothing takes more, and a BEAM emulator alone takes 1.4 MB packed.", "budget", "size")
	vm.Budget.Memory = r.size(leastMemory, "A kernel and an idle BEAM hold more than that between them.", "budget", "memory")
	vm.readProof(r)
	return vm, r.diags
}

// takeStrategy finds the strategy's name and its block, and returns the body
// without that block. While the name is not known, any block whose name is not
// near to one of ours may be it, and nothing is said about it.
func (d *Definitions) takeStrategy(vm *VM) (*hclsyntax.Body, hcl.Diagnostics) {
	body := vm.block.Body
	ours := namesOf(vmSchema)
	if attr := body.Attributes["strategy"]; attr != nil {
		value, bad := d.scope.value(attr.Expr)
		if !bad.HasErrors() && value.IsKnown() && !value.IsNull() && value.Type() == cty.String {
			vm.Strategy = value.AsString()
		}
	}
	var diags hcl.Diagnostics
	rest := &hclsyntax.Body{Attributes: body.Attributes, SrcRange: body.SrcRange, EndRange: body.EndRange}
	known := names{attributes: ours.attributes, blocks: ours.blocks}
	if vm.Strategy != "" && !slices.Contains(ours.blocks, vm.Strategy) {
		known.blocks = append(slices.Clone(ours.blocks), vm.Strategy)
	}
	for _, block := range body.Blocks {
		switch {
		case slices.Contains(ours.blocks, block.Type):
			rest.Blocks = append(rest.Blocks, block)
		case vm.Strategy == block.Type && vm.strategy != nil:
			diags = append(diags, duplicate(fmt.Sprintf("Second %s block", block.Type), block.DefRange(), vm.strategy.DefRange()))
		case vm.Strategy == block.Type:
			vm.strategy = block
			if bad := checkLabels(block, nil); bad != nil {
				diags = append(diags, bad)
			}
		case vm.Strategy != "" || nearest(block.Type, slices.Concat(ours.attributes, ours.blocks)) != "":
			diags = append(diags, known.unknown(&hclsyntax.Body{Blocks: hclsyntax.Blocks{block}}, "a vm block")...)
		}
	}
	return rest, diags
}

func (vm *VM) readApp(r *reader) {
	vm.User, vm.Env = "app", map[string]string{}
	if !r.has("app") {
		return
	}
	vm.User = r.oneOf([]string{"app", "root"}, "app", "user")
	vm.Env = r.environment("app", "env")
	if path, ok := r.text("app", "path"); ok && path != "" {
		vm.App = &App{Path: path}
		vm.App.Release, _ = r.text("app", "release")
	}
}

func (vm *VM) readVersions(r *reader) {
	var goodOTP, goodElixir bool
	vm.OTP.Version, goodOTP = r.series(knownOTPs(), `A series of OTP is its major version, such as "27".`, 1, "otp", "version")
	vm.Elixir, goodElixir = r.series(knownElixirs(), `A series of Elixir is two numbers, such as "1.18".`, 2, "elixir")
	if !goodOTP || !goodElixir {
		return
	}
	lowest, highest := otpRange(vm.Elixir)
	if major, err := strconv.Atoi(vm.OTP.Version); err != nil || major < lowest || major > highest {
		r.errorAt([]string{"otp", "version"}, fmt.Sprintf("Elixir %s does not run on OTP %s", vm.Elixir, vm.OTP.Version),
			"It runs on OTP %d to %d. Change otp.version or elixir.", lowest, highest)
	}
}

// CheckApp reports whether there is a Mix project where the VM's app should be.
// It is apart from Load, since a definition of several VMs may name projects of
// which only the one that is built need be there.
func (d *Definitions) CheckApp(vm *VM) hcl.Diagnostics {
	if vm.App == nil {
		return nil
	}
	err := d.sources.lookFor(vm.App.Path, filepath.Join(vm.App.Path, "mix.exs"))
	if err == nil {
		return nil
	}
	return hcl.Diagnostics{d.At(vm, []string{"app", "path"}, "No Mix project at "+vm.App.Path,
		fmt.Sprintf("%v. Give the directory that holds mix.exs, or an empty path for an iex console.", err))}
}

// reader takes a decoded body apart. What it is asked for and cannot give, since
// it is wrong or null, is the zero value; all that is wrong is in diags.
type reader struct {
	body   *hclsyntax.Body
	header hcl.Range
	value  cty.Value
	scope  *scope
	diags  hcl.Diagnostics
}

func (r *reader) errorAt(path []string, summary, format string, args ...any) {
	at, expr := find(r.body, r.header, path)
	diag := errorAt(at, summary, format, args...)
	if expr != nil {
		diag.Expression, diag.EvalContext = expr, r.scope.context
	}
	r.diags = append(r.diags, diag)
}

// at returns the value at path, in which repeated blocks are counted, or null.
func (r *reader) at(path []string) cty.Value {
	value := r.value
	for _, name := range path {
		if !value.IsKnown() || value.IsNull() {
			return cty.NullVal(cty.DynamicPseudoType)
		}
		if i, err := strconv.Atoi(name); err == nil {
			value = value.Index(cty.NumberIntVal(int64(i)))
		} else {
			value = value.GetAttr(name)
		}
	}
	return value
}

// get returns the value at path, or null.
func (r *reader) get(path []string) cty.Value {
	value := r.at(path)
	if !value.IsWhollyKnown() {
		return cty.NullVal(cty.DynamicPseudoType)
	}
	return value
}

// count is how many blocks of a repeated kind there are.
func (r *reader) count(path ...string) int {
	blocks := r.at(path)
	if !blocks.IsKnown() || blocks.IsNull() {
		return 0
	}
	return blocks.LengthInt()
}

func (r *reader) has(block string) bool {
	return isBlock(r.body, block)
}

func (r *reader) text(path ...string) (string, bool) {
	value := r.get(path)
	if value.IsNull() {
		return "", false
	}
	return value.AsString(), true
}

// textOr returns a text, or other.
func (r *reader) textOr(other string, path ...string) string {
	if text, ok := r.text(path...); ok {
		return text
	}
	return other
}

// whole returns a whole number, or other.
func (r *reader) whole(other int, path ...string) int {
	value := r.get(path)
	if value.IsNull() {
		return other
	}
	n, accuracy := value.AsBigFloat().Int64()
	if accuracy != big.Exact {
		r.errorAt(path, "Not a whole number", "A %s has no fraction, and not so many digits.", path[len(path)-1])
		return other
	}
	return int(n)
}

// list returns a list of strings; null elements are reported.
func (r *reader) list(path ...string) ([]string, bool) {
	value := r.get(path)
	if value.IsNull() {
		return nil, false
	}
	all := []string{}
	for _, element := range value.AsValueSlice() {
		if element.IsNull() {
			r.errorAt(append(path, strconv.Itoa(len(all))), "A null element", "Each element of %s must have a value.", path[len(path)-1])
			return nil, false
		}
		all = append(all, element.AsString())
	}
	return all, true
}

// dnsLabel is an RFC 1123 host name without dots.
var dnsLabel = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

const dnsLabelForm = "up to 63 lower-case letters, digits and -, with a letter or digit at both ends"

func (r *reader) checkName(block *hclsyntax.Block) {
	if !dnsLabel.MatchString(block.Labels[0]) {
		r.diags = append(r.diags, errorAt(block.LabelRanges[0], fmt.Sprintf("Bad VM name %q", block.Labels[0]),
			"It is also a directory and the host name, and so takes %s.", dnsLabelForm))
	}
}

// Rename calls the VM something else than its label does: a variant of it, which
// stands beside the others in build/. Its host name stays.
func (v *VM) Rename(name string) error {
	if !dnsLabel.MatchString(name) {
		return fmt.Errorf("%q cannot name a VM: want %s", name, dnsLabelForm)
	}
	v.Name = name
	return nil
}

func (r *reader) hostname(name string) string {
	hostname, given := r.text("hostname")
	if !given {
		return name
	}
	if !dnsLabel.MatchString(hostname) {
		r.errorAt([]string{"hostname"}, fmt.Sprintf("Bad host name %q", hostname), "A host name takes %s (RFC 1123).", dnsLabelForm)
	}
	return hostname
}

// archNames are other projects' names for our architectures.
var archNames = map[string]string{"amd64": "x86_64", "x64": "x86_64", "x86-64": "x86_64", "arm64": "aarch64", "armv8": "aarch64"}

func (r *reader) arch() string {
	arch, ok := r.text("arch")
	if ours := archNames[strings.ToLower(arch)]; ok && ours != "" {
		r.errorAt([]string{"arch"}, fmt.Sprintf("Unknown arch %q", arch), "It is called %q here, as in the kernel's uname.", ours)
		return ""
	}
	return r.oneOf([]string{"x86_64", "aarch64"}, "arch")
}

// oneOf returns a text that must be one of known.
func (r *reader) oneOf(known []string, path ...string) string {
	text, ok := r.text(path...)
	if ok && !slices.Contains(known, text) {
		name := path[len(path)-1]
		r.errorAt(path, fmt.Sprintf("Unknown %s %q", name, text), "%s", didYouMean(text, known))
	}
	return text
}

// someOf returns a list of which each element must be one of known, once.
func (r *reader) someOf(known []string, path ...string) []string {
	all, ok := r.list(path...)
	if ok && len(all) == 0 {
		r.errorAt(path, "Nothing to write", "The list is empty. Known: %s.", strings.Join(known, ", "))
	}
	for i, text := range all {
		at := append(slices.Clone(path), strconv.Itoa(i))
		name := strings.TrimSuffix(path[len(path)-1], "s")
		switch {
		case !slices.Contains(known, text):
			r.errorAt(at, fmt.Sprintf("Unknown %s %q", name, text), "%s", didYouMean(text, known))
		case slices.Contains(all[:i], text):
			r.errorAt(at, fmt.Sprintf("Second %s %q", name, text), "Once is enough: remove one of the two.")
		}
	}
	return all
}

// moduleName is an application (an atom without quotes) or a module: ssl,
// ssl_cipher, Elixir.Enum.
var moduleName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_@.]*$`)

func (r *reader) moduleNames(path ...string) []string {
	all, _ := r.list(path...)
	for i, name := range all {
		if !moduleName.MatchString(name) {
			r.errorAt(append(slices.Clone(path), strconv.Itoa(i)), fmt.Sprintf("Bad name %q", name),
				`Give an OTP application or a module, such as "ssl" or "Elixir.Enum".`)
		}
	}
	return all
}

var environmentName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// environment returns a map of environment variables. Names are as in POSIX
// (XBD 8.1); values must fit on a line of the guest's boot file.
func (r *reader) environment(path ...string) map[string]string {
	env := map[string]string{}
	value := r.get(path)
	if value.IsNull() {
		return env
	}
	for it := value.ElementIterator(); it.Next(); {
		key, element := it.Element()
		name := key.AsString()
		at := append(slices.Clone(path), name)
		switch {
		case !environmentName.MatchString(name):
			r.errorAt(at, fmt.Sprintf("Bad environment variable %q", name), "A name takes letters, digits and _, and does not begin with a digit.")
		case element.IsNull():
			r.errorAt(at, fmt.Sprintf("Environment variable %q is null", name), "It must have a value; an empty one is \"\".")
		case strings.ContainsAny(element.AsString(), "\n\x00"):
			r.errorAt(at, fmt.Sprintf("Environment variable %q does not fit on a line", name), "The guest's boot file has one line for it: no line breaks and no NUL.")
		default:
			env[name] = element.AsString()
		}
	}
	return env
}

// size returns a size of at least least bytes; reason says why not less.
func (r *reader) size(least int64, reason string, path ...string) int64 {
	text, ok := r.text(path...)
	if !ok {
		return 0
	}
	bytes, err := parseSize(text)
	switch {
	case err != nil:
		r.errorAt(path, "Bad size", "%v.", err)
	case bytes < least:
		r.errorAt(path, "Impossible "+strings.Join(path, " "), "%s is less than the least that makes sense, %s. %s", text, sizeText(least), reason)
	default:
		return bytes
	}
	return 0
}

// series returns a version series of the known ones.
func (r *reader) series(known []string, form string, parts int, path ...string) (string, bool) {
	text, ok := r.text(path...)
	if !ok {
		return "", false
	}
	if !slices.Contains(known, text) {
		r.errorAt(path, fmt.Sprintf("Unknown series %q", text), "%s", seriesHint(text, known, form, parts))
		return "", false
	}
	return text, true
}
