package lean

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of what Consult accepts, so that hostile input costs no more than a
// small multiple of its size.
const (
	maxDepth  = 200   // nested terms
	maxDigits = 10000 // of one integer
	maxRune   = unicode.MaxRune
)

// Consult reads the terms of a text file, each ended by a full stop, as
// file:consult/1 does (Erlang Reference Manual, "Data Types"; stdlib's
// erl_scan.erl). It knows what .app, .rel and .script files hold: no
// triple-quoted strings, sigils, bit sizes or pids. Errors name the line.
func Consult(data []byte) ([]Term, error) {
	text, err := decodeText(data)
	if err != nil {
		return nil, err
	}
	p := &parser{text: text, line: 1}
	var terms []Term
	for {
		if err := p.space(); err != nil {
			return nil, p.wrap(err)
		}
		if p.at == len(p.text) {
			return terms, nil
		}
		term, err := p.term(0)
		if err == nil {
			err = p.expect(".")
		}
		if err != nil {
			return nil, p.wrap(err)
		}
		if p.at < len(p.text) && !strings.ContainsRune(" \t\r\n%", rune(p.text[p.at])) {
			return nil, p.wrap(errors.New("a full stop must be followed by white space"))
		}
		terms = append(terms, term)
	}
}

// encoding matches the comment that names a file's encoding (epp(3),
// "Encoding"); it counts in the first two lines.
var encoding = regexp.MustCompile(`^(?:[^\n]*\n)?[^\n]*%[^\n]*coding\s*[:=]\s*([-a-zA-Z0-9]+)`)

func decodeText(data []byte) (string, error) {
	if m := encoding.FindSubmatch(data); m != nil && strings.EqualFold(string(m[1]), "latin-1") {
		runes := make([]rune, len(data))
		for i, c := range data {
			runes[i] = rune(c)
		}
		return string(runes), nil
	}
	if !utf8.Valid(data) {
		return "", errors.New("not UTF-8, and no comment in the first two lines says coding: latin-1")
	}
	return string(data), nil
}

type parser struct {
	text string
	at   int
	line int
}

func (p *parser) wrap(err error) error { return fmt.Errorf("line %d: %w", p.line, err) }

// space skips white space and comments.
func (p *parser) space() error {
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == '\n':
			p.line++
			p.at++
		case c <= ' ':
			p.at++
		case c == '%':
			end := strings.IndexByte(p.text[p.at:], '\n')
			if end < 0 {
				end = len(p.text) - p.at
			}
			p.at += end
		default:
			return nil
		}
	}
	return nil
}

// peek reports whether the next token is s.
func (p *parser) peek(s string) bool {
	p.space()
	return strings.HasPrefix(p.text[p.at:], s)
}

func (p *parser) accept(s string) bool {
	if !p.peek(s) {
		return false
	}
	p.at += len(s)
	return true
}

func (p *parser) expect(s string) error {
	if p.accept(s) {
		return nil
	}
	return fmt.Errorf("%s where %q should be", p.found(), s)
}

// found describes what stands at the current position.
func (p *parser) found() string {
	if p.at == len(p.text) {
		return "the end of the file"
	}
	r, _ := utf8.DecodeRuneInString(p.text[p.at:])
	return strconv.QuoteRune(r)
}

func (p *parser) term(depth int) (Term, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("terms nested more than %d deep", maxDepth)
	}
	p.space()
	switch rest := p.text[p.at:]; {
	case rest == "":
		return nil, errors.New("the file ends inside a term")
	case p.accept("{"):
		elements, err := p.sequence("}", depth)
		return Tuple(elements), err
	case p.accept("["):
		return p.list(depth)
	case p.accept("#{"):
		return p.dictionary(depth)
	case p.accept("<<"):
		return p.binary()
	case rest[0] == '"':
		s, err := p.strings()
		return String(s), err
	case rest[0] == '\'':
		s, err := p.quoted('\'')
		return Atom(s), err
	case rest[0] == '$', rest[0] == '-', rest[0] == '+', isDigit(rest[0]):
		return p.number()
	}
	word := p.word()
	switch word {
	case "":
		return nil, fmt.Errorf("%s where a term should be", p.found())
	case "fun":
		return p.fun()
	}
	return Atom(word), nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// word reads an unquoted atom: a lower-case letter of Latin-1, then letters,
// digits, _ and @.
func (p *parser) word() string {
	start := p.at
	for i, r := range p.text[start:] {
		letter := r == '_' || r == '@' || r < 0x100 && (unicode.IsLetter(r) || unicode.IsDigit(r))
		if !letter || i == 0 && !unicode.IsLower(r) {
			p.at = start + i
			return p.text[start:p.at]
		}
	}
	p.at = len(p.text)
	return p.text[start:]
}

