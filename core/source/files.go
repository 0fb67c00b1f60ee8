package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// ReleaseFile is one of a release's files.
type ReleaseFile struct {
	Name    string // base name, unique in the release
	Version string
	URL     string // absolute, or below any of the request's mirrors
	SHA256  string
	Bytes   int64
}

// Resolve asks a builder which files a request stands for, as builder.Resolver
// says.
type Resolve func(ctx context.Context, fetched map[string]string) (files []builder.RemoteFile, done bool, err error)

const (
	// Ten seconds are what a person waits before the network is to blame. A list
	// is asked for once; dialling takes connectTimeout at most.
	listTimeout = 8 * time.Second
	// parallelFiles is how many files are on their way at once: packages are
	// small, and latency is most of their time.
	parallelFiles = 8
	// resolveTurns ends a builder that never has enough. Keys, indexes and
	// packages are three.
	resolveTurns = 10
)

// GetFiles answers req, which has a selection, with files on disk: those that
// the lock has, else those that the mirror has for it, else those that resolve
// finds, which are then locked. The map has each file's path by its name.
func (s *Sources) GetFiles(ctx context.Context, req Request, mirrors []string, resolve Resolve) (Release, map[string]string, error) {
	if !selectionPattern.MatchString(req.Selection) {
		return Release{}, nil, fmt.Errorf("%s %s: the selection %q has characters that a lock file does not hold", req.Name, req.Series, req.Selection)
	}
	if locked, ok := s.Locked(req); ok {
		paths, err := s.fetchSet(ctx, locked, mirrors)
		return locked, paths, err
	}
	r, err := s.vendored.findSet(ctx, req)
	if err == nil {
		var paths map[string]string
		if paths, err = s.fetchSet(ctx, r, nil); err == nil {
			s.lock(r)
			return r, paths, nil
		}
	}
	if s.o.Mirror != "" {
		s.o.Logf("%s %s: mirror: %v", req.Name, req.Series, err)
	}
	r, paths, err := s.resolve(ctx, req, mirrors, resolve)
	if err == nil {
		s.lock(r)
	}
	return r, paths, err
}

func (s *Sources) lock(r Release) {
	if s.o.Lock != nil {
		s.o.Lock.Set(r)
	}
}

// resolve takes turns with the builder until it has all that it wants.
func (s *Sources) resolve(ctx context.Context, req Request, mirrors []string, resolve Resolve) (Release, map[string]string, error) {
	fetched := map[string]fetchedFile{}
	for range resolveTurns {
		paths := map[string]string{}
		for name, f := range fetched {
			paths[name] = f.path
		}
		wanted, done, err := resolve(ctx, paths)
		if err != nil {
			return Release{}, nil, err
		}
		if done {
			return s.resolved(req, wanted, fetched)
		}
		wanted = slices.DeleteFunc(wanted, func(f builder.RemoteFile) bool { return fetched[f.Name].path != "" })
		more, err := s.fetchRemote(ctx, req, wanted, mirrors)
		if err != nil {
			return Release{}, nil, err
		}
		maps.Copy(fetched, more)
	}
	return Release{}, nil, fmt.Errorf("%s %s: after %d turns its builder still wants more files", req.Name, req.Series, resolveTurns)
}

// resolved makes the release of what the builder has verified. Only now may a
// file that was fetched by its identity be taken from the cache another time.
func (s *Sources) resolved(req Request, wanted []builder.RemoteFile, fetched map[string]fetchedFile) (Release, map[string]string, error) {
	var files []ReleaseFile
	paths := map[string]string{}
	for _, w := range wanted {
		f := fetched[w.Name]
		if w.SHA256 == "" && w.Identity != "" {
			if err := s.download.remember256(identityKey(w), f.sha256); err != nil {
				return Release{}, nil, err
			}
		}
		info, err := os.Stat(f.path)
		if err != nil {
			return Release{}, nil, err
		}
		files = append(files, ReleaseFile{Name: w.Name, Version: w.Version, URL: w.URL, SHA256: f.sha256, Bytes: info.Size()})
		paths[w.Name] = f.path
	}
	r := newSet(req, OriginRepository, files)
	if err := r.check(); err != nil {
		return Release{}, nil, fmt.Errorf("%s %s: %w", req.Name, req.Series, err)
	}
	return r, paths, nil
}

