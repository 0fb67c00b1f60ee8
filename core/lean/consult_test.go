package lean

import (
	"math/big"
	"reflect"
	"strings"
	"testing"
)

func num(i int64) Int { return Int{big.NewInt(i)} }

func TestConsultReadsTermsAsErlangDoes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want Term
	}{
		{`atom.`, Atom("atom")},
		{`'Elixir.Foo'.`, Atom("Elixir.Foo")},
		{`'it\'s \x{1F600} \101'.`, Atom("it's 😀 A")},
		{`straße.`, Atom("straße")},
		{`a@b_C1.`, Atom("a@b_C1")},
		{`42.`, num(42)},
		{`-7.`, num(-7)},
		{`16#fF.`, num(255)},
		{`1_000.`, num(1000)},
		{`$a.`, num('a')},
		{`$\n.`, num('\n')},
		{`$\^A.`, num(1)},
		{`1.5e3.`, 1500.0},
		{`-0.25.`, -0.25},
		{`"".`, String("")},
		{`"two " % comment between
		  "parts".`, String("two parts")},
		{`"tab\t\"quote\" \s\x41".`, String("tab\t\"quote\"  A")},
		{`{}.`, Tuple{}},
		{`{a, [], [1|[2]]}.`, Tuple{Atom("a"), List{}, List{num(1), num(2)}}},
		{`[a|b].`, &Improper{List{Atom("a")}, Atom("b")}},
		{`[a|"bc"].`, List{Atom("a"), num('b'), num('c')}},
		{`<<>>.`, Binary{}},
		{`<<"ab",1,255>>.`, Binary("ab\x01\xff")},
		{`<<"grün"/utf8>>.`, Binary("grün")},
		{`<<"ü">>.`, Binary{0xfc}},
		{`#{a => 1, "k" => #{}}.`, Map{{Atom("a"), num(1)}, {String("k"), Map{}}}},
		{`fun 'Elixir.Foo':bar/2.`, Fun{"Elixir.Foo", "bar", 2}},
		{"%% coding: utf-8\n{x}.\n", Tuple{Atom("x")}},
		{"%% coding: latin-1\n\"\xfc\".\n", String("ü")},
	} {
		got, err := Consult([]byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if len(got) != 1 || !reflect.DeepEqual(got[0], c.want) {
			t.Errorf("%s: got %#v, want %#v", c.text, got, c.want)
		}
	}
}

func TestConsultNamesTheLineOfWhatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"{a,\n b", `line 2: the end of the file where "," should be`},
		{"{a,\n X}.", "line 2: 'X' where a term should be"},
		{"a.b.", "line 1: a full stop must be followed by white space"},
		{"\n\"open", `line 2: the file ends inside quotes (")`},
		{`[1, 2.`, `line 1: '.' where ",", "|" or "]" should be`},
		{`<<1:4>>.`, "line 1: a binary segment with a size or type"},
		{`#{a => 1, a => 2}.`, "line 1: a map with the same key twice"},
		{`<0.1.0>.`, "line 1: '<' where a term should be"},
		{`fun() -> ok end.`, "line 1: '(' where a term should be"},
		{`"\xZZ".`, `line 1: \x must be followed by`},
		{`"\x{110000}".`, "line 1: character 110000 is outside Unicode"},
		{"\xff.", "not UTF-8"},
		{strings.Repeat("[", maxDepth+2), "nested more than 200 deep"},
		{strings.Repeat("9", maxDigits+1) + ".", "more than 10000 digits"},
		{"1.0e999.", "float 1.0e999: value out of range"},
		{"99#1.", "base 99 is not from 2 to 36"},
	} {
		_, err := Consult([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40q: got %v, want an error with %q", c.text, err, c.want)
		}
	}
}

func FuzzConsult(f *testing.F) {
	f.Add([]byte(`{application, hello, [{vsn,"0.1.0"},{modules,['Elixir.Hello']},{applications,[kernel,stdlib]}]}.`))
	f.Add([]byte("%% coding: latin-1\n#{a => <<\"b\",1>>, c => [1|2]}. fun a:b/3. -1.5e3. $\\x{41}.\n"))
	f.Add([]byte(`{script,{"x","1"},[{progress,loading},{path,["$ROOT/lib/kernel/ebin"]}]}.`))
	f.Fuzz(func(t *testing.T, data []byte) {
		terms, err := Consult(data)
		if err != nil {
			return
		}
		if app, err := parseApp(data); err == nil && app == nil {
			t.Fatal("neither an application nor an error")
		}
		if s, err := parseScript(data); err == nil {
			all := cut{apps: s.dirsOf(), dirs: s.dirsOf(), modules: map[string]bool{"a": true}}
			if left := s.without(all, nil); len(left.instructions) > len(s.instructions) {
				t.Fatal("a cut made the script longer")
			}
		}
		for _, term := range terms {
			encoded, err := EncodeTerm(term)
			if err == nil && len(encoded) < 2 {
				t.Fatalf("%#v encodes to %x", term, encoded)
			}
		}
	})
}
