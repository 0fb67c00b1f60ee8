package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/builder/buildertest"
)

// copyDir copies a directory of testdata, so that a test may change it.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), filepath.Base(from))
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// fetched are stand-ins for the archives that the host fetches.
func fetched(t *testing.T) map[string]builder.FetchedSource {
	t.Helper()
	dir := t.TempDir()
	sources := map[string]builder.FetchedSource{}
	for name, version := range map[string]string{"erlang": "27.3.4", "elixir": "1.18.3"} {
		path := filepath.Join(dir, name+"-"+version+".tar")
		if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(name))
		sources[name] = builder.FetchedSource{Version: version, Path: path, SHA256: hex.EncodeToString(sum[:])}
	}
	return sources
}

// standin is a project around the stand-in for Buildroot, and what a host would
// keep for it between builds.
type standin struct {
	t         *testing.T
	root      string // the project
	buildroot string
	sources   map[string]builder.FetchedSource
	kept      string // work directories
	config    map[string]any
	link      string

	compression string
}

func newStandin(t *testing.T) *standin {
	t.Helper()
	s := &standin{t: t, root: copyDir(t, "testdata/project"), buildroot: copyDir(t, "testdata/standin"),
		sources: fetched(t), kept: t.TempDir(), link: "static", compression: "zstd", config: map[string]any{}}
	s.config["buildroot_dir"] = s.buildroot
	return s
}

