package source

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDebianMirrorsComeFromTheHostsAptSources(t *testing.T) {
	t.Parallel()
	const keyring = debianKeyring
	for _, c := range []struct {
		name  string
		files map[string]string
		want  []aptEntry // URI and SignedBy are compared, and Suites where there are some
		err   string
	}{
		{"one-line", map[string]string{"sources.list": `
# deb http://commented.example/debian trixie main
deb http://mirror.example/debian/ bookworm main contrib # ours
deb http://mirror.example/debian bookworm-updates main
deb http://mirror.example/debian-security bookworm-security main
deb-src [ arch=amd64 signed-by=/k.gpg ] https://other.example/debian trixie main
`}, []aptEntry{{URI: "http://mirror.example/debian", SignedBy: keyring, Suites: []string{"bookworm", "bookworm-updates"}}, {URI: "https://other.example/debian", SignedBy: "/k.gpg"}}, ""},
		{"deb822", map[string]string{"sources.list.d/debian.sources": `
Types: deb
# a comment
URIs: http://mirror.example/debian
 https://second.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/ours.gpg

Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb
URIs: http://inline.example/debian
Suites: trixie
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 xyz
`}, []aptEntry{
			{URI: "http://mirror.example/debian", SignedBy: "/usr/share/keyrings/ours.gpg"},
			{URI: "https://second.example/debian", SignedBy: "/usr/share/keyrings/ours.gpg"},
			{URI: "http://inline.example/debian", SignedBy: keyring},
		}, ""},
		{"others' archives, and a mirror with a name of its own", map[string]string{
			"sources.list.d/a.list":    "deb https://repo.example/docker/linux/debian bookworm stable\n",
			"sources.list.d/b.sources": "Types: deb\nURIs: https://repo.example/node\nSuites: nodistro\nComponents: main\n",
			"sources.list.d/c.list":    "deb https://repo.example/remote bookworm main\n",
			"sources.list.d/d.list":    "deb https://z.example/debian bookworm main\n",
			"sources.list.d/e.save":    "deb https://old.example/debian bookworm main\n",
		}, []aptEntry{{URI: "https://z.example/debian", SignedBy: keyring}, {URI: "https://repo.example/remote", SignedBy: keyring}}, ""},
		{"cloud image", map[string]string{
			"mirrors/debian.list":           "https://cloud.example/debian\n",
			"sources.list.d/debian.sources": "Types: deb\nURIs: mirror+file:ETC/mirrors/debian.list\nSuites: trixie\nComponents: main\n",
		}, []aptEntry{{URI: "https://cloud.example/debian", SignedBy: keyring}}, ""},
		{"nothing that could be injected", map[string]string{"sources.list": "deb http://x.example/\";/debian trixie main\ndeb [signed-by=/k\";] http://y.example/debian trixie main\n"},
			[]aptEntry{{URI: "http://y.example/debian", SignedBy: keyring}}, ""},
		{"no Debian", map[string]string{"sources.list": "deb http://archive.example/ubuntu noble main\n"}, nil, "is set up with no archive of Debian (read: ETC/sources.list)"},
		{"no apt", nil, nil, "no apt sources in ETC: this is not a Debian host"},
	} {
		etc := t.TempDir()
		for name, text := range c.files {
			write(t, filepath.Join(etc, name), strings.ReplaceAll(text, "ETC", etc))
		}
		got, err := debianMirrors(etc)
		if c.err != "" {
			if want := strings.ReplaceAll(c.err, "ETC", etc); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", c.name, err, want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		same := func(a, b aptEntry) bool {
			return a.URI == b.URI && a.SignedBy == b.SignedBy && (b.Suites == nil || slices.Equal(a.Suites, b.Suites))
		}
		if !slices.EqualFunc(got, c.want, same) {
			t.Errorf("%s: got %+v\nwant %+v", c.name, got, c.want)
		}
	}
}