// fetchedFile is a file in the cache.
type fetchedFile struct{ path, sha256 string }

// fetchRemote fetches the files of one turn.
func (s *Sources) fetchRemote(ctx context.Context, req Request, wanted []builder.RemoteFile, mirrors []string) (map[string]fetchedFile, error) {
	var total int64
	for _, w := range wanted {
		total += w.Bytes
	}
	sum := s.sumProgress(req.Name, total)
	var mu sync.Mutex
	fetched := map[string]fetchedFile{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelFiles)
	for _, w := range wanted {
		group.Go(func() error {
			f, err := s.remote(ctx, w, mirrors, sum)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			fetched[w.Name] = f
			return nil
		})
	}
	return fetched, group.Wait()
}

// remote brings one file into the cache.
func (s *Sources) remote(ctx context.Context, w builder.RemoteFile, mirrors []string, sum *sumProgress) (fetchedFile, error) {
	if !filePattern.MatchString(w.Name) {
		return fetchedFile{}, fmt.Errorf("file %q is not a plain file name", w.Name)
	}
	progress := sum.of(w.Name)
	if w.SHA256 != "" {
		path, err := s.known(ctx, ReleaseFile{Name: w.Name, Version: w.Version, URL: w.URL, SHA256: w.SHA256, Bytes: w.Bytes}, mirrors, progress)
		return fetchedFile{path, w.SHA256}, err
	}
	r := Release{Name: w.Name, Version: w.Version, File: w.Name, Bytes: w.Bytes}
	if w.Identity != "" {
		if r.SHA256 = s.download.recall256(identityKey(w)); r.SHA256 != "" {
			if path, ok := s.Cached(r); ok {
				progress(w.Bytes, w.Bytes)
				return fetchedFile{path, r.SHA256}, nil
			}
		}
	}
	return s.unknown(ctx, r, w, mirrors, progress)
}

// unknown fetches a file whose digest is not known, from the first place that
// has it.
func (s *Sources) unknown(ctx context.Context, r Release, w builder.RemoteFile, mirrors []string, progress func(done, total int64)) (fetchedFile, error) {
	failed := &FilesError{File: w.Name, Offline: s.o.Offline}
	d := s.download
	if w.Identity == "" {
		d.stall, d.tries = listTimeout, 1
	}
	for _, place := range places(w.URL, mirrors) {
		list := digestKey("list", place)
		if isRemote(place) && s.o.Offline {
			// A list that was verified when it was fetched is verified now.
			r.SHA256 = d.recall256(list)
			if path, ok := s.Cached(r); ok && w.Identity == "" {
				s.o.Logf("%s: as it was when last fetched: offline", place)
				return fetchedFile{path, r.SHA256}, nil
			}
			failed.tried(place, errOffline)
			continue
		}
		var sum, path string
		f, err := s.at(ctx, r, place)
		if err == nil {
			sum, path, err = d.fetchUnknown(ctx, f, digestKey("file", place), progress)
		}
		if err == nil {
			if w.Identity == "" {
				err = d.remember256(list, sum)
			}
			return fetchedFile{path, sum}, err
		}
		if ctx.Err() != nil {
			return fetchedFile{}, context.Cause(ctx)
		}
		s.o.Logf("%s: %v", w.Name, err)
		failed.tried(place, err)
	}
	return fetchedFile{}, failed
}

