package source

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// packages is a repository: an index that lists what its packages must hold.
type packages struct {
	*httptest.Server
	mu    sync.Mutex
	files map[string]string // path → content
	asked []string
}

func servePackages(t *testing.T) *packages {
	p := &packages{files: map[string]string{"/v1/index": "a 1 b 1", "/v1/a": "content of a 1", "/v1/b": "content of b 1"}}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asked = append(p.asked, r.URL.Path)
		content, ok := p.files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, content)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *packages) set(path, content string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files[path] = content
}

// seen returns what was asked for since it was last called.
func (p *packages) seen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := p.asked
	p.asked = nil
	return seen
}

var somePackages = Request{Name: "repo", Series: "1", Selection: "x86_64 a b"}

// resolvePackages is a builder's resolver: the index first, then the packages
// that it lists, each of which must hold what the index says.
func resolvePackages(_ context.Context, fetched map[string]string) ([]builder.RemoteFile, bool, error) {
	if fetched["index"] == "" {
		return []builder.RemoteFile{{Name: "index", URL: "v1/index"}}, false, nil
	}
	index, err := os.ReadFile(fetched["index"])
	if err != nil {
		return nil, false, err
	}
	words := strings.Fields(string(index))
	var files []builder.RemoteFile
	done := true
	for i := 0; i < len(words); i += 2 {
		name, version := words[i], words[i+1]
		files = append(files, builder.RemoteFile{Name: name, Version: version, URL: "v1/" + name, Identity: name + version})
		if fetched[name] == "" {
			done = false
			continue
		}
		content, err := os.ReadFile(fetched[name])
		if err != nil {
			return nil, false, err
		}
		if string(content) != "content of "+name+" "+version {
			return nil, false, fmt.Errorf("%s is not what the index says", name)
		}
	}
	return files, done, nil
}

func mustNotResolve(context.Context, map[string]string) ([]builder.RemoteFile, bool, error) {
	return nil, false, errors.New("the resolver was asked")
}

func emptyLock(t *testing.T) *Lock {
	t.Helper()
	l, err := LoadLock(filepath.Join(t.TempDir(), "leanlab.lock.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestFilesAreResolvedOnceAndThenLocked(t *testing.T) {
	t.Parallel()
	repo, lock, dir := servePackages(t), emptyLock(t), t.TempDir()
	s := New(Options{Dir: dir, Lock: lock})
	r, paths, err := s.GetFiles(t.Context(), somePackages, []string{repo.URL}, resolvePackages)
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, paths["a"], []byte("content of a 1"))
	wantContent(t, paths["b"], []byte("content of b 1"))
	want := []ReleaseFile{
		{Name: "a", Version: "1", URL: "v1/a", SHA256: digest([]byte("content of a 1")), Bytes: 14},
		{Name: "b", Version: "1", URL: "v1/b", SHA256: digest([]byte("content of b 1")), Bytes: 14},
	}
	if !reflect.DeepEqual(r.Files, want) || r.Origin != OriginRepository {
		t.Errorf("got %+v from %s, want %+v", r.Files, r.Origin, want)
	}
	if err := lock.Save(); err != nil {
		t.Fatal(err)
	}
	repo.seen()

	// What comes later in the repository does not matter to who has the lock, and
	// somebody else's empty cache is filled by what is locked.
	repo.set("/v1/index", "a 2 b 1")
	again, err := LoadLock(lock.Path())
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := New(Options{Dir: t.TempDir(), Lock: again})
	locked, paths, err := elsewhere.GetFiles(t.Context(), somePackages, []string{repo.URL}, mustNotResolve)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(locked, r) {
		t.Errorf("locked %+v, want %+v", locked, r)
	}
	wantContent(t, paths["a"], []byte("content of a 1"))
	if got := strings.Join(repo.seen(), " "); strings.Contains(got, "index") {
		t.Errorf("asked for %s", got)
	}

	// And what is in the cache is not asked for.
	offline := New(Options{Dir: dir, Lock: again, Offline: true})
	if _, _, err := offline.GetFiles(t.Context(), somePackages, []string{repo.URL}, mustNotResolve); err != nil {
		t.Error(err)
	}
	if got := repo.seen(); got != nil {
		t.Errorf("asked for %s", got)
	}
}

func TestALockedFileThatBecameAnotherIsRefused(t *testing.T) {
	t.Parallel()
	repo, lock := servePackages(t), emptyLock(t)
	if _, _, err := New(Options{Dir: t.TempDir(), Lock: lock}).GetFiles(t.Context(), somePackages, []string{repo.URL}, resolvePackages); err != nil {
		t.Fatal(err)
	}
	if err := lock.Save(); err != nil {
		t.Fatal(err)
	}
	repo.set("/v1/b", "content of b 0")
	_, _, err := New(Options{Dir: t.TempDir(), Lock: lock}).GetFiles(t.Context(), somePackages, []string{repo.URL}, mustNotResolve)
	for _, want := range []string{
		lock.Path() + ":4: b is locked to sha256 " + digest([]byte("content of b 1")),
		repo.URL + "/v1/b",
		"got      sha256 " + digest([]byte("content of b 0")),
		"run: leanlab sources lock",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("said %v\nwant %s", err, want)
		}
	}
}

func TestAFileThatTheBuilderRefusedIsFetchedAnew(t *testing.T) {
	t.Parallel()
	repo, dir := servePackages(t), t.TempDir()
	repo.set("/v1/a", "altered")
	s := New(Options{Dir: dir, Lock: emptyLock(t)})
	if _, _, err := s.GetFiles(t.Context(), somePackages, []string{repo.URL}, resolvePackages); err == nil || err.Error() != "a is not what the index says" {
		t.Fatalf("got %v", err)
	}
	if _, ok := s.Locked(somePackages); ok {
		t.Error("it is locked")
	}
	repo.set("/v1/a", "content of a 1")
	_, paths, err := s.GetFiles(t.Context(), somePackages, []string{repo.URL}, resolvePackages)
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, paths["a"], []byte("content of a 1"))
}

