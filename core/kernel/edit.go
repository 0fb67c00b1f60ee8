package kernel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// Edit is one changed or added line of a fragment.
type Edit struct {
	Symbol        // with the new value, and where it now stands
	Was    string // the value before; "" for a line that was added
}

func (e Edit) String() string {
	if e.Was == "" {
		return fmt.Sprintf("%s:%d: added %s", e.File, e.Line, e.Symbol)
	}
	return fmt.Sprintf("%s:%d: %s (was %s)", e.File, e.Line, e.Symbol, Symbol{Name: e.Name, Value: e.Was})
}

// Menuconfig configures the build, opens make menuconfig on the terminal, and
// writes what was changed back into the fragments. A symbol that some fragment
// holds is changed there; a new one is added to the fragment whose path is into,
// or to the last one when into is empty. It returns the lines it wrote.
func (b *Build) Menuconfig(ctx context.Context, ev builder.Events, into string, terminal, screen *os.File) ([]Edit, error) {
	if err := b.noPendingEdits(); err != nil {
		return nil, err
	}
	if err := b.Configure(ctx, ev); err != nil {
		return nil, err
	}
	// Not through builder.Run: a process group of its own could not read the terminal.
	cmd := b.make("menuconfig")
	cmd.Env = append(cmd.Env, "TERM="+os.Getenv("TERM"))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, screen, screen
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("make menuconfig in %s: %w; it needs the ncurses headers (Debian: libncurses-dev) and a terminal", b.Source, err)
	}
	return b.fold(ctx, ev, into)
}

// Savedefconfig writes what was changed in Out/.config since Configure back into
// the fragments, as Menuconfig does, and the smallest equivalent defconfig to w.
// BusyBox has none; there it is the requests of all fragments.
func (b *Build) Savedefconfig(ctx context.Context, ev builder.Events, into string, w io.Writer) ([]Edit, error) {
	edits, err := b.fold(ctx, ev, into)
	if err != nil {
		return edits, err
	}
	modern, err := b.hasTarget("savedefconfig")
	if err != nil {
		return edits, err
	}
	if !modern {
		return edits, b.writeRequests(w)
	}
	if err := builder.Run(ctx, ev, b.make("savedefconfig")); err != nil {
		return edits, err
	}
	text, err := os.ReadFile(b.path("defconfig"))
	if err != nil {
		return edits, err
	}
	_, err = w.Write(text)
	return edits, err
}

// noPendingEdits guards edits of Out/.config that were not written back.
func (b *Build) noPendingEdits() error {
	before, err := ReadConfig(b.path(generated))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	after, err := b.Config()
	if err != nil {
		return err
	}
	if names := differing(before, after); len(names) > 0 {
		return fmt.Errorf("%s holds edits that are in no fragment yet (CONFIG_%s and %d more): save them with savedefconfig, or remove that file and %s",
			b.path(".config"), names[0], len(names)-1, b.path(generated))
	}
	return nil
}

// fold finds the smallest change of the fragments that gives the edited
// Out/.config, makes sure that it does, and writes it.
func (b *Build) fold(ctx context.Context, ev builder.Events, into string) ([]Edit, error) {
	before, err := ReadConfig(b.path(generated))
	if err != nil {
		return nil, fmt.Errorf("%w: there is nothing to compare the .config with; configure first", err)
	}
	after, err := b.Config()
	if err != nil {
		return nil, err
	}
	tree, err := b.kconfig()
	if err != nil {
		return nil, err
	}
	target, err := b.target(into)
	if err != nil {
		return nil, err
	}
	f := &folding{tree: tree, before: before, after: after, frags: b.Fragments}
	wanted := f.wanted()
	if len(wanted) == 0 {
		return nil, nil
	}
	scratch, cleanup, err := b.scratch()
	if err != nil {
		return nil, err
	}
	defer cleanup()
	if wanted, err = scratch.confirm(ctx, ev, f, wanted); err != nil {
		return nil, err
	}
	edits, err := writeEdits(b.Fragments, target, wanted, tree)
	if err != nil {
		return edits, err
	}
	return edits, b.accept()
}

