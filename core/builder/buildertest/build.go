package buildertest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// checkBuild runs every step of the plan below dir.
func checkBuild(ctx context.Context, b builder.Builder, c Case, dir string) error {
	plan, err := b.Plan(ctx, &c.Definition)
	if err != nil {
		return fmt.Errorf("Plan: %w", err)
	}
	results := make(map[string]string) // step → directory
	var machine *builder.Machine
	for i, step := range plan.Steps {
		req, err := request(c, step, results, dir)
		if err != nil {
			return err
		}
		machine, err = checkStep(ctx, b, req)
		if err != nil {
			return fmt.Errorf("step %q: %w", step.ID, err)
		}
		if step.KeepWork {
			again := *req
			dirs, err := makeDirs(dir, step.ID+"-out")
			if err != nil {
				return err
			}
			again.Out = dirs[0]
			if _, err := checkStep(ctx, b, &again); err != nil {
				return fmt.Errorf("step %q, in the work directory that it kept: %w", step.ID, err)
			}
		}
		if last := i == len(plan.Steps)-1; last != (machine != nil) {
			return fmt.Errorf("step %q: is the last: %t; returned a machine: %t", step.ID, last, machine != nil)
		}
		results[step.ID] = req.Out
	}
	if !slices.Contains(b.Describe().Capabilities, builder.CapabilityPackage) {
		return nil
	}
	if err := checkPackage(ctx, b, c, machine, results, dir); err != nil {
		return fmt.Errorf("Package: %w", err)
	}
	return nil
}

// request makes fresh directories for a step, as the host does.
func request(c Case, step builder.Step, results map[string]string, dir string) (*builder.BuildRequest, error) {
	dirs, err := makeDirs(dir, step.ID+"-out", step.ID+"-work")
	if err != nil {
		return nil, err
	}
	req := &builder.BuildRequest{
		Definition: &c.Definition, Step: step.ID, Out: dirs[0], Work: dirs[1], Jobs: runtime.NumCPU(),
		Needs: make(map[string]string), Sources: make(map[string]builder.FetchedSource),
	}
	for _, need := range step.Needs {
		req.Needs[need] = results[need]
	}
	for _, name := range step.Sources {
		source, ok := c.Sources[name]
		if !ok {
			return nil, fmt.Errorf("step %q reads source %q: give it in Case.Sources", step.ID, name)
		}
		req.Sources[name] = source
	}
	if step.Downloads != "" {
		if err := download(req, results[step.Downloads], dir); err != nil {
			return nil, fmt.Errorf("step %q: %w", step.ID, err)
		}
	}
	return req, nil
}

// download puts what a step's result lists into a directory, as the host does;
// but from directories and file URLs only, so that a test needs no network.
func download(req *builder.BuildRequest, result, dir string) error {
	list, err := builder.ReadDownloads(result)
	if err != nil {
		return err
	}
	dirs, err := makeDirs(dir, "downloads")
	if err != nil {
		return err
	}
	req.Downloads = dirs[0]
	for _, f := range list.Files {
		var from []string
		for _, look := range list.Look {
			from = append(from, filepath.Join(look, f.Path))
		}
		for _, text := range f.URLs {
			if u, err := url.Parse(text); err == nil && u.Scheme == "file" {
				from = append(from, u.Path)
			}
		}
		if err := copyFirst(from, filepath.Join(req.Downloads, f.Path)); err != nil {
			return fmt.Errorf("the suite fetches from directories and file URLs only: %s: %w", f.Path, err)
		}
	}
	return nil
}

// copyFirst copies the first of the files that is there.
func copyFirst(from []string, to string) error {
	for _, path := range from {
		data, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.MkdirAll(filepath.Dir(to), 0o755)
		}
		if err == nil {
			err = os.WriteFile(to, data, 0o644)
		}
		return err
	}
	return fmt.Errorf("is none of %q", from)
}