func TestAnUnchangedPackageIsNotFetchedAgain(t *testing.T) {
	t.Parallel()
	repo, dir := servePackages(t), t.TempDir()
	for _, o := range []Options{{Dir: dir}, {Dir: dir}} {
		repo.seen()
		if _, _, err := New(o).GetFiles(t.Context(), somePackages, []string{repo.URL}, resolvePackages); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(repo.seen(), " "); got != "/v1/index" {
		t.Errorf("the second time it asked for %s, want the index only", got)
	}
	// Offline and without a lock, the repository is as it was last seen.
	if _, _, err := New(Options{Dir: dir, Offline: true}).GetFiles(t.Context(), somePackages, []string{repo.URL}, resolvePackages); err != nil {
		t.Error(err)
	}
	if got := repo.seen(); got != nil {
		t.Errorf("offline it asked for %s", got)
	}
	_, _, err := New(Options{Dir: t.TempDir(), Offline: true}).GetFiles(t.Context(), somePackages, []string{repo.URL}, resolvePackages)
	if err == nil || !strings.Contains(err.Error(), repo.URL+"/v1/index: not asked: offline") {
		t.Errorf("got %v", err)
	}
}

func TestAVendoredMirrorHasTheFiles(t *testing.T) {
	t.Parallel()
	repo, dir := servePackages(t), t.TempDir()
	r, paths, err := New(Options{Dir: t.TempDir()}).GetFiles(t.Context(), somePackages, []string{repo.URL}, resolvePackages)
	if err != nil {
		t.Fatal(err)
	}
	if err := AddToMirror(r, paths, dir); err != nil {
		t.Fatal(err)
	}
	repo.Close()
	for name, lock := range map[string]*Lock{"locked": emptyLock(t), "not locked": emptyLock(t)} {
		if name == "locked" {
			lock.Set(r)
		}
		s := New(Options{Dir: t.TempDir(), Lock: lock, Mirror: dir, Offline: true})
		got, paths, err := s.GetFiles(t.Context(), somePackages, nil, mustNotResolve)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got.SHA256 != r.SHA256 {
			t.Errorf("%s: got %+v", name, got)
		}
		wantContent(t, paths["a"], []byte("content of a 1"))
	}
}

func TestTheNextMirrorServesWhatOneDoesNot(t *testing.T) {
	t.Parallel()
	repo := servePackages(t)
	dir := t.TempDir()
	write(t, dir+"/v1/index", "a 1 b 1")
	write(t, dir+"/v1/a", "content of a 1")
	_, paths, err := New(Options{Dir: t.TempDir()}).GetFiles(t.Context(), somePackages, []string{dir, repo.URL + "/"}, resolvePackages)
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, paths["b"], []byte("content of b 1"))
	if got := strings.Join(repo.seen(), " "); got != "/v1/b" {
		t.Errorf("asked for %s", got)
	}
}

// A server that takes connections and says nothing is what a filtered port or a
// dead proxy looks like.
func TestAMirrorThatDoesNotAnswerIsGivenUpInTenSeconds(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	silent := "http://" + l.Addr().String()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, _, err = New(Options{Dir: t.TempDir()}).GetFiles(ctx, somePackages, []string{silent, t.TempDir()}, resolvePackages)
	if ctx.Err() != nil {
		t.Fatal("it took more than ten seconds")
	}
	var failed *FilesError
	if !errors.As(err, &failed) || len(failed.Tried) != 2 || !strings.Contains(err.Error(), silent+"/v1/index: no data for 8s") {
		t.Errorf("got %v", err)
	}
}

func TestABuilderThatIsNeverDoneIsEnded(t *testing.T) {
	t.Parallel()
	repo := servePackages(t)
	n := 0
	_, _, err := New(Options{Dir: t.TempDir()}).GetFiles(t.Context(), somePackages, []string{repo.URL}, func(context.Context, map[string]string) ([]builder.RemoteFile, bool, error) {
		n++
		return []builder.RemoteFile{{Name: fmt.Sprint("f", n), URL: "v1/a"}}, false, nil
	})
	if err == nil || !strings.Contains(err.Error(), "after 10 turns") {
		t.Errorf("got %v", err)
	}
}

func TestFilesThatALockCannotHoldAreRefused(t *testing.T) {
	t.Parallel()
	repo := servePackages(t)
	for name, tt := range map[string]struct {
		req  Request
		file builder.RemoteFile
		want string
	}{
		"selection":  {Request{Name: "repo", Series: "1", Selection: "${evil}"}, builder.RemoteFile{}, "has characters that a lock file does not hold"},
		"path":       {somePackages, builder.RemoteFile{Name: "../a", URL: "v1/a"}, "is not a plain file name"},
		"hidden":     {somePackages, builder.RemoteFile{Name: ".a", URL: "v1/a"}, "is not a plain file name"},
		"quote":      {somePackages, builder.RemoteFile{Name: "a", Version: `1"`, URL: "v1/a"}, "is no version"},
		"expression": {somePackages, builder.RemoteFile{Name: "a", URL: "v1/a?${x}"}, "url"},
	} {
		_, _, err := New(Options{Dir: t.TempDir()}).GetFiles(t.Context(), tt.req, []string{repo.URL}, func(_ context.Context, fetched map[string]string) ([]builder.RemoteFile, bool, error) {
			return []builder.RemoteFile{tt.file}, fetched[tt.file.Name] != "", nil
		})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", name, err, tt.want)
		}
	}
}
