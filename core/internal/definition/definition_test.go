package definition

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/internal/check"
)

// load evaluates one file of that text; it must be good.
func load(t *testing.T, text string, o Options) *Definitions {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if err := os.WriteFile(filepath.Join(o.Dir, "test.hcl"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	o.Paths = append(o.Paths, "test.hcl")
	d, diags := Load(o)
	if len(diags) > 0 {
		var out bytes.Buffer
		if err := d.Write(&out, diags, false, 0); err != nil {
			t.Fatal(err)
		}
		t.Fatal(out.String())
	}
	return d
}

func only(t *testing.T, d *Definitions) *VM {
	t.Helper()
	vm, err := d.VM("")
	if err != nil {
		t.Fatal(err)
	}
	return vm
}

func TestEverythingButTheStrategyHasADefault(t *testing.T) {
	t.Parallel()
	got := only(t, load(t, `vm "small" { strategy = "custom" }`, Options{}))
	want := VM{
		Name: "small", Strategy: "custom", Arch: "x86_64", Hostname: "small",
		Env: map[string]string{}, User: "app",
		OTP:    builder.OTP{Version: "27", Emulator: "interpreter", Link: "static"},
		Elixir: "1.18",
		Lean:   Lean{Level: "closure", Keep: []string{}},
		Output: Output{Formats: []string{"bundle"}, Root: "initramfs", Compression: "zstd"},
		Proof:  Proof{Timeout: 5 * time.Minute, Memory: 128 << 20},
		block:  got.block,
	}
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("got  %+v\nwant %+v", *got, want)
	}
}

func TestEveryAttributeArrives(t *testing.T) {
	t.Parallel()
	got := only(t, load(t, `
		vm "full" {
			strategy = "custom"
			arch     = "aarch64"
			hostname = "box-1"
			elixir   = "1.19"
			app {
				path    = "my/app"
				release = "web"
				env     = { PORT = 80, NAME = "a b" }
				user    = "root"
			}
			otp {
				version  = 28
				emulator = "jit"
				link     = "dynamic"
			}
			lean {
				level = "strip"
				keep  = ["ssl", "Elixir.Enum"]
			}
			output {
				formats     = ["bundle"]
				root        = "disk"
				compression = "xz"
			}
			budget {
				size   = "4.5MB"
				memory = "64MiB"
			}
			proof {
				expect  = ["ready"]
				timeout = "90s"
				memory  = "1GiB"
				http { port = 4000 }
				eval {
					code   = "1 + 1"
					result = 2
				}
				http {
					port   = 79 + 1
					path   = "/health?deep=1"
					status = 503
					body   = "not yet"
				}
			}
			custom {}
		}`, Options{}))
	want := VM{
		Name: "full", Strategy: "custom", Arch: "aarch64", Hostname: "box-1",
		App:    &App{Path: "my/app", Release: "web"},
		Env:    map[string]string{"PORT": "80", "NAME": "a b"},
		User:   "root",
		OTP:    builder.OTP{Version: "28", Emulator: "jit", Link: "dynamic"},
		Elixir: "1.19",
		Lean:   Lean{Level: "strip", Keep: []string{"ssl", "Elixir.Enum"}},
		Output: Output{Formats: []string{"bundle"}, Root: "disk", Compression: "xz"},
		Budget: Budget{Size: 4_500_000, Memory: 64 << 20},
		Proof: Proof{
			Checks: check.Set{
				Expect: []string{"ready"},
				HTTP:   []check.HTTP{{Port: 4000, Path: "/", Status: 200}, {Port: 80, Path: "/health?deep=1", Status: 503, Body: "not yet"}},
				Eval:   []check.Eval{{Code: "1 + 1", Result: "2"}},
			},
			Timeout: 90 * time.Second, Memory: 1 << 30,
		},
		block: got.block, strategy: got.strategy,
	}
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("got  %+v\nwant %+v", *got, want)
	}
	forPlugin := got.ForPlugin("/root", []byte(`{}`))
	wantPlugin := builder.Definition{
		VM: "full", Arch: "aarch64", Root: "/root", OTP: got.OTP, Elixir: "1.19", Config: []byte(`{}`), Hostname: "box-1",
		App:    &builder.App{Path: "/root/my/app", Release: "web"},
		Output: builder.Output{Root: "disk", Compression: "xz"},
	}
	if !reflect.DeepEqual(*forPlugin, wantPlugin) {
		t.Errorf("for the plugin: got %+v, want %+v", *forPlugin, wantPlugin)
	}
}

