package report

import (
	"bytes"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
)

func benchSample() *Bench {
	return &Bench{
		Schema: BenchSchema,
		Host:   BenchHost{Accelerator: "tcg", CPU: "Model 1", CPUs: 2, System: "Linux 6.12 x86_64", Leanlab: "0.1.0", QEMU: map[string]string{"x86_64": "QEMU emulator version 7.2"}},
		Images: []Measured{
			{Name: "interpreter", Path: "build/a", Arch: "x86_64",
				Built:  Built{Strategy: "custom", Lean: "closure", Root: "initramfs zstd", Emulator: "interpreter", Versions: map[string]string{"linux": "6.12.107", "erlang": "27.3.4", "elixir": "1.18.3"}},
				Bytes:  Bytes{Download: 6_790_000, Kernel: 1_830_000, Root: 4_960_000},
				Boot:   Phases{Kernel: 464_000_000, Init: 400_000, Beam: 486_302_265, Ready: 950_702_265},
				Memory: MeasuredMemory{GivenMiB: 128, TotalKiB: 119444, IdleKiB: 46260, LeastMiB: 52},
				Micro:  sampleMicro(1), Wall: &Wall{Accelerator: "kvm", Runs: 5, MedianMS: 412.5, LeastMS: 401, MostMS: 460.25}},
			{Name: "jit | <b>", Path: "build/b", Arch: "x86_64",
				Built:  Built{Emulator: "jit", Versions: map[string]string{"erlang": "27"}},
				Bytes:  Bytes{Download: 7_080_000, Kernel: 1_830_000, Root: 5_250_000},
				Boot:   Phases{Kernel: 480_000_000, Init: 400_000, Beam: 969_600_000, Ready: 1_450_000_000},
				Memory: MeasuredMemory{GivenMiB: 128, TotalKiB: 119444, IdleKiB: 54260},
				Micro:  sampleMicro(3), NoWall: "no KVM: permission denied."},
			{Name: "disk", Path: "build/c", Arch: "x86_64", Built: Built{Root: "disk"},
				Bytes:   Bytes{Download: 8_080_000, Kernel: 1_830_000, Root: 6_250_000},
				Boot:    Phases{Kernel: 180_000_000, Init: 400_000, Beam: 869_600_000, Ready: 1_050_000_000},
				Memory:  MeasuredMemory{GivenMiB: 128, TotalKiB: 119444, IdleKiB: 24260},
				NoMicro: "it has no initrd", NoWall: "no KVM: permission denied."},
		},
	}
}

// sampleMicro are figures, divided.
func sampleMicro(by int64) []Micro {
	var some []Micro
	for i, name := range MicroNames() {
		some = append(some, Micro{Name: name, Operations: 1000, Instructions: int64(i+1) * 150_000 / by})
	}
	return some
}

