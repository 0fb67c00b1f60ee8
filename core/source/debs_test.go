package source

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// deb is a package to publish: its contents are not a package's.
type deb struct {
	name, version, fields string
	data                  []byte
}

// path is without the version's epoch, as in Debian's pool.
func (d deb) path() string {
	return "pool/main/x/" + d.name + "_" + d.version[strings.IndexByte(d.version, ':')+1:] + "_amd64.deb"
}

// publishDebs makes a suite's index of binary packages, signed, with their files.
func (r *repository) publishDebs(t *testing.T, suite string, debs ...deb) {
	t.Helper()
	var index strings.Builder
	for _, d := range debs {
		write(t, filepath.Join(r.dir, "debian", d.path()), string(d.data))
		fmt.Fprintf(&index, "Package: %s\nVersion: %s\nArchitecture: amd64\nMaintainer: A <a@example.org>\n%sFilename: %s\nSize: %d\nSHA256: %s\nDescription: x\n\n",
			d.name, d.version, d.fields, d.path(), len(d.data), digest(d.data))
	}
	write(t, r.path(suite, "main/binary-amd64/Packages"), index.String())
	release := fmt.Sprintf("Origin: Debian\nSuite: %s\nCodename: %s\nDate: %s\nArchitectures: amd64\nComponents: main\nSHA256:\n %s %d main/binary-amd64/Packages\n",
		suite, suite, time.Now().UTC().Format(time.RFC1123), digest([]byte(index.String())), index.Len())
	write(t, r.path(suite, "InRelease"), string(r.gpg(t, []byte(release), "--clearsign")))
}

// archive opens the suite's packages.
func (r *repository) archive(t *testing.T, dir string) (*Archive, error) {
	t.Helper()
	return newTestSources(t, Options{Dir: dir}).openArchive(t.Context(), "trixie", "amd64", r.etc)
}

func names(debs []Deb) string {
	var all []string
	for _, d := range debs {
		all = append(all, d.Package+"="+d.Version)
	}
	return strings.Join(all, " ")
}

func TestBinaryPackagesAreResolvedAsOnAnEmptySystem(t *testing.T) {
	t.Parallel()
	repo := newRepository(t)
	repo.publishDebs(t, "trixie",
		deb{"elixir", "1.18", "Depends: beam (>= 1:2)\nRecommends: docs\n", testContent},
		deb{"beam", "1:2", "Depends: libc | other-libc\n", testContent[1:]},
		deb{"libc", "2.41", "Priority: required\n", testContent[2:]},
		deb{"tar", "1.35", "Priority: required\n", testContent[3:]},
		deb{"docs", "1", "", testContent[4:]},
		deb{"broken", "1", "Depends: nowhere\n", testContent[5:]},
	)
	dir := t.TempDir()
	a, err := repo.archive(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	debs, err := a.Resolve(t.Context(), "?priority(required)", "elixir")
	if err != nil {
		t.Fatal(err)
	}
	if got := names(debs); got != "beam=1:2 elixir=1.18 libc=2.41 tar=1.35" {
		t.Errorf("it consists of %s", got)
	}
	file, err := a.Get(t.Context(), debs[1])
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, file, testContent)
	for _, c := range []struct{ want, said string }{{"broken", "Unable to correct problems"}, {"nothing", "Unable to locate package nothing"}} {
		if _, err := a.Resolve(t.Context(), c.want); err == nil || !strings.Contains(err.Error(), c.said) {
			t.Errorf("%s: %v", c.want, err)
		}
	}

	// What was verified is there for the next run, without a request.
	repo.srv.Close()
	if again, err := a.Get(t.Context(), debs[1]); err != nil || again != file {
		t.Errorf("again: %s, %v", again, err)
	}
	if _, err := repo.archive(t, dir); err == nil || !strings.Contains(err.Error(), "onnection refused") {
		t.Errorf("without the archive: %v", err)
	}
}

