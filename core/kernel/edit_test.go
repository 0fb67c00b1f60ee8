package kernel

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestAnEditBecomesTheFewestLines(t *testing.T) {
	t.Parallel()
	const on = "CONFIG_EXPERT=y\nCONFIG_HAS_DEV=y\nCONFIG_BLOCK=y\nCONFIG_BLK_DEV=y\nCONFIG_COUNT=4\nCONFIG_HZ_250=y\n# CONFIG_HZ_100 is not set\n# CONFIG_SELECTOR is not set\n"
	for _, test := range []struct{ name, held, before, after, want string }{
		{"nothing", "CONFIG_BLOCK=y", on, on, ""},
		{"turned on", "CONFIG_BLOCK=y", on, strings.Replace(on, "# CONFIG_SELECTOR is not set", "CONFIG_SELECTOR=y\nCONFIG_VIRTIO=y", 1),
			"CONFIG_SELECTOR=y"}, // VIRTIO follows
		{"turned off, and what depends on it with it", "CONFIG_BLOCK=y\nCONFIG_BLK_DEV=y", on, strings.Replace(on, "CONFIG_BLOCK=y\nCONFIG_BLK_DEV=y", "# CONFIG_BLOCK is not set", 1),
			"# CONFIG_BLOCK is not set\n# CONFIG_BLK_DEV is not set"},
		{"turned off, without a request below", "CONFIG_BLOCK=y", on, strings.Replace(on, "CONFIG_BLOCK=y\nCONFIG_BLK_DEV=y", "# CONFIG_BLOCK is not set", 1),
			"# CONFIG_BLOCK is not set"},
		{"other member of a choice", "", on, strings.NewReplacer("CONFIG_HZ_250=y", "# CONFIG_HZ_250 is not set", "# CONFIG_HZ_100 is not set", "CONFIG_HZ_100=y").Replace(on),
			"CONFIG_HZ_100=y"},
		{"number", "CONFIG_COUNT=4", on, strings.Replace(on, "COUNT=4", "COUNT=6", 1), "CONFIG_COUNT=6"},
		{"what became visible and stayed as it was", "", strings.Replace(on, "CONFIG_EXPERT=y\n", "", 1), on + "# CONFIG_SECRET is not set\n", "CONFIG_EXPERT=y"},
	} {
		f := &folding{tree: testTree(t), before: config(t, test.before), after: config(t, test.after), frags: []*Fragment{parse(t, "f", test.held)}}
		var got []string
		for _, s := range f.wanted() {
			got = append(got, s.String())
		}
		want := strings.Split(test.want, "\n")
		if test.want == "" {
			want = nil
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", test.name, got, want)
		}
	}
}

func TestEditsGoWhereTheSymbolStands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.config"), filepath.Join(dir, "b.config")
	write(t, a, "# why A\nCONFIG_EXPERT=y\n\n# why B\nCONFIG_COUNT=4\n")
	write(t, b, "# why C\n# CONFIG_SELECTOR is not set\n")
	if err := os.Chmod(a, 0o640); err != nil {
		t.Fatal(err)
	}
	frags := readAll(t, a, b)
	edits, err := writeEdits(frags, frags[1], []Symbol{{Name: "COUNT", Value: "6"}, {Name: "HZ_100", Value: "y"}, {Name: "SELECTOR", Value: "y"}}, testTree(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(edits) != 3 || edits[0].String() != a+":5: CONFIG_COUNT=6 (was CONFIG_COUNT=4)" {
		t.Errorf("%v", edits)
	}
	expect(t, a, "# why A\nCONFIG_EXPERT=y\n\n# why B\nCONFIG_COUNT=6\n")
	expect(t, b, "# why C\nCONFIG_SELECTOR=y\n# 100\nCONFIG_HZ_100=y\n")
	if info, err := os.Stat(a); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}

	// Somebody edits a fragment while menuconfig is open.
	write(t, a, "CONFIG_EXPERT=y\n")
	if _, err := writeEdits(frags, frags[1], []Symbol{{Name: "COUNT", Value: "7"}}, testTree(t)); err == nil {
		t.Error("a fragment that changed was overwritten")
	}
	expect(t, a, "CONFIG_EXPERT=y\n")
}

func readAll(t *testing.T, paths ...string) []*Fragment {
	t.Helper()
	var frags []*Fragment
	for _, p := range paths {
		f, err := ReadFragment(p)
		if err != nil {
			t.Fatal(err)
		}
		frags = append(frags, f)
	}
	return frags
}

func expect(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s:\n%s\nwant:\n%s", path, got, want)
	}
}