const erlangStanza = `Package: erlang
Binary: erlang-base, erlang-asn1
Version: 1:27.3.4.1+dfsg-1+deb13u3
Files:
 2dc1f345c534e281ca125c2256344238 4945 erlang_27.3.4.1+dfsg-1+deb13u3.dsc
Checksums-Sha256:
 698cabb961a0d38b31465cc35195f92085f5c569d5a4b53b3be9f7df110a9ff2 4945 erlang_27.3.4.1+dfsg-1+deb13u3.dsc
 0834643ef1e17886d5e334a39527d8429bcf50613b86d59d4757466f32984b7e 47613664 erlang_27.3.4.1+dfsg.orig.tar.xz
 3499b90f23dedc9df7634527f06862ab5f1acded5c4b22bf4eab23b2fbd68b7f 150788 erlang_27.3.4.1+dfsg-1+deb13u3.debian.tar.xz
Directory: pool/main/e/erlang

`

func TestTheOrigTarballOfTheSeriesIsChosenFromASourcesIndex(t *testing.T) {
	t.Parallel()
	erlang27 := Request{Name: "erlang", Series: "27"}
	elixir := "Package: elixir-lang\nVersion: 1.18.3.dfsg-1.1\nDirectory: pool/main/e/elixir-lang\nChecksums-Sha256:\n 3620a200199328950e309ab1994c014311ee46440d8692a331ad6509edce582f 1869052 elixir-lang_1.18.3.dfsg.orig.tar.xz\n\n"
	newer := strings.NewReplacer("27.3.4.1", "27.3.4.10", "0834643e", "aaaaaaaa").Replace(erlangStanza)
	for _, c := range []struct {
		name, index   string
		req           Request
		version, file string
		err           string
	}{
		{"in the series", erlangStanza, erlang27, "27.3.4.1", "erlang_27.3.4.1+dfsg.orig.tar.xz", ""},
		{"the newest", erlangStanza + newer + erlangStanza, erlang27, "27.3.4.10", "erlang_27.3.4.10+dfsg.orig.tar.xz", ""},
		{"Debian's name", elixir, Request{Name: "elixir", Series: "1.18"}, "1.18.3", "elixir-lang_1.18.3.dfsg.orig.tar.xz", ""},
		{"another series", erlangStanza + newer, Request{Name: "erlang", Series: "28"}, "", "", "has erlang 27.3.4.1, 27.3.4.10, not 28"},
		{"another package", elixir, erlang27, "", "", "has no source package erlang with an .orig tarball"},
		{"a path that leads out", strings.Replace(erlangStanza, "pool/main", "../main", 1), erlang27, "", "", "has no source package"},
		{"a bad digest", strings.Replace(erlangStanza, "0834643e", "0834643E", 1), erlang27, "", "", "has no source package"},
		{"no size", strings.Replace(erlangStanza, " 47613664 ", " -1 ", 1), erlang27, "", "", "has no source package"},
		{"empty", "", erlang27, "", "", "has no source package"},
	} {
		all, err := chooseSources([]byte(c.index), c.req)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want %s", c.name, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if r := all[0]; r.Version != c.version || r.File != c.file || r.check() != nil {
			t.Errorf("%s: %+v: %v", c.name, r, r.check())
		}
	}
}

func TestVersionsAreReportedWithoutDebiansRepackingSuffix(t *testing.T) {
	t.Parallel()
	for exact, want := range map[string]string{
		"27.3.4.1+dfsg": "27.3.4.1", "1.18.3.dfsg": "1.18.3", "29.1.2+dfsg1": "29.1.2",
		"3.0+ds1": "3.0", "1.0~dfsg.1": "1.0", "6.12.107": "6.12.107", "7.2~rc3": "7.2~rc3",
	} {
		if got := upstreamVersion(exact); got != want {
			t.Errorf("%s: %s, want %s", exact, got, want)
		}
	}
}

// repository is a Debian archive on loopback, signed with a key of its own.
type repository struct {
	dir, etc string
	keys     string // GNUPGHOME
	srv      *httptest.Server
	requests *requestLog
}

type requestLog struct{ paths chan string }

