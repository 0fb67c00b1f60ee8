// Package core_test holds the import directions of docs/architecture.md.
package core_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/somebloke1/elixir-lean-lab/"

// public are the packages that plugins may import too.
var public = []string{
	"core/builder", "core/builder/proctree", "core/cc", "core/source", "core/kernel", "core/otp", "core/guest", "core/beam", "core/rootfs",
	"core/lean", "core/packed", "core/image", "core/inspect", "core/analyze", "core/vm",
}

// mayImport is the table of docs/architecture.md: a package, and what of ours
// it may import. A package that is not here must be put into both.
var mayImport = map[string][]string{
	"core":                     {},
	"core/builder":             {"core/builder/builderpb", "core/builder/proctree"},
	"core/builder/builderpb":   {},
	"core/builder/proctree":    {},
	"core/builder/buildertest": {"core/builder", "core/builder/proctree"},
	"core/cc":                  {"core/builder"},
	"core/source":              {"core/builder"},
	"core/kernel":              {"core/builder", "core/source"},
	"core/otp":                 {"core/builder", "core/source"},
	"core/guest":               {"core/builder", "core/cc", "core/rootfs"},
	"core/beam":                {},
	"core/rootfs":              {"core/builder"},
	"core/lean":                {"core/beam", "core/rootfs"},
	"core/packed":              {},
	"core/image":               {"core/packed", "core/rootfs"},
	"core/inspect":             {"core/packed", "core/rootfs"},
	"core/analyze":             {"core/inspect", "core/lean", "core/rootfs"},
	"core/vm":                  {},
	"core/internal/store":      {},
	"core/internal/report":     {"core/analyze"},
	"core/internal/ui":         {"core/builder"},
	"core/internal/instance":   {"core/vm"},
	"core/internal/definition": {"core/builder"},
	"core/internal/pluginhost": {"core/builder", "core/builder/proctree"},
	"core/internal/engine":     append([]string{"core/internal/store", "core/internal/report", "core/internal/ui", "core/internal/definition", "core/internal/pluginhost"}, public...),
	"core/internal/bench":      {"core/image", "core/internal/report", "core/internal/ui", "core/vm"},
	"core/internal/cli":        append([]string{"core/internal/engine", "core/internal/bench", "core/internal/instance", "core/internal/store", "core/internal/report", "core/internal/ui", "core/internal/definition", "core/internal/pluginhost"}, public...),
	"core/cmd/leanlab":         {"core/internal/cli"},
	"plugins/example":          {"core/builder"},
	"plugins/custom":           public,
	"plugins/alpine":           public,
}

// testsMayImport is what any package's tests may import beside that: real parts
// of other packages, but nothing internal.
var testsMayImport = append([]string{"core/builder/builderpb", "core/builder/buildertest"}, public...)

type goPackage struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func TestImportsGoDownOnly(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = ".."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, module)
		allowed, known := mayImport[name]
		if !known {
			t.Errorf("%s is not in the table: put it into docs/architecture.md and here", name)
			continue
		}
		check := func(imports, allowed []string, what string) {
			for _, path := range imports {
				ours, ok := strings.CutPrefix(path, module)
				if ok && ours != name && !slices.Contains(allowed, ours) {
					t.Errorf("%s %s imports %s, which docs/architecture.md does not allow it", name, what, ours)
				}
			}
		}
		check(p.Imports, allowed, "itself")
		inTests := append(slices.Clone(allowed), testsMayImport...)
		check(append(p.TestImports, p.XTestImports...), inTests, "in its tests")
	}
}