// checkStep runs one step and looks at what it said and where it wrote.
func checkStep(ctx context.Context, b builder.Builder, req *builder.BuildRequest) (*builder.Machine, error) {
	before := make(map[string]map[string]string)
	for _, dir := range req.Needs {
		before[dir] = snapshot(dir)
	}
	events := &recorder{}
	machine, err := b.Build(ctx, req, events)
	events.over()
	if err != nil {
		return nil, fmt.Errorf("Build: %w", err)
	}
	if err := events.check(req.Out); err != nil {
		return nil, err
	}
	for id, dir := range req.Needs {
		if changed := difference(before[dir], snapshot(dir)); changed != "" {
			return nil, fmt.Errorf("it writes into the result of step %q: %s", id, changed)
		}
	}
	if machine != nil {
		if err := machine.Check(req); err != nil {
			return nil, err
		}
	}
	return machine, nil
}

// checkPackage has the machine's own root packed, in place of a lean one.
func checkPackage(ctx context.Context, b builder.Builder, c Case, m *builder.Machine, results map[string]string, dir string) error {
	dirs, err := makeDirs(dir, "package-out", "package-work")
	if err != nil {
		return err
	}
	req := &builder.PackageRequest{
		Definition: &c.Definition, Machine: m, Out: dirs[0], Work: dirs[1],
		Rootfs: filepath.Join(results[m.Rootfs.Step], m.Rootfs.Path),
		Kernel: filepath.Join(results[m.Kernel.Step], m.Kernel.Path),
	}
	events := &recorder{}
	err = b.(builder.Packager).Package(ctx, req, events)
	events.over()
	if err != nil {
		return err
	}
	if len(events.artifacts) == 0 {
		return errors.New("it named no artifact")
	}
	return events.check(req.Out)
}

// cancelPatience is how long a cancelled step may go on: longer than Run gives
// a command between SIGTERM and SIGKILL.
const cancelPatience = 30 * time.Second

// checkCancel cancels each step that needs no other at its first event; a step
// that is done before it has one may succeed.
func checkCancel(ctx context.Context, b builder.Builder, c Case, dir string) error {
	plan, err := b.Plan(ctx, &c.Definition)
	if err != nil {
		return fmt.Errorf("Plan: %w", err)
	}
	for _, step := range plan.Steps {
		if len(step.Needs) > 0 {
			continue
		}
		req, err := request(c, step, nil, dir)
		if err != nil {
			return err
		}
		outer := ctx
		ctx, cancel := context.WithCancel(ctx)
		returned := make(chan struct{})
		go func() {
			defer close(returned)
			_, err = b.Build(ctx, req, canceller(cancel))
		}()
		select {
		case <-returned:
		case <-ctx.Done():
			select {
			case <-returned:
			case <-time.After(cancelPatience):
				return fmt.Errorf("step %q goes on for more than %s after it was cancelled", step.ID, cancelPatience)
			}
		}
		cancel()
		if err != nil && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("step %q, cancelled, fails with an error that does not wrap the context's: %w", step.ID, err)
		}
		if step.KeepWork {
			if err := goOn(outer, b, req, dir); err != nil {
				return fmt.Errorf("step %q, in the work directory of a run that was cancelled: %w", step.ID, err)
			}
		}
	}
	return nil
}

// goOn runs a step again where it was cancelled, with a fresh Out.
func goOn(ctx context.Context, b builder.Builder, req *builder.BuildRequest, dir string) error {
	dirs, err := makeDirs(dir, req.Step+"-out")
	if err != nil {
		return err
	}
	again := *req
	again.Out = dirs[0]
	_, err = checkStep(ctx, b, &again)
	return err
}

// canceller is an Events that cancels at the first event.
type canceller context.CancelFunc

func (cancel canceller) Emit(builder.Event) { cancel() }

// recorder is an Events that looks at each event.
type recorder struct {
	mu        sync.Mutex
	errs      []error
	running   map[string]int // titles of StepStarted
	artifacts []builder.Artifact
	ended     bool
}

