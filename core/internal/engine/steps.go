package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/internal/store"
	"github.com/somebloke1/elixir-lean-lab/core/internal/ui"
)

// machineFile is where the last step's machine is kept beside its files.
const machineFile = "machine.json"

// stepResults are the published results of the builder's steps.
type stepResults struct {
	builder.Machine
	entries map[string]*store.Entry
	last    string // id of the step that made the machine
}

// key is the digest of everything the machine was made from.
func (r *stepResults) key() string { return r.entries[r.last].Key }

// path is where a Ref of the machine lies.
func (r *stepResults) path(ref builder.Ref) string {
	return filepath.Join(r.entries[ref.Step].Dir, ref.Path)
}

// parallelSteps is how many steps run side by side: enough to fill the gaps in
// which one of them is on a single core, and few enough for the memory of a
// small machine.
const parallelSteps = 2

// runSteps runs what is not in the store, each step as soon as those it needs
// are done.
func (e *Engine) runSteps(ctx context.Context) (*stepResults, error) {
	r := &stepResults{entries: map[string]*store.Entry{}, last: e.plan.Steps[len(e.plan.Steps)-1].ID}
	todo := e.todo()
	if len(todo) > 0 {
		if err := e.checkHost(ctx); err != nil {
			return nil, err
		}
	}
	done := map[string]chan struct{}{}
	for _, s := range e.plan.Steps {
		done[s.ID] = make(chan struct{})
	}
	slots := make(chan struct{}, parallelSteps)
	entries := make([]*store.Entry, len(e.plan.Steps))
	group, ctx := errgroup.WithContext(ctx)
	for i, s := range e.plan.Steps {
		group.Go(func() error {
			for _, need := range s.Needs {
				select {
				case <-done[need]:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return ctx.Err()
			}
			defer func() { <-slots }()
			if ctx.Err() != nil { // the slot came free because a step failed
				return ctx.Err()
			}
			entry, err := e.runStep(ctx, s)
			if err != nil {
				return err
			}
			entries[i] = entry
			close(done[s.ID])
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i, s := range e.plan.Steps {
		r.entries[s.ID] = entries[i]
	}
	return r, e.readMachine(r)
}

// machineInStore is the machine as the definition stands now, without running a
// step or using a network; nil when it is not in the store.
func (e *Engine) machineInStore() (*stepResults, error) {
	if !e.useLocked() {
		return nil, nil
	}
	r := &stepResults{entries: map[string]*store.Entry{}, last: e.plan.Steps[len(e.plan.Steps)-1].ID}
	for _, s := range e.plan.Steps {
		entry, ok := e.Store.Lookup(e.storeStep(s).Key())
		if !ok {
			return nil, nil
		}
		r.entries[s.ID] = entry
	}
	return r, e.readMachine(r)
}

// todo lists the steps that are not in the store.
func (e *Engine) todo() []builder.Step {
	var todo []builder.Step
	for _, s := range e.plan.Steps {
		if _, ok := e.Store.Lookup(e.storeStep(s).Key()); !ok {
			todo = append(todo, s)
		}
	}
	return todo
}

// storeStep names a plugin's step for the store: its own inputs, what it reads
// and the keys of the steps it needs.
func (e *Engine) storeStep(s builder.Step) store.Step {
	inputs := store.Inputs{}
	for name, value := range s.Inputs {
		inputs[name] = value
	}
	for _, name := range s.Sources {
		inputs["source "+name] = e.releases[name].SHA256
	}
	if s.App {
		inputs["app"] = e.appDigest
	}
	for _, id := range s.Needs {
		inputs["step "+id] = e.storeStep(e.graph[id]).Key()
	}
	kind := s.Kind
	if kind == "" {
		kind = e.VM.Strategy + "/" + s.ID
	}
	step := store.Step{Kind: kind, Scope: e.VM.Name, Inputs: inputs}
	if s.KeepWork {
		step.Keep = e.VM.Name + " in " + e.Dir
	}
	return step
}

// runStep runs one step of the plugin in the store.
func (e *Engine) runStep(ctx context.Context, s builder.Step) (*store.Entry, error) {
	return e.stepAs(ctx, e.VM.Strategy+"/"+s.ID, s.Title, e.storeStep(s), func(ctx context.Context, out, work string, ev ui.Step) error {
		req := &builder.BuildRequest{Definition: e.def, Step: s.ID, Out: out, Work: work, Jobs: jobs(), Offline: e.Offline,
			Needs: map[string]string{}, Sources: map[string]builder.FetchedSource{}}
		for _, id := range s.Needs {
			entry, ok := e.Store.Lookup(e.storeStep(e.graph[id]).Key())
			if !ok {
				return fmt.Errorf("the result of step %s vanished from the cache while building; run again", id)
			}
			req.Needs[id] = entry.Dir
		}
		for _, name := range s.Sources {
			fetched, err := e.fetched(ctx, name)
			if err != nil {
				return err
			}
			req.Sources[name] = fetched
		}
		var err error
		if req.Downloads, err = e.fetchDownloads(ctx, s); err != nil {
			return err
		}
		machine, err := e.plugin.Build(ctx, req, ev)
		if err != nil || machine == nil {
			return err
		}
		data, err := json.MarshalIndent(machine, "", "  ")
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(out, machineFile), data, 0o644)
	})
}

func (e *Engine) fetched(ctx context.Context, name string) (builder.FetchedSource, error) {
	for _, req := range e.plan.Sources {
		if req.Name == name {
			_, fetched, err := e.get(ctx, req)
			return fetched, err
		}
	}
	return builder.FetchedSource{}, fmt.Errorf("%s: a step reads source %q, which the plan does not list", e.pluginPath, name)
}

func (e *Engine) readMachine(r *stepResults) error {
	path := filepath.Join(r.entries[r.last].Dir, machineFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &r.Machine); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	brings := e.bringsRelease(r)
	for _, part := range []struct {
		what     string
		ref      builder.Ref
		optional bool
	}{
		{"kernel", r.Kernel, false}, {"rootfs", r.Rootfs, false},
		// What compiles the app, unless there is a release.
		{"toolchain.otp", r.Toolchain.OTP, brings}, {"toolchain.elixir", r.Toolchain.Elixir, brings},
		{"toolchain.target", r.Toolchain.Target, true}, {"release", r.Release, true},
	} {
		if r.entries[part.ref.Step] == nil && !(part.optional && part.ref.Step == "") {
			return fmt.Errorf("the machine has no %s (step %q, path %q): its builder must name a result of its plan", part.what, part.ref.Step, part.ref.Path)
		}
	}
	return nil
}
