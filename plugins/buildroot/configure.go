package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/kernel"
	"github.com/somebloke1/elixir-lean-lab/core/source"
)

// unpackTree unpacks a release of Buildroot.
func unpackTree(ctx context.Context, req *builder.BuildRequest, ev builder.Events) error {
	ev.Emit(builder.StepStarted{Title: "unpacking"})
	defer ev.Emit(builder.StepFinished{Title: "unpacking"})
	return source.Unpack(ctx, req.Sources["buildroot"].Path, filepath.Join(req.Out, treeDir), treeOptions)
}

// treeOptions unpack Buildroot, which holds pieces of root file systems: in
// skeletons and overlays a link may begin with the VM's /.
var treeOptions = source.UnpackOptions{Strip: 1, Data: func(name string) bool {
	return strings.HasPrefix(name, "package/skeleton") || strings.HasPrefix(name, "system/skeleton") || strings.HasPrefix(name, "board/") || strings.HasPrefix(name, "support/testing/")
}}

// treeDir is where the unpack step leaves Buildroot. Its parent is no checkout.
const treeDir = "buildroot"

// build is what the steps that run make have in common.
type build struct {
	req     *builder.BuildRequest
	ev      builder.Events
	c       config
	br      *tree
	trees   []external
	request request
	make    maker
}

// out is the output directory: O=.
func (b *build) out() string { return b.make.out }

// prepare finds everything and writes the configuration that make is to start
// from, without running make.
func prepare(ctx context.Context, req *builder.BuildRequest, ev builder.Events) (*build, error) {
	b := &build{req: req, ev: ev}
	var err error
	if b.c, err = decode(req.Definition); err != nil {
		return nil, err
	}
	dir := under(req.Definition, b.c.BuildrootDir)
	if b.c.BuildrootDir == "" {
		dir = filepath.Join(req.Needs[stepUnpack], treeDir)
	}
	if b.br, err = openTree(dir); err != nil {
		return nil, fmt.Errorf("%w. %s", err, noTree())
	}
	if b.trees, err = b.c.externals(req.Definition); err != nil {
		return nil, err
	}
	if err := clash(b.trees, b.br); err != nil {
		return nil, err
	}
	defconfig, err := b.c.findDefconfig(req.Definition, b.trees, b.br)
	if err != nil {
		return nil, err
	}
	work, err := filepath.EvalSymlinks(req.Work) // as make will have it
	if err != nil {
		return nil, err
	}
	toolchain, err := externalLines(ctx, req.Definition, b.c, req.Needs)
	if err != nil {
		return nil, err
	}
	b.request, err = compose(req.Definition, b.c, defconfig, req.Sources, toolchain, filepath.Join(work, "conf"))
	if err != nil {
		return nil, err
	}
	b.make = newMaker(req, b.c, b.br, b.trees, b.request, filepath.Join(work, "output"))
	return b, os.MkdirAll(b.out(), 0o755)
}

// configure has conf make .config of the configuration.
func (b *build) configure(ctx context.Context) (*kernel.Config, error) {
	if err := builder.Run(ctx, b.ev, b.make.command("BR2_DEFCONFIG="+b.request.conf.defconfig(), "defconfig")); err != nil {
		return nil, err
	}
	return kernel.ReadBuildrootConfig(filepath.Join(b.out(), ".config"))
}

// buildConfiguration finds out what would be built, from what, and whether that
// is what was asked for: all that can be said before anything is compiled.
func buildConfiguration(ctx context.Context, req *builder.BuildRequest, ev builder.Events) error {
	// Nothing is fetched here, and the list of downloads must not depend on
	// whether the network may be touched this time.
	online := *req
	online.Offline = false
	b, err := prepare(ctx, &online, ev)
	if err != nil {
		return err
	}
	if tested(b.br.version) < 0 {
		return fmt.Errorf("this Buildroot is %s; tested are %s", b.br.version, testedText())
	}
	problems, err := b.problems(ctx)
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		return fmt.Errorf("the configuration is not what was asked for, or cannot be built here:\n  %s",
			strings.Join(problems, "\n  "))
	}
	g, err := b.graph(ctx)
	if err != nil {
		return err
	}
	if err := b.listDownloads(g); err != nil {
		return err
	}
	return b.portable(g).write(req.Out)
}

