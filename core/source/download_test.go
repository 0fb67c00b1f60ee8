package source

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// server serves content, and records the requests that reach it.
type server struct {
	*httptest.Server
	content []byte
	etag    string
	// first answers the first request; nil: as the others.
	first func(w http.ResponseWriter, r *http.Request)

	mu       sync.Mutex
	requests []string // "Range" of each
}

func serve(t *testing.T, content []byte, first func(w http.ResponseWriter, r *http.Request)) *server {
	t.Helper()
	s := &server{content: content, etag: `"1"`, first: first}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.Header.Get("Range"))
	n := len(s.requests)
	s.mu.Unlock()
	w.Header().Set("ETag", s.etag)
	if n == 1 && s.first != nil {
		s.first(w, r)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(s.content)))
}

func (s *server) seen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.requests, " | ")
}

// half announces all of b and sends half of it.
func half(w http.ResponseWriter, b []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.Write(b[:len(b)/2])
	w.(http.Flusher).Flush()
}

// leftovers lists what lies in the cache but lock files and empty directories.
func leftovers(t *testing.T, dir string) string {
	t.Helper()
	var out []string
	for _, name := range tree(t, dir) {
		if !strings.HasSuffix(name, ".lock") && !strings.HasSuffix(name, "/") {
			out = append(out, name)
		}
	}
	return strings.Join(out, " ")
}

