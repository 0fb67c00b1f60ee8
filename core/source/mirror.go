package source

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A mirror is a directory, perhaps served over HTTP, with
//
//	<file>          archives, also in subdirectories
//	SHA256SUMS      the digest of each, as sha256sum(1) writes it
//	index.hcl       source blocks: which archive answers which name and series
//
// SHA256SUMS answers for locked requests, so a hand-made mirror without an
// index serves a locked build. AddToMirror never takes an archive away: projects
// with other lock files may use the same mirror.
const (
	mirrorSums  = "SHA256SUMS"
	mirrorIndex = "index.hcl"
)

// mirrorListMax bounds what is read of SHA256SUMS or index.hcl over HTTP.
const mirrorListMax = 4 << 20

// mirror is the origin that the user names.
type mirror struct {
	base    string // directory or URL; empty: none
	offline bool
	client  *http.Client
}

func newMirror(base string, offline bool, client *http.Client) mirror {
	return mirror{strings.TrimSuffix(base, "/"), offline, client}
}

func (mirror) name() string { return OriginMirror }

func (m mirror) find(ctx context.Context, req Request, want *Release) (found, error) {
	switch {
	case m.base == "":
		return found{}, errors.New("none named")
	case m.offline && isHTTP(m.base):
		return found{}, fmt.Errorf("%s %w", m.base, errOffline)
	case want != nil:
		return m.findLocked(ctx, want)
	}
	text, err := m.read(ctx, mirrorIndex)
	if err != nil {
		return found{}, err
	}
	releases, _, err := parseReleases(text, m.location(mirrorIndex))
	if err != nil {
		return found{}, err
	}
	var has []string
	for _, r := range releases {
		if r.request() == req {
			r.Origin = OriginMirror
			return m.found(r, r.File), nil
		}
		if r.Name == req.Name {
			has = append(has, r.Series)
		}
	}
	if has == nil {
		return found{}, fmt.Errorf("%s lists no %s", m.location(mirrorIndex), req.Name)
	}
	return found{}, fmt.Errorf("%s lists no %s %s; it has %s", m.location(mirrorIndex), req.Name, req.Series, strings.Join(has, ", "))
}

// findSet looks up a release with files.
func (m mirror) findSet(ctx context.Context, req Request) (Release, error) {
	switch {
	case m.base == "":
		return Release{}, errors.New("none named")
	case m.offline && isHTTP(m.base):
		return Release{}, fmt.Errorf("%s %w", m.base, errOffline)
	}
	text, err := m.read(ctx, mirrorIndex)
	if err != nil {
		return Release{}, err
	}
	releases, _, err := parseReleases(text, m.location(mirrorIndex))
	if err != nil {
		return Release{}, err
	}
	for _, r := range releases {
		if r.request() == req {
			r.Origin = OriginMirror
			return r, nil
		}
	}
	return Release{}, fmt.Errorf("%s lists no %s %s with these files", m.location(mirrorIndex), req.Name, req.Series)
}

func (m mirror) findLocked(ctx context.Context, want *Release) (found, error) {
	text, err := m.read(ctx, mirrorSums)
	if err != nil {
		return found{}, err
	}
	sums, err := parseSums(text)
	if err != nil {
		return found{}, fmt.Errorf("%s: %w", m.location(mirrorSums), err)
	}
	for _, s := range sums {
		if s.sha256 == want.SHA256 {
			return m.found(*want, s.file), nil
		}
	}
	return found{}, fmt.Errorf("%s lists no archive with that digest", m.location(mirrorSums))
}

func (m mirror) found(r Release, file string) found {
	if isHTTP(m.base) {
		return found{release: r, url: m.location((&url.URL{Path: file}).EscapedPath())}
	}
	return found{release: r, path: m.location(file)}
}

func (m mirror) location(file string) string { return m.base + "/" + file }

// read returns one of the mirror's lists.
func (m mirror) read(ctx context.Context, file string) ([]byte, error) {
	if !isHTTP(m.base) {
		return os.ReadFile(m.location(file))
	}
	ctx, cancel := context.WithTimeout(ctx, 2*connectTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.location(file), nil)
	if err != nil {
		return nil, err
	}
	resp, err := m.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", m.location(file), resp.Status)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, mirrorListMax+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.location(file), err)
	}
	if len(text) > mirrorListMax {
		return nil, fmt.Errorf("%s: more than %d bytes", m.location(file), mirrorListMax)
	}
	return text, nil
}

