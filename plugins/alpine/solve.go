package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"chainguard.dev/apko/pkg/apk/apk"
	"github.com/agext/levenshtein"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// basePackages are in every root. BEAM's libraries, musl among them, come as its
// dependencies.
var basePackages = []string{"alpine-baselayout", "busybox"}

// kernelPackage is Alpine's kernel for virtual machines.
const kernelPackage = "linux-virt"

// solve chooses the packages that fulfil the definition. The diagnostics say why
// there are none.
func solve(ctx context.Context, def *builder.Definition, c config, indexes []apk.NamedIndex) ([]*apk.RepositoryPackage, builder.Diagnostics, error) {
	erlang, d := erlangPackage(def, c, indexes)
	if d != nil {
		return nil, builder.Diagnostics{*d}, nil
	}
	known := names(indexes)
	var ds builder.Diagnostics
	world := append(slices.Clone(basePackages), erlang)
	if c.Kernel == kernelAlpine {
		world = append(world, kernelPackage)
	}
	for _, name := range world {
		if !known[wishName(name)] {
			ds = append(ds, builder.Diagnostic{Summary: "A package is missing",
				Detail: fmt.Sprintf("The repositories have no package %s, which every root needs.", name)})
		}
	}
	for i, wish := range c.Packages {
		if name := wishName(wish); !known[name] {
			ds = append(ds, unknownPackage(c, i, name, known))
		}
	}
	if ds.HasErrors() {
		return nil, ds, nil
	}
	world = append(world, c.Packages...)
	packages, conflicts, err := apk.NewPkgResolver(ctx, indexes).GetPackagesWithDependencies(quiet(ctx), world, nil)
	if err != nil {
		return nil, builder.Diagnostics{unsolvable(c, world, indexes, err)}, nil
	}
	for _, p := range packages {
		for _, conflict := range conflicts {
			if wishName(conflict) == p.Name {
				return nil, builder.Diagnostics{{Summary: "The packages cannot be installed together",
					Detail: fmt.Sprintf("One of them excludes %s, which another one needs.", conflict), Path: []string{"packages"}}}, nil
			}
		}
	}
	slices.SortFunc(packages, func(a, b *apk.RepositoryPackage) int { return strings.Compare(a.Name, b.Name) })
	return packages, nil, nil
}

// names are all that a wish can be for: packages and what they provide.
func names(indexes []apk.NamedIndex) map[string]bool {
	known := map[string]bool{}
	for _, index := range indexes {
		for _, p := range index.Packages() {
			known[p.Name] = true
			for _, provided := range p.Provides {
				known[wishName(provided)] = true
			}
		}
	}
	return known
}

// wishName is a wish without its version.
func wishName(wish string) string {
	wish = strings.TrimPrefix(wish, "!")
	if i := strings.IndexAny(wish, "<>=~"); i >= 0 {
		return wish[:i]
	}
	return wish
}

// originOf is the name of the source that a package came from: readIndex names
// the directory above the architecture's by it.
func originOf(p *apk.RepositoryPackage) string {
	return filepath.Base(filepath.Dir(p.Repository().URI))
}

var erlangName = regexp.MustCompile(`^erlang([0-9]*)$`)

// erlangPackage is the wish for OTP of the definition's series. Alpine names the
// packages of a series erlang27; the one that was alone in a release is erlang.
func erlangPackage(def *builder.Definition, c config, indexes []apk.NamedIndex) (string, *builder.Diagnostic) {
	wishes := map[string]string{} // by series
	for _, index := range indexes {
		for _, p := range index.Packages() {
			m := erlangName.FindStringSubmatch(p.Name)
			if m == nil {
				continue
			}
			series, _, _ := strings.Cut(p.Version, ".")
			if m[1] != "" {
				wishes[series] = p.Name
			} else if wishes[series] == "" {
				wishes[series] = "erlang~" + series
			}
		}
	}
	if wish, ok := wishes[def.OTP.Version]; ok {
		return wish, nil
	}
	var series []string
	for s := range wishes {
		series = append(series, s)
	}
	slices.Sort(series)
	detail := fmt.Sprintf("Alpine %s has no package of OTP %s", c.Release, def.OTP.Version)
	if len(series) > 0 {
		detail += fmt.Sprintf("; it has OTP %s. Change otp { version = … } or release.", strings.Join(series, ", "))
	} else {
		detail += ", nor of any other. Another release has, or a repository of your own."
	}
	return "", &builder.Diagnostic{Summary: "No such OTP in this Alpine", Detail: detail, Path: []string{"release"}}
}