// problems are all gaps at once.
func (b *build) problems(ctx context.Context) ([]string, error) {
	var problems []string
	say := func(gaps []gap) {
		for _, g := range gaps {
			problems = append(problems, g.String())
		}
	}
	need := int64(roomWithToolchain)
	if b.request.value("BR2_TOOLCHAIN_EXTERNAL") != "y" {
		need = roomWithoutToolchain
	}
	if !exists(filepath.Join(b.out(), "build")) { // a first build; a later one has its room
		if err := roomProblem(b.req.Work, need); err != nil {
			problems = append(problems, err.Error())
		}
	}
	if err := pathProblem(b.out()); err != nil {
		problems = append(problems, err.Error())
	}
	symbols, err := readSymbols(b.br, b.trees)
	if err != nil {
		return nil, err
	}
	unknownLines := unknown(symbols, b.request.Symbols)
	say(unknownLines)
	facts, err := checkToolchain(ctx, b.request.requests)
	if err != nil {
		problems = append(problems, err.Error())
	}
	say(facts)
	config, err := b.configure(ctx)
	if err != nil {
		return nil, err
	}
	said := map[string]bool{}
	for _, g := range unknownLines {
		said[g.symbol.Name] = true
	}
	for _, g := range dropped(config, symbols, b.request.Fragment) {
		if !said[g.symbol.Name] {
			problems = append(problems, g.String())
		}
	}
	return problems, nil
}

// graph asks make for the packages, and for those that are built from a
// directory; in one run, since each reads all of Buildroot's makefiles.
func (b *build) graph(ctx context.Context) (graph, error) {
	cmd := b.make.command("show-info", "printvars", "VARS=%_OVERRIDE_SRCDIR")
	out := filepath.Join(b.req.Work, "show-info")
	f, err := os.Create(out)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd.Stdout = f
	b.ev.Emit(builder.StepStarted{Title: "asking make for the packages"})
	defer b.ev.Emit(builder.StepFinished{Title: "asking make for the packages"})
	if err := builder.Run(ctx, b.ev, cmd); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(out)
	if err != nil {
		return nil, err
	}
	return parseGraph(data)
}

// listDownloads writes what the host is to fetch.
func (b *build) listDownloads(g graph) error {
	var list builder.Downloads
	var left []string
	list.Files, left = g.downloads(b.br)
	if b.c.DLDir != "" {
		list.Look = []string{under(b.req.Definition, b.c.DLDir)}
	}
	if len(left) > 0 {
		b.ev.Emit(builder.Notice{Diagnostic: builder.Diagnostic{Severity: builder.Warning,
			Summary: fmt.Sprintf("%d files are left for Buildroot to download", len(left)),
			Detail:  "They come from a version control system, or have no SHA-256 digest, so no mirror of leanlab's will have them: " + strings.Join(left, ", "),
		}})
	}
	return builder.WriteDownloads(b.req.Out, list)
}

// portable is the graph without the paths of this machine: the external trees
// are named by their variables.
func (b *build) portable(g graph) graph {
	for _, p := range g {
		for _, e := range b.trees {
			variable := "$(" + e.pathVariable() + ")"
			for _, path := range []*string{&p.PackageDir, &p.Override} {
				if rel, ok := strings.CutPrefix(*path, e.dir); ok {
					*path = variable + rel
				}
			}
		}
		p.Hashes = nil
	}
	return g
}

// expand turns the variables of a path back, and makes it absolute.
func (b *build) expand(path string) string {
	if path == "" {
		return ""
	}
	for _, e := range b.trees {
		path = strings.ReplaceAll(path, "$("+e.pathVariable()+")", e.dir)
	}
	path = strings.ReplaceAll(path, "$(TOPDIR)", b.br.dir)
	if !filepath.IsAbs(path) {
		path = filepath.Join(b.br.dir, path)
	}
	return filepath.Clean(path)
}