func (r *recorder) wrong(format string, args ...any) {
	if len(r.errs) < 10 {
		r.errs = append(r.errs, fmt.Errorf(format, args...))
	}
}

func (r *recorder) Emit(e builder.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		r.wrong("an event after the result: %#v", e)
	}
	switch e := e.(type) {
	case builder.Log:
		if strings.Contains(e.Line, "\n") {
			r.wrong("Log of more than a line: %q", e.Line)
		}
	case builder.Progress:
		if e.Done < 0 || e.Total < 0 || e.Total > 0 && e.Done > e.Total || e.Unit == "" {
			r.wrong("Progress that cannot be: %+v", e)
		}
	case builder.StepStarted:
		if r.running == nil {
			r.running = make(map[string]int)
		}
		r.running[e.Title]++
	case builder.StepFinished:
		if r.running[e.Title] == 0 {
			r.wrong("StepFinished %q without its StepStarted", e.Title)
		}
		r.running[e.Title]--
	case builder.Notice:
		if e.Diagnostic.Summary == "" {
			r.wrong("Notice without a summary: %+v", e.Diagnostic)
		}
	case builder.Artifact:
		if e.Name == "" {
			r.wrong("Artifact without a name: %q", e.Path)
		}
		r.artifacts = append(r.artifacts, e)
	}
}

// over is called when the step has returned.
func (r *recorder) over() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
}

// check returns what was wrong with the events of a step that succeeded.
func (r *recorder) check(out string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for title, n := range r.running {
		if n > 0 {
			r.wrong("StepStarted %q without its StepFinished", title)
		}
	}
	for _, a := range r.artifacts {
		if err := a.Check(out); err != nil {
			r.wrong("%w", err)
		}
	}
	return errors.Join(r.errs...)
}

// bystanders are places where a builder has no business: the working directory,
// the home and temporary directories of a process, the definition's root.
type bystanders map[string]map[string]string

// watchBystanders points the process at empty directories and remembers those,
// and the definition's directories, as they are.
func watchBystanders(t *testing.T, def builder.Definition) bystanders {
	t.Helper()
	b := bystanders{}
	dirs, err := makeDirs(t.TempDir(), "home", "tmp", "cwd")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", dirs[0])
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dirs[0], ".cache"))
	t.Setenv("TMPDIR", dirs[1])
	t.Chdir(dirs[2])
	// Of the root, what belongs to definitions: the rest can be large.
	dirs = append(dirs, filepath.Join(def.Root, "kernel-configs"), filepath.Join(def.Root, "overlays"))
	if def.App != nil {
		dirs = append(dirs, def.App.Path)
	}
	for _, dir := range dirs {
		b[dir] = snapshot(dir)
	}
	return b
}

func (b bystanders) check() error {
	for dir, before := range b {
		if changed := difference(before, snapshot(dir)); changed != "" {
			return fmt.Errorf("in %s: %s", dir, changed)
		}
	}
	return nil
}

// snapshot maps the paths below dir to what would change with them; of a
// directory that is not its time, so that a temporary file may come and go.
// What cannot be read is left out.
func snapshot(dir string) map[string]string {
	files := make(map[string]string)
	_ = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := e.Info(); err == nil && info.IsDir() {
			files[path] = info.Mode().String()
		} else if err == nil {
			files[path] = fmt.Sprint(info.Mode(), info.Size(), info.ModTime().UnixNano())
		}
		return nil
	})
	return files
}

// difference names one path in which two snapshots differ.
func difference(before, after map[string]string) string {
	for path, state := range after {
		switch was, ok := before[path]; {
		case !ok:
			return path + " was made"
		case was != state:
			return path + " was changed"
		}
	}
	for path := range before {
		if _, ok := after[path]; !ok {
			return path + " was removed"
		}
	}
	return ""
}
