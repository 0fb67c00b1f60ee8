package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	connectTimeout = 10 * time.Second // also for the TLS handshake
	stallTimeout   = 30 * time.Second // no byte for that long ends an attempt
	attempts       = 4                // of an archive
	archiveMax     = 2 << 30          // of an archive whose size nobody vouches for
)

// downloader fetches archives into dir.
type downloader struct {
	dir    string
	logf   func(string, ...any)
	client *http.Client
	stall  time.Duration
	tries  int           // in a row without a byte gained
	pause  time.Duration // before the second attempt; doubled for each further one

	mu   *sync.Mutex
	dead map[string]error // hosts that could not be reached in this run, and why
}

func newDownloader(dir string, logf func(string, ...any)) downloader {
	return downloader{
		dir: dir, logf: logf, stall: stallTimeout, tries: attempts, pause: time.Second,
		client: newClient(http.ProxyFromEnvironment),
		mu:     new(sync.Mutex), dead: map[string]error{},
	}
}

func newClient(proxy func(*http.Request) (*url.URL, error)) *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:               proxy,
		DialContext:         (&net.Dialer{Timeout: connectTimeout, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: connectTimeout,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 2,
		IdleConnTimeout:     30 * time.Second,
		// Or a server could have the archive unpacked on the way, and its
		// digest would be another.
		DisableCompression: true,
	}}
}

// fetch brings f's archive to its place: under a lock, resuming what is there,
// and verified before it gets its name.
func (d *downloader) fetch(ctx context.Context, f found, progress func(done, total int64)) (string, error) {
	r := f.release
	partial := filepath.Join(d.dir, "partial")
	final := d.archive(r)
	for _, dir := range []string{partial, filepath.Dir(final)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", fmt.Errorf("make room for sources: %w", err)
		}
	}
	unlock, err := lockFile(ctx, filepath.Join(partial, r.SHA256+".lock"), func() {
		d.logf("%s: it is being fetched already: waiting for that", r.File)
	})
	if err != nil {
		return "", err
	}
	defer unlock()
	// Whoever held the lock may have fetched it.
	if sum, err := sha256File(final); err == nil && sum == r.SHA256 {
		return final, nil
	}

	part := filepath.Join(partial, r.SHA256+".part")
	from := filepath.Join(partial, r.SHA256+".from")
	if f.path != "" {
		err = d.copy(ctx, f.path, part, r, progress)
	} else {
		err = d.downloadVerified(ctx, f, part, from, progress)
	}
	if err != nil {
		return "", err
	}
	err = errors.Join(os.Chmod(part, 0o444), os.Chtimes(part, verifiedTime, verifiedTime))
	if err != nil {
		return "", err
	}
	os.Remove(from)
	return final, os.Rename(part, final)
}

// copy takes an archive from a directory.
func (d *downloader) copy(ctx context.Context, path, part string, r Release, progress func(done, total int64)) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if r.Bytes > 0 && info.Size() != r.Bytes {
		return fmt.Errorf("%s has %d bytes, not %d", path, info.Size(), r.Bytes)
	}
	out, err := os.Create(part)
	if err != nil {
		return err
	}
	w := &progressWriter{w: out, total: info.Size(), report: progress}
	_, err = io.Copy(w, contextReader{ctx, in})
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		os.Remove(part)
		return err
	}
	return verify(part, r, path)
}

// downloadVerified downloads and checks. An archive that was put together from
// an interrupted download and does not check out is fetched once more from its
// beginning: the earlier part may have been of another file.
func (d *downloader) downloadVerified(ctx context.Context, f found, part, from string, progress func(done, total int64)) error {
	// A process may have been killed between the last byte and the check.
	if sum, err := sha256File(part); err == nil && sum == f.release.SHA256 {
		return nil
	}
	for fresh := false; ; fresh = true {
		resumed, err := d.downloadAll(ctx, f, part, from, progress)
		if err != nil {
			return sayKept(err, part)
		}
		if err = verify(part, f.release, f.url); err == nil || fresh || !resumed {
			return err
		}
		d.logf("%s: the continued download does not check out; starting over", f.release.File)
	}
}

// MismatchError is an archive that is not what it should be.
type MismatchError struct {
	From, File string
	Want, Got  string // SHA-256
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("%s is not the expected %s (not kept)\n  expected sha256 %s\n  got      sha256 %s", e.From, e.File, e.Want, e.Got)
}

