package kernel

import (
	"fmt"
	"strconv"
	"strings"
)

// An expr is a Kconfig expression: kernel doc kbuild/kconfig-language.rst,
// "Menu dependencies". A nil *expr is always y.
type expr struct {
	op          exprOp
	left, right *expr
	text        string // of a symbol, a constant or a macro
}

type exprOp int

const (
	opSymbol  exprOp = iota // text is a name, or a bare constant such as 8
	opString                // text is a quoted constant
	opMacro                 // text is $(...), which only conf can evaluate
	opNot                   // !left
	opAnd                   // left && right
	opOr                    // left || right
	opCompare               // left <text> right
)

func and(a, b *expr) *expr {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	return &expr{op: opAnd, left: a, right: b}
}

func (e *expr) String() string {
	switch {
	case e == nil:
		return "y"
	case e.op == opString:
		return strconv.Quote(e.text)
	case e.op == opNot:
		return "!" + e.left.operand(opNot)
	case e.op == opAnd:
		return e.left.operand(opAnd) + " && " + e.right.operand(opAnd)
	case e.op == opOr:
		return e.left.operand(opOr) + " || " + e.right.operand(opOr)
	case e.op == opCompare:
		return e.left.String() + " " + e.text + " " + e.right.String()
	}
	return e.text
}

// operand is e as a part of an expression with operator op.
func (e *expr) operand(op exprOp) string {
	if e != nil && (e.op == opAnd || e.op == opOr) && e.op != op || op == opNot && e.op == opCompare {
		return "(" + e.String() + ")"
	}
	return e.String()
}

// symbols calls f for each symbol named in e.
func (e *expr) symbols(f func(name string)) {
	if e == nil {
		return
	}
	if e.op == opSymbol {
		f(e.text)
	}
	e.left.symbols(f)
	e.right.symbols(f)
}

// A tristate is n, m or y; && is the minimum and || the maximum.
type tristate int

const (
	no tristate = iota
	mod
	yes
)

func tristateOf(value string) tristate {
	switch value {
	case "y":
		return yes
	case "m":
		return mod
	}
	return no
}

// eval evaluates e where value gives the value of a symbol. A macro counts as y:
// whether it holds is known to conf alone.
func (e *expr) eval(value func(name string) string) tristate {
	switch {
	case e == nil || e.op == opMacro:
		return yes
	case e.op == opNot:
		return yes - e.left.eval(value)
	case e.op == opAnd:
		return min(e.left.eval(value), e.right.eval(value))
	case e.op == opOr:
		return max(e.left.eval(value), e.right.eval(value))
	case e.op == opCompare:
		if compare(e.left.constant(value), e.text, e.right.constant(value)) {
			return yes
		}
		return no
	}
	return tristateOf(e.constant(value))
}

func (e *expr) constant(value func(name string) string) string {
	if e.op == opSymbol {
		return unquote(value(e.text))
	}
	return e.text
}