// known fetches a file with a digest: from the cache, the mirror, or the first
// place that has it.
func (s *Sources) known(ctx context.Context, f ReleaseFile, mirrors []string, progress func(done, total int64)) (string, error) {
	r := Release{Name: f.Name, Version: f.Version, File: f.Name, SHA256: f.SHA256, Bytes: f.Bytes}
	if path, ok := s.Cached(r); ok {
		progress(f.Bytes, f.Bytes)
		return path, nil
	}
	failed := &FilesError{File: f.Name, SHA256: f.SHA256, Offline: s.o.Offline}
	if s.o.Mirror != "" {
		from, err := s.vendored.find(ctx, Request{}, &r)
		if err == nil {
			var path string
			if path, err = s.download.fetch(ctx, from, progress); err == nil {
				return path, nil
			}
		}
		failed.tried(s.o.Mirror, err)
	}
	for _, place := range places(f.URL, mirrors) {
		if isRemote(place) && s.o.Offline {
			failed.tried(place, errOffline)
			continue
		}
		from, err := s.at(ctx, r, place)
		if err == nil {
			var path string
			if path, err = s.download.fetch(ctx, from, progress); err == nil {
				return path, nil
			}
		}
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		failed.tried(place, err)
	}
	return "", failed
}

// fetchSet brings a release's files into the cache.
func (s *Sources) fetchSet(ctx context.Context, r Release, mirrors []string) (map[string]string, error) {
	if paths, ok := s.cachedSet(r); ok {
		return paths, nil
	}
	var total int64
	for _, f := range r.Files {
		total += f.Bytes
	}
	sum := s.sumProgress(r.Name, total)
	paths := make([]string, len(r.Files))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelFiles)
	for i, f := range r.Files {
		group.Go(func() (err error) {
			paths[i], err = s.known(ctx, f, mirrors, sum.of(f.Name))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		var failed *FilesError
		if errors.As(err, &failed) && s.o.Lock != nil {
			failed.LockedAt = s.o.Lock.where(r.request())
		}
		return nil, err
	}
	byName := map[string]string{}
	for i, f := range r.Files {
		byName[f.Name] = paths[i]
	}
	return byName, nil
}

// cachedSet returns the verified files of r, if all are here.
func (s *Sources) cachedSet(r Release) (map[string]string, bool) {
	paths := map[string]string{}
	for _, f := range r.Files {
		path, ok := s.Cached(Release{File: f.Name, SHA256: f.SHA256, Bytes: f.Bytes})
		if !ok {
			return nil, false
		}
		paths[f.Name] = path
	}
	return paths, true
}

// FilesError says where a file was looked for.
type FilesError struct {
	File     string
	SHA256   string // "" when it is not known
	LockedAt string // file:line of the release in the lock file; empty when it is not locked
	Offline  bool
	Tried    []OriginError // Origin is a URL or a path
}

func (e *FilesError) tried(place string, err error) {
	e.Tried = append(e.Tried, OriginError{place, err})
}

func (e *FilesError) Error() string {
	var b strings.Builder
	if e.LockedAt != "" {
		fmt.Fprintf(&b, "%s: %s is locked to sha256 %s, and nothing serves that file:", e.LockedAt, e.File, e.SHA256)
	} else {
		fmt.Fprintf(&b, "%s: nothing serves it:", e.File)
	}
	for _, t := range e.Tried {
		// The errors of HTTP begin with the URL.
		text := strings.TrimLeft(strings.TrimPrefix(t.Err.Error(), t.Origin), ": ")
		fmt.Fprintf(&b, "\n  %s: %s", t.Origin, strings.ReplaceAll(text, "\n", "\n    "))
	}
	switch {
	case e.Offline:
		b.WriteString("\nRun once without --offline, or name a mirror (filled on another machine by: leanlab sources vendor DIR).")
	case e.LockedAt != "":
		b.WriteString("\nA repository keeps the newest of each package. To take what it has now, run: leanlab sources lock")
	default:
		b.WriteString("\nCheck the network, or name a mirror (filled on another machine by: leanlab sources vendor DIR).")
	}
	return b.String()
}

// Unwrap returns why each place did not serve.
func (e *FilesError) Unwrap() []error {
	var out []error
	for _, t := range e.Tried {
		out = append(out, t.Err)
	}
	return out
}

// at is a release's file in one place.
func (s *Sources) at(ctx context.Context, r Release, place string) (found, error) {
	switch {
	case strings.HasPrefix(place, registryScheme):
		return s.images.found(ctx, r, place)
	case isHTTP(place):
		return found{release: r, url: place}, nil
	}
	return found{release: r, path: place}, nil
}

func isRemote(place string) bool { return isHTTP(place) || strings.HasPrefix(place, registryScheme) }

// places are the ways to a file.
func places(url string, mirrors []string) []string {
	if isRemote(url) || filepath.IsAbs(url) {
		return []string{url}
	}
	var all []string
	for _, m := range mirrors {
		all = append(all, strings.TrimSuffix(m, "/")+"/"+url)
	}
	return all
}

// newSet is a release of files, in their order.
func newSet(req Request, origin string, files []ReleaseFile) Release {
	slices.SortFunc(files, func(a, b ReleaseFile) int { return strings.Compare(a.Name, b.Name) })
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintf(h, "%s\n%s\n%s\n", f.Name, f.Version, f.SHA256)
	}
	return Release{Name: req.Name, Series: req.Series, Selection: req.Selection, Version: req.Series, Origin: origin,
		SHA256: hex.EncodeToString(h.Sum(nil)), Files: files}
}