// verify removes path unless it has the release's digest.
func verify(path string, r Release, from string) error {
	sum, err := sha256File(path)
	if err != nil {
		return err
	}
	if sum != r.SHA256 {
		if err := os.Remove(path); err != nil {
			return err
		}
		return &MismatchError{From: from, File: r.File, Want: r.SHA256, Got: sum}
	}
	return nil
}

// downloadAll makes attempts until the .part is complete. resumed reports
// whether any of it was there before.
func (d *downloader) downloadAll(ctx context.Context, f found, part, from string, progress func(done, total int64)) (resumed bool, err error) {
	u, err := url.Parse(f.url)
	if err != nil {
		return false, err
	}
	if err := d.unreachable(u.Host); err != nil {
		return false, fmt.Errorf("%s: %w (seen earlier in this run)", f.url, err)
	}
	resumed = fileSize(part) > 0
	pause := d.pause
	for failures := 0; ; {
		before := fileSize(part)
		err := d.attempt(ctx, f, part, from, progress)
		var again *retryable
		if err == nil || !errors.As(err, &again) || ctx.Err() != nil {
			d.remember(u.Host, err)
			return resumed, err
		}
		resumed = true
		if failures++; fileSize(part) > before {
			failures, pause = 1, d.pause
		}
		if failures == d.tries {
			if failures > 1 {
				err = fmt.Errorf("%w (gave up after %d attempts)", err, failures)
			}
			return resumed, err
		}
		d.logf("%s: %v; trying again", f.release.File, err)
		select {
		case <-ctx.Done():
			return resumed, context.Cause(ctx)
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// unreachable answers from memory for a host that could not be reached, so
// that a build without network says so after one connect timeout, not after
// one for every source.
func (d *downloader) unreachable(host string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dead[host]
}

func (d *downloader) remember(host string, err error) {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.dead[host] = op
	}
}

// retryable is a failure that another attempt may not meet.
type retryable struct{ error }

func (r *retryable) Unwrap() error { return r.error }

// validator is kept beside a .part: where it comes from, and what If-Range
// needs so that a server whose file has changed sends all of it (RFC 9110,
// section 13.1.5).
type validator struct {
	URL          string `json:"url"`
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
}

func readValidator(path string) (v validator) {
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		return validator{}
	}
	return v
}

func (v validator) ifRange() string {
	// A weak ETag must not be used for ranges.
	if v.ETag != "" && !strings.HasPrefix(v.ETag, "W/") {
		return v.ETag
	}
	return v.LastModified
}

// sayKept adds what is there of a download that may be continued another time.
func sayKept(err error, part string) error {
	var again *retryable
	if n := fileSize(part); n > 0 && errors.As(err, &again) {
		return fmt.Errorf("%w; %d bytes are kept and will be continued", err, n)
	}
	return err
}

// fileSize is 0 where there is no file.
func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// attempt sends one request and appends what it brings to the .part.
func (d *downloader) attempt(ctx context.Context, f found, part, from string, progress func(done, total int64)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := &retryable{fmt.Errorf("%s: no data for %s", f.url, d.stall)}
	timer := time.AfterFunc(d.stall, func() { cancel(stalled) })
	defer timer.Stop()

	out, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	have, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if have > 0 && have == f.release.Bytes {
		return nil
	}
	resp, err := d.request(ctx, f, have, readValidator(from))
	if err != nil {
		if context.Cause(ctx) == error(stalled) {
			return stalled
		}
		return err
	}
	defer resp.Body.Close()

	have, total, err := d.position(resp, f, have)
	if err != nil {
		return err
	}
	if err := out.Truncate(have); err != nil {
		return err
	}
	if _, err := out.Seek(have, io.SeekStart); err != nil {
		return err
	}
	v, _ := json.Marshal(validator{f.url, resp.Header.Get("ETag"), resp.Header.Get("Last-Modified")})
	if err := writeFile(from, v); err != nil {
		return err
	}
	limit := int64(archiveMax)
	if total > 0 {
		limit = total
	}
	w := &progressWriter{w: out, done: have, total: total, report: progress}
	n, err := io.Copy(w, io.LimitReader(&stallReader{resp.Body, timer, d.stall}, limit-have+1))
	switch {
	case w.failed != nil:
		return fmt.Errorf("write %s: %w", part, w.failed)
	case context.Cause(ctx) == error(stalled):
		return stalled
	case err != nil:
		return &retryable{fmt.Errorf("%s: %w after %d bytes", f.url, err, have+n)}
	case total > 0 && have+n < total:
		return &retryable{fmt.Errorf("%s: ended after %d of %d bytes", f.url, have+n, total)}
	case have+n > limit:
		out.Truncate(0)
		return fmt.Errorf("%s: more than the expected %d bytes", f.url, limit)
	}
	return out.Sync()
}

// request asks for the archive from byte have on.
func (d *downloader) request(ctx context.Context, f found, have int64, v validator) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "leanlab")
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		if tag := v.ifRange(); tag != "" && v.URL == f.url {
			req.Header.Set("If-Range", tag)
		}
	}
	client := f.client
	if client == nil {
		client = d.client
	}
	resp, err := client.Do(req)
	if err == nil {
		return resp, nil
	}
	var wrapped *url.Error // it repeats the URL
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	err = fmt.Errorf("%s: %w", f.url, err)
	// Not reaching the host is not tried again: it took up to connectTimeout,
	// and another origin may be had at once.
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" || errors.Is(err, syscall.ENETUNREACH) {
		return nil, err
	}
	return nil, &retryable{err}
}

