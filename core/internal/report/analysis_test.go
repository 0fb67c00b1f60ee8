package report

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/analyze"
	"github.com/somebloke1/elixir-lean-lab/core/inspect"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// shop is the analysis that core/analyze's tests make of an image.
func shop(t testing.TB) *analyze.Analysis {
	t.Helper()
	f, err := os.Open("../../analyze/testdata/shop.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a, err := analyze.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// analysisOf is that of an image with these files, each of which takes half of
// what it holds.
func analysisOf(t testing.TB, name string, files map[string]string) *analyze.Analysis {
	t.Helper()
	tree := rootfs.New()
	img := &inspect.Image{Path: name, Format: "tar", Tree: tree, Stored: map[string]int64{}}
	for name, text := range files {
		if err := tree.File(name, 0o644, []byte(text)); err != nil {
			t.Fatal(err)
		}
		img.Stored[name] = int64(len(text) / 2)
		img.Bytes += int64(len(text) / 2)
	}
	a, err := analyze.Analyze(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// costs is shop, with marginal costs as if they had been measured.
func costs(t testing.TB, same bool) *analyze.Analysis {
	t.Helper()
	a := shop(t)
	a.Marginal = &analyze.Marginal{Command: "zstd -19", Version: "*** zstd v1.5.4 ***", RootBytes: 90_000, InitrdBytes: 95_000, Same: same}
	for i, line := range a.Lines(2, nil) {
		if n := line.PackedBytes - int64(100*i); line.Kind != "structure" {
			line.MarginalBytes = &n
		}
	}
	return a
}

// hostile are names that mean something to a terminal and to a browser.
func hostile(t testing.TB) *analyze.Analysis {
	return analysisOf(t, "</title><script>document.title='owned'</script>", map[string]string{
		"/opt/</script><script>document.title='owned'</script>": strings.Repeat("x", 5000),
		"/opt/<img src=x onerror=\"document.title='owned'\">":   strings.Repeat("x", 4000),
		"/opt/\x1b[2J\nred\u2028\u202e":                         strings.Repeat("x", 3000),
		"/opt/-->\xff":                                          strings.Repeat("x", 2000),
		"/srv/lib/evil-1/ebin/evil.app":                         "{application, '</script>', []}.",
	})
}

func TestAnalysisForPeople(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		a     *analyze.Analysis
		depth int
		only  []string
	}{
		"analysis-groups.txt":    {shop(t), 1, nil},
		"analysis.txt":           {shop(t), 2, nil},
		"analysis-files.txt":     {shop(t), 3, nil},
		"analysis-component.txt": {shop(t), 3, []string{"plug", "app"}},
		"analysis-marginal.txt":  {costs(t, true), 2, nil},
		"analysis-other.txt":     {costs(t, false), 1, nil},
		"analysis-hostile.txt":   {hostile(t), 2, nil},
		"analysis-empty.txt":     {analysisOf(t, "empty", nil), 2, nil},
	} {
		only, err := test.a.Find(test.only)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := Analysis(&b, test.a, test.depth, only); err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsRune(b.Bytes(), 0x1b) {
			t.Errorf("%s: escape sequences", name)
		}
		golden(t, name, b.Bytes())
	}
}

func TestManyUnownedFilesAreCut(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	for i := range listed + 5 {
		files["/opt/"+strings.Repeat("x", i+1)] = "some"
	}
	var b bytes.Buffer
	if err := Analysis(&b, analysisOf(t, "x", files), 2, nil); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "and 5 more: --depth 3 lists all") || strings.Count(b.String(), "/opt/") != listed {
		t.Errorf("%s", &b)
	}
}

func TestWhatIsNotWholeIsNot100Percent(t *testing.T) {
	t.Parallel()
	for percent, want := range map[float64]float64{100: 100, 99.9999: 99.99, 99.5: 99.5, 0: 0} {
		if got := floor(percent); got != want {
			t.Errorf("%v: %v, want %v", percent, got, want)
		}
	}
}

func TestDifferenceForPeople(t *testing.T) {
	t.Parallel()
	app := func(vsn string) string { return `{application, dep, [{vsn, "` + vsn + `"}]}.` }
	a := analysisOf(t, "old.tar", map[string]string{
		"/r/lib/dep-1/ebin/dep.app": app("1"), "/r/lib/dep-1/ebin/a.beam": strings.Repeat("x", 3000), "/r/lib/dep-1/ebin/b.beam": "same",
		"/bin/busybox": strings.Repeat("x", 9000), "/opt/old": "old",
	})
	b := analysisOf(t, "new\x1b[2J.tar", map[string]string{
		"/r/lib/dep-2/ebin/dep.app": app("2"), "/r/lib/dep-2/ebin/a.beam": strings.Repeat("x", 5000), "/r/lib/dep-2/ebin/b.beam": "same", "/r/lib/dep-2/ebin/c.beam": strings.Repeat("x", 400),
		"/bin/busybox": strings.Repeat("x", 8000), "/init": strings.Repeat("x", 700),
	})
	for name, files := range map[string]int{"difference.txt": 5, "difference-short.txt": 1} {
		var out bytes.Buffer
		if err := Difference(&out, analyze.Diff(a, b), files); err != nil {
			t.Fatal(err)
		}
		golden(t, name, out.Bytes())
	}
}
