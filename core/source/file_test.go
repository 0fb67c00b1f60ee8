package source

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testFile is one with testContent, whose only URL is url.
func testFile(url string) File {
	f := File{Path: "erlang/otp_src_27.1.tar.gz", Package: "erlang 27.1", SHA256: digest(testContent)}
	if url != "" {
		f.URLs = []string{url}
	}
	return f
}

func getFile(t *testing.T, s *Sources, f File, look ...string) (path, origin string) {
	t.Helper()
	path, origin, err := s.GetFile(t.Context(), f, look)
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, path, testContent)
	return path, origin
}

func TestAFileIsTakenFromWhereverItsDigestIs(t *testing.T) {
	t.Parallel()
	srv := serve(t, testContent, nil)
	look, mirror := t.TempDir(), filepath.Join(t.TempDir(), "mirror")
	write(t, filepath.Join(look, "erlang/otp_src_27.1.tar.gz"), string(testContent))
	if _, err := VendorFile(t.Context(), newTestSources(t, Options{}), testFile(srv.URL+"/a"), nil, mirror); err != nil {
		t.Fatal(err)
	}
	wantContent(t, filepath.Join(mirror, "erlang/otp_src_27.1.tar.gz"), testContent)
	local := filepath.Join(t.TempDir(), "f")
	write(t, local, string(testContent))
	for name, c := range map[string]struct {
		o      Options
		f      File
		look   []string
		origin string
	}{
		"a directory the caller names": {Options{Offline: true, Mirror: mirror}, testFile("http://127.0.0.1:1/"), []string{t.TempDir(), look}, OriginLook},
		"the mirror":                   {Options{Offline: true, Mirror: mirror}, testFile("http://127.0.0.1:1/"), nil, OriginMirror},
		"a URL":                        {Options{}, testFile(srv.URL + "/a"), nil, OriginUpstream},
		"a file URL":                   {Options{Offline: true}, testFile("file://" + local), nil, OriginUpstream},
	} {
		s := newTestSources(t, c.o)
		if _, origin := getFile(t, s, c.f, c.look...); origin != c.origin {
			t.Errorf("%s: origin %q, want %q", name, origin, c.origin)
		}
		if _, origin := getFile(t, s, testFile("")); origin != "" {
			t.Errorf("%s: fetched again, from %q", name, origin)
		}
	}
}

func TestAFileOfAnHTTPMirrorInASubdirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "erlang/otp_src_27.1.tar.gz"), string(testContent))
	write(t, filepath.Join(dir, "SHA256SUMS"), digest(testContent)+"  erlang/otp_src_27.1.tar.gz\n")
	lists := 0
	files := http.FileServer(http.Dir(dir))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "SHA256SUMS") {
			lists++
		}
		files.ServeHTTP(w, r)
	}))
	defer srv.Close()
	s := newTestSources(t, Options{Mirror: srv.URL})
	getFile(t, s, testFile(""))
	missing := testFile("")
	missing.SHA256 = digest([]byte("missing"))
	if _, _, err := s.GetFile(t.Context(), missing, nil); err == nil {
		t.Error("a file that the mirror does not list was found")
	}
	if lists != 1 {
		t.Errorf("the mirror's list was read %d times", lists)
	}
}

func TestAFileThatIsNowhereSaysWhereItWasSought(t *testing.T) {
	t.Parallel()
	wrong := serve(t, []byte("something else"), nil)
	f := testFile(wrong.URL + "/a")
	f.URLs = append(f.URLs, "http://127.0.0.1:1/b")
	_, _, err := newTestSources(t, Options{Mirror: t.TempDir()}).GetFile(t.Context(), f, nil)
	if err == nil {
		t.Fatal("found")
	}
	for _, want := range []string{"otp_src_27.1.tar.gz (erlang 27.1)", f.SHA256, "mirror: ", "is not the expected", "127.0.0.1:1", "debian: "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say %q", err, want)
		}
	}
}

func TestOfflineNoURLIsAskedForAFile(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("asked") }))
	defer srv.Close()
	s := newTestSources(t, Options{Offline: true})
	_, _, err := s.GetFile(t.Context(), testFile(srv.URL+"/a"), nil)
	if err == nil || !strings.Contains(err.Error(), "not asked: offline") {
		t.Errorf("%v", err)
	}
}

func TestDebiansArchiveHasAFileByItsDigestWhateverItsName(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	r.publish(t, "trixie", "other", "1.0", []byte("other"))
	r.publish(t, "sid", "erlang-otp", "27.1", testContent)
	s := r.sources(t, Options{})
	path, origin := getFile(t, s, testFile(""))
	if origin != OriginDebian || filepath.Base(path) != "otp_src_27.1.tar.gz" {
		t.Errorf("%s from %s", path, origin)
	}
	missing := testFile("")
	missing.SHA256 = digest([]byte("missing"))
	_, _, err := s.GetFile(t.Context(), missing, nil)
	if err == nil || !strings.Contains(err.Error(), "sid has no source archive with that digest") {
		t.Errorf("%v", err)
	}

	// What only the suite that this host's apt is set up with has.
	r = newRepository(t)
	r.publish(t, "trixie", "automake", "1.17", []byte("newer"))
	r.publish(t, "sid", "automake", "1.18", []byte("newest"))
	r.publish(t, "bookworm", "automake", "1.16", testContent)
	if _, origin := getFile(t, r.sources(t, Options{}), testFile("")); origin != OriginDebian {
		t.Errorf("from %s", origin)
	}
}

func TestALinkedFileIsTheVerifiedOne(t *testing.T) {
	t.Parallel()
	srv := serve(t, testContent, nil)
	verified, _ := getFile(t, newTestSources(t, Options{}), testFile(srv.URL))
	path := filepath.Join(t.TempDir(), "dl", "erlang", "otp.tar.gz")
	write(t, path, "cut short")
	for range 2 {
		if err := LinkFile(verified, path, digest(testContent)); err != nil {
			t.Fatal(err)
		}
		wantContent(t, path, testContent)
	}
}

func TestASecondFileOfThatNameDoesNotReplaceAVendoredOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	srv := serve(t, testContent, nil)
	if _, err := VendorFile(t.Context(), newTestSources(t, Options{}), testFile(srv.URL), nil, dir); err != nil {
		t.Fatal(err)
	}
	other := []byte("other")
	f := testFile(serve(t, other, nil).URL)
	f.SHA256 = digest(other)
	if _, err := VendorFile(context.Background(), newTestSources(t, Options{}), f, nil, dir); err == nil {
		t.Error("the vendored file was replaced")
	}
	wantContent(t, filepath.Join(dir, f.Path), testContent)
	if _, err := os.Stat(filepath.Join(dir, "index.hcl")); err == nil {
		t.Error("a file is not a release, and there is an index.hcl")
	}
}
