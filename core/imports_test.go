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
	"core/lean", "core/packed", "core/bundle", "core/image", "core/inspect", "core/analyze", "core/vm",
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
	"core/bundle":              {},
	"core/image":               {"core/bundle", "core/rootfs"},
	"core/inspect":             {"core/bundle", "core/packed", "core/rootfs"},
	"core/analyze":             {"core/bundle", "core/image", "core/inspect", "core/lean", "core/rootfs"},
	"core/vm":                  {"core/bundle"},
	"core/internal/store":      {},
	"core/internal/check":      {},
	"core/internal/report":     {"core/analyze", "core/internal/check"},
	"core/internal/ui":         {"core/builder"},
	"core/internal/instance":   {"core/vm"},
	"core/internal/handover":   {"core/guest", "core/inspect", "core/rootfs", "core/vm"},
	"core/internal/evaluator":  {"core/guest", "core/vm"},
	"core/internal/verify":     {"core/builder", "core/guest", "core/internal/check", "core/internal/evaluator", "core/internal/handover", "core/internal/report", "core/vm"},
	"core/internal/definition": {"core/builder", "core/internal/check"},
	"core/internal/pluginhost": {"core/builder", "core/builder/proctree"},
	"core/internal/engine":     append([]string{"core/internal/store", "core/internal/report", "core/internal/ui", "core/internal/definition", "core/internal/pluginhost", "core/internal/check", "core/internal/verify"}, public...),
	"core/internal/bench":      {"core/beam", "core/guest", "core/internal/handover", "core/internal/report", "core/internal/ui", "core/packed", "core/vm"},
	"core/internal/foreign":    {"core/builder", "core/bundle", "core/guest", "core/image", "core/inspect", "core/internal/store", "core/internal/ui", "core/rootfs"},
	"core/internal/peer":       {"core/builder", "core/bundle", "core/guest", "core/image", "core/internal/foreign", "core/internal/store", "core/internal/ui", "core/rootfs", "core/source"},
	"core/internal/cli":        append([]string{"core/internal/engine", "core/internal/bench", "core/internal/foreign", "core/internal/peer", "core/internal/handover", "core/internal/instance", "core/internal/check", "core/internal/evaluator", "core/internal/verify", "core/internal/store", "core/internal/report", "core/internal/ui", "core/internal/definition", "core/internal/pluginhost"}, public...),
	"core/cmd/leanlab":         {"core/internal/cli"},
	"plugins/example":          {"core/builder"},
	"plugins/custom":           public,
	"plugins/alpine":           public,
	"plugins/buildroot":        public,
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