func TestAVMMayEndByItself(t *testing.T) {
	t.Parallel()
	const text = `
		variable "exit" { default = null }
		vm "task" {
			strategy = "custom"
			app { path = "my/task" }
			proof {
				expect = ["done"]
				exit   = var.exit
			}
		}`
	for exit, o := range map[string]Options{"": {}, check.ExitClean: {Vars: []string{"exit=clean"}}} {
		want := check.Set{Expect: []string{"done"}, Exit: exit}
		if got := only(t, load(t, text, o)).Proof.Checks; !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestAnAppWithoutAPathIsAConsole(t *testing.T) {
	t.Parallel()
	const text = `
		variable "app" { type = string }
		vm "custom" {
			strategy = "custom"
			app {
				path = var.app
				env  = { TERM = "vt100" }
				user = "root"
			}
		}`
	vm := only(t, load(t, text, Options{Vars: []string{"app="}}))
	if vm.App != nil || vm.User != "root" || vm.Env["TERM"] != "vt100" || !vm.ForPlugin("/", nil).Console || vm.ForPlugin("/", nil).App != nil {
		t.Errorf("got %+v", vm)
	}
	if vm := only(t, load(t, text, Options{Vars: []string{"app=x"}})); vm.App == nil || vm.ForPlugin("/", nil).Console || vm.ForPlugin("/", nil).App.Path != "/x" {
		t.Errorf("got %+v", vm)
	}
}

func TestTheLastWhoGivesAVariableWins(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"one.vars": `name = "file-one"`, "two.vars": `name = "file-two"`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	environ := []string{"LEANLAB_VAR_name=env", "LEANLAB_VAR_elsewhere=x", "PATH=/bin"}
	files := []string{"one.vars", "two.vars"}
	for want, o := range map[string]Options{
		"default":  {},
		"env":      {Environ: environ},
		"file-two": {Environ: environ, VarFiles: files},
		"flag-two": {Environ: environ, VarFiles: files, Vars: []string{"name=flag-one", "name=flag-two"}},
	} {
		o.Dir = dir
		vm := only(t, load(t, `
			variable "name" {
				type    = string
				default = "default"
			}
			vm "custom" {
				strategy = "custom"
				hostname = var.name
			}`, o))
		if vm.Hostname != want {
			t.Errorf("hostname %q, want %q", vm.Hostname, want)
		}
	}
}

func TestAVariablesTypeSaysHowItsTextIsRead(t *testing.T) {
	t.Parallel()
	d := load(t, `
		variable "text"    { type = string }
		variable "count"   { type = number }
		variable "flag"    { type = bool }
		variable "list"    { type = list(string) }
		variable "untyped" {}
		vm "custom" {
			strategy = "custom"
			lean { keep = concat(var.list, [var.flag ? "yes" : "no"]) }
			app {
				path = ""
				env  = { TEXT = var.text, COUNT = var.count + 1, UNTYPED = var.untyped }
			}
		}`, Options{Vars: []string{"text=[a=b]", "count=41", "flag=true", `list=["ssl"]`, "untyped=1.20"}})
	vm := only(t, d)
	if want := []string{"ssl", "yes"}; !reflect.DeepEqual(vm.Lean.Keep, want) {
		t.Errorf("keep is %q, want %q", vm.Lean.Keep, want)
	}
	if want := map[string]string{"TEXT": "[a=b]", "COUNT": "42", "UNTYPED": "1.20"}; !reflect.DeepEqual(vm.Env, want) {
		t.Errorf("env is %q, want %q", vm.Env, want)
	}
}

func TestLocalsMayReferToLaterOnes(t *testing.T) {
	t.Parallel()
	vm := only(t, load(t, `
		locals {
			name = "${local.base}-${local.suffix}"
			base = "vm"
		}
		locals { suffix = join("", [for c in ["a", "b"] : upper(c) == "A" ? c : ""]) }
		vm "custom" {
			strategy = "custom"
			hostname = local.name
		}`, Options{}))
	if vm.Hostname != "vm-a" {
		t.Errorf("hostname %q", vm.Hostname)
	}
}

func TestADirectoryIsOneDefinition(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"b.hcl":     `vm "second" { strategy = var.s }`,
		"a.hcl":     `vm "first" { strategy = var.s }`,
		"vars.hcl":  `variable "s" { default = "custom" }`,
		"notes.txt": `not HCL {`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// The same file by two ways is read once.
	d, diags := Load(Options{Dir: filepath.Dir(dir), Paths: []string{filepath.Base(dir), filepath.Join(dir, "a.hcl")}})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if got, want := d.Names(), []string{"first", "second"}; !reflect.DeepEqual(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
	if _, err := d.VM("scond"); err == nil || !strings.Contains(err.Error(), `Did you mean "second"?`) {
		t.Errorf("a misspelt name: %v", err)
	}
	if _, err := d.VM(""); err == nil || !strings.Contains(err.Error(), "first, second") {
		t.Errorf("no name: %v", err)
	}
}

func TestWhatCannotBeReadIsNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for path, want := range map[string]string{
		"nowhere.hcl": "Cannot read nowhere.hcl",
		".":           "No definition in .",
	} {
		_, diags := Load(Options{Dir: dir, Paths: []string{path}})
		if len(diags) != 1 || diags[0].Summary != want {
			t.Errorf("%s: %v, want %s", path, diags, want)
		}
	}
	if _, diags := Load(Options{Dir: dir}); len(diags) != 1 || diags[0].Summary != "No definition is given" {
		t.Errorf("no path: %v", diags)
	}
}

func TestTheConstraintOnTheVersion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		constraint, version string
		ok                  bool
	}{
		{">= 0.1", "0.1.0", true},
		{">= 0.1", "0.1.0-dev", true},
		{">= 0.1", "", true},
		{"~> 0.2", "0.1.9", false},
		{"~> 0.2", "0.3.0", true},
		{"~> 0.2.1", "0.3.0", false},
		{">= 0.1, < 1.0", "1.0.0", false},
	} {
		dir := t.TempDir()
		text := `leanlab { required_version = "` + c.constraint + `" }` + "\n" + `vm "x" { strategy = "custom" }`
		if err := os.WriteFile(filepath.Join(dir, "x.hcl"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, diags := Load(Options{Dir: dir, Paths: []string{"x.hcl"}, Version: c.version})
		if diags.HasErrors() == c.ok {
			t.Errorf("%q with %q: %v", c.version, c.constraint, diags)
		}
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"0B": 0, "512B": 512, "500kB": 500_000, "8MB": 8_000_000, "4.5MB": 4_500_000,
		"1GB": 1_000_000_000, "64KiB": 65_536, "64MiB": 67_108_864, "0.5GiB": 536_870_912,
		"-1kB": -1000, "9223372036854775807B": 9223372036854775807,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%s is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MB", "8", "8M", "8mb", "8KB", "8 MB", " 8MB", "1e3MB", "0x8MB", "8MBps", "1.5B", "٣MB", "9223372036854775808B"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q is accepted as %d", text, got)
		}
	}
}