// compare compares numbers as numbers and anything else as text.
func compare(a, op, b string) bool {
	x, errA := strconv.ParseInt(a, 0, 64)
	y, errB := strconv.ParseInt(b, 0, 64)
	order := strings.Compare(a, b)
	if errA == nil && errB == nil {
		order = 0
		if x < y {
			order = -1
		} else if x > y {
			order = 1
		}
	}
	switch op {
	case "=":
		return order == 0
	case "!=":
		return order != 0
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}

// unmet returns the parts of e that hold it below want.
func (e *expr) unmet(value func(name string) string, want tristate) []*expr {
	if e.eval(value) >= want {
		return nil
	}
	if e.op == opAnd {
		return append(e.left.unmet(value, want), e.right.unmet(value, want)...)
	}
	return []*expr{e}
}

// macro returns the first macro in e, or nil.
func (e *expr) macro() *expr {
	if e == nil || e.op == opMacro {
		return e
	}
	if m := e.left.macro(); m != nil {
		return m
	}
	return e.right.macro()
}

// A token of a Kconfig line.
type token struct {
	kind tokenKind
	text string
}

type tokenKind int

const (
	tokWord   tokenKind = iota // a name, a number, a path
	tokString                  // the text between quotes
	tokMacro                   // $(...)
	tokOp                      // && || ! ( ) = != < <= > >=
)

// tokenize splits a line; a comment ends it.
func tokenize(line string) ([]token, error) {
	var toks []token
	for i := 0; i < len(line); {
		c := line[i]
		switch {
		case c == ' ' || c == '\t' || c == '\r':
			i++
		case c == '#':
			return toks, nil
		case c == '"' || c == '\'':
			text, end, err := quoted(line, i)
			if err != nil {
				return nil, err
			}
			toks, i = append(toks, token{tokString, text}), end
		case isWord(c) || c == '$':
			text, end, macro := word(line, i)
			kind := tokWord
			if macro {
				kind = tokMacro
			}
			toks, i = append(toks, token{kind, text}), end
		default:
			op := line[i : i+1]
			if i+1 < len(line) {
				switch two := line[i : i+2]; two {
				case "&&", "||", "!=", "<=", ">=":
					op = two
				}
			}
			if !strings.Contains("&& || ! ( ) = != < <= > >=", op) || op == "&" || op == "|" {
				return nil, fmt.Errorf("unexpected character %q", c)
			}
			toks, i = append(toks, token{tokOp, op}), i+len(op)
		}
	}
	return toks, nil
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c == '_' || c == '-' || c == '.' || c == '/'
}

// quoted reads the string that starts at i; a backslash takes the next character literally.
func quoted(line string, i int) (text string, end int, err error) {
	var b strings.Builder
	for j := i + 1; j < len(line); j++ {
		switch line[j] {
		case line[i]:
			return b.String(), j + 1, nil
		case '\\':
			j++
			if j == len(line) {
				return "", 0, fmt.Errorf("string does not end")
			}
		}
		b.WriteByte(line[j])
	}
	return "", 0, fmt.Errorf("string does not end")
}

// word reads a word, which may hold macros, that starts at i.
func word(line string, i int) (text string, end int, macro bool) {
	j := i
	for j < len(line) && (isWord(line[j]) || line[j] == '$') {
		if line[j] != '$' {
			j++
			continue
		}
		macro = true
		j++
		if j < len(line) && line[j] == '(' {
			j = closing(line, j)
		}
	}
	return line[i:j], j, macro
}

// closing returns the index after the parenthesis that closes the one at i.
func closing(line string, i int) int {
	depth := 0
	for ; i < len(line); i++ {
		switch line[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return i
}

// maxNesting bounds the recursion that a hostile file can ask for.
const maxNesting = 500

// exprParser is a recursive descent over a line's tokens. Loosest first: ||, &&, !, comparisons.
type exprParser struct {
	toks  []token
	depth int
}

// parseExpr reads an expression and returns the tokens after it.
func parseExpr(toks []token) (*expr, []token, error) {
	p := &exprParser{toks: toks}
	e, err := p.or()
	return e, p.toks, err
}

func (p *exprParser) accept(ops ...string) (string, bool) {
	if len(p.toks) > 0 && p.toks[0].kind == tokOp {
		for _, op := range ops {
			if p.toks[0].text == op {
				p.toks = p.toks[1:]
				return op, true
			}
		}
	}
	return "", false
}

func (p *exprParser) or() (*expr, error) {
	left, err := p.and()
	for err == nil {
		if _, ok := p.accept("||"); !ok {
			return left, nil
		}
		var right *expr
		right, err = p.and()
		left = &expr{op: opOr, left: left, right: right}
	}
	return nil, err
}

func (p *exprParser) and() (*expr, error) {
	left, err := p.not()
	for err == nil {
		if _, ok := p.accept("&&"); !ok {
			return left, nil
		}
		var right *expr
		right, err = p.not()
		left = &expr{op: opAnd, left: left, right: right}
	}
	return nil, err
}

func (p *exprParser) not() (*expr, error) {
	if p.depth++; p.depth > maxNesting {
		return nil, fmt.Errorf("expression is nested more than %d deep", maxNesting)
	}
	defer func() { p.depth-- }()
	if _, ok := p.accept("!"); ok {
		e, err := p.not()
		if err != nil {
			return nil, err
		}
		return &expr{op: opNot, left: e}, nil
	}
	if _, ok := p.accept("("); ok {
		e, err := p.or()
		if err != nil {
			return nil, err
		}
		if _, ok := p.accept(")"); !ok {
			return nil, fmt.Errorf("missing )")
		}
		return e, nil
	}
	left, err := p.operand()
	if err != nil {
		return nil, err
	}
	if op, ok := p.accept("=", "!=", "<", "<=", ">", ">="); ok {
		right, err := p.operand()
		if err != nil {
			return nil, err
		}
		return &expr{op: opCompare, text: op, left: left, right: right}, nil
	}
	return left, nil
}

func (p *exprParser) operand() (*expr, error) {
	if len(p.toks) == 0 || p.toks[0].kind == tokOp {
		return nil, fmt.Errorf("expected a symbol or a constant")
	}
	t := p.toks[0]
	p.toks = p.toks[1:]
	return &expr{op: map[tokenKind]exprOp{tokWord: opSymbol, tokString: opString, tokMacro: opMacro}[t.kind], text: t.text}, nil
}

func unquote(value string) string {
	if strings.HasPrefix(value, `"`) {
		if toks, err := tokenize(value); err == nil && len(toks) == 1 {
			return toks[0].text
		}
	}
	return value
}