// What is written to a lock file between quotes has nothing that HCL reads.
var (
	selectionPattern = regexp.MustCompile(`^[A-Za-z0-9 ._~:/@=<>!,;+*()|&?#-]+$`)
	versionPattern   = regexp.MustCompile(`^[A-Za-z0-9._+~:-]*$`)
	filePlacePattern = regexp.MustCompile(`^[A-Za-z0-9./_~+:@,;=&?%#!*()-]+$`)
)

func (r Release) checkFiles() error {
	switch {
	case len(r.Files) == 0:
		return errors.New("there is no file")
	case !selectionPattern.MatchString(r.Selection):
		return fmt.Errorf("selection %q has characters that it must not have", r.Selection)
	case !slices.Contains([]string{OriginMirror, OriginRepository}, r.Origin):
		return fmt.Errorf("origin %q is neither mirror nor repository", r.Origin)
	}
	for i, f := range r.Files {
		switch {
		case !filePattern.MatchString(f.Name):
			return fmt.Errorf("file %q is not a plain file name", f.Name)
		case i > 0 && r.Files[i-1].Name == f.Name:
			return fmt.Errorf("file %q is there twice", f.Name)
		case !versionPattern.MatchString(f.Version):
			return fmt.Errorf("file %q: %q is no version", f.Name, f.Version)
		case !filePlacePattern.MatchString(f.URL):
			return fmt.Errorf("file %q: url %q is none", f.Name, f.URL)
		case !sha256Pattern.MatchString(f.SHA256):
			return fmt.Errorf("file %q: sha256 %q is not 64 lower-case hexadecimal digits", f.Name, f.SHA256)
		case f.Bytes < 0:
			return fmt.Errorf("file %q: bytes is %d", f.Name, f.Bytes)
		}
	}
	return nil
}

func identityKey(w builder.RemoteFile) string { return digestKey("identity", w.Name, w.Identity) }

func digestKey(words ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(words, "\n")))
	return hex.EncodeToString(sum[:])
}

// sumProgress reports several downloads as one.
type sumProgress struct {
	mu     sync.Mutex
	report func(done, total int64)
	total  int64
	done   map[string]int64
}

func (s *Sources) sumProgress(name string, total int64) *sumProgress {
	return &sumProgress{total: total, done: map[string]int64{}, report: func(done, total int64) { s.o.Progress(name, done, total) }}
}

func (p *sumProgress) of(file string) func(done, total int64) {
	return func(done, _ int64) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.done[file] = done
		var sum int64
		for _, n := range p.done {
			sum += n
		}
		p.report(sum, max(p.total, sum))
	}
}
