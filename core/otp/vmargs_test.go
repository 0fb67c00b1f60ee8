package otp

import (
	"slices"
	"strings"
	"testing"
)

func TestVMArgsAreTakenApartAsErlexecDoes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		text     string
		emulator []string
		init     []string
		env      [][2]string
	}{
		"comments and blank lines": {text: "## a comment\n\n  # another\n"},
		"flag with a value":        {text: "+P 5000000\n+sbwt none\n", emulator: []string{"-P", "5000000", "-sbwt", "none"}},
		"flag without a value":     {text: "+c\n+fnu\n-name x@y\n", emulator: []string{"-c", "-fnu"}, init: []string{"-name", "x@y"}},
		"value glued to its flag":  {text: "+A64\n", emulator: []string{"-A64"}},
		"environment":              {text: "-env ERL_FULLSWEEP_AFTER 10\n", env: [][2]string{{"ERL_FULLSWEEP_AFTER", "10"}}},
		"quotes":                   {text: `-kernel prompt "a \"b\"" 'c d'`, init: []string{"-kernel", "prompt", `a "b"`, "c d"}},
		"backslash":                {text: `-x a\ b`, init: []string{"-x", "a b"}},
		"hash inside a word":       {text: "-setcookie a#b\n", init: []string{"-setcookie", "a#b"}},
		"extra ends the flags":     {text: "-extra +P 1\n", init: []string{"-extra", "+P", "1"}},
		"empty word in quotes":     {text: `-x ""`, init: []string{"-x", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseVMArgs("vm.args", []byte(tc.text))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.Emulator, tc.emulator) || !slices.Equal(got.Init, tc.init) || !slices.Equal(got.Env, tc.env) {
				t.Errorf("got %q %q %q, want %q %q %q", got.Emulator, got.Init, got.Env, tc.emulator, tc.init, tc.env)
			}
		})
	}
}

func TestBadVMArgsNameTheLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"+P 1\n-x \"open\n": "vm.args:2: a quote that is not closed",
		"-env ONLY_NAME":    "vm.args: -env needs a name and a value",
		"a\n\x00":           "vm.args:2: a NUL byte",
	} {
		_, err := ParseVMArgs("vm.args", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func FuzzParseVMArgs(f *testing.F) {
	for _, seed := range []string{"+P 1\n", "-env A", `"\`, "'", "# x", "-extra"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		args, err := ParseVMArgs("vm.args", data)
		if err != nil {
			return
		}
		for i, word := range args.Emulator {
			if strings.ContainsRune(word, 0) {
				t.Fatalf("word %d holds a NUL: %q", i, word)
			}
		}
	})
}
