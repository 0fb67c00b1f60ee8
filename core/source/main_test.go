package source

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// childURL makes this test binary fetch testRelease from that URL into the
// directory childDir names, so that a test can kill a fetching process.
const (
	childURL = "SOURCE_TEST_CHILD_URL"
	childDir = "SOURCE_TEST_CHILD_DIR"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(childURL); url != "" {
		r := testRelease(url)
		s := New(Options{Dir: os.Getenv(childDir)})
		s.origins = []origin{upstream{[]Release{r}}}
		_, _, err := s.Get(context.Background(), r.request())
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// testContent does not compress and is longer than every buffer on its way.
var testContent = func() []byte {
	b := make([]byte, 3<<20)
	chacha := rand.NewChaCha8([32]byte{1})
	chacha.Read(b)
	return b
}()

// testRelease is an upstream release whose archive has testContent.
func testRelease(url string) Release {
	return Release{
		Name: "erlang", Series: "27", Version: "27.1", Origin: OriginUpstream,
		URL: url, File: "otp_src_27.1.tar.gz", SHA256: digest(testContent),
	}
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// newTestSources has upstream's table replaced, no Debian, and short waits.
func newTestSources(t *testing.T, o Options, releases ...Release) *Sources {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s := New(o)
	s.origins[1] = upstream{releases}
	s.origins[2] = newDebian(s.o, t.TempDir())
	s.download.pause = time.Millisecond
	return s
}

// vendor fills a mirror.
func vendor(ctx context.Context, s *Sources, reqs []Request, dir string) error {
	for _, req := range reqs {
		r, path, err := s.Get(ctx, req)
		if err != nil {
			return err
		}
		if err := AddToMirror(r, map[string]string{r.File: path}, dir); err != nil {
			return err
		}
	}
	return nil
}

func get(t *testing.T, s *Sources, req Request) (Release, string) {
	t.Helper()
	r, path, err := s.Get(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return r, path
}

func wantContent(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%s: %d bytes with sha256 %s, want %d with %s", path, len(got), digest(got), len(want), digest(want))
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
