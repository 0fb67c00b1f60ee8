package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/kernel"
	"github.com/somebloke1/elixir-lean-lab/core/source"
)

// tools are what Configure can be asked for, by the names of Buildroot's make
// targets; and check-configs.
var tools = []string{"menuconfig", "linux-menuconfig", "busybox-menuconfig", "savedefconfig", "check-configs"}

// Configure opens an editor and folds what was changed into the checked-in
// files.
func (buildroot) Configure(ctx context.Context, req *builder.ConfigureRequest) error {
	e, err := newEditing(ctx, req)
	if err != nil {
		return err
	}
	switch req.Tool {
	case "menuconfig":
		return e.menuconfig(ctx)
	case "linux-menuconfig":
		return e.linux(ctx)
	case "busybox-menuconfig":
		return e.busybox(ctx)
	case "savedefconfig":
		return e.savedefconfig(ctx)
	case "check-configs":
		return e.check(ctx)
	}
	return fmt.Errorf("no tool %q; the buildroot builder has %s", req.Tool, strings.Join(tools, ", "))
}

// editing is one session on a defconfig, in an output directory of its own: what
// the definition adds to the defconfig is none of an editor's business.
type editing struct {
	req       *builder.ConfigureRequest
	def       *builder.Definition
	c         config
	br        *tree
	trees     []external
	defconfig string
	make      maker
	ev        builder.Events
}

func newEditing(ctx context.Context, req *builder.ConfigureRequest) (*editing, error) {
	e := &editing{req: req, def: req.Definition, ev: terminalEvents{}}
	var err error
	if e.c, err = decode(req.Definition); err != nil {
		return nil, err
	}
	dir := under(req.Definition, e.c.BuildrootDir)
	if e.c.BuildrootDir == "" {
		if dir, err = e.unpacked(ctx, "buildroot", req.Needs[stepUnpack]); err != nil {
			return nil, err
		}
	}
	if e.br, err = openTree(dir); err != nil {
		return nil, fmt.Errorf("%w. %s", err, noTree())
	}
	if e.trees, err = e.c.externals(req.Definition); err != nil {
		return nil, err
	}
	if e.defconfig, err = e.c.findDefconfig(req.Definition, e.trees, e.br); err != nil {
		return nil, err
	}
	work, err := filepath.EvalSymlinks(req.Work)
	if err != nil {
		return nil, err
	}
	e.make = maker{br: e.br, trees: e.trees, out: filepath.Join(work, "buildroot-output")}
	return e, os.MkdirAll(e.make.out, 0o755)
}

// unpacked is a source tree, unpacked once; there is where it lies already.
func (e *editing) unpacked(ctx context.Context, name, there string) (string, error) {
	if there != "" {
		return filepath.Join(there, treeDir), nil
	}
	archive := e.req.Sources[name]
	dir := filepath.Join(e.req.Work, name)
	stamp := dir + ".sha256"
	if have, err := os.ReadFile(stamp); err == nil && string(have) == archive.SHA256 {
		return dir, nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	e.ev.Emit(builder.StepStarted{Title: "unpacking " + archive.Path})
	options := source.UnpackOptions{Strip: 1}
	if name == "buildroot" {
		options = treeOptions
	}
	if err := source.Unpack(ctx, archive.Path, dir, options); err != nil {
		return "", err
	}
	return dir, os.WriteFile(stamp, []byte(archive.SHA256), 0o644)
}

func (e *editing) dotConfig() string { return filepath.Join(e.make.out, ".config") }

// generated is what the defconfig gave, to tell what was edited since.
func (e *editing) generated() string { return filepath.Join(e.make.out, ".config.generated") }

// start makes .config of the defconfig.
func (e *editing) start(ctx context.Context) error {
	if err := builder.Run(ctx, e.ev, e.make.command("BR2_DEFCONFIG="+e.defconfig, "defconfig")); err != nil {
		return err
	}
	data, err := os.ReadFile(e.dotConfig())
	if err != nil {
		return err
	}
	return os.WriteFile(e.generated(), data, 0o644)
}

// pending reports whether .config was edited and not folded back.
func (e *editing) pending() bool {
	was, err := os.ReadFile(e.generated())
	now, err2 := os.ReadFile(e.dotConfig())
	return err == nil && err2 == nil && string(was) != string(now)
}

// menuconfig edits Buildroot's own configuration.
func (e *editing) menuconfig(ctx context.Context) error {
	if e.pending() {
		return fmt.Errorf("%s holds edits that are not in %s yet: save them with savedefconfig, or remove that file", e.dotConfig(), e.defconfig)
	}
	if err := e.start(ctx); err != nil {
		return err
	}
	// Not through builder.Run: a process group of its own could not read the
	// terminal.
	cmd := e.make.command("menuconfig")
	cmd.Env = append(cmd.Env, "TERM="+os.Getenv("TERM"))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("make menuconfig in %s: %w; it needs the ncurses headers (Debian: libncurses-dev) and a terminal", e.br.dir, err)
	}
	return e.fold(ctx)
}

