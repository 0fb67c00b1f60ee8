package source

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Options says where sources come from and where they are kept.
type Options struct {
	Dir     string // verified archives; shared between builds and processes
	Mirror  string // directory or http(s) URL that AddToMirror filled; empty: none
	Suite   string // Debian suite that is asked first; default "trixie"
	Offline bool   // never touch the network; a mirror that is a directory still serves
	Lock    *Lock  // read, and extended in memory (the caller saves it); nil: nothing is locked
	// Progress reports a fetch: name is "linux 6.12.107", done and total are
	// bytes, total 0 means unknown. It may be called from several goroutines.
	Progress func(name string, done, total int64)
	Logf     func(format string, args ...any) // one line of what is going on
}

// Sources fetches releases. Safe for concurrent use, and next to other
// processes with the same Dir.
type Sources struct {
	o        Options
	origins  []origin
	vendored mirror
	images   *registries
	download downloader
	fileState
}

// origin is one place that archives come from.
type origin interface {
	name() string
	// find answers req with a release and where to fetch it. With want set it
	// answers with want itself, if it can serve an archive with that digest.
	find(ctx context.Context, req Request, want *Release) (found, error)
}

// found is a release and the ways to its archive.
type found struct {
	release Release
	url     string       // http(s) URL
	path    string       // or a local file
	client  *http.Client // nil: the default one
}

// suiteDefault has the series that the project's own definitions ask for.
const suiteDefault = "trixie"

// New returns Sources. Nothing is read or created before the first Get.
func New(o Options) *Sources {
	if o.Suite == "" {
		o.Suite = suiteDefault
	}
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
	s := &Sources{o: o, download: newDownloader(o.Dir, o.Logf)}
	s.images = &registries{base: s.download.client.Transport, clients: map[string]*registryClient{}}
	s.vendored = newMirror(o.Mirror, o.Offline, s.download.client)
	s.origins = []origin{s.vendored, upstream{upstreamReleases}, newDebian(o, "/etc/apt")}
	return s
}

// Locked returns what req is locked to.
func (s *Sources) Locked(req Request) (Release, bool) {
	if s.o.Lock == nil {
		return Release{}, false
	}
	return s.o.Lock.Get(req)
}

// verifiedTime is the modification time of every verified archive. Whatever
// writes to one changes it, and the archive is hashed again before use.
var verifiedTime = time.Unix(1, 0)

// Cached returns the verified archive of r, if it is here.
func (s *Sources) Cached(r Release) (path string, ok bool) {
	if r.Files != nil {
		_, ok := s.cachedSet(r)
		return "", ok
	}
	path = s.download.archive(r)
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || (r.Bytes > 0 && info.Size() != r.Bytes) {
		return "", false
	}
	if info.ModTime().Equal(verifiedTime) {
		return path, true
	}
	sum, err := sha256File(path)
	if err != nil || sum != r.SHA256 {
		return "", false
	}
	// Where this fails, on a read-only file system, the next call hashes again.
	_ = os.Chtimes(path, verifiedTime, verifiedTime)
	return path, true
}

// Get answers req with an archive on disk that has the release's digest. The
// answer is the locked release; without one, that of the first origin from
// which the archive can be had, which is then locked. The error is a
// *FetchError when every origin was tried.
func (s *Sources) Get(ctx context.Context, req Request) (Release, string, error) {
	if err := checkName(req.Name); err != nil {
		return Release{}, "", err
	}
	if !seriesPattern.MatchString(req.Series) {
		return Release{}, "", fmt.Errorf("%s %q: not a version series, such as %s", req.Name, req.Series, strings.Join(KnownSeries(req.Name), ", "))
	}
	var want *Release
	if locked, ok := s.Locked(req); ok {
		if path, ok := s.Cached(locked); ok {
			return locked, path, nil
		}
		want = &locked
	}
	failed := &FetchError{Request: req, Locked: want, Offline: s.o.Offline}
	if want != nil {
		failed.LockedAt = s.o.Lock.where(req)
	}
	for _, o := range s.origins {
		r, path, err := s.from(ctx, o, req, want)
		if err == nil {
			if s.o.Lock != nil && want == nil {
				s.o.Lock.Set(r)
			}
			return r, path, nil
		}
		if ctx.Err() != nil {
			return Release{}, "", fmt.Errorf("%s %s: %w", req.Name, req.Series, context.Cause(ctx))
		}
		s.o.Logf("%s %s: %s: %v", req.Name, req.Series, o.name(), err)
		failed.Tried = append(failed.Tried, OriginError{o.name(), err})
	}
	return Release{}, "", failed
}

// errOffline is why an origin was not asked.
var errOffline = errors.New("not asked: offline")

// from gets req from one origin.
func (s *Sources) from(ctx context.Context, o origin, req Request, want *Release) (Release, string, error) {
	f, err := o.find(ctx, req, want)
	if err != nil {
		return Release{}, "", err
	}
	path, ok := s.Cached(f.release)
	if !ok {
		if f.path == "" && s.o.Offline {
			return Release{}, "", fmt.Errorf("%s is not in %s, and %w", f.release.File, s.o.Dir, errOffline)
		}
		progress := func(done, total int64) {
			s.o.Progress(f.release.Name+" "+f.release.Version, done, total)
		}
		if path, err = s.download.fetch(ctx, f, progress); err != nil {
			return Release{}, "", err
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		return Release{}, "", err
	}
	f.release.Bytes = info.Size()
	return f.release, path, nil
}

// OriginError is why one origin could not serve a request.
type OriginError struct {
	Origin string
	Err    error
}

// FetchError says what every origin answered. Its text is for people: one line
// an origin, then what to do.
type FetchError struct {
	Request  Request
	Locked   *Release // the release that was asked for, when it is locked
	LockedAt string   // file:line of it
	Offline  bool
	Tried    []OriginError
}

func (e *FetchError) Error() string {
	var b strings.Builder
	if e.Locked != nil {
		fmt.Fprintf(&b, "%s: %s %s is locked to sha256 %s, and no origin serves that archive:", e.LockedAt, e.Locked.Name, e.Locked.Version, e.Locked.SHA256)
	} else {
		fmt.Fprintf(&b, "%s %s: no origin could serve it:", e.Request.Name, e.Request.Series)
	}
	for _, t := range e.Tried {
		fmt.Fprintf(&b, "\n  %-9s %s", t.Origin+":", strings.ReplaceAll(t.Err.Error(), "\n", "\n            "))
	}
	switch {
	case e.Offline:
		b.WriteString("\nRun once without --offline, or name a mirror (filled on another machine by: leanlab sources vendor DIR).")
	case e.Locked != nil:
		b.WriteString("\nCheck the network; to take what the origins have now, run: leanlab sources lock")
	default:
		b.WriteString("\nCheck the network, or name a mirror (filled on another machine by: leanlab sources vendor DIR).")
	}
	return b.String()
}

// Unwrap returns what each origin answered.
func (e *FetchError) Unwrap() []error {
	var out []error
	for _, t := range e.Tried {
		out = append(out, t.Err)
	}
	return out
}

// archive is where the verified archive of r lies.
func (d *downloader) archive(r Release) string {
	return filepath.Join(d.dir, r.SHA256, r.File)
}
