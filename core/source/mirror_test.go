package source

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// vendored returns a mirror directory with testRelease, whose upstream is gone.
func vendored(t *testing.T) (dir string, r Release) {
	t.Helper()
	srv := serve(t, testContent, nil)
	r = testRelease(srv.URL + "/otp.tar.gz")
	dir = filepath.Join(t.TempDir(), "mirror")
	if err := vendor(t.Context(), newTestSources(t, Options{}, r), []Request{r.request()}, dir); err != nil {
		t.Fatal(err)
	}
	srv.Close()
	return dir, r
}

func newLock(t *testing.T, releases ...Release) *Lock {
	t.Helper()
	l, err := LoadLock(filepath.Join(t.TempDir(), "leanlab.lock"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range releases {
		l.Set(r)
	}
	if err := l.Save(); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestAVendoredMirrorServesWithoutNetwork(t *testing.T) {
	t.Parallel()
	dir, r := vendored(t)
	wantContent(t, filepath.Join(dir, "SHA256SUMS"), fmt.Appendf(nil, "%s  %s\n", r.SHA256, r.File))
	lock := newLock(t)
	got, path := get(t, newTestSources(t, Options{Mirror: dir, Offline: true, Lock: lock}), r.request())
	wantContent(t, path, testContent)
	r.Origin, r.Bytes = OriginMirror, int64(len(testContent))
	if !reflect.DeepEqual(got, r) {
		t.Errorf("got %+v\nwant %+v", got, r)
	}
	if locked, ok := lock.Get(r.request()); !ok || !reflect.DeepEqual(locked, r) {
		t.Errorf("locked: %+v, %t", locked, ok)
	}
}

func TestAMirrorServesOverHTTP(t *testing.T) {
	t.Parallel()
	dir, r := vendored(t)
	srv := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer srv.Close()
	got, path := get(t, newTestSources(t, Options{Mirror: srv.URL + "/"}), r.request())
	wantContent(t, path, testContent)
	if got.URL != r.URL {
		t.Errorf("URL %s, want that of where it was published, %s", got.URL, r.URL)
	}
	said := fails(t, newTestSources(t, Options{Mirror: srv.URL, Offline: true}), r.request())
	if want := "mirror:   " + srv.URL + " not asked: offline"; !strings.Contains(said, want) {
		t.Errorf("said %s\nwant %s", said, want)
	}
}

func TestAHandMadeMirrorServesALockedRelease(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := testRelease("https://example.org/otp_src_27.1.tar.gz")
	write(t, filepath.Join(dir, "renamed.tar.gz"), string(testContent))
	write(t, filepath.Join(dir, "SHA256SUMS"), "# ours\n"+r.SHA256+" *renamed.tar.gz\n")
	got, path := get(t, newTestSources(t, Options{Mirror: dir, Offline: true, Lock: newLock(t, r)}), r.request())
	wantContent(t, path, testContent)
	r.Bytes = int64(len(testContent))
	if !reflect.DeepEqual(got, r) {
		t.Errorf("got %+v, want the locked %+v", got, r)
	}
}

func TestVendoringAgainAddsAndRepairs(t *testing.T) {
	t.Parallel()
	dir, r := vendored(t)
	write(t, filepath.Join(dir, r.File), "cut short")
	other := bytes.Repeat([]byte("other"), 1000)
	srv := serve(t, other, nil)
	r2 := Release{Name: "busybox", Series: "1.37", Version: "1.37.0", URL: srv.URL, File: "busybox-1.37.0.tar.bz2", SHA256: digest(other)}
	srv1 := serve(t, testContent, nil)
	r.URL = srv1.URL
	s := newTestSources(t, Options{}, r, r2)
	if err := vendor(t.Context(), s, []Request{r2.request(), r.request()}, dir); err != nil {
		t.Fatal(err)
	}
	wantContent(t, filepath.Join(dir, r.File), testContent)
	wantContent(t, filepath.Join(dir, r2.File), other)
	want := []string{"SHA256SUMS", r2.File, "index.hcl", r.File}
	if got := strings.Join(tree(t, dir), " "); got != strings.Join(want, " ") {
		t.Errorf("in the mirror: %s, want %s", got, want)
	}

	changed := r
	changed.SHA256, changed.Version, changed.Series = digest(other), "28.1", "28"
	changed.URL = srv.URL
	err := vendor(t.Context(), newTestSources(t, Options{}, changed), []Request{changed.request()}, dir)
	if err == nil || !strings.Contains(err.Error(), "another archive with that name, sha256 "+r.SHA256) {
		t.Errorf("a second archive with the same name: %v", err)
	}
}

// fails returns the text of Get's error.
func fails(t *testing.T, s *Sources, req Request) string {
	t.Helper()
	r, _, err := s.Get(t.Context(), req)
	if err == nil {
		t.Fatalf("got %+v", r)
	}
	return err.Error()
}

func TestMirrorsThatCannotServeSayWhy(t *testing.T) {
	t.Parallel()
	dir, r := vendored(t)
	index, err := os.ReadFile(filepath.Join(dir, "index.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	evil := bytes.Replace(index, []byte(`"`+r.File+`"`), []byte(`"../`+r.File+`"`), 1)
	for _, c := range []struct {
		name  string
		spoil func(dir string)
		req   Request
		want  string
	}{
		{"no index", func(dir string) {}, r.request(), "index.hcl: no such file"},
		{"another series", func(dir string) { write(t, dir+"/index.hcl", string(index)) }, Request{Name: "erlang", Series: "28"}, "index.hcl lists no erlang 28; it has 27"},
		{"another name", func(dir string) { write(t, dir+"/index.hcl", string(index)) }, Request{Name: "linux", Series: "6.12"}, "index.hcl lists no linux"},
		{"no archive", func(dir string) { write(t, dir+"/index.hcl", string(index)) }, r.request(), r.File + ": no such file"},
		{"archive cut short", func(dir string) {
			write(t, dir+"/index.hcl", string(index))
			write(t, filepath.Join(dir, r.File), "cut")
		}, r.request(), "has 3 bytes, not 3145728"},
		{"archive tampered with", func(dir string) {
			write(t, dir+"/index.hcl", string(index))
			write(t, filepath.Join(dir, r.File), "evil"+string(testContent[4:]))
		}, r.request(), "is not the expected otp_src_27.1.tar.gz"},
		{"a path in the index", func(dir string) { write(t, dir+"/index.hcl", string(evil)) }, r.request(), `index.hcl:3: file "../otp_src_27.1.tar.gz" is not a plain file name`},
	} {
		dir := t.TempDir()
		c.spoil(dir)
		said := fails(t, newTestSources(t, Options{Mirror: dir, Offline: true}), c.req)
		if !strings.Contains(said, "mirror:   ") || !strings.Contains(said, c.want) {
			t.Errorf("%s: said %s\nwant %s", c.name, said, c.want)
		}
	}
	// A mirror's own archive stays, whatever was wrong with it.
	spoilt := t.TempDir()
	write(t, spoilt+"/index.hcl", string(index))
	write(t, filepath.Join(spoilt, r.File), "evil"+string(testContent[4:]))
	fails(t, newTestSources(t, Options{Mirror: spoilt, Offline: true}), r.request())
	if _, err := os.Stat(filepath.Join(spoilt, r.File)); err != nil {
		t.Error(err)
	}
}

func TestWithoutNetworkEveryOriginSaysWhy(t *testing.T) {
	t.Parallel()
	srv := serve(t, testContent, nil)
	srv.Close()
	r := testRelease(srv.URL + "/otp.tar.gz")
	s := newTestSources(t, Options{}, r)
	etc := s.origins[2].(*debian).aptEtc
	got := fails(t, s, r.request())
	address := strings.TrimPrefix(srv.URL, "http://")
	want := "erlang 27: no origin could serve it:\n" +
		"  mirror:   none named\n" +
		"  upstream: " + r.URL + ": dial tcp " + address + ": connect: connection refused\n" +
		"  debian:   no apt sources in " + etc + ": this is not a Debian host\n" +
		"Check the network, or name a mirror (filled on another machine by: leanlab sources vendor DIR)."
	if !reflect.DeepEqual(got, want) {
		t.Errorf("said %s\nwant %s", got, want)
	}
}

func TestOfflineAsksNoOne(t *testing.T) {
	t.Parallel()
	srv := serve(t, testContent, func(http.ResponseWriter, *http.Request) { t.Error("the network was used") })
	r := testRelease(srv.URL)
	s := newTestSources(t, Options{Offline: true}, r)
	got := fails(t, s, r.request())
	want := "erlang 27: no origin could serve it:\n" +
		"  mirror:   none named\n" +
		"  upstream: otp_src_27.1.tar.gz is not in " + s.o.Dir + ", and not asked: offline\n" +
		"  debian:   nothing is locked, and not asked: offline\n" +
		"Run once without --offline, or name a mirror (filled on another machine by: leanlab sources vendor DIR)."
	if !reflect.DeepEqual(got, want) {
		t.Errorf("said %s\nwant %s", got, want)
	}
}

func TestALockedReleaseIsTakenFromTheLockAndNothingElse(t *testing.T) {
	t.Parallel()
	srv := serve(t, testContent, nil)
	locked := testRelease(srv.URL + "/27.1")
	newer := testRelease(srv.URL + "/27.2")
	newer.Version, newer.SHA256 = "27.2", strings.Repeat("2", 64)
	lock := newLock(t, locked)

	// Upstream's table has moved on; the old URL still serves.
	got, path := get(t, newTestSources(t, Options{Lock: lock}, newer), locked.request())
	wantContent(t, path, testContent)
	if got.Version != "27.1" {
		t.Errorf("got version %s", got.Version)
	}

	// Now it serves something else.
	srv.content = []byte("replaced")
	s := newTestSources(t, Options{Lock: lock}, newer)
	said := fails(t, s, locked.request())
	for _, want := range []string{
		lock.Path() + ":4: erlang 27.1 is locked to sha256 " + locked.SHA256 + ", and no origin serves that archive:",
		"upstream: " + srv.URL + "/27.1 is not the expected otp_src_27.1.tar.gz (not kept)",
		"got      sha256 " + digest([]byte("replaced")),
		"run: leanlab sources lock",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("said %s\nwant %s", said, want)
		}
	}
	if still, _ := lock.Get(locked.request()); !reflect.DeepEqual(still, locked) {
		t.Errorf("the lock is now %+v", still)
	}
}

func FuzzParseSums(f *testing.F) {
	f.Add([]byte(strings.Repeat("0", 64) + "  a.tar.gz\n"))
	f.Add([]byte(strings.Repeat("0", 64) + " *../a\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		sums, err := parseSums(text)
		if err != nil {
			return
		}
		for _, s := range sums {
			if len(s.sha256) != 64 || s.file != filepath.Base(s.file) || s.file == ".." {
				t.Errorf("%+v", s)
			}
		}
	})
}
