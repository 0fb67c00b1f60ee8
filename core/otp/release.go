package otp

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// Release builds the release of a Mix project, as `mix release` does.
type Release struct {
	App       string   // the Mix project's directory; empty for a console
	Name      string   // which release, where the project defines several
	Console   []string // with App empty: applications to have at the prompt
	Toolchain Toolchain
	Out       string // bin/, lib/, releases/
	Work      string
}

// Released is what a release holds.
type Released struct {
	Name    string
	Version string
	// Outside are the files and directories that it was compiled from and that do
	// not lie below App: path dependencies, and an umbrella's configuration, lock
	// file and deps/. Relative to App.
	Outside []string
}

// Dir is the directory of the release's boot files, relative to its root.
func (r Released) Dir() string { return filepath.Join("releases", r.Version) }

// Build compiles the project in MIX_ENV=prod and assembles its release. What is
// compiled goes below Work; the project's own _build is not touched.
func (r Release) Build(ctx context.Context, ev builder.Events) (*Released, error) {
	app := r.App
	if app == "" {
		app = filepath.Join(r.Work, "console")
		if err := writeConsole(app, r.Console); err != nil {
			return nil, err
		}
	} else if err := checkProject(app); err != nil {
		return nil, err
	}
	home := filepath.Join(r.Work, "home")
	if err := os.MkdirAll(home, 0o755); err != nil {
		return nil, err
	}
	task, inputs := filepath.Join(r.Work, "tasks.exs"), filepath.Join(r.Work, "inputs")
	if err := os.WriteFile(task, []byte(mixTasks), 0o644); err != nil {
		return nil, err
	}
	args := []string{"-r", task, "-S", "mix", "do", "leanlab.inputs", inputs, "+"}
	if r.Toolchain.Target != "" {
		erts, err := r.Toolchain.targetERTS()
		if err != nil {
			return nil, err
		}
		args = append(args, "leanlab.target", erts, "+")
	}
	args = append(args, "release")
	if r.Name != "" {
		args = append(args, r.Name)
	}
	args = append(args, "--path", r.Out, "--overwrite")
	cmd := exec.Command(filepath.Join(r.Toolchain.Elixir, "bin", "elixir"), args...)
	cmd.Dir = app
	cmd.Env = append(r.Toolchain.environ(home),
		"MIX_ENV=prod",
		"MIX_BUILD_PATH="+filepath.Join(r.Work, "_build"),
		"MIX_HOME="+mixHome(home),
	)
	output := &tail{Events: ev}
	if err := builder.Run(ctx, output, cmd); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, explainMix(app, output.text(), err)
	}
	released, err := ReadRelease(r.Out)
	if err != nil || r.App == "" {
		return released, err
	}
	released.Outside, err = outside(app, inputs)
	return released, err
}

// outside picks from the paths that the task wrote those that do not lie below
// app.
func outside(app, inputs string) ([]string, error) {
	data, err := os.ReadFile(inputs)
	if err != nil {
		return nil, err
	}
	// Elixir's paths start from the working directory as the kernel names it.
	real, err := filepath.EvalSymlinks(app)
	if err != nil {
		return nil, err
	}
	if real, err = filepath.Abs(real); err != nil {
		return nil, err
	}
	var paths []string
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		rel, err := filepath.Rel(real, line)
		if err != nil {
			return nil, err
		}
		if !filepath.IsLocal(rel) && !slices.Contains(paths, rel) {
			paths = append(paths, rel)
		}
	}
	slices.Sort(paths)
	return paths, nil
}

//go:embed tasks.exs
var mixTasks string

// mixHome is where Mix finds Hex and rebar3, which packages of Hex need: the
// user's own, since both come from the network.
func mixHome(fallback string) string {
	if dir := os.Getenv("MIX_HOME"); dir != "" {
		return dir
	}
	if home, err := os.UserHomeDir(); err == nil {
		if dir := filepath.Join(home, ".mix"); isDir(dir) {
			return dir
		}
	}
	return filepath.Join(fallback, ".mix")
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// checkProject refuses what Mix would refuse less clearly.
func checkProject(app string) error {
	info, err := os.Stat(app)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: no such directory; app.path must name a Mix project (make vm APP=path/to/project)", app)
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s: not a directory; app.path must name the directory that holds mix.exs", app)
	}
	if _, err := os.Stat(filepath.Join(app, "mix.exs")); err != nil {
		return fmt.Errorf("%s: no mix.exs in it; app.path must name the root of a Mix project", app)
	}
	return nil
}

