package cli

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/analyze"
	"github.com/somebloke1/elixir-lean-lab/core/image"
	"github.com/somebloke1/elixir-lean-lab/core/internal/report"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// leanlab runs a command line in dir, which must succeed.
func leanlab(t *testing.T, dir string, args ...string) (stdout string) {
	t.Helper()
	var out, shown bytes.Buffer
	app := &App{Args: args, Stdout: &out, Stderr: &shown, Environ: []string{"LEANLAB_CACHE=" + filepath.Join(dir, "cache")}, Dir: dir}
	if code := app.Run(t.Context()); code != exitOK {
		t.Fatalf("leanlab %s ends with %d: %s", strings.Join(args, " "), code, &shown)
	}
	return out.String()
}

// builtVM makes build/<name> in dir, as a build leaves it, with these files in
// the root.
func builtVM(t *testing.T, dir, name string, files map[string]string) {
	t.Helper()
	if _, err := exec.LookPath("zstd"); err != nil {
		t.Skipf("zstd is not installed: %v", err)
	}
	root := rootfs.New()
	for name, text := range files {
		if err := root.File(name, 0o755, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	kernel := filepath.Join(t.TempDir(), "bzImage")
	boot := make([]byte, 1024)
	copy(boot[0x202:], "HdrS") // Documentation/arch/x86/boot.rst
	out := filepath.Join(dir, "build", name)
	if err := os.MkdirAll(out, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(kernel, boot, 0o644); err != nil {
		t.Fatal(err)
	}
	made, err := image.Write(t.Context(), "bundle", image.Spec{Tree: root, Kernel: kernel, Cmdline: "quiet", Arch: "x86_64",
		Compression: "zstd", Name: name, MemoryMiB: 64}, out, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := &report.Manifest{Schema: report.Schema, VM: name, Strategy: "custom", Arch: "x86_64", DownloadBytes: 1,
		Lean: report.Lean{Level: "none"}, BuiltWith: report.BuiltWith{Leanlab: "0", Plugin: "0"}}
	for _, a := range made {
		m.Artifacts = append(m.Artifacts, report.Artifact{Format: a.Format, Path: a.Path, Bytes: a.Bytes, SHA256: a.SHA256})
	}
	if err := report.Write(filepath.Join(out, report.FileName), m); err != nil {
		t.Fatal(err)
	}
}

func TestAnalyzeWhatWasBuilt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	builtVM(t, dir, "small", map[string]string{"/bin/busybox": "BusyBox v1.37.0 ()", "/opt/mine": "mine"})
	byVM := leanlab(t, dir, "analyze", "build/small", "--html", "page.html")
	for _, want := range []string{"build/small: bundle, zstd\n", "\nBusyBox ", "  busybox ", "1.37.0", "\naccounted for ", "\n  /opt/mine "} {
		if !strings.Contains(byVM, want) {
			t.Errorf("%q is missing from\n%s", want, byVM)
		}
	}
	if byBundle := leanlab(t, dir, "analyze", "build/small/bundle"); strings.TrimPrefix(byBundle, "build/small/bundle") != strings.TrimPrefix(byVM, "build/small") {
		t.Errorf("of the VM\n%s\nof its bundle\n%s", byVM, byBundle)
	}
	page, err := os.ReadFile(filepath.Join(dir, "page.html"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(page, []byte("/opt/mine")) || !bytes.HasPrefix(page, []byte("<!doctype html>")) {
		t.Errorf("the page is %.200s", page)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".analyze-*")); len(left) > 0 {
		t.Errorf("left behind: %s", left)
	}
}

func TestDiffReadsImagesAndAnalyses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	builtVM(t, dir, "old", map[string]string{"/bin/busybox": "BusyBox v1.37.0 ()"})
	builtVM(t, dir, "new", map[string]string{"/bin/busybox": "BusyBox v1.38.0 ()", "/opt/mine": "mine"})
	written := leanlab(t, dir, "analyze", "build/old", "--json")
	if _, err := analyze.Read(strings.NewReader(written)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "old.json"), []byte(written), 0o644); err != nil {
		t.Fatal(err)
	}
	byImage, byJSON := leanlab(t, dir, "diff", "build/old", "build/new"), leanlab(t, dir, "diff", "old.json", "build/new")
	if byImage != byJSON {
		t.Errorf("of images\n%s\nof what was written\n%s", byImage, byJSON)
	}
	for _, want := range []string{"1.37.0 → 1.38.0", "  /opt/mine ", "from build/old to build/new"} {
		if !strings.Contains(byImage, want) {
			t.Errorf("%q is missing from\n%s", want, byImage)
		}
	}
}

func TestAnalyzeMeasuresWhatAnImageWouldLose(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	builtVM(t, dir, "small", map[string]string{"/bin/busybox": "BusyBox v1.37.0 ()", "/opt/mine": "mine"})
	for _, want := range []struct {
		args []string
		text string
	}{
		{nil, "marginal       what the image would lose, measured with zstd -19 "},
		{nil, ", which makes its initrd byte for byte\n"},
		{nil, "\nkernel "},
		{[]string{"--component", "busybox", "--depth", "3"}, "    /bin/busybox "},
		{[]string{"--json"}, `"marginal_bytes": 1024,`}, // the kernel
		{[]string{"--json"}, `"same": true`},
	} {
		got := leanlab(t, dir, append([]string{"analyze", "build/small", "--marginal"}, want.args...)...)
		if !strings.Contains(got, want.text) {
			t.Errorf("%v: %q is missing from\n%s", want.args, want.text, got)
		}
		if len(want.args) == 4 && strings.Contains(got, "kernel") {
			t.Errorf("there is more than BusyBox in\n%s", got)
		}
	}
}

func TestWhatAnalyzeIsAskedForInVainIsSaid(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "plain.cpio"))
	if err != nil {
		t.Fatal(err)
	}
	root := rootfs.New()
	if err := errors.Join(root.File("/bin/busybox", 0o755, []byte("BusyBox")), root.WriteCPIO(f), f.Close()); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--marginal"}, "the marginal cost of its parts cannot be measured: its root is not compressed"},
		{[]string{"--component", "busy"}, `leanlab: plain.cpio has no component "busy"; it has image structures, headers, BusyBox` + "\n"},
	} {
		var out, shown bytes.Buffer
		app := &App{Args: append([]string{"analyze", "plain.cpio"}, test.args...), Stdout: &out, Stderr: &shown, Environ: []string{"LEANLAB_CACHE=/nonexistent/cache"}, Dir: dir}
		if code := app.Run(t.Context()); code != exitFailed || out.Len() > 0 || !strings.Contains(shown.String(), test.want) || strings.Count(shown.String(), "\n") != 1 {
			t.Errorf("%v: it ends with %d: %s%s", test.args, code, &out, &shown)
		}
	}
}