// accept makes the edited .config the one that the fragments give.
func (b *Build) accept() error {
	text, err := os.ReadFile(b.path(".config"))
	if err != nil {
		return err
	}
	return replaceFile(b.path(generated), text, 0o644)
}

// target finds the fragment that takes new symbols.
func (b *Build) target(into string) (*Fragment, error) {
	if len(b.Fragments) == 0 {
		return nil, errors.New("there is no fragment to write to")
	}
	if into == "" {
		return b.Fragments[len(b.Fragments)-1], nil
	}
	var paths []string
	for _, f := range b.Fragments {
		if f.Path == into {
			return f, nil
		}
		paths = append(paths, f.Path)
	}
	return nil, fmt.Errorf("%s is not one of this build's fragments: %s", into, strings.Join(paths, ", "))
}

// scratch is the same build in a directory of its own, for trials.
func (b *Build) scratch() (*Build, func(), error) {
	dir, err := os.MkdirTemp(filepath.Dir(b.Out), ".fold-*")
	if err != nil {
		return nil, nil, err
	}
	trial := *b
	trial.Out = dir
	return &trial, func() { os.RemoveAll(dir) }, nil
}

// confirm runs conf on the fragments with the wanted values and adds what is
// still missing, such as a default that the trial shows to be another one.
func (b *Build) confirm(ctx context.Context, ev builder.Events, f *folding, wanted []Symbol) ([]Symbol, error) {
	const trials = 3
	for range trials {
		got, _, err := b.generate(ctx, ev, append(slices.Clone(b.Fragments), &Fragment{Symbols: wanted}))
		if err != nil {
			return nil, err
		}
		missing := f.missing(got)
		if len(missing) == 0 {
			return wanted, nil
		}
		wanted = append(wanted, missing...)
	}
	last := wanted[len(wanted)-1]
	return nil, fmt.Errorf("the edited .config cannot be had from the fragments: CONFIG_%s does not come out as %s; nothing was written", last.Name, last.Value)
}

// differing returns the symbols with different values, in the order of b, then of a.
func differing(a, b *Config) []string {
	var names []string
	for _, name := range b.names {
		if !same(a.Value(name), b.Value(name)) {
			names = append(names, name)
		}
	}
	for _, name := range a.names {
		if _, ok := b.values[name]; !ok && !same(a.Value(name), "n") {
			names = append(names, name)
		}
	}
	return names
}

// A folding is the difference between two configurations seen as edits of fragments.
type folding struct {
	tree          *KconfigTree
	before, after *Config
	frags         []*Fragment
}

// wanted returns the requests that the fragments lack, or hold with another value.
func (f *folding) wanted() []Symbol {
	held := map[string]string{}
	for _, s := range requests(f.frags) {
		held[s.Name] = s.Value
	}
	var wanted []Symbol
	for _, name := range differing(f.before, f.after) {
		value := f.after.Value(name)
		if was, ok := held[name]; ok {
			if !same(was, value) {
				wanted = append(wanted, Symbol{Name: name, Value: value})
			}
			continue
		}
		if f.chosen(name) {
			wanted = append(wanted, Symbol{Name: name, Value: value})
		}
	}
	return wanted
}

// missing returns the symbols a user could have set whose value in got is not yet that of after.
func (f *folding) missing(got *Config) []Symbol {
	var missing []Symbol
	for _, name := range differing(got, f.after) {
		if f.settable(name) {
			missing = append(missing, Symbol{Name: name, Value: f.after.Value(name)})
		}
	}
	return missing
}

// settable reports whether the user is asked about a symbol in the edited configuration.
func (f *folding) settable(name string) bool {
	if !f.tree.knows(name) {
		return false
	}
	value := f.tree.value(f.after)
	for _, e := range f.tree.symbols[name].entries {
		if cond, ok := e.promptCondition(); ok && cond.eval(value) != no {
			return true
		}
	}
	return false
}