// mixFailures are messages of Mix 1.15 to 1.19 and what to do about each.
var mixFailures = []struct{ says, remedy string }{
	{"but it has declared in its mix.exs file it supports only Elixir",
		"the app needs another Elixir: set elixir = … in the definition, or relax `elixir:` in mix.exs"},
	{"without a name but there are multiple releases",
		"name one: app { release = \"NAME\" }"},
	{"Unknown release",
		"app { release = … } must be a name under releases: in mix.exs"},
	{"Umbrella projects require releases to be explicitly defined",
		"define a release in the umbrella's mix.exs (releases: [name: [applications: [app: :permanent]]])"},
	{"Could not find an SCM for dependency",
		"Hex is missing: run `mix local.hex` once where there is a network"},
	{"Could not find Hex",
		"Hex is missing: run `mix local.hex` once where there is a network"},
	{"Can't continue due to errors on dependencies",
		"fetch the dependencies first: run `mix deps.get` in the app"},
	{"this module requires a later OTP", "the app needs another OTP: set otp { version = … }"},
	{"does not have a matching `end`", "the app does not compile: mend it and build again"},
	{"== Compilation error", "the app does not compile: mend it and build again"},
	{"cannot compile", "the app does not compile: mend it and build again"},
	{"could not compile", "the app does not compile: mend it and build again"},
}

// explainMix adds what to do to a failed mix release.
func explainMix(app, output string, err error) error {
	for _, f := range mixFailures {
		if strings.Contains(output, f.says) {
			return fmt.Errorf("%s: mix release failed: %s\n%w", app, f.remedy, err)
		}
	}
	return fmt.Errorf("%s: mix release failed; it must succeed in MIX_ENV=prod with this OTP and Elixir\n%w", app, err)
}

// tail keeps the end of what a command printed.
type tail struct {
	builder.Events
	buf bytes.Buffer
}

const tailBytes = 64 << 10

func (t *tail) Emit(e builder.Event) {
	if line, ok := e.(builder.Log); ok {
		t.buf.WriteString(line.Line + "\n")
		if over := t.buf.Len() - tailBytes; over > tailBytes {
			t.buf.Next(over)
		}
	}
	t.Events.Emit(e)
}

func (t *tail) text() string { return t.buf.String() }

// ReadRelease finds the name and version of an assembled release: the second
// word of releases/start_erl.data is the version (OTP System Principles,
// "Target Systems"), and the .rel file bears the name.
func ReadRelease(root string) (*Released, error) {
	path := filepath.Join(root, "releases", "start_erl.data")
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("mix release left no start_erl.data: %w", err)
	}
	words := strings.Fields(string(data))
	if len(words) != 2 {
		return nil, fmt.Errorf("%s: %q: want an erts version and a release version", path, data)
	}
	rels, err := filepath.Glob(filepath.Join(root, "releases", words[1], "*.rel"))
	if err != nil || len(rels) != 1 {
		return nil, fmt.Errorf("%s/releases/%s: found %d .rel files, want one", root, words[1], len(rels))
	}
	return &Released{Name: strings.TrimSuffix(filepath.Base(rels[0]), ".rel"), Version: words[1]}, nil
}

//go:embed console/mix.exs
var consoleProject string

// writeConsole writes the project whose release is an iex prompt.
func writeConsole(dir string, applications []string) error {
	if err := os.MkdirAll(filepath.Join(dir, "lib"), 0o755); err != nil {
		return err
	}
	extra := []string{":logger", ":iex"}
	for _, app := range applications {
		extra = append(extra, ":"+app)
	}
	project := strings.Replace(consoleProject, "[:logger, :iex]", "["+strings.Join(extra, ", ")+"]", 1)
	return os.WriteFile(filepath.Join(dir, "mix.exs"), []byte(project), 0o644)
}