// newRepository skips the test where apt or gpg are missing.
func newRepository(t *testing.T) *repository {
	t.Helper()
	for _, program := range []string{"apt-get", "apt-cache", "apt-config", "gpg", "gpgv"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("a signed archive cannot be tested: %v", err)
		}
	}
	// Not t.TempDir: the agent's socket is in it, and its path must be short.
	keys, err := os.MkdirTemp("", "gpg")
	if err != nil {
		t.Fatal(err)
	}
	r := &repository{dir: t.TempDir(), etc: t.TempDir(), keys: keys, requests: &requestLog{make(chan string, 1000)}}
	t.Cleanup(func() {
		exec.Command("gpgconf", "--homedir", keys, "--kill", "gpg-agent").Run()
		os.RemoveAll(keys)
	})
	files := http.FileServer(http.Dir(r.dir))
	r.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.requests.paths <- q.URL.Path
		files.ServeHTTP(w, q)
	}))
	t.Cleanup(r.srv.Close)
	r.gpg(t, nil, "--quick-gen-key", "Archive <archive@example.org>", "ed25519", "sign", "0")
	keyring := filepath.Join(r.etc, "archive.gpg")
	write(t, keyring, string(r.gpg(t, nil, "--export")))
	write(t, filepath.Join(r.etc, "sources.list.d/debian.sources"),
		"Types: deb\nURIs: "+r.srv.URL+"/debian\nSuites: bookworm\nComponents: main\nSigned-By: "+keyring+"\n")
	return r
}

func (r *repository) gpg(t *testing.T, stdin []byte, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("gpg", append([]string{"--homedir", r.keys, "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback"}, args...)...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("gpg %v: %v: %s", args, err, &stderr)
	}
	return out
}

// publish adds a source package to a suite: to its index, which the Release file
// is signed for. The archive lies in the pool; a .dsc is listed, but not there.
func (r *repository) publish(t *testing.T, suite, name, version string, archive []byte) {
	t.Helper()
	dir := "pool/main/" + name[:1] + "/" + name
	orig := fmt.Sprintf("%s_%s.orig.tar.xz", name, version)
	dsc := fmt.Sprintf("%s_%s-1.dsc", name, version)
	write(t, filepath.Join(r.dir, "debian", dir, orig), string(archive))
	index := fmt.Sprintf("Package: %s\nBinary: %s\nVersion: 1:%s-1\nMaintainer: A <a@example.org>\nArchitecture: any\nFormat: 3.0 (quilt)\n"+
		"Directory: %s\nFiles:\n %032x 100 %s\n %032x %d %s\nChecksums-Sha256:\n %064x 100 %s\n %s %d %s\n\n",
		name, name, version, dir, 1, dsc, 2, len(archive), orig, 3, dsc, digest(archive), len(archive), orig)
	if before, err := os.ReadFile(r.path(suite, "main/source/Sources")); err == nil {
		index = string(before) + index
	}
	write(t, r.path(suite, "main/source/Sources"), index)
	release := fmt.Sprintf("Origin: Debian\nSuite: %s\nCodename: %s\nDate: %s\nArchitectures: amd64\nComponents: main\nSHA256:\n %s %d main/source/Sources\n",
		suite, suite, time.Now().UTC().Format(time.RFC1123), digest([]byte(index)), len(index))
	write(t, r.path(suite, "InRelease"), string(r.gpg(t, []byte(release), "--clearsign")))
}

func (r *repository) path(suite, file string) string {
	return filepath.Join(r.dir, "debian/dists", suite, file)
}

// sources has Debian's origin only, with this archive.
func (r *repository) sources(t *testing.T, o Options) *Sources {
	s := newTestSources(t, o)
	s.origins = []origin{newDebian(s.o, r.etc)}
	return s
}