// savedefconfig folds edits that were made by hand, and prints the defconfig.
func (e *editing) savedefconfig(ctx context.Context) error {
	if !exists(e.dotConfig()) {
		if err := e.start(ctx); err != nil {
			return err
		}
	}
	if err := e.fold(ctx); err != nil {
		return err
	}
	data, err := os.ReadFile(e.defconfig)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(data)
	return err
}

// fold writes the smallest defconfig that gives .config, with the comments of
// the one that is there.
func (e *editing) fold(ctx context.Context) error {
	saved, err := e.minimal(ctx)
	if err != nil {
		return err
	}
	old, err := os.ReadFile(e.defconfig)
	if err != nil {
		return err
	}
	symbols, err := readSymbols(e.br, e.trees)
	if err != nil {
		return err
	}
	text, edits := foldDefconfig(string(old), saved, func(name string) string {
		for _, p := range symbols.Places(name) {
			if p.Prompt != "" {
				return p.Prompt
			}
		}
		return name
	})
	for _, edit := range edits {
		fmt.Fprintf(os.Stderr, "%s: %s\n", e.defconfig, edit)
	}
	if len(edits) == 0 {
		fmt.Fprintln(os.Stderr, "nothing changed")
		return nil
	}
	if err := replaceFile(e.defconfig, text); err != nil {
		return err
	}
	data, err := os.ReadFile(e.dotConfig())
	if err != nil {
		return err
	}
	return os.WriteFile(e.generated(), data, 0o644)
}

// minimal is what `make savedefconfig` says of .config.
func (e *editing) minimal(ctx context.Context) (string, error) {
	file := filepath.Join(e.make.out, "minimal_defconfig")
	if err := builder.Run(ctx, e.ev, e.make.command("BR2_DEFCONFIG="+file, "savedefconfig")); err != nil {
		return "", err
	}
	data, err := os.ReadFile(file)
	return string(data), err
}

