package definition

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// customSchema is a builder's, such as the custom one's.
var customSchema = builder.Schema{Attributes: []builder.Attribute{
	{Name: "fragments", Type: "list(string)", Default: `["base","virtio","net"]`},
	{Name: "overlays", Type: "list(string)", Default: `["common"]`},
	{Name: "busybox", Type: "bool", Default: `true`},
	{Name: "kernel", Type: "string", Default: `"6.12"`},
	{Name: "cmdline", Type: "string"},
}}

// TestBadDefinitions goes the whole way that the engine goes before it plans:
// load, find the strategy and the app, decode the strategy's block, ask the
// builder. A comment at the head of a file gives it variables.
func TestBadDefinitions(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/bad/*.hcl")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d bad definitions, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".hcl"), func(t *testing.T) {
			t.Parallel()
			d, diags := judge(t, file)
			if !diags.HasErrors() {
				t.Error("no error was found")
			}
			checkSubjects(t, d, diags)
			var out bytes.Buffer
			if err := d.Write(&out, diags, false, 78); err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(file, ".hcl") + ".golden"
			if *update {
				if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if out.String() != string(want) {
				t.Errorf("diagnostics changed (go test -update accepts them)\n--- got\n%s--- want\n%s", &out, want)
			}
		})
	}
}

func judge(t *testing.T, file string) (*Definitions, hcl.Diagnostics) {
	t.Helper()
	d, diags := Load(optionsOf(t, file))
	if diags.HasErrors() {
		return d, diags
	}
	vm, err := d.VM("")
	if err != nil {
		t.Fatal(err)
	}
	if vm.Strategy != "custom" {
		return d, append(diags, d.UnknownStrategy(vm, []string{"custom", "example"}))
	}
	diags = append(diags, d.CheckApp(vm)...)
	_, bad := d.DecodeConfig(vm, customSchema)
	diags = append(diags, bad...)
	if !bad.HasErrors() {
		diags = append(diags, askBuilder(d, vm)...)
	}
	return d, diags
}

// askBuilder locates what a builder says that knows few fragments and overlays.
func askBuilder(d *Definitions, vm *VM) hcl.Diagnostics {
	if vm.strategy == nil {
		return nil
	}
	known := map[string][]string{"fragments": {"base", "virtio", "net"}, "overlays": {"common"}}
	var diags hcl.Diagnostics
	for attribute, names := range known {
		attr := vm.strategy.Body.Attributes[attribute]
		if attr == nil {
			continue
		}
		value, _ := attr.Expr.Value(d.scope.context)
		for i, element := range value.AsValueSlice() {
			if name := element.AsString(); !slices.Contains(names, name) {
				diags = append(diags, d.Locate(vm, builder.Diagnostic{
					Summary: "Unknown " + strings.TrimSuffix(attribute, "s") + " " + strconv.Quote(name),
					Detail:  "There is none of that name.",
					Path:    []string{attribute, strconv.Itoa(i)},
				}))
			}
		}
		if value.LengthInt() == 0 {
			diags = append(diags, d.Locate(vm, builder.Diagnostic{
				Summary: "BusyBox needs the fragment base", Detail: "busybox is true by default.", Path: []string{"busybox"},
			}))
		}
	}
	return diags
}

// optionsOf reads the variables from the comments at the head of a file.
func optionsOf(t *testing.T, file string) Options {
	t.Helper()
	dir, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Dir: dir, Paths: []string{filepath.Base(file)}, Version: "0.1.0"}
	for line := range strings.Lines(string(src)) {
		comment, ok := strings.CutPrefix(strings.TrimSpace(line), "# ")
		if !ok {
			break
		}
		if value, ok := strings.CutPrefix(comment, "--var-file "); ok {
			o.VarFiles = append(o.VarFiles, value)
		} else if value, ok := strings.CutPrefix(comment, "--var "); ok {
			o.Vars = append(o.Vars, value)
		} else if strings.HasPrefix(comment, EnvPrefix) {
			o.Environ = append(o.Environ, comment)
		}
	}
	return o
}

// checkSubjects fails where an error points at nothing that can be shown.
func checkSubjects(t *testing.T, d *Definitions, diags hcl.Diagnostics) {
	t.Helper()
	for _, diag := range diags {
		if diag.Subject == nil {
			if !strings.HasPrefix(diag.Summary, "Cannot read") && !strings.HasPrefix(diag.Summary, "No definition") {
				t.Errorf("%s: no subject", diag.Summary)
			}
			continue
		}
		file := d.sources.files[diag.Subject.Filename]
		if file == nil {
			t.Errorf("%s: in an unknown file %q", diag.Summary, diag.Subject.Filename)
		} else if s := diag.Subject; s.Start.Line < 1 || s.Start.Byte < 0 || s.Start.Byte > len(file.Bytes) || s.End.Byte < s.Start.Byte || s.End.Byte > len(file.Bytes)+1 {
			t.Errorf("%s: subject %v lies outside the file of %d bytes", diag.Summary, s, len(file.Bytes))
		}
	}
}