// unknownPackage names the nearest ones.
func unknownPackage(c config, i int, name string, known map[string]bool) builder.Diagnostic {
	type candidate struct {
		name     string
		distance int
	}
	var near []candidate
	for k := range known {
		// so:, cmd: and pc: names are provided by packages, not chosen by people. A
		// third of the letters may differ: enough for a slip of the fingers.
		if strings.ContainsAny(k, ":/") {
			continue
		}
		if n := levenshtein.Distance(name, k, nil); n <= len(name)/3+1 {
			near = append(near, candidate{k, n})
		}
	}
	slices.SortFunc(near, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), strings.Compare(a.name, b.name))
	})
	detail := fmt.Sprintf("The repositories of Alpine %s", c.Release)
	if len(c.Repositories) > 0 {
		detail += " and those of the definition"
	}
	detail += fmt.Sprintf(" have no package %q.", name)
	if len(near) > 0 {
		var quoted []string
		for _, n := range near[:min(3, len(near))] {
			quoted = append(quoted, strconv.Quote(n.name))
		}
		detail += " Did you mean " + strings.Join(quoted, ", ") + "?"
	}
	return builder.Diagnostic{Summary: "Unknown package", Detail: detail, Path: []string{"packages", strconv.Itoa(i)}}
}

// unsolvable puts the solver's reason into words: which wish led through which
// packages to what cannot be had.
func unsolvable(c config, world []string, indexes []apk.NamedIndex, err error) builder.Diagnostic {
	d := builder.Diagnostic{Summary: "The packages cannot be installed together", Path: []string{"packages"}}
	var because, reasons []string
	wish, wanted := "", ""
	for step := err; step != nil; step = errors.Unwrap(step) {
		switch e := step.(type) {
		case *apk.ConstraintError:
			wanted = e.Constraint
			if wish == "" {
				wish = wanted
			}
			if n := len(because); n > 0 && strings.HasSuffix(because[n-1], " needs ") {
				because[n-1] += wanted
			}
		case *apk.DepError:
			because = append(because, e.Package.Name+"-"+e.Package.Version+" needs ")
		default:
			if errors.Unwrap(step) == nil {
				reasons = plainReasons(step.Error(), world, indexes)
			}
		}
	}
	if i := slices.Index(c.Packages, wish); i >= 0 {
		d.Path = append(d.Path, strconv.Itoa(i))
	}
	if len(because) == 0 {
		because = []string{strconv.Quote(wish) + " is asked for"}
	}
	d.Detail = strings.Join(because, ", ")
	if len(reasons) > 0 {
		d.Detail += ", and " + strings.Join(reasons, ", ")
	}
	d.Detail += "."
	return d
}

// What apko says of one package, or of none.
var (
	notSatisfied = regexp.MustCompile(`^(.*)\.apk disqualified because "[^"]*" does not satisfy "(.*)"$`)
	excluded     = regexp.MustCompile(`^(.*)\.apk disqualified because excluded by (!.*)$`)
	provided     = regexp.MustCompile(`^(.*)\.apk disqualified because (.*)\.apk already provides (.*)$`)
	nothing      = regexp.MustCompile(`^nothing provides "(.*)"$|^not in indexes$`)
)

// plainReasons says the solver's reasons in other words, one for each package
// that was looked at.
func plainReasons(text string, world []string, indexes []apk.NamedIndex) []string {
	var reasons []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case nothing.MatchString(line):
			line = "no repository has that"
		case notSatisfied.MatchString(line):
			line = notSatisfied.ReplaceAllString(line, "$1 is not $2")
		case provided.MatchString(line):
			line = provided.ReplaceAllString(line, "instead of $1 there is $2 already, as $3")
		case excluded.MatchString(line):
			m := excluded.FindStringSubmatch(line)
			line = m[1] + " is excluded by " + excluders(m[2], world, indexes)
		}
		reasons = append(reasons, line)
	}
	return reasons
}

// excluders are the packages asked for that depend on "!name".
func excluders(dependency string, world []string, indexes []apk.NamedIndex) string {
	var found []string
	for _, index := range indexes {
		for _, p := range index.Packages() {
			asked := slices.ContainsFunc(world, func(wish string) bool { return wishName(wish) == p.Name })
			if asked && slices.Contains(p.Dependencies, dependency) {
				found = append(found, p.Name+"-"+p.Version)
			}
		}
	}
	if len(found) == 0 {
		return "another package (" + dependency + ")"
	}
	return strings.Join(found, " and ")
}
