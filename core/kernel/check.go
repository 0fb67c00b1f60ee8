package kernel

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Dropped is a request that the final .config does not honour.
type Dropped struct {
	Symbol
	Got    string // the value in the .config; "n" when it is not there
	Reason string // why, for people: "depends on BLOCK, which is n (block/Kconfig:5)"
}

func (d Dropped) String() string {
	return fmt.Sprintf("%s:%d: %s came out as %s: %s", d.File, d.Line, d.Symbol, d.Got, d.Reason)
}

// DroppedError stops a build whose configuration is not the one asked for.
type DroppedError struct {
	Dropped []Dropped
}

func (e *DroppedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d requested symbols did not survive in the .config; mend or remove their lines:", len(e.Dropped))
	if len(e.Dropped) == 1 {
		b.Reset()
		b.WriteString("a requested symbol did not survive in the .config; mend or remove its line:")
	}
	for _, d := range e.Dropped {
		b.WriteString("\n  ")
		b.WriteString(d.String())
	}
	return b.String()
}

// Check compares every request that counts with the final .config and returns
// those that were not honoured, in the order of the fragments. A symbol that
// the tree does not know counts as dropped even when it was to be off: the line
// does nothing, and is a slip or has outlived its option.
func Check(cfg *Config, frags []*Fragment, tree *KconfigTree) []Dropped {
	x := &explainer{cfg: cfg, tree: tree, requested: map[string]Symbol{}}
	reqs := requests(frags)
	for _, s := range reqs {
		x.requested[s.Name] = s
	}
	var dropped []Dropped
	for _, s := range reqs {
		got := cfg.Value(s.Name)
		if !tree.knows(s.Name) || !same(got, s.Value) {
			dropped = append(dropped, Dropped{Symbol: s, Got: got, Reason: x.reason(s)})
		}
	}
	return dropped
}

// same compares values as conf does: numbers by value, an empty string like none.
func same(a, b string) bool {
	if a == `""` {
		a = "n"
	}
	if b == `""` {
		b = "n"
	}
	if a == b {
		return true
	}
	x, errA := strconv.ParseInt(a, 0, 64)
	y, errB := strconv.ParseInt(b, 0, 64)
	return errA == nil && errB == nil && x == y
}

// Knows reports whether the tree defines a symbol.
func (t *KconfigTree) Knows(name string) bool { return t.knows(name) }

// Nearest is the symbol of the tree that is most likely meant by name, or "".
func (t *KconfigTree) Nearest(name string) string {
	known := func(yield func(string) bool) {
		for n := range maps.Keys(t.symbols) {
			if t.knows(n) && !yield(n) {
				return
			}
		}
	}
	return nearest(name, known)
}

// Place is where a symbol is defined, with what a menu calls it.
type Place struct {
	File   string
	Line   int
	Prompt string
}

// Places lists the definitions of a symbol, in the order in which they are read.
func (t *KconfigTree) Places(name string) []Place {
	s := t.symbols[name]
	if s == nil {
		return nil
	}
	var places []Place
	for _, e := range s.entries {
		places = append(places, Place{File: e.file, Line: e.line, Prompt: e.prompt})
	}
	return places
}

func (t *KconfigTree) knows(name string) bool {
	s := t.symbols[name]
	return s != nil && len(s.entries) > 0
}

// value is the value of a symbol, or the word itself when it is a constant.
func (t *KconfigTree) value(cfg *Config) func(string) string {
	return func(name string) string {
		if t.knows(name) {
			return cfg.Value(name)
		}
		switch name {
		case "y", "m", "n":
			return name
		}
		if name != "" && (name[0] == '-' || name[0] >= '0' && name[0] <= '9') {
			return name
		}
		// A symbol that this tree does not define is n.
		return "n"
	}
}

// An explainer says why a symbol has not the value that was asked for.
type explainer struct {
	cfg       *Config
	tree      *KconfigTree
	requested map[string]Symbol
}

func (x *explainer) value(name string) string { return x.tree.value(x.cfg)(name) }

