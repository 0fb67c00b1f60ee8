package kernel

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func parse(t *testing.T, path, text string) *Fragment {
	t.Helper()
	f, err := ParseFragment(path, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestAFragmentHoldsRequestsAndComments(t *testing.T) {
	t.Parallel()
	f := parse(t, "a.config", "# a comment\n\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=n\nCONFIG_D=0x1F\nCONFIG_E=-1\nCONFIG_F=\"a \\\" b\"\n# CONFIG_G=y\n")
	want := []Symbol{
		{"A", "y", "a.config", 3, false}, {"B", "n", "a.config", 4, false}, {"C", "n", "a.config", 5, false},
		{"D", "0x1F", "a.config", 6, false}, {"E", "-1", "a.config", 7, false}, {"F", `"a \" b"`, "a.config", 8, false},
	}
	if len(f.Symbols) != len(want) {
		t.Fatalf("%v", f.Symbols)
	}
	for i := range want {
		if f.Symbols[i] != want[i] {
			t.Errorf("got %+v, want %+v", f.Symbols[i], want[i])
		}
	}
}

func TestALineThatConfWouldIgnoreIsAnError(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, text, want string }{
		{"no value", "CONFIG_A=\n", `f:1: "CONFIG_A=" is not of the form`},
		{"comment behind a value", "CONFIG_A=y # why\n", `f:1: "CONFIG_A=y # why" is not of the form`},
		{"missing prefix", "\nVIRTIO=y\n", `f:2: "VIRTIO=y" is not of the form`},
		{"space around =", "CONFIG_A = y\n", "f:1: "},
		{"open string", "CONFIG_A=\"x\n", "f:1: "},
		{"other word", "CONFIG_A=yes\n", "f:1: "},
		{"off, without a space", "#CONFIG_A is not set\n", "would be read as a comment"},
		{"off, with more behind it", "# CONFIG_A is not set (why)\n", "would be read as a comment"},
		{"twice", "CONFIG_A=y\n# CONFIG_A is not set\n", "f:2: CONFIG_A is already on line 1"},
	} {
		_, err := ParseFragment("f", strings.NewReader(test.text))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
	}
}

func TestALaterFragmentOverridesAnEarlierOne(t *testing.T) {
	t.Parallel()
	got := requests([]*Fragment{
		parse(t, "a", "CONFIG_X=y\nCONFIG_Y=1\n"),
		parse(t, "b", "# CONFIG_X is not set\n"),
	})
	if len(got) != 2 || got[0].Name != "Y" || got[1] != (Symbol{Name: "X", Value: "n", File: "b", Line: 1}) {
		t.Errorf("%+v", got)
	}
}

func TestFragmentsAreFoundByNameWithTheirArchitecturesLines(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, name := range []string{"base", "base.x86_64", "base.aarch64", "net", "only.aarch64"} {
		write(t, filepath.Join(root, FragmentDir, name+".config"), "CONFIG_A=y\n")
	}
	write(t, filepath.Join(root, "mine/own.config"), "CONFIG_B=y\n")
	arch, err := ArchFor("x86_64")
	if err != nil {
		t.Fatal(err)
	}
	frags, err := FindFragments(root, arch, []string{"net", "base", "mine/own.config"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range frags {
		got = append(got, filepath.Base(f.Path))
	}
	if want := "net.config base.config base.x86_64.config own.config"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}

	_, err = FindFragments(root, arch, []string{"base", "nett"})
	var unknown *UnknownFragmentError
	if !errors.As(err, &unknown) {
		t.Fatalf("got %v", err)
	}
	if unknown.Index != 1 || unknown.Nearest != "net" || strings.Join(unknown.Known, " ") != "base net" {
		t.Errorf("%+v", unknown)
	}
}

// The fragments of this repository: each request stands under its reason.
func TestEveryCheckedInRequestHasItsReason(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../kernel-configs/*.config")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, "../guest/busybox.config")
	for _, file := range files {
		f, err := ReadFragment(file)
		if err != nil {
			t.Error(err)
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		for _, s := range f.Symbols {
			above := ""
			if s.Line > 1 {
				above = lines[s.Line-2]
			}
			if _, isRequest, _ := prefixed.parseLine(above); isRequest || !strings.HasPrefix(above, "# ") {
				t.Errorf("%s:%d: CONFIG_%s has no reason in the line above", s.File, s.Line, s.Name)
			}
		}
	}
	if len(files) < 5 {
		t.Errorf("only %d files found", len(files))
	}
}

func FuzzParseFragment(f *testing.F) {
	f.Add("CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=\"x\"\n")
	f.Add("#CONFIG_A is not set")
	f.Add("CONFIG_=\"\\\"")
	f.Fuzz(func(t *testing.T, text string) {
		frag, err := ParseFragment("f", strings.NewReader(text))
		if err != nil {
			return
		}
		// What was understood reads the same when written again.
		for _, s := range frag.Symbols {
			again, ok, err := prefixed.parseLine(s.String())
			if err != nil || !ok || again.Name != s.Name || again.Value != s.Value {
				t.Fatalf("%q became %+v (%v)", s.String(), again, err)
			}
		}
	})
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