// chosen reports whether a symbol's value is the user's choice, and not what
// conf gives it by itself: n, what another symbol selects, or a default.
func (f *folding) chosen(name string) bool {
	if !f.settable(name) {
		return false
	}
	got := f.after.Value(name)
	sym := f.tree.symbols[name]
	value := f.tree.value(f.after)
	if sym.kind == "bool" || sym.kind == "tristate" {
		if _, known := f.before.values[name]; !known && got == "n" {
			return false
		}
		for _, e := range sym.entries {
			if e.choice() != nil && got == "n" {
				return false // the member that was taken says it all
			}
		}
		for _, r := range sym.selectors {
			if min(tristateOf(value(r.by)), r.cond.eval(value)) >= tristateOf(got) && got != "n" {
				return false
			}
		}
		return true
	}
	if _, known := f.before.values[name]; known {
		return true
	}
	return !same(f.defaultOf(sym), got)
}

// defaultOf is the default of a number or string in the edited configuration, as in a .config.
func (f *folding) defaultOf(sym *kconfigSymbol) string {
	value := f.tree.value(f.after)
	for _, e := range sym.entries {
		for _, d := range e.defaults {
			if and(e.dependencies(), d.cond).eval(value) == no {
				continue
			}
			text := d.value.constant(value)
			if sym.kind == "string" {
				return fmt.Sprintf("%q", text)
			}
			return text
		}
	}
	return "n"
}

// writeEdits changes the line of each wanted symbol where a fragment holds it,
// and adds the others to target, each under its prompt as a comment. Files are
// replaced one by one, each whole.
func writeEdits(frags []*Fragment, target *Fragment, wanted []Symbol, tree *KconfigTree) ([]Edit, error) {
	held := map[string]Symbol{}
	for _, s := range requests(frags) {
		held[s.Name] = s
	}
	byFile := map[string][]Edit{}
	var files []string
	for _, w := range wanted {
		e := Edit{Symbol: w}
		e.File = target.Path
		if s, ok := held[w.Name]; ok {
			e.Was, e.File, e.Line = s.Value, s.File, s.Line
		}
		if byFile[e.File] == nil {
			files = append(files, e.File)
		}
		byFile[e.File] = append(byFile[e.File], e)
	}
	var done []Edit
	for _, file := range files {
		edits, err := writeFile(file, byFile[file], tree)
		if err != nil {
			return done, err
		}
		done = append(done, edits...)
	}
	return done, nil
}

func writeFile(path string, edits []Edit, tree *KconfigTree) ([]Edit, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	for i := range edits {
		e := &edits[i]
		if e.Line == 0 {
			lines = append(lines, "# "+tree.promptOf(e.Name), e.Symbol.String())
			e.Line = len(lines)
			continue
		}
		if e.Line > len(lines) {
			return nil, fmt.Errorf("%s changed since it was read: it has no line %d any more", path, e.Line)
		}
		sym, ok, err := prefixed.parseLine(lines[e.Line-1])
		if err != nil || !ok || sym.Name != e.Name {
			return nil, fmt.Errorf("%s:%d changed since it was read: CONFIG_%s is not there any more", path, e.Line, e.Name)
		}
		lines[e.Line-1] = e.Symbol.String()
	}
	return edits, replaceFile(path, []byte(strings.Join(lines, "\n")+"\n"), info.Mode().Perm())
}

// promptOf is what menuconfig calls a symbol.
func (t *KconfigTree) promptOf(name string) string {
	if s := t.symbols[name]; s != nil {
		for _, e := range s.entries {
			if e.prompt != "" {
				return e.prompt
			}
		}
	}
	return "Set in menuconfig"
}

// writeRequests writes what the fragments' files ask for now.
func (b *Build) writeRequests(w io.Writer) error {
	var frags []*Fragment
	for _, f := range b.Fragments {
		again, err := ReadFragment(f.Path)
		if err != nil {
			return err
		}
		frags = append(frags, again)
	}
	for _, s := range requests(frags) {
		if _, err := fmt.Fprintln(w, s); err != nil {
			return err
		}
	}
	return nil
}
