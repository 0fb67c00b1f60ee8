package cli

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes this test binary leanlab for the scripts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"leanlab": func() {
			dir, err := os.Getwd()
			if err != nil {
				panic(err)
			}
			app := &App{Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Environ: os.Environ(), Executable: "/nonexistent/leanlab", Dir: dir}
			os.Exit(app.Run(context.Background()))
		},
	})
}

// TestCommandLine runs testdata/script: what leanlab says and how it exits,
// without building a machine. The custom and the Buildroot builder are the real
// plugins; Buildroot itself is a stand-in.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	plugins := t.TempDir()
	for _, name := range []string{"alpine", "custom", "buildroot"} {
		build := exec.Command("go", "build", "-o", filepath.Join(plugins, "leanlab-builder-"+name), "./plugins/"+name)
		build.Dir = root
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("go build ./plugins/%s: %v\n%s", name, err, out)
		}
	}
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/script",
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exits},
		Setup: func(env *testscript.Env) error {
			leanlab, err := exec.LookPath("leanlab") // this binary, by testscript.Main
			if err != nil {
				return err
			}
			env.Setenv("LEANLAB", leanlab)
			// An architecture that is not this machine's.
			env.Setenv("OTHER", map[string]string{"amd64": "aarch64", "arm64": "x86_64"}[runtime.GOARCH])
			env.Setenv("LEANLAB_PLUGIN_PATH", plugins)
			env.Setenv("LEANLAB_CACHE", filepath.Join(env.WorkDir, "cache"))
			env.Setenv("STANDIN", filepath.Join(root, "plugins/buildroot/testdata"))
			// What a project has beside its definition.
			for _, dir := range []string{"kernel-configs", "overlays"} {
				if err := os.Symlink(filepath.Join(root, dir), filepath.Join(env.WorkDir, dir)); err != nil {
					return err
				}
			}
			return nil
		},
	})
}

// exits runs a program that must end with the exit code that is the first
// argument.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%s: %v", args[1], err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("%s ended with %d, want %s", strings.Join(args[1:], " "), code, args[0])
	}
}