// definition is the VM as it is configured now.
func (s *standin) definition() *builder.Definition {
	s.t.Helper()
	config, err := json.Marshal(s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	return &builder.Definition{VM: "vm", Arch: hostArch(), Root: s.root, Elixir: "1.18", Hostname: "vm", Config: config,
		OTP:    builder.OTP{Version: "27", Emulator: "interpreter", Link: s.link},
		Output: builder.Output{Root: "initramfs", Compression: s.compression}}
}

// events keeps what a step said.
type events struct {
	mu      sync.Mutex
	lines   []string
	parts   []string
	notices []string
	last    builder.Progress
	done    map[string]int64 // part → packages that were installed when it began
	onLine  func(string)
}

func (e *events) Emit(ev builder.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch ev := ev.(type) {
	case builder.Log:
		e.lines = append(e.lines, ev.Line)
		if e.onLine != nil {
			e.onLine(ev.Line)
		}
	case builder.StepStarted:
		e.parts = append(e.parts, ev.Title)
	case builder.Notice:
		e.notices = append(e.notices, ev.Diagnostic.Summary+"\n"+ev.Diagnostic.Detail)
	case builder.Progress:
		e.last = ev
		if e.done == nil {
			e.done = map[string]int64{}
		}
		e.done[e.parts[len(e.parts)-1]] = ev.Done
	}
}

// built is one whole build.
type built struct {
	machine *builder.Machine
	results map[string]string // step → directory
	events  *events           // of the build step
}

// hook sees each request before it is made; its error ends the build.
type hook func(*builder.BuildRequest, *events) error

// build runs the plan as a host does: fresh directories, but kept ones where
// the step says so.
func (s *standin) build(ctx context.Context, hooks ...hook) (built, error) {
	s.t.Helper()
	def := s.definition()
	plan, err := buildroot{}.Plan(ctx, def)
	if err != nil {
		return built{}, err
	}
	b := built{results: map[string]string{}}
	for _, step := range plan.Steps {
		out, err := os.MkdirTemp(s.t.TempDir(), "out")
		if err != nil {
			s.t.Fatal(err)
		}
		req := &builder.BuildRequest{Definition: def, Step: step.ID, Out: out, Work: s.work(step), Jobs: 2, Needs: b.results, Sources: s.sources}
		if step.Downloads != "" {
			req.Downloads = s.download(b.results[step.Downloads])
		}
		ev := &events{}
		if step.ID == stepBuild {
			b.events = ev
		}
		for _, f := range hooks {
			if err := f(req, ev); err != nil {
				return b, err
			}
		}
		if b.machine, err = (buildroot{}).Build(ctx, req, ev); err != nil {
			return b, fmt.Errorf("step %s: %w", step.ID, err)
		}
		b.results[step.ID] = out
	}
	return b, nil
}

func (s *standin) work(step builder.Step) string {
	s.t.Helper()
	dir := filepath.Join(s.kept, step.ID)
	if !step.KeepWork {
		dir = filepath.Join(s.t.TempDir(), step.ID)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	return dir
}

// download fetches what can be fetched from files.
func (s *standin) download(result string) string {
	s.t.Helper()
	list, err := builder.ReadDownloads(result)
	if err != nil {
		s.t.Fatal(err)
	}
	dir := filepath.Join(s.kept, "downloads")
	for _, f := range list.Files {
		data, err := os.ReadFile(strings.TrimPrefix(f.URLs[0], "file://"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		to := filepath.Join(dir, f.Path)
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, data, 0o644)); err != nil {
			s.t.Fatal(err)
		}
	}
	return dir
}

func (s *standin) mustBuild(hooks ...hook) built {
	s.t.Helper()
	b, err := s.build(s.t.Context(), hooks...)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// compiled are the packages that were built in the kept directory so far, and
// forgets them.
func (s *standin) compiled() []string {
	s.t.Helper()
	file := filepath.Join(s.kept, stepBuild, "output", "builds")
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Fatal(err)
	}
	os.Remove(file)
	names := strings.Fields(string(data))
	slices.Sort(names)
	return names
}

// edit replaces text in a file of the project or of Buildroot.
func (s *standin) edit(path, old, new string) {
	s.t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	if !strings.Contains(string(data), old) {
		s.t.Fatalf("%s has no %q", path, old)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(data), old, new, 1)), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// add appends a line to the defconfig.
func (s *standin) add(line string) {
	s.t.Helper()
	path := s.defconfig()
	data, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, append(data, line+"\n"...), 0o644)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *standin) defconfig() string {
	return filepath.Join(s.root, externalDir, "configs", "leanlab_"+hostArch()+"_defconfig")
}

func TestContract(t *testing.T) {
	contract := func(t *testing.T) buildertest.Case {
		s := newStandin(t)
		config := func(more string) []byte { return fmt.Appendf(nil, `{"buildroot_dir": %q%s}`, s.buildroot, more) }
		return buildertest.Case{
			Definition: builder.Definition{Arch: hostArch(), Root: s.root, Elixir: "1.18", Hostname: "vm", Config: config(""),
				OTP:    builder.OTP{Version: "27", Emulator: "interpreter", Link: "static"},
				Output: builder.Output{Root: "initramfs", Compression: "zstd"}},
			BadConfigs: []buildertest.BadConfig{
				{Config: config(`, "defconfig": "nonesuch"`), WantPath: []string{"defconfig"}},
				{Config: config(`, "toolchain": "nonesuch"`), WantPath: []string{"toolchain"}},
				{Config: config(`, "toolchain_path": "/opt"`), WantPath: []string{"toolchain_path"}},
				{Config: config(`, "toolchain": "external"`), WantPath: []string{"toolchain"}},
				{Config: config(`, "packages": ["zlib", "zlip"]`), WantPath: []string{"packages", "1"}},
				{Config: config(`, "externals": ["/nonesuch"]`), WantPath: []string{"externals", "0"}},
				{Config: config(`, "override_srcdir": {"zlib": "nonesuch"}`), WantPath: []string{"override_srcdir"}},
				{Config: config(`, "extra_hashes": "nonesuch"`), WantPath: []string{"extra_hashes"}},
				{Config: config(`, "mirror": "where"`), WantPath: []string{"mirror"}},
				{Config: config(`, "jobs": -1`), WantPath: []string{"jobs"}},
				{Config: []byte(`{"buildroot_dir": "nonesuch"}`), WantPath: []string{"buildroot_dir"}},
				{Config: []byte(`{"buildroot": "2019.02"}`), WantPath: []string{"buildroot"}},
				{Config: []byte(`{"buildroot": ""}`), WantPath: []string{"buildroot"}},
			},
			Changes: []buildertest.Change{
				{Config: config(`, "packages": ["trouble"]`), Steps: []string{stepConfiguration}},
				{Config: config(`, "cmdline": "quiet"`), Steps: []string{stepMachine}},
				{Config: config(`, "jobs": 7`), Steps: nil},
				{Config: config(`, "mirror": "http://example.org/"`), Steps: []string{stepConfiguration}},
				{Config: config(`, "override_srcdir": {"zlib": "init"}`), Steps: []string{stepConfiguration}},
			},
			Build:   true,
			Sources: s.sources,
		}
	}
	t.Run("in-process", func(t *testing.T) { buildertest.Suite(t, buildertest.InProcess(buildroot{}), contract(t)) })
	t.Run("binary", func(t *testing.T) {
		buildertest.Suite(t, buildertest.Binary(buildertest.Compile(t, ".", "buildroot")), contract(t))
	})
}
