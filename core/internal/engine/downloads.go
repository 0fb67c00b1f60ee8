package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/source"
)

// parallelDownloads is how many files are fetched side by side: some of their
// servers are slow, and most files are small.
const parallelDownloads = 4

// fetchDownloads brings what a step's Downloads lists to where the strategy's
// build system looks for it. All that cannot be had is said at once.
func (e *Engine) fetchDownloads(ctx context.Context, s builder.Step) (dir string, err error) {
	if s.Downloads == "" {
		return "", nil
	}
	list, err := e.downloadsOf(s)
	if err != nil {
		return "", err
	}
	dir = e.Store.DownloadsDir(e.VM.Strategy)
	return dir, e.eachDownload(ctx, "downloads of "+s.Title, list, func(ctx context.Context, f builder.Download) (string, error) {
		verified, origin, err := e.sources.GetFile(ctx, f, list.Look)
		if err != nil {
			return "", err
		}
		return origin, source.LinkFile(verified, filepath.Join(dir, f.Path), f.SHA256)
	})
}

// downloadsOf reads the list in the result of the step that s names.
func (e *Engine) downloadsOf(s builder.Step) (builder.Downloads, error) {
	entry, ok := e.Store.Lookup(e.storeStep(e.graph[s.Downloads]).Key())
	if !ok {
		return builder.Downloads{}, fmt.Errorf("the result of step %s vanished from the cache while building; run again", s.Downloads)
	}
	list, err := builder.ReadDownloads(entry.Dir)
	if err != nil {
		return builder.Downloads{}, fmt.Errorf("%s: step %s lists what step %s wants fetched: %w", e.pluginPath, s.Downloads, s.ID, err)
	}
	return list, nil
}

// eachDownload runs do, which returns a file's origin, for every file; shown as
// one step.
func (e *Engine) eachDownload(ctx context.Context, title string, list builder.Downloads, do func(context.Context, builder.Download) (origin string, err error)) error {
	if len(list.Files) == 0 {
		return nil
	}
	shown := e.UI.Start("downloads", title)
	var mu sync.Mutex
	var done int64
	origins := map[string]int{}
	var failed []error
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(parallelDownloads)
	for _, f := range list.Files {
		group.Go(func() error {
			origin, err := do(inner, f)
			if inner.Err() != nil {
				return context.Cause(inner)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = append(failed, err) // and go on: to say all of it at once
			}
			done++
			origins[cmp.Or(origin, "here already")]++
			shown.Emit(builder.Progress{Done: done, Total: int64(len(list.Files)), Unit: "files"})
			return nil
		})
	}
	err := group.Wait()
	if err == nil && len(failed) > 0 {
		err = &downloadsError{of: len(list.Files), failed: failed, offline: e.Offline}
	}
	if err != nil {
		shown.Fail(err)
		return &ShownError{err}
	}
	shown.Done(fmt.Sprintf("%d files: %s", len(list.Files), counts(origins)))
	return nil
}

// counts is "3 from debian, 12 here already", in a fixed order.
func counts(origins map[string]int) string {
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(origins)) {
		text := fmt.Sprintf("%d from %s", origins[name], name)
		texts = append(texts, strings.Replace(text, "from here", "here", 1))
	}
	return strings.Join(texts, ", ")
}

// downloadsError says what is missing, file by file, and then what to do.
type downloadsError struct {
	of      int
	failed  []error
	offline bool
}

func (e *downloadsError) Error() string {
	remedy := "Check the network, or name a mirror (--mirror DIR, filled on another machine by: leanlab sources vendor DIR)."
	if e.offline {
		remedy = "Run once without --offline, or name a mirror (--mirror DIR, filled on another machine by: leanlab sources vendor DIR)."
	}
	return fmt.Sprintf("%d of %d files are missing\n%v\n%s", len(e.failed), e.of, errors.Join(e.failed...), remedy)
}

func (e *downloadsError) Unwrap() []error { return e.failed }

// vendorDownloads adds to the mirror what the plan's steps want fetched. Only
// their build system knows, so the steps that ask it are run.
func (e *Engine) vendorDownloads(ctx context.Context, dir string) error {
	for _, s := range e.plan.Steps {
		if s.Downloads == "" {
			continue
		}
		if err := e.runUpTo(ctx, s.Downloads); err != nil {
			return err
		}
		list, err := e.downloadsOf(s)
		if err != nil {
			return err
		}
		err = e.eachDownload(ctx, "vendoring what "+s.Title+" wants", list, func(ctx context.Context, f builder.Download) (string, error) {
			return source.VendorFile(ctx, e.sources, f, list.Look, dir)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// runUpTo runs a step and all that it needs.
func (e *Engine) runUpTo(ctx context.Context, id string) error {
	// Not checkHost: no image is packed or booted.
	missing, err := e.plugin.Probe(ctx, e.def)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return &MissingError{missing}
	}
	for _, need := range e.graph[id].Needs {
		if err := e.runUpTo(ctx, need); err != nil {
			return err
		}
	}
	_, err = e.runStep(ctx, e.graph[id])
	return err
}