func TestAnArchiveIsFetchedVerifiedAndKept(t *testing.T) {
	t.Parallel()
	srv := serve(t, testContent, nil)
	want := testRelease(srv.URL)
	var last [2]int64
	s := newTestSources(t, Options{Progress: func(name string, done, total int64) {
		if name != "erlang 27.1" {
			t.Errorf("progress of %q", name)
		}
		last = [2]int64{done, total}
	}}, want)
	r, path := get(t, s, want.request())
	want.Bytes = int64(len(testContent))
	if !reflect.DeepEqual(r, want) {
		t.Errorf("got %+v, want %+v", r, want)
	}
	wantContent(t, path, testContent)
	if last != [2]int64{want.Bytes, want.Bytes} {
		t.Errorf("progress ended at %v", last)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o444 {
		t.Errorf("mode %v, %v; want read-only", info.Mode(), err)
	}
	srv.Close()
	if _, again := get(t, newTestSources(t, Options{Dir: s.o.Dir, Offline: true}, want), want.request()); again != path {
		t.Errorf("then found in %s, want %s", again, path)
	}
}

func TestAnInterruptedDownloadIsContinued(t *testing.T) {
	t.Parallel()
	srv := serve(t, testContent, func(w http.ResponseWriter, r *http.Request) { half(w, testContent) })
	r := testRelease(srv.URL)
	_, path := get(t, newTestSources(t, Options{}, r), r.request())
	wantContent(t, path, testContent)
	if got, want := srv.seen(), fmt.Sprintf(" | bytes=%d-", len(testContent)/2); got != want {
		t.Errorf("ranges asked for: %q, want %q", got, want)
	}
}

func TestADownloadOfAKilledProcessIsContinued(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	srv := serve(t, testContent, func(w http.ResponseWriter, r *http.Request) {
		half(w, testContent)
		<-release
	})
	defer close(release)
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(exe)
	child.Env = append(os.Environ(), childURL+"="+srv.URL, childDir+"="+dir)
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	r := testRelease(srv.URL)
	part := filepath.Join(dir, "partial", r.SHA256+".part")
	for {
		if info, err := os.Stat(part); err == nil && info.Size() == int64(len(testContent)/2) {
			break
		}
		select {
		case <-t.Context().Done():
			t.Fatal("the child never wrote half of the archive")
		case <-time.After(5 * time.Millisecond):
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	child.Wait()

	s := newTestSources(t, Options{Dir: dir}, r)
	if path, ok := s.Cached(r); ok {
		t.Fatalf("half an archive is taken for whole: %s", path)
	}
	_, path := get(t, s, r.request())
	wantContent(t, path, testContent)
	if got, want := srv.seen(), fmt.Sprintf(" | bytes=%d-", len(testContent)/2); got != want {
		t.Errorf("ranges asked for: %q, want %q", got, want)
	}
	if got, want := leftovers(t, dir), filepath.Join(r.SHA256, r.File)+" -r--r--r--"; got != want {
		t.Errorf("in the cache: %q, want %q", got, want)
	}
}

func TestAContinuedDownloadOfAChangedFileStartsOver(t *testing.T) {
	t.Parallel()
	for name, etag := range map[string]string{
		"the server's ETag says so":      `"2"`,
		"only the digest can tell apart": `"1"`,
	} {
		srv := serve(t, testContent, nil)
		r := testRelease(srv.URL)
		s := newTestSources(t, Options{}, r)
		partial := filepath.Join(s.o.Dir, "partial", r.SHA256)
		write(t, partial+".part", "of another file")
		write(t, partial+".from", `{"url":"`+srv.URL+`","etag":"\"1\""}`)
		srv.etag = etag
		_, path := get(t, s, r.request())
		wantContent(t, path, testContent)
		if !strings.HasPrefix(srv.seen(), "bytes=15-") {
			t.Errorf("%s: ranges asked for: %q", name, srv.seen())
		}
	}
}

func TestACompleteDownloadThatWasNotCheckedYetIsNotFetchedAgain(t *testing.T) {
	t.Parallel()
	srv := serve(t, testContent, nil)
	r := testRelease(srv.URL)
	s := newTestSources(t, Options{}, r)
	write(t, filepath.Join(s.o.Dir, "partial", r.SHA256+".part"), string(testContent))
	_, path := get(t, s, r.request())
	wantContent(t, path, testContent)
	if got := srv.seen(); got != "" {
		t.Errorf("ranges asked for: %q, want no request", got)
	}
}

func TestAPartLongerThanTheFileStartsOver(t *testing.T) {
	t.Parallel()
	srv := serve(t, testContent, nil)
	r := testRelease(srv.URL)
	s := newTestSources(t, Options{}, r)
	write(t, filepath.Join(s.o.Dir, "partial", r.SHA256+".part"), string(testContent)+"and more")
	_, path := get(t, s, r.request())
	wantContent(t, path, testContent)
}

// refused has Get fail, and returns what upstream's origin said.
func refused(t *testing.T, s *Sources, req Request) string {
	t.Helper()
	_, path, err := s.Get(t.Context(), req)
	var f *FetchError
	if !errors.As(err, &f) {
		t.Fatalf("got %q, %v; want a FetchError", path, err)
	}
	for _, o := range f.Tried {
		if o.Origin == OriginUpstream {
			return o.Err.Error()
		}
	}
	t.Fatalf("upstream was not tried: %v", err)
	return ""
}

func TestATamperedArchiveIsRemovedAndBothDigestsShown(t *testing.T) {
	t.Parallel()
	evil := append([]byte("evil"), testContent[4:]...)
	srv := serve(t, evil, nil)
	r := testRelease(srv.URL)
	s := newTestSources(t, Options{}, r)
	said := refused(t, s, r.request())
	want := fmt.Sprintf("%s is not the expected otp_src_27.1.tar.gz (not kept)\n  expected sha256 %s\n  got      sha256 %s", srv.URL, r.SHA256, digest(evil))
	if said != want {
		t.Errorf("said %s\nwant %s", said, want)
	}
	if got := srv.seen(); got != "" {
		t.Errorf("ranges asked for: %q, want one request", got)
	}
	if got := leftovers(t, s.o.Dir); strings.Contains(got, ".part") || strings.Contains(got, r.File) {
		t.Errorf("left in the cache: %q", got)
	}
}

func TestServersThatCannotServeAreReported(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		bytes   int64
		handler http.HandlerFunc
		want    string
	}{
		{"missing", 0, http.NotFound, ": 404 Not Found"},
		{"another length", 7, func(w http.ResponseWriter, r *http.Request) { half(w, testContent) }, "has 3145728 bytes, not the expected 7"},
		{"longer than announced by the lock", 7, func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush() // no Content-Length
			w.Write(testContent)
		}, "more than the expected 7 bytes"},
		{"always broken", 0, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusBadGateway) }, ": 502 Bad Gateway (gave up after 4 attempts)"},
		{"closes", 0, func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, ": EOF (gave up after 4 attempts"},
		{"rubbish range", 0, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") == "" {
				half(w, testContent)
				panic(http.ErrAbortHandler)
			}
			w.Header().Set("Content-Range", "bytes 5-6/7")
			w.WriteHeader(http.StatusPartialContent)
		}, `: asked for bytes from 1572864, got Content-Range "bytes 5-6/7"`},
		{"too big to be a source", 0, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "99999999999")
			w.WriteHeader(http.StatusOK)
		}, "no source archive is that big"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(c.handler)
			defer srv.Close()
			r := testRelease(srv.URL + "/otp.tar.gz")
			r.Bytes = c.bytes
			said := refused(t, newTestSources(t, Options{}, r), r.request())
			if !strings.HasPrefix(said, r.URL) || !strings.Contains(said, c.want) {
				t.Errorf("said %s, want %s", said, c.want)
			}
		})
	}
}

