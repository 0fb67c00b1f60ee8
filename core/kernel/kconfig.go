package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// KconfigTree is what a project's Kconfig files say about its symbols. It serves
// to explain what conf did, not to replace it: macros that run commands are
// kept as text.
type KconfigTree struct {
	symbols map[string]*kconfigSymbol
}

// A kconfigSymbol is all that is said about one symbol, in any number of places.
type kconfigSymbol struct {
	name      string
	kind      string // bool, tristate, int, hex, string; "" when nothing says
	entries   []*entry
	selectors []reverse
}

// reverse is "select" seen from the symbol that is selected.
type reverse struct {
	by   string
	cond *expr
}

// An entry is one config, menuconfig, choice, menu, comment or if statement.
type entry struct {
	file   string
	line   int
	kind   string // "config", "choice", "menu", "comment", "if"
	parent *entry // the menu, choice or if that it stands in

	name     string // of a config, or of a choice that has one
	prompt   string
	promptIf *expr
	depends  *expr // its own
	visible  *expr // "visible if" of a menu
	defaults []conditional
	ranges   []conditional // value is the lower bound, upper the upper one
	members  []string      // of a choice
}

type conditional struct {
	value, upper *expr
	cond         *expr
}

// dependencies is all that must hold for the entry's symbol to be settable at all.
func (e *entry) dependencies() *expr {
	var all *expr
	for ; e != nil; e = e.parent {
		all = and(e.depends, all)
	}
	return all
}

// promptCondition is all that must hold for a user to be asked; ok is false when
// the entry has no prompt.
func (e *entry) promptCondition() (cond *expr, ok bool) {
	if e.prompt == "" {
		return nil, false
	}
	cond = and(e.dependencies(), e.promptIf)
	for p := e.parent; p != nil; p = p.parent {
		cond = and(cond, p.visible)
	}
	return cond, true
}

// choice returns the choice that the entry is a member of, or nil.
func (e *entry) choice() *entry {
	for p := e.parent; p != nil; p = p.parent {
		if p.kind == "choice" {
			return p
		}
		if p.kind != "if" {
			return nil
		}
	}
	return nil
}

// ReadKconfig reads root and all that it sources. Files are looked for in each
// of dirs in turn, since BusyBox generates some of its own in the output
// directory. Env holds the variables that paths and expressions use, such as
// SRCARCH.
func ReadKconfig(dirs []string, root string, env map[string]string) (*KconfigTree, error) {
	read := func(name string) ([]byte, error) {
		for _, dir := range dirs {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if !errors.Is(err, fs.ErrNotExist) {
				return data, err
			}
		}
		return nil, fmt.Errorf("%s is in none of %s", name, strings.Join(dirs, ", "))
	}
	return parseKconfig(root, read, env)
}

// ParseKconfig is ReadKconfig with the files that read returns, by the names
// that source statements give them, for a project that generates some.
func ParseKconfig(root string, read func(name string) ([]byte, error), env map[string]string) (*KconfigTree, error) {
	return parseKconfig(root, read, env)
}

func parseKconfig(root string, read func(string) ([]byte, error), env map[string]string) (*KconfigTree, error) {
	p := &kconfigParser{
		tree: &KconfigTree{symbols: map[string]*kconfigSymbol{}},
		read: read,
		env:  env,
	}
	if err := p.source(root, 0); err != nil {
		return nil, err
	}
	if p.block != nil {
		return nil, fmt.Errorf("%s:%d: this %s does not end", p.block.file, p.block.line, p.block.kind)
	}
	return p.tree, nil
}

type kconfigParser struct {
	tree  *KconfigTree
	read  func(string) ([]byte, error)
	env   map[string]string
	block *entry // the innermost open menu, choice or if
	cur   *entry // the entry that attributes belong to
}

// maxSources bounds nested source statements; a file that sources itself is an error.
const maxSources = 50