func TestAPackageThatIsListedAndNotThere(t *testing.T) {
	t.Parallel()
	repo := newRepository(t)
	debs := []deb{
		{"linux-image-6.9-cloud", "6.9", "", testContent},
		{"linux-image-6.12-cloud", "6.12", "", testContent[1:]},
		{"linux-image-6.10-cloud", "6.10", "", testContent[2:]},
		{"linux-image-7.0-cloud-dbg", "7.0", "", testContent[3:]},
	}
	repo.publishDebs(t, "trixie", debs...)
	gone := func(d deb) {
		if err := os.Remove(filepath.Join(repo.dir, "debian", d.path())); err != nil {
			t.Fatal(err)
		}
	}
	a, err := repo.archive(t, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	newest := func() (string, error) {
		d, err := a.Newest(t.Context(), `linux-image-[0-9.]+-cloud`)
		return d.Version, err
	}
	for _, want := range []string{"6.12", "6.10", "6.9"} {
		if got, err := newest(); err != nil || got != want {
			t.Errorf("the newest is %s, %v; want %s", got, err, want)
		}
		gone(map[string]deb{"6.12": debs[1], "6.10": debs[2], "6.9": debs[0]}[want])
	}
	if _, err := newest(); err == nil || !strings.Contains(err.Error(), "lists linux-image-6.12-cloud_6.12_amd64.deb and does not have it: the mirror is being updated") {
		t.Errorf("without any: %v", err)
	}
	all, err := a.Resolve(t.Context(), "linux-image-6.9-cloud")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Get(t.Context(), all[0]); err == nil || !strings.Contains(err.Error(), "does not have it: the mirror is being updated") {
		t.Errorf("fetched: %v", err)
	}
	if _, err := a.Newest(t.Context(), "linux-image-9.*"); err == nil || !strings.Contains(err.Error(), "trixie has no package linux-image-9.*") {
		t.Errorf("of none: %v", err)
	}
}

func TestTamperedPackagesAreRefused(t *testing.T) {
	t.Parallel()
	repo := newRepository(t)
	beam := deb{"beam", "1", "", testContent}
	repo.publishDebs(t, "trixie", beam)
	a, err := repo.archive(t, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	debs, err := a.Resolve(t.Context(), "beam")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(repo.dir, "debian", beam.path()), "evil"+string(testContent[4:]))
	if _, err := a.Get(t.Context(), debs[0]); err == nil || !strings.Contains(err.Error(), "is not the expected beam_1_amd64.deb") {
		t.Errorf("a package: %v", err)
	}
	index := repo.path("trixie", "main/binary-amd64/Packages")
	text, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	write(t, index, strings.Replace(string(text), digest(testContent), digest([]byte("evil")), 1))
	if _, err := repo.archive(t, t.TempDir()); err == nil || !strings.Contains(err.Error(), "Hash Sum mismatch") {
		t.Errorf("the index: %v", err)
	}
	if _, err := newTestSources(t, Options{Offline: true}).openArchive(t.Context(), "trixie", "amd64", repo.etc); err == nil || !strings.Contains(err.Error(), "offline") {
		t.Errorf("offline: %v", err)
	}
	if _, err := newTestSources(t, Options{}).openArchive(t.Context(), "trixie", "amd64", t.TempDir()); err == nil || !strings.Contains(err.Error(), "this is not a Debian host") {
		t.Errorf("elsewhere: %v", err)
	}
}

func FuzzDebs(f *testing.F) {
	f.Add([]byte("Package: beam\nVersion: 1:2\nFilename: pool/main/b/beam_2_amd64.deb\nSize: 5\nSHA256: " + strings.Repeat("a", 64) + "\n\n"))
	f.Add([]byte("Package: beam\nVersion: 1\nFilename: ../../etc/passwd\nSize: -1\nSHA256: x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		debs, err := parseDebs(text)
		if err != nil {
			return
		}
		for _, d := range debs {
			if !validPoolPath(d.Path) || d.Bytes <= 0 || len(d.SHA256) != 64 {
				t.Errorf("%+v", d)
			}
		}
	})
}