func TestAServerThatStallsIsGivenUpAndTheRestFetchedLater(t *testing.T) {
	t.Parallel()
	stall := func(w http.ResponseWriter, r *http.Request) {
		half(w, testContent)
		<-r.Context().Done()
	}
	srv := serve(t, testContent, stall)
	r := testRelease(srv.URL)
	s := newTestSources(t, Options{}, r)
	s.download.stall = 500 * time.Millisecond
	_, path := get(t, s, r.request())
	wantContent(t, path, testContent)
	if got, want := srv.seen(), fmt.Sprintf(" | bytes=%d-", len(testContent)/2); !strings.HasPrefix(got, want) {
		t.Errorf("ranges asked for: %q, want %q", got, want)
	}

	silent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer silent.Close()
	r = testRelease(silent.URL)
	s = newTestSources(t, Options{}, r)
	s.download.stall = 20 * time.Millisecond
	if got, want := refused(t, s, r.request()), "no data for 20ms (gave up after 4 attempts)"; !strings.Contains(got, want) {
		t.Errorf("said %q, want %q", got, want)
	}
}

func TestWhatIsKeptOfADownloadIsSaid(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		half(w, testContent)
		panic(http.ErrAbortHandler)
	}))
	defer srv.Close()
	r := testRelease(srv.URL)
	s := newTestSources(t, Options{}, r)
	kept := fmt.Sprintf("%d bytes are kept and will be continued", len(testContent)/2)
	if got := refused(t, s, r.request()); !strings.Contains(got, kept) {
		t.Errorf("said %q, want %q", got, kept)
	}
	if got := leftovers(t, s.o.Dir); !strings.Contains(got, r.SHA256+".part") {
		t.Errorf("left in the cache: %q", got)
	}

	// Of a file without a digest nobody could tell what the rest belongs to.
	s = newTestSources(t, Options{})
	_, _, err := s.GetFiles(t.Context(), somePackages, []string{srv.URL}, resolvePackages)
	if err == nil || strings.Contains(err.Error(), "kept") {
		t.Errorf("said %v", err)
	}
	if got := leftovers(t, s.o.Dir); got != "" {
		t.Errorf("left in the cache: %q", got)
	}
}

