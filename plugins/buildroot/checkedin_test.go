package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/kernel"
)

// checkout is the project itself.
func checkout(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func checkedInDefconfigs(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(checkout(t), externalDir, "configs", "*_defconfig"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no defconfig in %s/configs: %v", externalDir, err)
	}
	return files
}

// Without a Buildroot: its own symbols are unknown then, but ours must be those
// of our Config.in, every file that a line names must be there, and every line
// must say why.
func TestCheckedInDefconfigsAgreeWithWhatTheyName(t *testing.T) {
	t.Parallel()
	tree, err := openExternal(filepath.Join(checkout(t), externalDir))
	if err != nil {
		t.Fatal(err)
	}
	symbols := stubSymbols(t, tree)
	for _, file := range checkedInDefconfigs(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			r, err := readDefconfig(file)
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "leanlab_"), "_defconfig"); r.arch() != want {
				t.Errorf("it is for %q, by its name for %q", r.arch(), want)
			}
			for _, s := range r.Symbols {
				if strings.Contains(s.Name, "LEANLAB") && !symbols.Knows(s.Name) {
					t.Errorf("%s:%d: %s: no Config.in of ours has it; the nearest is %s", file, s.Line, s, symbols.Nearest(s.Name))
				}
				for word := range strings.FieldsSeq(unquote(s.Value)) {
					path := strings.ReplaceAll(word, "$("+tree.pathVariable()+")", tree.dir)
					if path == word {
						continue
					}
					if !exists(path) {
						t.Errorf("%s:%d: %s: there is no %s", file, s.Line, s, path)
					} else if strings.HasSuffix(path, ".config") {
						if _, err := kernel.ReadFragment(path); err != nil {
							t.Error(err)
						}
					}
				}
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			above := ""
			for i, line := range strings.Split(string(data), "\n") {
				if lineSymbol(line) != "" && above == "" {
					t.Errorf("%s:%d: %s: say above it why", file, i+1, line)
				}
				above = line
			}
		})
	}
}

// stubSymbols reads our Config.in inside of a Buildroot that has nothing else.
func stubSymbols(t *testing.T, tree external) *kernel.KconfigTree {
	t.Helper()
	read := func(name string) ([]byte, error) {
		if name == "Config.in" {
			return []byte(externalMenus([]external{tree})["menus"]), nil
		}
		return os.ReadFile(name)
	}
	symbols, err := kernel.ParseKconfig("Config.in", read, map[string]string{tree.pathVariable(): tree.dir})
	if err != nil {
		t.Fatal(err)
	}
	return symbols
}

func TestCheckedInDefconfigsAreAsBuildrootSavesThem(t *testing.T) {
	dir := os.Getenv("BUILDROOT_DIR")
	if dir == "" {
		t.Skip("no BUILDROOT_DIR: whether Buildroot takes every line, and would save the same, needs a Buildroot")
	}
	for _, file := range checkedInDefconfigs(t) {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			r, err := readDefconfig(file)
			if err != nil {
				t.Fatal(err)
			}
			err = buildroot{}.Configure(t.Context(), &builder.ConfigureRequest{
				Definition: &builder.Definition{VM: "check", Arch: r.arch(), Root: checkout(t),
					Config: fmt.Appendf(nil, `{"buildroot_dir": %q, "defconfig": %q}`, dir, name)},
				Tool: "check-configs", Work: t.TempDir(), Jobs: 1,
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}