// replaceFile writes a file whole or not at all, and keeps its mode.
func replaceFile(path, text string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(text)
	if err = errors.Join(err, tmp.Chmod(info.Mode().Perm()), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// foldDefconfig gives saved, which conf wrote, the comments of old: those that
// stand right above a line belong to it, and go with it. A new line gets its
// prompt as a comment, to be made a reason.
func foldDefconfig(old, saved string, prompt func(symbol string) string) (text string, edits []string) {
	head, blocks, tail := defconfigBlocks(old)
	was := map[string]block{}
	for _, b := range blocks {
		was[b.symbol] = b
	}
	var b strings.Builder
	b.WriteString(head)
	kept := map[string]bool{}
	for line := range strings.Lines(saved) {
		line = strings.TrimSuffix(line, "\n")
		name := lineSymbol(line)
		if name == "" {
			continue
		}
		kept[name] = true
		before, known := was[name]
		switch {
		case !known:
			before.above = "# " + prompt(name) + "\n"
			edits = append(edits, "added "+line)
		case before.line != line:
			edits = append(edits, line+" (was "+before.line+")")
		}
		b.WriteString(before.above + line + "\n")
	}
	for _, block := range blocks {
		if !kept[block.symbol] {
			edits = append(edits, "removed "+block.line)
		}
	}
	b.WriteString(tail)
	return b.String(), edits
}

// block is a line of a defconfig with the comments above it.
type block struct{ above, line, symbol string }

// defconfigBlocks takes a defconfig apart. The head is what is set off from the
// first line by an empty one; the tail is what no line follows.
func defconfigBlocks(text string) (head string, blocks []block, tail string) {
	var above strings.Builder
	for line := range strings.Lines(text) {
		symbol := lineSymbol(strings.TrimSuffix(line, "\n"))
		if symbol == "" {
			above.WriteString(line)
			if len(blocks) == 0 && strings.TrimSpace(line) == "" {
				head += above.String()
				above.Reset()
			}
			continue
		}
		blocks = append(blocks, block{above: above.String(), line: strings.TrimSuffix(line, "\n"), symbol: symbol})
		above.Reset()
	}
	return head, blocks, above.String()
}

// lineSymbol is the symbol that a line of a defconfig is about, or "".
func lineSymbol(line string) string {
	if name, ok := strings.CutPrefix(line, "# "); ok {
		if name, ok = strings.CutSuffix(name, " is not set"); ok && !strings.Contains(name, " ") {
			return name
		}
		return ""
	}
	name, _, ok := strings.Cut(line, "=")
	if !ok || strings.HasPrefix(line, "#") || strings.ContainsAny(name, " \t") {
		return ""
	}
	return name
}

// linux edits the kernel's fragments. They are the same requests on the same
// base as in the custom strategy, so it is done without Buildroot and without
// its toolchain.
func (e *editing) linux(ctx context.Context) error {
	if e.req.Sources["linux"].Path == "" {
		return errors.New("the definition leaves the kernel's version to the defconfig: give kernel = \"SERIES\" in its buildroot block, so that its sources are fetched")
	}
	src, err := e.unpacked(ctx, "linux", "")
	if err != nil {
		return err
	}
	return e.edit(ctx, src, "tinyconfig", "BR2_LINUX_KERNEL_CONFIG_FRAGMENT_FILES", func(a kernel.Arch) kernel.Arch { return a })
}

// busybox edits BusyBox' fragments, with the sources that Buildroot builds.
func (e *editing) busybox(ctx context.Context) error {
	if e.req.Needs[stepConfiguration] == "" {
		return errors.New("which BusyBox Buildroot builds is known when it is configured: run make vm STRATEGY=buildroot, or leanlab sources vendor, first")
	}
	g, err := readGraph(e.req.Needs[stepConfiguration])
	if err != nil {
		return err
	}
	p := g["busybox"]
	if p == nil || len(p.Downloads) == 0 {
		return errors.New("the configuration builds no BusyBox from an archive")
	}
	archive := filepath.Join(e.req.Downloads, p.DLDir, p.Downloads[0].Source)
	dir := filepath.Join(e.req.Work, "busybox-"+p.Version)
	if !exists(filepath.Join(dir, "Makefile")) {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		if err := source.Unpack(ctx, archive, dir, source.UnpackOptions{Strip: 1}); err != nil {
			return fmt.Errorf("%w; leanlab sources vendor fetches it", err)
		}
	}
	return e.edit(ctx, dir, "allnoconfig", "BR2_PACKAGE_BUSYBOX_CONFIG_FRAGMENT_FILES", kernel.Arch.BusyBox)
}

// edit opens menuconfig on the fragments that a symbol of the defconfig names.
func (e *editing) edit(ctx context.Context, src, base, symbol string, variant func(kernel.Arch) kernel.Arch) error {
	arch, err := kernel.ArchFor(e.def.Arch)
	if err != nil {
		return err
	}
	frags, err := e.fragments(symbol)
	if err != nil {
		return err
	}
	b := &kernel.Build{Source: src, Out: src + "-out", Arch: variant(arch), Base: base, Fragments: frags, Jobs: e.req.Jobs}
	edits, err := b.Menuconfig(ctx, e.ev, "", os.Stdin, os.Stdout)
	for _, edit := range edits {
		fmt.Fprintln(os.Stderr, edit)
	}
	if err == nil && len(edits) == 0 {
		fmt.Fprintln(os.Stderr, "nothing changed")
	}
	return err
}

// fragments reads the files that a symbol of the defconfig names.
func (e *editing) fragments(symbol string) ([]*kernel.Fragment, error) {
	r, err := readDefconfig(e.defconfig)
	if err != nil {
		return nil, err
	}
	value := r.value(symbol)
	if value == "n" {
		return nil, fmt.Errorf("%s does not set %s: there is no fragment that an edit could go to", e.defconfig, symbol)
	}
	b := &build{br: e.br, trees: e.trees}
	var frags []*kernel.Fragment
	for word := range strings.FieldsSeq(unquote(value)) {
		f, err := kernel.ReadFragment(b.expand(word))
		if err != nil {
			return nil, err
		}
		frags = append(frags, f)
	}
	return frags, nil
}

// check finds drift: lines that this Buildroot does not know, has removed or
// drops, and lines that say what is so anyway, or not in the order that
// savedefconfig writes.
func (e *editing) check(ctx context.Context) error {
	r, err := readDefconfig(e.defconfig)
	if err != nil {
		return err
	}
	symbols, err := readSymbols(e.br, e.trees)
	if err != nil {
		return err
	}
	gaps := unknown(symbols, r.Symbols)
	if err := e.start(ctx); err != nil {
		return err
	}
	config, err := kernel.ReadBuildrootConfig(e.dotConfig())
	if err != nil {
		return err
	}
	for _, g := range dropped(config, symbols, r.Fragment) {
		if !slices.ContainsFunc(gaps, func(other gap) bool { return other.symbol == g.symbol }) {
			gaps = append(gaps, g)
		}
	}
	var problems []string
	for _, g := range gaps {
		problems = append(problems, g.String())
	}
	saved, err := e.minimal(ctx)
	if err != nil {
		return err
	}
	old, err := os.ReadFile(e.defconfig)
	if err != nil {
		return err
	}
	if text, edits := foldDefconfig(string(old), saved, func(string) string { return "?" }); len(gaps) == 0 && text != string(old) {
		if len(edits) == 0 {
			edits = []string{"its lines are not in the order that savedefconfig writes"}
		}
		for _, edit := range edits {
			problems = append(problems, e.defconfig+": savedefconfig says: "+edit)
		}
	}
	if len(problems) > 0 {
		return fmt.Errorf("%s has drifted from Buildroot %s; make menuconfig or savedefconfig mends what it can:\n  %s",
			filepath.Base(e.defconfig), e.br.version, strings.Join(problems, "\n  "))
	}
	fmt.Fprintf(os.Stderr, "%s: as Buildroot %s would save it\n", e.defconfig, e.br.version)
	return nil
}

// terminalEvents tells a waiting person what goes on: titles only.
type terminalEvents struct{}

func (terminalEvents) Emit(e builder.Event) {
	if s, ok := e.(builder.StepStarted); ok {
		fmt.Fprintln(os.Stderr, s.Title)
	}
}