func (x *explainer) reason(s Symbol) string {
	sym := x.tree.symbols[s.Name]
	if !x.tree.knows(s.Name) {
		msg := "unknown symbol"
		if near := x.tree.Nearest(s.Name); near != "" {
			msg += " (nearest: " + Symbol{Name: near, Bare: s.Bare}.label() + ")"
		}
		return msg
	}
	if why := x.wrongType(sym, s); why != "" {
		return why
	}
	got := x.cfg.Value(s.Name)
	if sym.kind == "bool" || sym.kind == "tristate" {
		if tristateOf(got) > tristateOf(s.Value) {
			return x.tooHigh(sym, s.Value)
		}
		return x.tooLow(sym, s.Value)
	}
	if why := x.unmet(sym, yes, nil); why != "" {
		return why
	}
	if why := x.outOfRange(sym, s.Value); why != "" {
		return why
	}
	return x.noPrompt(sym)
}

// wrongType says that the value is not of the symbol's type, where that is so.
func (x *explainer) wrongType(sym *kconfigSymbol, s Symbol) string {
	ok := true
	switch sym.kind {
	case "bool", "tristate":
		ok = s.Value == "y" || s.Value == "m" || s.Value == "n"
	case "string":
		ok = strings.HasPrefix(s.Value, `"`)
	case "int", "hex":
		ok = !strings.HasPrefix(s.Value, `"`) && s.Value != "y" && s.Value != "m"
	}
	if ok {
		return ""
	}
	return fmt.Sprintf("it is of type %s (%s)", sym.kind, x.place(sym))
}

// place is where the symbol is defined.
func (x *explainer) place(sym *kconfigSymbol) string {
	e := sym.entries[0]
	return fmt.Sprintf("%s:%d", e.file, e.line)
}

// tooLow explains a symbol that was to be on and is not, or only as a module.
func (x *explainer) tooLow(sym *kconfigSymbol, want string) string {
	if why := x.unmet(sym, tristateOf(want), map[string]bool{}); why != "" {
		return why
	}
	if why := x.otherChosen(sym); why != "" {
		return why
	}
	if why := x.noPrompt(sym); why != "" {
		return why
	}
	for _, e := range sym.entries {
		if m := e.dependencies().macro(); m != nil {
			return fmt.Sprintf("depends on %s, which this host's tools do not satisfy (%s)", m, x.place(sym))
		}
	}
	return "conf did not take it; see " + x.place(sym)
}

// unmet names the dependencies that hold every definition of sym below want,
// each with its own cause. Seen guards against circles.
func (x *explainer) unmet(sym *kconfigSymbol, want tristate, seen map[string]bool) string {
	var whys []string
	for _, e := range sym.entries {
		parts := e.dependencies().unmet(x.value, want)
		if len(parts) == 0 {
			return ""
		}
		var said []string
		for _, part := range parts {
			if why := x.because(part, want, seen); !slices.Contains(said, why) {
				said = append(said, why)
			}
		}
		whys = append(whys, "depends on "+strings.Join(said, " and on "))
	}
	return strings.Join(whys, "; or ")
}

// because describes an expression that is not met.
func (x *explainer) because(e *expr, want tristate, seen map[string]bool) string {
	if e.op != opSymbol {
		return x.withValues(e)
	}
	sym := x.tree.symbols[e.text]
	if !x.tree.knows(e.text) {
		return e.text + ", which this tree does not have"
	}
	msg := fmt.Sprintf("%s, which is %s (%s)", e.text, x.value(e.text), x.place(sym))
	const depth = 4 // a longer chain does not help the reader
	if seen[e.text] || len(seen) >= depth {
		return msg
	}
	inner := maps.Clone(seen)
	if inner == nil {
		inner = map[string]bool{}
	}
	inner[e.text] = true
	if why := x.unmet(sym, want, inner); why != "" {
		return msg + " as it " + why
	}
	if r, ok := x.requested[e.text]; ok && r.Value == "n" {
		return fmt.Sprintf("%s, which %s:%d turns off", e.text, r.File, r.Line)
	}
	return msg
}