func (p *kconfigParser) source(file string, depth int) error {
	if depth > maxSources {
		return fmt.Errorf("%s: source statements are nested more than %d deep", file, maxSources)
	}
	data, err := p.read(file)
	if err != nil {
		return err
	}
	lines := bytes.Split(data, []byte("\n"))
	for i := 0; i < len(lines); i++ {
		at := i + 1
		line := string(lines[i])
		for strings.HasSuffix(line, "\\") && i+1 < len(lines) {
			i++
			line = line[:len(line)-1] + string(lines[i])
		}
		keyword, rest := cutWord(line)
		switch {
		case keyword == "" || keyword[0] == '#':
		case keyword == "help" || keyword == "---help---":
			i += helpLines(lines[i+1:])
		case keyword == "source":
			err = p.sourceStatement(rest, depth)
		case isAssignment(line):
			// A macro's definition: only conf evaluates macros.
		default:
			err = p.statement(keyword, rest, file, at)
		}
		if err != nil {
			if keyword == "source" {
				return fmt.Errorf("%w\n\tsourced from %s:%d", err, file, at)
			}
			return fmt.Errorf("%s:%d: %w", file, at, err)
		}
	}
	return nil
}

var assignment = regexp.MustCompile(`^\s*[A-Za-z0-9_-]+\s*(:=|\+=|=)`)

func isAssignment(line string) bool { return assignment.MatchString(line) }

func cutWord(line string) (word, rest string) {
	line = strings.TrimSpace(line)
	if i := strings.IndexAny(line, " \t\"'"); i >= 0 {
		return line[:i], strings.TrimSpace(line[i:])
	}
	return line, ""
}

// helpLines counts the lines of a help text: it ends before the first line that
// is indented less than its first one.
func helpLines(lines [][]byte) int {
	indent, last := -1, 0
	for i, line := range lines {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		col := column(line)
		if indent < 0 {
			indent = col
		}
		if col == 0 || col < indent {
			break
		}
		last = i + 1
	}
	return last
}

func column(line []byte) int {
	col := 0
	for _, c := range line {
		switch c {
		case ' ':
			col++
		case '\t':
			col += 8 - col%8
		default:
			return col
		}
	}
	return col
}

func (p *kconfigParser) sourceStatement(rest string, depth int) error {
	toks, err := tokenize(rest)
	if err != nil {
		return err
	}
	if len(toks) != 1 {
		return fmt.Errorf("source needs one path, not %q", rest)
	}
	// An attribute after a source belongs to nothing.
	p.cur = nil
	return p.source(filepath.Clean(p.expand(toks[0].text)), depth+1)
}

var variable = regexp.MustCompile(`\$\(([A-Za-z0-9_]+)\)|\$([A-Za-z0-9_]+)`)

// expand replaces the variables that are known.
func (p *kconfigParser) expand(text string) string {
	if !strings.ContainsRune(text, '$') {
		return text
	}
	return variable.ReplaceAllStringFunc(text, func(ref string) string {
		if v, ok := p.env[strings.Trim(ref, "$()")]; ok {
			return v
		}
		return ref
	})
}

// statement reads anything but source, help and macro definitions. A keyword
// that is not known is skipped: a later Kconfig may have more of them, and what
// they say is not needed to explain a dependency.
func (p *kconfigParser) statement(keyword, rest, file string, line int) error {
	switch keyword {
	case "config", "menuconfig", "choice", "menu", "if", "comment":
		return p.open(keyword, rest, file, line)
	case "endchoice", "endmenu", "endif":
		return p.close(strings.TrimPrefix(keyword, "end"))
	}
	if p.cur == nil {
		return nil
	}
	switch keyword {
	case "bool", "boolean", "tristate", "int", "hex", "string":
		if keyword == "boolean" {
			keyword = "bool"
		}
		p.setKind(keyword)
		if rest != "" && rest[0] != '#' {
			return p.prompt(rest)
		}
	case "prompt":
		return p.prompt(rest)
	case "def_bool", "def_tristate":
		p.setKind(strings.TrimPrefix(keyword, "def_"))
		return p.conditional(rest, &p.cur.defaults, 1)
	case "default":
		return p.conditional(rest, &p.cur.defaults, 1)
	case "range":
		return p.conditional(rest, &p.cur.ranges, 2)
	case "depends":
		return p.condition(strings.TrimPrefix(rest, "on"), &p.cur.depends)
	case "visible":
		return p.condition(strings.TrimPrefix(rest, "if"), &p.cur.visible)
	case "select":
		return p.selects(rest)
	}
	return nil
}

