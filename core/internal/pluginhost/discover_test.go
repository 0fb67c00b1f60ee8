package pluginhost

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// install puts files into a new directory; those whose content is "run" can be
// run.
func install(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		mode := os.FileMode(0o644)
		if content == "run" {
			content, mode = "#!/bin/sh\n", 0o755
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFirstDirectoryWinsAndBrokenPluginsAreReported(t *testing.T) {
	t.Parallel()
	first := install(t, map[string]string{
		prefix + "custom": "run", prefix + "custom.sha256": "00", prefix + "broken": "", prefix + "Upper": "run", "other": "run",
	})
	second := install(t, map[string]string{prefix + "custom": "run", prefix + "alpine": "run", prefix + "broken": "run"})
	if err := os.Mkdir(filepath.Join(second, prefix+"dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(first, "other"), filepath.Join(second, prefix+"linked")); err != nil {
		t.Fatal(err)
	}
	found, errs := Discover([]string{first, filepath.Join(first, "missing"), "plugins", second})
	want := map[string]string{
		"custom": filepath.Join(first, prefix+"custom"),
		"alpine": filepath.Join(second, prefix+"alpine"),
		"broken": filepath.Join(second, prefix+"broken"),
		"linked": filepath.Join(second, prefix+"linked"),
	}
	if !reflect.DeepEqual(found, want) {
		t.Errorf("found %v, want %v", found, want)
	}
	wantErrs := []string{
		prefix + "Upper has no plugin's name",
		prefix + "broken is not executable",
		`plugin directory "plugins" is a relative path`,
	}
	if len(errs) != len(wantErrs) {
		t.Fatalf("errors %v, want %q", errs, wantErrs)
	}
	for i, w := range wantErrs {
		if !strings.Contains(errs[i].Error(), w) {
			t.Errorf("error %v, want %q", errs[i], w)
		}
	}
}

func TestPluginsAreLookedForInTheDocumentedOrder(t *testing.T) {
	install := t.TempDir()
	exe := filepath.Join(install, "leanlab")
	if err := os.WriteFile(exe, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "leanlab")
	if err := os.Symlink(exe, link); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LEANLAB_PLUGIN_PATH", "/a::/b")
	t.Setenv("HOME", "/home/user")
	for data, want := range map[string]string{
		"/data":    "/data/leanlab/plugins",
		"":         "/home/user/.local/share/leanlab/plugins",
		"relative": "/home/user/.local/share/leanlab/plugins",
	} {
		t.Setenv("XDG_DATA_HOME", data)
		want := []string{"/a", "/b", install, filepath.Join(install, "plugins"), want}
		if got := DefaultDirs(link); !reflect.DeepEqual(got, want) {
			t.Errorf("XDG_DATA_HOME=%q: got %q, want %q", data, got, want)
		}
	}
}