func TestBenchTablesAreAsOnFile(t *testing.T) {
	t.Parallel()
	for file, write := range map[string]func(io.Writer, *Bench) error{
		"bench.txt": BenchTable, "bench.md": BenchMarkdown, "bench.html": BenchHTML,
	} {
		var got bytes.Buffer
		if err := write(&got, benchSample()); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", file)
		if *update {
			if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || got.String() != string(want) {
			t.Errorf("%s differs (%v); go test -update writes it:\n%s", path, err, got.String())
		}
	}
}

func TestNotesSayWhatIsPeculiarToAnImage(t *testing.T) {
	t.Parallel()
	b := benchSample()
	b.Images = append(b.Images,
		Measured{Name: "peer", Memory: MeasuredMemory{GivenMiB: 368, TotalKiB: 300_000}, Note: "93 packages."},
		Measured{Name: "foreign", Memory: MeasuredMemory{GivenMiB: 512}, NoBoot: "its init is not leanlab's, which counts"})
	notes := strings.Join(benchNotes(b), "\n") + "\n"
	for _, want := range []string{
		"RAM of the machines: 128 MiB for interpreter, jit | <b>, disk; 368 MiB for peer.\n", "\npeer: 93 packages.\n",
		"No instructions of the boot of foreign: its init is not leanlab's, which counts.\n",
	} {
		if !strings.Contains(notes, want) {
			t.Errorf("they lack %q:\n%s", want, notes)
		}
	}
	if notes := strings.Join(benchNotes(benchSample()), "\n"); strings.Contains(notes, "RAM of the machines") {
		t.Errorf("one figure for all is told:\n%s", notes)
	}
}

func TestABenchPageShowsNamesAsText(t *testing.T) {
	t.Parallel()
	var got bytes.Buffer
	if err := BenchHTML(&got, benchSample()); err != nil {
		t.Fatal(err)
	}
	if text := got.String(); strings.Contains(text, "<b>") || !strings.Contains(text, "jit | &lt;b&gt;") {
		t.Error("the name of an image is not escaped")
	}
}

func TestABenchPageInLightAndDarkAndOnAPhone(t *testing.T) {
	t.Parallel()
	var html bytes.Buffer
	if err := BenchHTML(&html, benchSample()); err != nil {
		t.Fatal(err)
	}
	p := openHTML(t, html.Bytes(), "table", 1280, 1000)
	lengths := js[[]float64](p, `[...document.querySelectorAll("section:nth-of-type(2) .track")].map(t =>
		[...t.children].reduce((sum, segment) => sum + segment.getBoundingClientRect().width, 0) / t.getBoundingClientRect().width)`)
	for i, m := range benchSample().Images { // a segment that hardly is one is a pixel wide
		if want := float64(m.Boot.Ready) / 1450e6; i >= len(lengths) || math.Abs(lengths[i]-want) > .004 {
			t.Errorf("the bars of the boot are %.3f long, want %.3f at %d", lengths, want, i)
		}
	}
	var backgrounds []string
	for _, scheme := range []string{"light", "dark"} {
		p.do(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}))
		backgrounds = append(backgrounds, js[string](p, `getComputedStyle(document.body).backgroundColor`))
		p.screenshot("bench-" + scheme + ".png")
	}
	if backgrounds[0] == backgrounds[1] {
		t.Errorf("light and dark are both %s", backgrounds[0])
	}
	p.do(emulation.SetDeviceMetricsOverride(390, 844, 3, true))
	p.screenshot("bench-phone.png")
	if wide := js[int](p, `document.documentElement.scrollWidth`); wide > 390 {
		t.Errorf("on a phone of 390 pixels the page is %d wide", wide)
	}
}

func TestABenchIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "bench.json")
	if err := WriteBench(path, benchSample()); err != nil {
		t.Fatal(err)
	}
	got, err := ReadBench(path)
	if err != nil || !reflect.DeepEqual(got, benchSample()) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAnotherFileIsNoBench(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"{":               "not a result of leanlab bench",
		`{"schema": 99}`:  "schema 99",
		`{"images": "x"}`: "not a result of leanlab bench",
	} {
		path := filepath.Join(t.TempDir(), "bench.json")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadBench(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

func TestChangesAreThoseOfImagesThatBothHave(t *testing.T) {
	t.Parallel()
	before, now := benchSample(), benchSample()
	now.Images[0].Bytes.Download = 7_129_500
	now.Images[0].Memory.LeastMiB = 0 // not searched for this time
	now.Images[1].Name = "another"
	now.Images[1].Bytes.Download = 1
	now.Images[0].Micro[1].Instructions += 9000
	now.Images[0].Micro[1].Operations *= 2 // of as many more, each costs less
	want := []BenchChange{
		{"interpreter", "bytes to download", 6_790_000, 7_129_500},
		{"interpreter", "instructions of 1000 × ETS insert", 300_000, 154_500},
	}
	got := BenchChanges(before, now)
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	if p := got[0].Percent(); p < 4.99 || p > 5.01 {
		t.Errorf("it grew by %g %%, want 5", p)
	}
}