// position reads from the answer's header where its body goes in the file, and
// the file's size, 0 if unknown.
func (d *downloader) position(resp *http.Response, f found, have int64) (start, total int64, err error) {
	switch resp.StatusCode {
	case http.StatusOK:
		if resp.ContentLength > 0 {
			total = resp.ContentLength
		}
	case http.StatusPartialContent:
		start, total, err = parseContentRange(resp.Header.Get("Content-Range"))
		if err != nil || start != have {
			return 0, 0, fmt.Errorf("%s: asked for bytes from %d, got Content-Range %q", f.url, have, resp.Header.Get("Content-Range"))
		}
	case http.StatusRequestedRangeNotSatisfiable:
		// There is nothing after what we have, or the file has shrunk. The
		// next attempt starts over.
		if err := os.Truncate(filepath.Join(d.dir, "partial", f.release.SHA256+".part"), 0); err != nil {
			return 0, 0, err
		}
		return 0, 0, &retryable{fmt.Errorf("%s: has no byte %d", f.url, have)}
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return 0, 0, &retryable{fmt.Errorf("%s: %s", f.url, resp.Status)}
	default:
		return 0, 0, fmt.Errorf("%s: %s", f.url, resp.Status)
	}
	if want := f.release.Bytes; want > 0 && total > 0 && total != want {
		return 0, 0, fmt.Errorf("%s has %d bytes, not the expected %d", f.url, total, want)
	}
	if total == 0 {
		total = f.release.Bytes
	}
	if total > archiveMax {
		return 0, 0, fmt.Errorf("%s has %d bytes; no source archive is that big (limit %d)", f.url, total, int64(archiveMax))
	}
	return start, total, nil
}

// parseContentRange reads "bytes 100-199/200" (RFC 9110, section 14.4); an
// unknown size, "*", is 0.
func parseContentRange(s string) (start, total int64, err error) {
	bad := fmt.Errorf("bad Content-Range %q", s)
	span, ok := strings.CutPrefix(s, "bytes ")
	if !ok {
		return 0, 0, bad
	}
	span, size, ok := strings.Cut(span, "/")
	first, last, ok2 := strings.Cut(span, "-")
	if !ok || !ok2 {
		return 0, 0, bad
	}
	start, err = strconv.ParseInt(first, 10, 64)
	if err != nil || start < 0 {
		return 0, 0, bad
	}
	end, err := strconv.ParseInt(last, 10, 64)
	if err != nil || end < start {
		return 0, 0, bad
	}
	if size != "*" {
		if total, err = strconv.ParseInt(size, 10, 64); err != nil || total <= end {
			return 0, 0, bad
		}
	}
	return start, total, nil
}

// stallReader restarts the timer with every read that brings something.
type stallReader struct {
	r     io.Reader
	timer *time.Timer
	stall time.Duration
}

func (s *stallReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if n > 0 {
		s.timer.Reset(s.stall)
	}
	return n, err
}

// progressWriter reports at most every 100 ms, and at the end of the archive.
type progressWriter struct {
	w           io.Writer
	done, total int64
	report      func(done, total int64)
	last        time.Time
	failed      error // a failure to write, as opposed to one to read
}

func (p *progressWriter) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	p.failed = err
	p.done += int64(n)
	if now := time.Now(); p.done == p.total || now.Sub(p.last) >= 100*time.Millisecond {
		p.last = now
		p.report(p.done, p.total)
	}
	return n, err
}

// contextReader ends a copy when the context does.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}

func sha256File(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
