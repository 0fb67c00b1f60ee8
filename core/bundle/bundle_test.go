package bundle

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dir makes a directory with these files, of which each holds its own name.
func dir(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range files {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(filepath.Base(name)+"\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestABundleIsKnownByItsRoot(t *testing.T) {
	t.Parallel()
	for _, root := range Roots() {
		output := dir(t, "bundle/"+RootFile(root), "bundle/kernel", "bundle/cmdline")
		for _, path := range []string{output, filepath.Join(output, "bundle")} {
			b, err := Find(path)
			if want := filepath.Join(output, "bundle"); err != nil || b.Root != root || b.Dir != want || b.RootPath() != filepath.Join(want, RootFile(root)) {
				t.Errorf("%s: found %+v, %v", root, b, err)
			}
			if line, err := b.Cmdline(); line != "cmdline" || err != nil {
				t.Errorf("%s: its command line is %q, %v", root, line, err)
			}
		}
	}
}

func TestWhatIsNoBundleSaysWhy(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		files []string
		want  string
		none  bool
	}{
		{[]string{"readme"}, "neither initrd nor root.squashfs", true},
		{[]string{"initrd"}, "no kernel in it", true},
		{[]string{"bundle/readme", "initrd", "kernel"}, "bundle: no bundle", true},
		{[]string{"kernel", "initrd", "root.squashfs"}, "which of them is the root?", false},
	} {
		path := dir(t, test.files...)
		_, err := Find(path)
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) || errors.Is(err, ErrNone) != test.none {
			t.Errorf("%v: %v", test.files, err)
		}
	}
	if _, err := Find("/no/such"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of nothing: %v", err)
	}
	b, err := Find(dir(t, "kernel", "initrd"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Cmdline(); err == nil || !strings.Contains(err.Error(), b.Path("cmdline")) {
		t.Errorf("without a command line: %v", err)
	}
}