// sum is one line of SHA256SUMS.
type sum struct{ sha256, file string }

// parseSums reads what sha256sum(1) writes: digest, space, space or '*', name.
func parseSums(text []byte) ([]sum, error) {
	var out []sum
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimRight(lines.Text(), " \r")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		digest, file, ok := strings.Cut(line, " ")
		file = strings.TrimPrefix(strings.TrimPrefix(file, " "), "*")
		file = strings.TrimPrefix(file, "./")
		if !ok || !sha256Pattern.MatchString(digest) || !validPoolPath(file) {
			return nil, fmt.Errorf("line %d is not a SHA-256 digest and a file name", n)
		}
		out = append(out, sum{digest, file})
	}
	return out, lines.Err()
}

// AddToMirror adds one release to the mirror directory dir, which Options may
// name as Mirror on a machine without network. Its archives lie at the paths that
// are given by their names. Those that are already there with the right digest
// are left alone, so an interrupted run is finished by running it again.
func AddToMirror(r Release, paths map[string]string, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := addToMirror(r, paths, dir); err != nil {
		return fmt.Errorf("add %s %s to %s: %w", r.Name, r.Version, dir, err)
	}
	return nil
}

// VendorFile adds one more file to the mirror directory dir, at the path that it
// is wanted at, so that the directory also serves a Buildroot as its primary
// site. origin is as of GetFile.
func VendorFile(ctx context.Context, s *Sources, f File, look []string, dir string) (origin string, err error) {
	verified, origin, err := s.GetFile(ctx, f, look)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return "", err
	}
	defer unlock()
	if err := addFile(verified, dir, sum{f.SHA256, f.Path}); err != nil {
		return "", fmt.Errorf("add %s to %s: %w", f.Path, dir, err)
	}
	return origin, nil
}

// archives are a release's files, also of one that has a single archive.
func (r Release) archives() []ReleaseFile {
	if r.Files != nil {
		return r.Files
	}
	return []ReleaseFile{{Name: r.File, SHA256: r.SHA256}}
}

// addToMirror publishes the archives first and the lists that name them last.
func addToMirror(r Release, paths map[string]string, dir string) error {
	unlock, err := lockDir(dir)
	if err != nil {
		return err
	}
	defer unlock()
	indexPath := filepath.Join(dir, mirrorIndex)
	releases, _, err := readReleases(indexPath)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, f := range r.archives() {
		if err := addFile(paths[f.Name], dir, sum{f.SHA256, f.Name}); err != nil {
			return err
		}
	}
	releases = slices.DeleteFunc(releases, func(have Release) bool { return have.request() == r.request() })
	releases = append(releases, r)
	slices.SortFunc(releases, compareReleases)
	return writeReleases(indexPath, "# What this mirror answers for each name and series. Written by: leanlab sources vendor\n", releases)
}

// addFile publishes an archive and lists it in SHA256SUMS. The directory is
// locked.
func addFile(archive, dir string, line sum) error {
	sumsPath := filepath.Join(dir, mirrorSums)
	text, err := os.ReadFile(sumsPath)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	sums, err := parseSums(text)
	if err != nil {
		return fmt.Errorf("%s: %w", sumsPath, err)
	}
	for _, s := range sums {
		if s.file == line.file && s.sha256 != line.sha256 {
			return fmt.Errorf("%s: another archive with that name, sha256 %s, is there; use another directory", line.file, s.sha256)
		}
	}
	path := filepath.Join(dir, line.file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := copyArchive(archive, path, line.sha256); err != nil {
		return err
	}
	if slices.Contains(sums, line) {
		return nil
	}
	sums = append(sums, line)
	slices.SortFunc(sums, func(a, b sum) int { return strings.Compare(a.file, b.file) })
	var list bytes.Buffer
	for _, s := range sums {
		fmt.Fprintf(&list, "%s  %s\n", s.sha256, s.file)
	}
	return writeFile(sumsPath, list.Bytes())
}

// copyArchive copies unless the right file is there.
func copyArchive(from, to, sha256 string) error {
	if sum, err := sha256File(to); err == nil && sum == sha256 {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	tmp, err := os.CreateTemp(filepath.Dir(to), "."+filepath.Base(to)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = io.Copy(tmp, in)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), to)
}
