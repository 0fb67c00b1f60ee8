package cli

import (
	"bytes"
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
	var out, errors bytes.Buffer
	app := &App{Args: args, Stdout: &out, Stderr: &errors, Environ: []string{"LEANLAB_CACHE=" + filepath.Join(dir, "cache")}, Dir: dir}
	if code := app.Run(t.Context()); code != exitOK {
		t.Fatalf("leanlab %s ends with %d: %s", strings.Join(args, " "), code, &errors)
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