// sequence reads terms with commas between them up to the closing bracket.
func (p *parser) sequence(closing string, depth int) ([]Term, error) {
	elements := []Term{}
	if p.accept(closing) {
		return elements, nil
	}
	for {
		element, err := p.term(depth + 1)
		if err != nil {
			return nil, err
		}
		elements = append(elements, element)
		if p.accept(closing) {
			return elements, nil
		}
		if err := p.expect(","); err != nil {
			return nil, err
		}
	}
}

func (p *parser) list(depth int) (Term, error) {
	list := List{}
	if p.accept("]") {
		return list, nil
	}
	for {
		element, err := p.term(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, element)
		switch {
		case p.accept("]"):
			return list, nil
		case p.accept("|"):
			tail, err := p.term(depth + 1)
			if err != nil {
				return nil, err
			}
			if err := p.expect("]"); err != nil {
				return nil, err
			}
			return cons(list, tail), nil
		case !p.accept(","):
			return nil, fmt.Errorf("%s where \",\", \"|\" or \"]\" should be", p.found())
		}
	}
}

// cons puts list in front of tail.
func cons(list List, tail Term) Term {
	switch tail := tail.(type) {
	case List:
		return append(list, tail...)
	case String:
		for _, r := range tail {
			list = append(list, integer(int64(r)))
		}
		return list
	case *Improper:
		return &Improper{append(list, tail.Head...), tail.Tail}
	}
	return &Improper{list, tail}
}

func integer(i int64) Int { return Int{big.NewInt(i)} }

func (p *parser) dictionary(depth int) (Term, error) {
	dict := Map{}
	if p.accept("}") {
		return dict, nil
	}
	seen := map[string]bool{}
	for {
		key, err := p.term(depth + 1)
		if err != nil {
			return nil, err
		}
		if err := p.expect("=>"); err != nil {
			return nil, err
		}
		value, err := p.term(depth + 1)
		if err != nil {
			return nil, err
		}
		encoded, err := appendTerm(nil, key)
		if err != nil {
			return nil, err
		}
		if seen[string(encoded)] {
			return nil, errors.New("a map with the same key twice")
		}
		seen[string(encoded)] = true
		dict = append(dict, [2]Term{key, value})
		if p.accept("}") {
			return dict, nil
		}
		if err := p.expect(","); err != nil {
			return nil, err
		}
	}
}

// binary reads <<1,2,"text","text"/utf8>>, behind its <<.
func (p *parser) binary() (Term, error) {
	out := Binary{}
	if p.accept(">>") {
		return out, nil
	}
	for {
		var err error
		if out, err = p.segment(out); err != nil {
			return nil, err
		}
		if p.accept(">>") {
			return out, nil
		}
		if err := p.expect(","); err != nil {
			return nil, err
		}
	}
}

func (p *parser) segment(out Binary) (Binary, error) {
	if p.peek(`"`) {
		s, err := p.strings()
		if err != nil {
			return nil, err
		}
		if p.accept("/") {
			if err := p.expect("utf8"); err != nil {
				return nil, err
			}
			return append(out, s...), nil
		}
		for _, r := range s {
			out = append(out, byte(r)) // as Erlang does: the low eight bits
		}
		return out, nil
	}
	n, err := p.number()
	if err != nil {
		return nil, err
	}
	i, ok := n.(Int)
	if !ok || p.peek(":") || p.peek("/") {
		return nil, errors.New("a binary segment with a size or type, or a float: only bytes and strings are understood")
	}
	low := new(big.Int).And(i.Int, big.NewInt(0xff))
	return append(out, byte(low.Int64())), nil
}

// fun reads Module:Function/Arity, behind the word fun.
func (p *parser) fun() (Term, error) {
	var parts [2]Atom
	for i, after := range []string{":", "/"} {
		t, err := p.term(maxDepth)
		if err != nil {
			return nil, err
		}
		name, ok := t.(Atom)
		if !ok {
			return nil, errors.New("a fun that is not fun module:function/arity")
		}
		parts[i] = name
		if err := p.expect(after); err != nil {
			return nil, err
		}
	}
	p.space()
	n, err := p.number()
	if err != nil {
		return nil, err
	}
	arity, ok := n.(Int)
	if !ok || !arity.IsInt64() || arity.Int64() < 0 || arity.Int64() > 255 {
		return nil, errors.New("the arity of a fun is a number from 0 to 255")
	}
	return Fun{parts[0], parts[1], int(arity.Int64())}, nil
}

