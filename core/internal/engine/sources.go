package engine

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/internal/ui"
	"github.com/somebloke1/elixir-lean-lab/core/source"
)

// fetch resolves every source of the plan and writes the lock. Archives that
// are locked are downloaded later, when a step that reads them has to run: a
// build that is all in the store needs no archive.
func (e *Engine) fetch(ctx context.Context) error {
	var open []builder.Source
	for _, req := range e.plan.Sources {
		if r, ok := e.sources.Locked(req); ok {
			e.releases[req.Name] = r
		} else {
			open = append(open, req)
		}
	}
	if len(open) == 0 {
		return nil
	}
	// Something will have to be built: say what is missing for that before
	// downloading.
	if err := e.checkHost(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	var mu sync.Mutex
	for _, req := range open {
		group.Go(func() error {
			r, _, err := e.get(ctx, req)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			e.releases[req.Name] = r
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return e.lock.Save()
}

// get fetches one source, shown as a step of its own unless it is there.
func (e *Engine) get(ctx context.Context, req builder.Source) (source.Release, string, error) {
	if r, ok := e.sources.Locked(req); ok {
		if path, ok := e.sources.Cached(r); ok {
			return r, path, nil
		}
	}
	shown := e.UI.Start("source/"+req.Name, "source "+req.Name+" "+req.Series)
	e.fetching.Store(req.Name, shown)
	r, path, err := e.sources.Get(ctx, req)
	if err != nil {
		shown.Fail(err)
		return r, "", &ShownError{err}
	}
	shown.Done(fmt.Sprintf("%s from %s", r.Version, r.Origin))
	return r, path, nil
}

// sourceProgress finds the step that a download belongs to.
func (e *Engine) sourceProgress(name string, done, total int64) {
	if shown, ok := e.fetching.Load(name); ok {
		shown.(ui.Step).Emit(builder.Progress{Done: done, Total: total, Unit: "bytes"})
	}
}

// SourceState is a source of the definition and what is known of it.
type SourceState struct {
	source.Release
	Locked bool
	Path   string // of the verified archive, when it is here
}

// SourceList lists the definition's sources without touching the network.
func (e *Engine) SourceList(ctx context.Context) ([]SourceState, error) {
	if err := e.prepare(ctx); err != nil {
		return nil, err
	}
	defer e.Close()
	var list []SourceState
	for _, req := range e.plan.Sources {
		s := SourceState{Release: source.Release{Name: req.Name, Series: req.Series}}
		if r, ok := e.sources.Locked(req); ok {
			s.Release, s.Locked = r, true
			s.Path, _ = e.sources.Cached(r)
		}
		list = append(list, s)
	}
	return list, nil
}

// Lock resolves every source anew and writes the lock file.
func (e *Engine) Lock(ctx context.Context) error {
	if err := e.prepare(ctx); err != nil {
		return err
	}
	defer e.Close()
	for _, req := range e.plan.Sources {
		e.lock.Remove(req)
	}
	return e.fetch(ctx)
}

// Vendor fills dir with the definition's archives, and what the strategy's build
// system downloads, as a mirror.
func (e *Engine) Vendor(ctx context.Context, dir string) error {
	if err := e.prepare(ctx); err != nil {
		return err
	}
	defer e.Close()
	if err := e.fetch(ctx); err != nil {
		return err
	}
	if err := source.Vendor(ctx, e.sources, e.plan.Sources, dir); err != nil {
		return err
	}
	return e.vendorDownloads(ctx, dir)
}