func TestTwoGetsAtOnceDownloadOnce(t *testing.T) {
	t.Parallel()
	waiting := make(chan struct{})
	srv := serve(t, testContent, func(w http.ResponseWriter, r *http.Request) {
		<-waiting // so that the other is certain to come in between
		w.Write(testContent)
	})
	r := testRelease(srv.URL)
	dir := t.TempDir()
	var once sync.Once
	logf := func(format string, args ...any) {
		if strings.Contains(format, "is being fetched already") {
			once.Do(func() { close(waiting) })
		}
	}
	// Each has lock files of its own open, as two processes would.
	paths := make(chan string, 2)
	for range 2 {
		go func() {
			_, path, err := newTestSources(t, Options{Dir: dir, Logf: logf}, r).Get(t.Context(), r.request())
			if err != nil {
				t.Error(err)
			}
			paths <- path
		}()
	}
	if a, b := <-paths, <-paths; a != b || a == "" {
		t.Errorf("got %q and %q", a, b)
	}
	if got := srv.seen(); got != "" {
		t.Errorf("requests with ranges %q, want one without", got)
	}
}

func TestCancellingStopsADownloadAndKeepsThePart(t *testing.T) {
	t.Parallel()
	stop := errors.New("interrupted by the user")
	ctx, cancel := context.WithCancelCause(t.Context())
	srv := serve(t, testContent, func(w http.ResponseWriter, r *http.Request) {
		half(w, testContent)
		<-r.Context().Done()
	})
	r := testRelease(srv.URL)
	s := newTestSources(t, Options{Progress: func(_ string, done, _ int64) { cancel(stop) }}, r)
	if _, _, err := s.Get(ctx, r.request()); !errors.Is(err, stop) {
		t.Errorf("got %v, want %v", err, stop)
	}
	if got := leftovers(t, s.o.Dir); !strings.Contains(got, r.SHA256+".part") {
		t.Errorf("kept: %q", got)
	}
}

func TestAHostThatCannotBeReachedIsTriedOncePerRun(t *testing.T) {
	t.Parallel()
	srv := serve(t, testContent, nil)
	srv.Close() // connections are refused from here on
	a, b := testRelease(srv.URL+"/a"), testRelease(srv.URL+"/b")
	b.Series, b.Version, b.SHA256 = "28", "28.1", strings.Repeat("0", 64)
	s := newTestSources(t, Options{}, a, b)
	if got := refused(t, s, a.request()); !strings.Contains(got, "connection refused") || strings.Contains(got, "gave up") {
		t.Errorf("first: %s", got)
	}
	if got, want := refused(t, s, b.request()), b.URL+": dial tcp"; !strings.HasPrefix(got, want) || !strings.Contains(got, "seen earlier in this run") {
		t.Errorf("then: %s", got)
	}
}

func TestAnArchiveThatWasChangedInTheCacheIsFetchedAgain(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(path string) error{
		"changed": func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteAt([]byte("x"), 100)
			return err
		},
		"cut":     func(path string) error { return os.Truncate(path, 100) },
		"emptied": func(path string) error { return os.Truncate(path, 0) },
	} {
		srv := serve(t, testContent, nil)
		r := testRelease(srv.URL)
		s := newTestSources(t, Options{}, r)
		_, path := get(t, s, r.request())
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := spoil(path); err != nil {
			t.Fatal(err)
		}
		if _, ok := s.Cached(r); ok {
			t.Errorf("%s: still taken for verified", name)
		}
		_, path = get(t, s, r.request())
		wantContent(t, path, testContent)
	}
}

func TestContentRanges(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in           string
		start, total int64
		ok           bool
	}{
		{"bytes 5-9/10", 5, 10, true},
		{"bytes 5-9/*", 5, 0, true},
		{"bytes 5-9/9", 0, 0, false},
		{"bytes 9-5/10", 0, 0, false},
		{"bytes -9/10", 0, 0, false},
		{"bytes */10", 0, 0, false},
		{"bytes 5-9", 0, 0, false},
		{"bytes 5-99999999999999999999/10", 0, 0, false},
		{"lines 5-9/10", 0, 0, false},
		{"", 0, 0, false},
	} {
		start, total, err := parseContentRange(c.in)
		if (err == nil) != c.ok || c.ok && (start != c.start || total != c.total) {
			t.Errorf("%q: %d, %d, %v", c.in, start, total, err)
		}
	}
}
