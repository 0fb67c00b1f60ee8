package engine

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/internal/store"
)

// WritePlan shows what Build would do: each source and step, whether it is in
// the store, and if not, what changed since it last was.
func (e *Engine) WritePlan(ctx context.Context, w io.Writer) error {
	if err := e.prepare(ctx); err != nil {
		return err
	}
	defer e.Close()
	fmt.Fprintf(w, "vm %q: strategy %s, %s, builder %s %s\n\nsources\n", e.VM.Name, e.VM.Strategy, e.VM.Arch, e.pluginPath, e.desc.Version)
	resolved := true
	for _, req := range e.plan.Sources {
		r, ok := e.sources.Locked(req)
		if !ok {
			resolved = false
			fmt.Fprintf(w, "  %-9s %-5s  to be resolved: not in %s\n", req.Name, req.Series, e.LockPath)
			continue
		}
		e.releases[req.Name] = r
		state := "to be fetched"
		if _, ok := e.sources.Cached(r); ok {
			state = "here"
		}
		fmt.Fprintf(w, "  %-9s %-5s  %s from %s, %s\n", req.Name, req.Series, r.Version, r.Origin, state)
	}
	fmt.Fprint(w, "\nsteps\n")
	for _, s := range e.plan.Steps {
		step := e.storeStep(s)
		switch _, cached := e.Store.Lookup(step.Key()); {
		case cached:
			fmt.Fprintf(w, "  cached  %-9s %s\n", s.ID, s.Title)
		case !resolved && len(s.Sources) > 0:
			fmt.Fprintf(w, "  run     %-9s %s: its source is not resolved yet\n", s.ID, s.Title)
		default:
			fmt.Fprintf(w, "  run     %-9s %s%s\n", s.ID, s.Title, e.because(step))
		}
	}
	return e.writeHostSteps(ctx, w)
}

// writeHostSteps shows the steps after the builder's. The key of each is known
// once the one before is in the store.
func (e *Engine) writeHostSteps(ctx context.Context, w io.Writer) error {
	m, err := e.machineInStore()
	if err != nil {
		return err
	}
	known, previous := m != nil, ""
	for _, host := range []struct {
		id, title string
		step      func() (store.Step, error)
	}{
		{"app", e.appTitle(), func() (store.Step, error) { return e.appStep(m) }},
		{"lean", e.VM.Lean.Level, func() (store.Step, error) { return e.leanStep(m, previous), nil }},
		{"image", strings.Join(e.VM.Output.Formats, ", "), func() (store.Step, error) { return e.imageStep(m, previous) }},
		{"proof", "boot proof", func() (store.Step, error) { return e.proofStep(ctx, previous) }},
	} {
		if host.id == "proof" && e.NoProof {
			break
		}
		if host.id == "app" && m != nil && e.bringsRelease(m) {
			previous = m.entries[m.Release.Step].Key
			continue
		}
		if host.id == "app" && m == nil && slices.ContainsFunc(e.plan.Steps, func(s builder.Step) bool { return s.App }) {
			continue // which most likely makes the release
		}
		if !known {
			fmt.Fprintf(w, "  then    %-9s %s\n", host.id, host.title)
			continue
		}
		step, err := host.step()
		if err != nil {
			return err
		}
		if _, known = e.Store.Lookup(step.Key()); known {
			fmt.Fprintf(w, "  cached  %-9s %s\n", host.id, host.title)
		} else {
			fmt.Fprintf(w, "  run     %-9s %s%s\n", host.id, host.title, e.because(step))
		}
		previous = step.Key()
	}
	return nil
}

// because says what changed since the step's last run for this VM.
func (e *Engine) because(step store.Step) string {
	changes := e.Store.Why(step)
	switch {
	case changes == nil:
		return ": has not run yet"
	case len(changes) == 0:
		return ": nothing changed, but its result is no longer in the cache"
	}
	texts := make([]string, len(changes))
	for i, c := range changes {
		texts[i] = c.String()
	}
	return ": " + strings.Join(texts, "; ")
}

// WriteWhy says for one step of the plan what changed since it last ran.
func (e *Engine) WriteWhy(ctx context.Context, w io.Writer, id string) error {
	step, err := e.planned(ctx, id)
	if err != nil {
		return err
	}
	if entry, cached := e.Store.Lookup(step.Key()); cached {
		fmt.Fprintf(w, "%s is in the store (%s), built %s in %.0f s\n", id, entry.Key[:12], entry.Created.Local().Format(time.DateTime), entry.Seconds)
	} else {
		fmt.Fprintf(w, "%s is not in the store\n", id)
	}
	for _, c := range e.Store.Why(step) {
		fmt.Fprintln(w, "  "+c.String())
	}
	return nil
}

// Result is the published result of one step of the plan.
func (e *Engine) Result(ctx context.Context, id string) (*store.Entry, error) {
	step, err := e.planned(ctx, id)
	if err != nil {
		return nil, err
	}
	entry, ok := e.Store.Lookup(step.Key())
	if !ok {
		return nil, fmt.Errorf("step %s of vm %q is not in the store as it would be built now; run leanlab build first", id, e.VM.Name)
	}
	return entry, nil
}

// planned makes the plan and finds a step in it, for the store.
func (e *Engine) planned(ctx context.Context, id string) (store.Step, error) {
	if err := e.prepare(ctx); err != nil {
		return store.Step{}, err
	}
	defer e.Close()
	step, ok := e.graph[id]
	if !ok {
		ids := make([]string, len(e.plan.Steps))
		for i, s := range e.plan.Steps {
			ids[i] = s.ID
		}
		return store.Step{}, fmt.Errorf("no step %q in the plan of vm %q: there are %s", id, e.VM.Name, strings.Join(ids, ", "))
	}
	e.useLocked()
	return e.storeStep(step), nil
}

// useLocked takes the releases that are locked, without a network.
func (e *Engine) useLocked() (all bool) {
	all = true
	for _, req := range e.plan.Sources {
		r, ok := e.sources.Locked(req)
		if ok {
			e.releases[req.Name] = r
		}
		all = all && ok
	}
	return all
}