// strings reads a string and those that follow it: "a" "b" is one.
func (p *parser) strings() (string, error) {
	var b strings.Builder
	for p.peek(`"`) {
		s, err := p.quoted('"')
		if err != nil {
			return "", err
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

// quoted reads up to the closing quote, with escapes.
func (p *parser) quoted(quote byte) (string, error) {
	p.at++
	var b strings.Builder
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == quote:
			p.at++
			return b.String(), nil
		case c == '\\':
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			b.WriteRune(r)
		default:
			if c == '\n' {
				p.line++
			}
			b.WriteByte(c)
			p.at++
		}
	}
	return "", fmt.Errorf("the file ends inside quotes (%c)", quote)
}

// escapes are those of one letter (Reference Manual, "Escape Sequences").
var escapes = map[byte]rune{
	'b': '\b', 'd': 0x7f, 'e': 0x1b, 'f': '\f', 'n': '\n', 'r': '\r', 's': ' ', 't': '\t', 'v': '\v',
}

var octal = regexp.MustCompile(`^[0-7]{1,3}`)
var hex2 = regexp.MustCompile(`^x[0-9a-fA-F]{2}`)
var hexBraces = regexp.MustCompile(`^x\{[0-9a-fA-F]{1,8}\}`)

// escape reads an escape sequence, at its backslash.
func (p *parser) escape() (rune, error) {
	p.at++
	rest := p.text[p.at:]
	if rest == "" {
		return 0, errors.New("the file ends behind a backslash")
	}
	code, base := "", 16
	switch {
	case octal.MatchString(rest):
		code, base = octal.FindString(rest), 8
		p.at += len(code)
	case hex2.MatchString(rest):
		code = rest[1:3]
		p.at += 3
	case hexBraces.MatchString(rest):
		m := hexBraces.FindString(rest)
		code = m[2 : len(m)-1]
		p.at += len(m)
	case rest[0] == 'x':
		return 0, errors.New(`\x must be followed by two hexadecimal digits or by {digits}`)
	case rest[0] == '^' && len(rest) > 1 && rest[1] >= '@' && rest[1] <= '_':
		p.at += 2
		return rune(rest[1] - '@'), nil
	default:
		r, size := utf8.DecodeRuneInString(rest)
		if special, ok := escapes[rest[0]]; ok {
			r = special
		}
		if r == '\n' {
			p.line++
		}
		p.at += size
		return r, nil
	}
	n, err := strconv.ParseInt(code, base, 64)
	if err != nil || !utf8.ValidRune(rune(n)) || n > maxRune {
		return 0, fmt.Errorf("character %s is outside Unicode", code)
	}
	return rune(n), nil
}

var float = regexp.MustCompile(`^[0-9][0-9_]*\.[0-9][0-9_]*(?:[eE][+-]?[0-9]+)?`)
var based = regexp.MustCompile(`^([0-9]{1,2})#([0-9a-zA-Z_]+)`)
var decimal = regexp.MustCompile(`^[0-9][0-9_]*`)

// number reads an integer, a float or a character, with its sign.
func (p *parser) number() (Term, error) {
	p.space()
	negative := false
	if p.accept("-") {
		negative = true
	} else {
		p.accept("+")
	}
	p.space()
	rest := p.text[p.at:]
	if strings.HasPrefix(rest, "$") {
		r, err := p.character()
		return sign(Int{big.NewInt(int64(r))}, negative), err
	}
	if m := float.FindString(rest); m != "" {
		p.at += len(m)
		f, err := strconv.ParseFloat(strings.ReplaceAll(m, "_", ""), 64)
		if err != nil {
			return nil, fmt.Errorf("float %s: %w", m, errors.Unwrap(err))
		}
		if negative {
			f = math.Copysign(f, -1)
		}
		return f, nil
	}
	digits, base := "", 10
	if m := based.FindStringSubmatch(rest); m != nil {
		base, _ = strconv.Atoi(m[1]) // two digits at most
		digits = m[2]
		p.at += len(m[0])
	} else {
		digits = decimal.FindString(rest)
		p.at += len(digits)
	}
	if len(digits) > maxDigits {
		return nil, fmt.Errorf("an integer of more than %d digits", maxDigits)
	}
	if base < 2 || base > 36 {
		return nil, fmt.Errorf("base %d is not from 2 to 36", base)
	}
	i, ok := new(big.Int).SetString(strings.ReplaceAll(digits, "_", ""), base)
	if !ok {
		return nil, fmt.Errorf("%s where a number should be", p.found())
	}
	return sign(Int{i}, negative), nil
}

func sign(i Int, negative bool) Int {
	if negative {
		i.Neg(i.Int)
	}
	return i
}

// character reads $c, at the dollar sign.
func (p *parser) character() (rune, error) {
	p.at++
	rest := p.text[p.at:]
	if rest == "" {
		return 0, errors.New("the file ends behind a $")
	}
	if rest[0] == '\\' {
		return p.escape()
	}
	r, size := utf8.DecodeRuneInString(rest)
	if r == '\n' {
		p.line++
	}
	p.at += size
	return r, nil
}