// withValues is e with the values of the symbols in it.
func (x *explainer) withValues(e *expr) string {
	var said []string
	seen := map[string]bool{}
	e.symbols(func(name string) {
		if !seen[name] && (x.tree.knows(name) || x.value(name) != name) {
			said = append(said, name+" is "+x.value(name))
		}
		seen[name] = true
	})
	if len(said) == 0 {
		return e.String()
	}
	return fmt.Sprintf("%s (%s)", e, strings.Join(said, ", "))
}

// otherChosen names the member that won the symbol's choice.
func (x *explainer) otherChosen(sym *kconfigSymbol) string {
	for _, e := range sym.entries {
		c := e.choice()
		if c == nil {
			continue
		}
		for _, member := range c.members {
			if member == sym.name || x.cfg.Value(member) != "y" {
				continue
			}
			msg := fmt.Sprintf("of the choice %q (%s:%d) %s is taken", c.prompt, c.file, c.line, member)
			if r, ok := x.requested[member]; ok && r.Value == "y" {
				msg += fmt.Sprintf(", as %s:%d asks", r.File, r.Line)
			}
			return msg
		}
	}
	return ""
}

// noPrompt explains a symbol that nobody is asked about.
func (x *explainer) noPrompt(sym *kconfigSymbol) string {
	hidden := ""
	for _, e := range sym.entries {
		cond, ok := e.promptCondition()
		if !ok {
			continue
		}
		parts := cond.unmet(x.value, mod)
		if len(parts) == 0 {
			return ""
		}
		hidden = "it can be set only if " + x.withValues(parts[0])
	}
	if hidden != "" {
		return hidden
	}
	if by := x.selectorNames(sym); by != "" {
		return "it cannot be set, only selected, by " + by
	}
	return fmt.Sprintf("it cannot be set: it follows from others (%s)", x.place(sym))
}

// selectorNames lists some of the symbols that could select sym.
func (x *explainer) selectorNames(sym *kconfigSymbol) string {
	const enough = 3
	var names []string
	for _, r := range sym.selectors {
		if len(names) == enough {
			names = append(names, fmt.Sprintf("%d more", len(sym.selectors)-enough))
			break
		}
		names = append(names, r.by)
	}
	return strings.Join(names, ", ")
}

// tooHigh explains a symbol that is on although it was to be off or a module.
func (x *explainer) tooHigh(sym *kconfigSymbol, want string) string {
	for _, r := range sym.selectors {
		level := min(tristateOf(x.value(r.by)), r.cond.eval(x.value))
		if level <= tristateOf(want) {
			continue
		}
		msg := "selected by " + r.by
		if by := x.tree.symbols[r.by]; x.tree.knows(r.by) {
			msg += " (" + x.place(by) + ")"
		}
		if q, ok := x.requested[r.by]; ok {
			msg += fmt.Sprintf(", which %s:%d asks for", q.File, q.Line)
		}
		return msg
	}
	for _, e := range sym.entries {
		if c := e.choice(); c != nil {
			return fmt.Sprintf("it is the default of the choice %q (%s:%d): set another member to y instead", c.prompt, c.file, c.line)
		}
	}
	if want == "m" {
		return "there are no modules: CONFIG_MODULES is n"
	}
	if why := x.noPrompt(sym); why != "" {
		return why
	}
	return "conf did not take it; see " + x.place(sym)
}

// outOfRange says which bounds the value exceeds.
func (x *explainer) outOfRange(sym *kconfigSymbol, want string) string {
	for _, e := range sym.entries {
		for _, r := range e.ranges {
			if r.cond.eval(x.value) == no {
				continue
			}
			low, high := r.value.constant(x.value), r.upper.constant(x.value)
			if compare(want, "<", low) || compare(want, ">", high) {
				return fmt.Sprintf("its range is %s to %s (%s)", low, high, x.place(sym))
			}
			return ""
		}
	}
	return ""
}