func (p *kconfigParser) open(keyword, rest, file string, line int) error {
	e := &entry{file: file, line: line, kind: keyword, parent: p.block}
	p.cur = e
	switch keyword {
	case "config", "menuconfig":
		e.kind = "config"
		e.name, _ = cutWord(rest)
		if e.name == "" {
			return fmt.Errorf("%s without a name", keyword)
		}
		s := p.tree.symbol(e.name)
		s.entries = append(s.entries, e)
		if c := e.choice(); c != nil {
			c.members = append(c.members, e.name)
		}
		return nil
	case "comment":
		return nil
	case "if":
		if err := p.condition(rest, &e.depends); err != nil {
			return err
		}
		p.cur = nil
	case "choice":
		e.name, _ = cutWord(rest)
	}
	p.block = e
	return nil
}

func (p *kconfigParser) close(kind string) error {
	p.cur = nil
	if p.block == nil {
		return fmt.Errorf("end%s without %s", kind, kind)
	}
	if p.block.kind != kind {
		return fmt.Errorf("end%s closes the %s of %s:%d", kind, p.block.kind, p.block.file, p.block.line)
	}
	p.block = p.block.parent
	return nil
}

func (t *KconfigTree) symbol(name string) *kconfigSymbol {
	s := t.symbols[name]
	if s == nil {
		s = &kconfigSymbol{name: name}
		t.symbols[name] = s
	}
	return s
}

// options returns the bool and tristate symbols that a user can be asked about
// and that are in no choice, sorted.
func (t *KconfigTree) options() []string {
	var names []string
	for name, s := range t.symbols {
		if s.kind != "bool" && s.kind != "tristate" {
			continue
		}
		asked, chosen := false, false
		for _, e := range s.entries {
			asked = asked || e.prompt != ""
			chosen = chosen || e.choice() != nil
		}
		if asked && !chosen {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (p *kconfigParser) setKind(kind string) {
	if p.cur.kind == "config" {
		p.tree.symbol(p.cur.name).kind = kind
	}
}

// tokens is tokenize, with known variables expanded.
func (p *kconfigParser) tokens(text string) ([]token, error) {
	toks, err := tokenize(text)
	if err != nil {
		return nil, err
	}
	for i := range toks {
		toks[i].text = p.expand(toks[i].text)
		if toks[i].kind == tokMacro && !strings.ContainsRune(toks[i].text, '$') {
			toks[i].kind = tokWord
		}
	}
	return toks, nil
}

func (p *kconfigParser) prompt(rest string) error {
	toks, err := p.tokens(rest)
	if err != nil {
		return err
	}
	if len(toks) == 0 || toks[0].kind == tokOp {
		return fmt.Errorf("prompt without a text")
	}
	p.cur.prompt = toks[0].text
	p.cur.promptIf, err = ifClause(toks[1:])
	return err
}

// conditional reads "VALUE [if EXPR]", or "LOW HIGH [if EXPR]" when n is 2.
func (p *kconfigParser) conditional(rest string, to *[]conditional, n int) error {
	toks, err := p.tokens(rest)
	if err != nil {
		return err
	}
	var c conditional
	if c.value, toks, err = parseExpr(toks); err != nil {
		return err
	}
	if n == 2 {
		if c.upper, toks, err = parseExpr(toks); err != nil {
			return err
		}
	}
	if c.cond, err = ifClause(toks); err != nil {
		return err
	}
	*to = append(*to, c)
	return nil
}

func (p *kconfigParser) condition(text string, to **expr) error {
	toks, err := p.tokens(text)
	if err != nil {
		return err
	}
	e, rest, err := parseExpr(toks)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return fmt.Errorf("unexpected %q after the expression", rest[0].text)
	}
	*to = and(*to, e)
	return nil
}

func (p *kconfigParser) selects(rest string) error {
	toks, err := p.tokens(rest)
	if err != nil {
		return err
	}
	if len(toks) == 0 || toks[0].kind == tokOp {
		return fmt.Errorf("select without a symbol")
	}
	cond, err := ifClause(toks[1:])
	if err != nil || p.cur.kind != "config" {
		return err
	}
	s := p.tree.symbol(toks[0].text)
	s.selectors = append(s.selectors, reverse{by: p.cur.name, cond: cond})
	return nil
}

// ifClause reads "if EXPR", or nothing.
func ifClause(toks []token) (*expr, error) {
	if len(toks) == 0 {
		return nil, nil
	}
	if toks[0].text != "if" {
		return nil, fmt.Errorf("expected if, found %q", toks[0].text)
	}
	e, rest, err := parseExpr(toks[1:])
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("unexpected %q after the expression", rest[0].text)
	}
	return e, err
}