func TestDebiansSignedArchiveServes(t *testing.T) {
	t.Parallel()
	repo := newRepository(t)
	repo.publish(t, "trixie", "erlang", "27.1+dfsg", testContent)
	repo.publish(t, "sid", "erlang", "29.0+dfsg", testContent[1:])
	lock := newLock(t)
	s := repo.sources(t, Options{Lock: lock})

	got, path := get(t, s, Request{Name: "erlang", Series: "27"})
	wantContent(t, path, testContent)
	want := Release{
		Name: "erlang", Series: "27", Version: "27.1", Origin: OriginDebian,
		URL:  "debian:pool/main/e/erlang/erlang_27.1+dfsg.orig.tar.xz",
		File: "erlang_27.1+dfsg.orig.tar.xz", SHA256: digest(testContent), Bytes: int64(len(testContent)),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}

	// A newer series is in sid.
	got, path = get(t, s, Request{Name: "erlang", Series: "29"})
	wantContent(t, path, testContent[1:])
	if got.Version != "29.0" {
		t.Errorf("got version %s", got.Version)
	}

	// A series that no suite has; the lists are not refreshed again.
	for len(repo.requests.paths) > 0 {
		<-repo.requests.paths
	}
	said := fails(t, s, Request{Name: "erlang", Series: "28"})
	if want := "debian:   trixie has erlang 27.1, not 28\n            sid has erlang 29.0, not 28\n"; !strings.Contains(said, want) {
		t.Errorf("said %s\nwant %s", said, want)
	}
	if n := len(repo.requests.paths); n != 0 {
		t.Errorf("%d requests in the same run, the first for %s", n, <-repo.requests.paths)
	}

	// Locked, an empty cache needs the archive alone: no suite is consulted.
	if err := os.RemoveAll(filepath.Join(repo.dir, "debian/dists")); err != nil {
		t.Fatal(err)
	}
	_, path = get(t, repo.sources(t, Options{Lock: lock}), Request{Name: "erlang", Series: "27"})
	wantContent(t, path, testContent)
}

func TestTheNewestThatTheMirrorHasServes(t *testing.T) {
	t.Parallel()
	repo := newRepository(t)
	repo.publish(t, "trixie", "erlang", "27.1+dfsg", testContent)
	repo.publish(t, "trixie", "erlang", "27.3+dfsg", testContent[2:])
	repo.publish(t, "trixie", "erlang", "27.2+dfsg", testContent[1:])
	pool := filepath.Join(repo.dir, "debian/pool/main/e/erlang")
	if err := os.Remove(filepath.Join(pool, "erlang_27.3+dfsg.orig.tar.xz")); err != nil {
		t.Fatal(err)
	}
	lock := newLock(t)
	got, path := get(t, repo.sources(t, Options{Lock: lock}), Request{Name: "erlang", Series: "27"})
	wantContent(t, path, testContent[1:])
	if got.Version != "27.2" {
		t.Errorf("got %s", got.Version)
	}

	// Locked, it is the one that is locked, whatever else there is by now.
	repo.publish(t, "trixie", "erlang", "27.4+dfsg", testContent[3:])
	got, path = get(t, repo.sources(t, Options{Lock: lock}), Request{Name: "erlang", Series: "27"})
	wantContent(t, path, testContent[1:])
	if got.Version != "27.2" {
		t.Errorf("locked: got %s", got.Version)
	}
}

