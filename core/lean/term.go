package lean

import "math/big"

// Term is an Erlang term as it stands in .app, .rel and .script files: one of
// Atom, Int, float64, String, Tuple, List, *Improper, Binary, Map or Fun.
type Term any

// Atom is an Erlang atom.
type Atom string

// Int is an integer of any size.
type Int struct{ *big.Int }

// String is a string literal: in Erlang, the list of its characters.
type String string

// Tuple is a tuple.
type Tuple []Term

// List is a proper list.
type List []Term

// Improper is a list whose last cell does not end in [].
type Improper struct {
	Head List // at least one
	Tail Term
}

// Binary is a binary of whole bytes.
type Binary []byte

// Map is a map's pairs, in the order of the text; no key occurs twice.
type Map [][2]Term

// Fun is an external fun, fun Module:Function/Arity.
type Fun struct {
	Module, Function Atom
	Arity            int
}

// text returns a term that is a string, also one written as a list of
// characters.
func text(t Term) (string, bool) {
	switch t := t.(type) {
	case String:
		return string(t), true
	case List:
		runes := make([]rune, 0, len(t))
		for _, e := range t {
			i, ok := e.(Int)
			if !ok || !i.IsInt64() || i.Int64() < 0 || i.Int64() > maxRune {
				return "", false
			}
			runes = append(runes, rune(i.Int64()))
		}
		return string(runes), true
	}
	return "", false
}

// atoms returns the atoms of a list.
func atoms(t Term) ([]string, bool) {
	list, ok := t.(List)
	if !ok {
		return nil, false
	}
	out := make([]string, 0, len(list))
	for _, e := range list {
		a, ok := e.(Atom)
		if !ok {
			return nil, false
		}
		out = append(out, string(a))
	}
	return out, true
}

// tagged returns the elements behind the tag of a tuple {tag, ...} of size n.
func tagged(t Term, tag Atom, n int) (Tuple, bool) {
	tuple, ok := t.(Tuple)
	if !ok || len(tuple) != n {
		return nil, false
	}
	if first, ok := tuple[0].(Atom); !ok || first != tag {
		return nil, false
	}
	return tuple[1:], true
}

// property returns the value of {key, Value} in a property list.
func property(list List, key Atom) (Term, bool) {
	for _, e := range list {
		if v, ok := tagged(e, key, 2); ok {
			return v[0], true
		}
	}
	return nil, false
}