func TestDefinitionsOfTheRepository(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		vars    []string
		expect  []string
		console bool
	}{
		{nil, []string{"Hello from Elixir"}, false},
		{[]string{"app="}, nil, true},
		{[]string{"app=examples/../examples/hello_world"}, nil, false},
		{[]string{`expect=["on OTP 27"]`}, []string{"on OTP 27"}, false},
	} {
		d, diags := Load(Options{Dir: root, Paths: []string{"hcl/custom.hcl"}, Vars: c.vars, Version: "0.1.0"})
		if len(diags) > 0 {
			t.Fatal(diags)
		}
		vm := only(t, d)
		if diags := d.CheckApp(vm); len(diags) > 0 {
			t.Error(diags)
		}
		config, diags := d.DecodeConfig(vm, customSchema)
		if len(diags) > 0 {
			t.Error(diags)
		}
		if want := `{"busybox":true,"cmdline":null,"fragments":["base","virtio","net"],"kernel":"6.12","overlays":["common"]}`; string(config) != want {
			t.Errorf("config %s, want %s", config, want)
		}
		if !reflect.DeepEqual(vm.Proof.Checks.Expect, c.expect) || (vm.App == nil) != c.console {
			t.Errorf("with %q: expects %q, app %v", c.vars, vm.Proof.Checks.Expect, vm.App)
		}
	}
}

// TestTheReferenceIsComplete keeps hcl/README.md in step with the schemas: it
// must have every attribute under its block's heading, with its type and default.
func TestTheReferenceIsComplete(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../../hcl/README.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, section := range strings.Split(string(readme), "\n### ")[1:] {
		heading, rest, _ := strings.Cut(section, "\n")
		sections[heading] = rest
	}
	check := func(heading string, attributes []builder.Attribute) {
		for _, a := range attributes {
			row := ""
			for line := range strings.Lines(sections[heading]) {
				if strings.HasPrefix(line, "| `"+a.Name+"` |") {
					row = line
				}
			}
			if row == "" || !strings.Contains(row, a.Default) || a.Required != strings.Contains(row, "| required |") {
				t.Errorf("hcl/README.md, %s: the row of %s (default %s) is %q", heading, a.Name, a.Default, row)
			}
		}
		if rows := strings.Count(sections[heading], "\n| `"); rows != len(attributes) {
			t.Errorf("hcl/README.md, %s: %d attributes, the schema has %d", heading, rows, len(attributes))
		}
	}
	check("`leanlab`", leanlabSchema.Attributes)
	check("`vm \"NAME\"`", vmSchema.Attributes)
	for _, block := range vmSchema.Blocks {
		check("`"+block.Name+"`, in a vm", block.Schema.Attributes)
		for _, inner := range block.Schema.Blocks {
			check("`"+inner.Name+"`, in a "+block.Name, inner.Schema.Attributes)
		}
	}
	for name := range functions {
		if !strings.Contains(string(readme), "`"+name+"`") {
			t.Errorf("hcl/README.md does not name the function %s", name)
		}
	}
}
