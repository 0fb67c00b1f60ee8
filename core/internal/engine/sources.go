package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
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
func (e *Engine) get(ctx context.Context, req builder.Source) (source.Release, builder.FetchedSource, error) {
	if r, ok := e.sources.Locked(req); ok {
		if _, ok := e.sources.Cached(r); ok {
			return e.obtain(ctx, req)
		}
	}
	shown := e.UI.Start("source/"+req.Name, "source "+req.Name+" "+req.Series)
	e.fetching.Store(req.Name, shown)
	r, fetched, err := e.obtain(ctx, req)
	switch {
	case err != nil && ctx.Err() != nil:
		// By the user, or because another source failed, which says so itself.
		shown.Fail(context.Canceled)
		return r, fetched, &ShownError{err}
	case errors.Is(err, ErrDiagnostics):
		shown.Fail(errors.New("the definition asks for what is not there"))
		return r, fetched, err
	case err != nil:
		shown.Fail(err)
		return r, fetched, &ShownError{err}
	}
	what := r.Version
	if r.Files != nil {
		what = fmt.Sprintf("%d files", len(r.Files))
	}
	shown.Done(what + " from " + r.Origin)
	return r, fetched, nil
}

// obtain has a source on disk.
func (e *Engine) obtain(ctx context.Context, req builder.Source) (source.Release, builder.FetchedSource, error) {
	if req.Selection == "" {
		r, path, err := e.sources.Get(ctx, req)
		return r, builder.FetchedSource{Version: r.Version, Path: path, SHA256: r.SHA256}, err
	}
	r, paths, err := e.sources.GetFiles(ctx, req, e.plan.Mirrors, e.resolve(req))
	if err != nil {
		return r, builder.FetchedSource{}, err
	}
	fetched := builder.FetchedSource{Version: r.Version, SHA256: r.SHA256}
	for _, f := range r.Files {
		fetched.Files = append(fetched.Files, builder.FetchedFile{Name: f.Name, Version: f.Version, Path: paths[f.Name], SHA256: f.SHA256})
	}
	return r, fetched, nil
}

// resolve asks the plugin which files a source stands for.
func (e *Engine) resolve(req builder.Source) source.Resolve {
	return func(ctx context.Context, fetched map[string]string) ([]builder.RemoteFile, bool, error) {
		work, err := os.MkdirTemp("", "leanlab-resolve-")
		if err != nil {
			return nil, false, err
		}
		defer os.RemoveAll(work)
		answer, err := e.plugin.Resolve(ctx, &builder.ResolveRequest{Definition: e.def, Source: req, Fetched: fetched, Work: work})
		if err != nil {
			return nil, false, err
		}
		var diags hcl.Diagnostics
		for _, d := range answer.Diagnostics {
			diags = append(diags, e.Definitions.Locate(e.VM, d))
		}
		if diags.HasErrors() {
			return nil, false, &DiagnosticsError{diags}
		}
		for _, d := range diags {
			e.UI.Message("warning", d.Error())
		}
		return answer.Files, answer.Done, nil
	}
}

// sourceProgress finds the step that a download belongs to: name begins with
// the source's.
func (e *Engine) sourceProgress(name string, done, total int64) {
	name, _, _ = strings.Cut(name, " ")
	if shown, ok := e.fetching.Load(name); ok {
		shown.(ui.Step).Emit(builder.Progress{Done: done, Total: total, Unit: "bytes"})
	}
}

// SourceState is a source of the definition and what is known of it.
type SourceState struct {
	source.Release
	Locked bool
	Cached bool   // all of it is here
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
			s.Path, s.Cached = e.sources.Cached(r)
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
	for _, req := range e.plan.Sources {
		r, fetched, err := e.get(ctx, req)
		if err != nil {
			return err
		}
		paths := map[string]string{r.File: fetched.Path}
		for _, f := range fetched.Files {
			paths[f.Name] = f.Path
		}
		if err := source.AddToMirror(r, paths, dir); err != nil {
			return err
		}
	}
	return e.vendorDownloads(ctx, dir)
}
