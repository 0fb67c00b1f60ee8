package lean

import (
	"bytes"
	"strings"
	"testing"
)

// The bytes are what term_to_binary/1 of OTP 27 returns.
func TestTermsAreEncodedAsTermToBinaryDoes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"ok", "\x83w\x02ok"},
		{"255", "\x83a\xff"},
		{"256", "\x83b\x00\x00\x01\x00"},
		{"-1", "\x83b\xff\xff\xff\xff"},
		{"2147483648", "\x83n\x04\x00\x00\x00\x00\x80"},
		{"-18446744073709551616", "\x83n\x09\x01\x00\x00\x00\x00\x00\x00\x00\x00\x01"},
		{"1.5", "\x83F\x3f\xf8\x00\x00\x00\x00\x00\x00"},
		{"[]", "\x83j"},
		{`""`, "\x83j"},
		{`"ab"`, "\x83k\x00\x02ab"},
		{"[97,98]", "\x83k\x00\x02ab"},
		{`"é"`, "\x83k\x00\x01\xe9"},
		{`"€"`, "\x83l\x00\x00\x00\x01b\x00\x00\x20\xacj"},
		{"[a|b]", "\x83l\x00\x00\x00\x01w\x01aw\x01b"},
		{"{a}", "\x83h\x01w\x01a"},
		{`<<"ab">>`, "\x83m\x00\x00\x00\x02ab"},
		{"#{a => 1}", "\x83t\x00\x00\x00\x01w\x01aa\x01"},
		{"fun m:f/2", "\x83qw\x01mw\x01fa\x02"},
		{"'" + strings.Repeat("ß", 200) + "'", "\x83v\x01\x90" + strings.Repeat("ß", 200)},
	} {
		terms, err := Consult([]byte(c.text + "."))
		if err != nil {
			t.Fatal(err)
		}
		got, err := EncodeTerm(terms[0])
		if err != nil || !bytes.Equal(got, []byte(c.want)) {
			t.Errorf("%.40s: got %x, %v; want %x", c.text, got, err, c.want)
		}
	}
}

func TestAtomThatErlangCannotHoldIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := EncodeTerm(Atom(strings.Repeat("a", 256))); err == nil {
		t.Error("an atom of 256 characters was encoded")
	}
}
