package definition

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// FuzzDefinition: whatever stands in a file and after --var, there is a result
// or an error that points into something that can be quoted; never a panic.
func FuzzDefinition(f *testing.F) {
	files, err := filepath.Glob("testdata/bad/*.hcl")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, "../../../hcl/custom.hcl") {
		src, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		variable, _, _ := strings.Cut(strings.TrimPrefix(string(src), "# --var "), "\n")
		f.Add(string(src), variable)
	}
	f.Fuzz(func(t *testing.T, text, variable string) {
		if strings.Contains(text, "format") {
			t.Skip("a width given to format may ask for any amount of memory")
		}
		d := &Definitions{sources: newSources("/")}
		body, diags := d.sources.parse("fuzz.hcl", []byte(text))
		if body == nil {
			checkSubjects(t, d, diags)
			return
		}
		diags = append(diags, d.evaluate(Options{Vars: []string{variable}, Environ: []string{EnvPrefix + variable}}, []*hclsyntax.Body{body})...)
		for _, vm := range d.vms {
			_, bad := d.DecodeConfig(vm, customSchema)
			diags = append(diags, bad...)
			_, bad = d.DecodeConfig(vm, nestedSchema)
			diags = append(diags, bad...)
			diags = append(diags, d.Locate(vm, builder.Diagnostic{Path: []string{"fragments", "1"}}), d.UnknownStrategy(vm, []string{"custom"}))
		}
		checkSubjects(t, d, diags)
		if err := d.Write(io.Discard, diags, true, 40); err != nil {
			t.Fatal(err)
		}
	})
}