func TestDebiansArchiveIsRefusedUnlessTheSignatureChainHolds(t *testing.T) {
	t.Parallel()
	erlang := Request{Name: "erlang", Series: "27"}
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, r *repository)
		want  string
	}{
		{"tampered index", func(t *testing.T, r *repository) {
			path := r.path("trixie", "main/source/Sources")
			index, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			write(t, path, strings.Replace(string(index), digest(testContent), digest([]byte("evil")), 1))
		}, "Hash Sum mismatch"},
		{"tampered Release file", func(t *testing.T, r *repository) {
			path := r.path("trixie", "InRelease")
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			write(t, path, strings.Replace(string(text), "Origin: Debian", "Origin: Demian", 1))
		}, "BADSIG"},
		{"signed by someone else", func(t *testing.T, r *repository) {
			other := newRepository(t)
			text, err := os.ReadFile(r.path("trixie", "InRelease"))
			if err != nil {
				t.Fatal(err)
			}
			_, body, _ := strings.Cut(string(text), "\n\n")
			body, _, _ = strings.Cut(body, "-----BEGIN PGP SIGNATURE")
			write(t, r.path("trixie", "InRelease"), string(other.gpg(t, []byte(body), "--clearsign")))
		}, "NO_PUBKEY"},
		{"not signed", func(t *testing.T, r *repository) {
			text, err := os.ReadFile(r.path("trixie", "InRelease"))
			if err != nil {
				t.Fatal(err)
			}
			_, body, _ := strings.Cut(string(text), "\n\n")
			body, _, _ = strings.Cut(body, "-----BEGIN PGP SIGNATURE")
			os.Remove(r.path("trixie", "InRelease"))
			write(t, r.path("trixie", "Release"), body)
		}, "is not signed"},
		{"tampered archive", func(t *testing.T, r *repository) {
			write(t, filepath.Join(r.dir, "debian/pool/main/e/erlang/erlang_27.1+dfsg.orig.tar.xz"), "evil"+string(testContent[4:]))
		}, "is not the expected erlang_27.1+dfsg.orig.tar.xz (not kept)\n"},
		{"archive gone", func(t *testing.T, r *repository) {
			os.Remove(filepath.Join(r.dir, "debian/pool/main/e/erlang/erlang_27.1+dfsg.orig.tar.xz"))
		}, "erlang_27.1+dfsg.orig.tar.xz: 404 Not Found"},
		{"no keyring", func(t *testing.T, r *repository) { os.Remove(filepath.Join(r.etc, "archive.gpg")) }, "debian-archive-keyring"},
		{"server gone", func(t *testing.T, r *repository) { r.srv.Close() }, "onnection refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			repo := newRepository(t)
			repo.publish(t, "trixie", "erlang", "27.1+dfsg", testContent)
			c.spoil(t, repo)
			s := repo.sources(t, Options{})
			if said := fails(t, s, erlang); !strings.Contains(said, c.want) {
				t.Errorf("said %s\nwant %s", said, c.want)
			}
			if strings.Contains(leftovers(t, s.o.Dir), ".orig.tar") {
				t.Errorf("kept %s", leftovers(t, s.o.Dir))
			}
		})
	}
}

func TestListsOfAnEarlierRunDoNotHideATamperedIndex(t *testing.T) {
	t.Parallel()
	repo := newRepository(t)
	repo.publish(t, "trixie", "erlang", "27.1+dfsg", testContent)
	dir := t.TempDir()
	// HTTP dates have whole seconds: the second publication must not look like
	// the first.
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(repo.path("trixie", "InRelease"), past, past); err != nil {
		t.Fatal(err)
	}
	get(t, repo.sources(t, Options{Dir: dir}), Request{Name: "erlang", Series: "27"})
	repo.publish(t, "trixie", "erlang", "27.2+dfsg", testContent[1:])
	write(t, repo.path("trixie", "main/source/Sources"), strings.ReplaceAll(erlangStanza, "27.3.4.1", "27.9"))
	said := fails(t, repo.sources(t, Options{Dir: dir}), Request{Name: "erlang", Series: "27"})
	if !strings.Contains(said, "apt-get update: ") {
		t.Errorf("said %s", said)
	}
}

func FuzzAptSources(f *testing.F) {
	f.Add([]byte("deb [signed-by=/k.gpg] http://m.example/debian trixie main\n"))
	f.Add([]byte("Types: deb\nURIs: http://m.example/debian\nSuites: trixie\nComponents: main\nSigned-By:\n ---\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, e := range append(parseSourcesList(text), parseDeb822Sources(text)...) {
			if e.URI == "" || strings.ContainsAny(e.URI+e.SignedBy, "\n\"; ") {
				t.Errorf("%+v could end a line of apt's configuration", e)
			}
		}
	})
}

func FuzzChooseSources(f *testing.F) {
	f.Add([]byte(erlangStanza))
	f.Add([]byte("Package: erlang\nVersion: 27\n :\nChecksums-Sha256:\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		req := Request{Name: "erlang", Series: "27"}
		all, err := chooseSources(text, req)
		if err == nil && len(all) == 0 {
			t.Error("neither a release nor an error")
		}
		for _, r := range all {
			if err := r.check(); err != nil {
				t.Errorf("%+v: %v", r, err)
			}
			if r.request() != req || r.Origin != OriginDebian || r.Bytes <= 0 {
				t.Errorf("%+v", r)
			}
		}
	})
}
