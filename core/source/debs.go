package source

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Deb is one binary package of Debian's.
type Deb struct {
	Package string // "libc6"
	Version string // Debian's, with epoch and revision: "2.41-12+deb13u5"
	Path    string // below the root of any mirror
	SHA256  string
	Bytes   int64
}

// Archive is Debian's archive of binary packages, of one suite and architecture.
// An apt of its own resolves in it, as Options.Dir's and on an empty system:
// nothing of what the host has installed matters.
type Archive struct {
	s     *Sources
	d     *debian
	suite string
	index suiteIndex
}

// OpenArchive has apt fetch and verify the suite's lists of packages for arch,
// which is Debian's name for it: "amd64".
func (s *Sources) OpenArchive(ctx context.Context, suite, arch string) (*Archive, error) {
	return s.openArchive(ctx, suite, arch, "/etc/apt")
}

func (s *Sources) openArchive(ctx context.Context, suite, arch, aptEtc string) (*Archive, error) {
	if s.o.Offline {
		return nil, fmt.Errorf("Debian %s: %w", suite, errOffline)
	}
	if !regexp.MustCompile(`^[a-z0-9]+$`).MatchString(arch) {
		return nil, fmt.Errorf("%q is no architecture of Debian's", arch)
	}
	mirrors, err := debianMirrors(aptEtc)
	if err != nil {
		return nil, err
	}
	d := newDebian(s.o, aptEtc)
	d.settings = readAptSettings(ctx)
	index := d.refresh(ctx, suite, arch, mirrors)
	return &Archive{s: s, d: d, suite: suite, index: index}, index.err
}

// Resolve returns what an installation of want consists of, by name: want, which
// may be names and patterns of apt's (apt-patterns(7)), and what they depend on,
// without what they only recommend.
func (a *Archive) Resolve(ctx context.Context, want ...string) ([]Deb, error) {
	text, err := runApt(ctx, a.index.config, append([]string{"apt-get", "install", "--simulate", "--yes", "--no-install-recommends"}, want...)...)
	if err != nil {
		return nil, fmt.Errorf("Debian %s: %w", a.suite, err)
	}
	var exact []string
	for line := range strings.Lines(string(text)) {
		// Inst libc6 (2.41-12 Debian:13.1/stable [amd64])
		if f := strings.Fields(line); len(f) > 2 && f[0] == "Inst" {
			exact = append(exact, f[1]+"="+strings.TrimPrefix(f[2], "("))
		}
	}
	if len(exact) == 0 {
		return nil, fmt.Errorf("Debian %s: apt would install nothing for %s", a.suite, strings.Join(want, " "))
	}
	debs, err := a.show(ctx, exact...)
	if err == nil && len(debs) != len(exact) {
		err = fmt.Errorf("Debian %s: apt would install %d packages and describes %d of them", a.suite, len(exact), len(debs))
	}
	return debs, err
}

// Newest returns the package whose name matches pattern, a regular expression,
// with the highest version of those that the mirror has: after a point release
// its index may be ahead of its pool.
func (a *Archive) Newest(ctx context.Context, pattern string) (Deb, error) {
	text, err := runApt(ctx, a.index.config, "apt-cache", "pkgnames")
	if err != nil {
		return Deb{}, fmt.Errorf("Debian %s: %w", a.suite, err)
	}
	match, err := regexp.Compile(`^(?:` + pattern + `)$`)
	if err != nil {
		return Deb{}, err
	}
	names := slices.DeleteFunc(strings.Fields(string(text)), func(name string) bool { return !match.MatchString(name) })
	if len(names) == 0 {
		return Deb{}, fmt.Errorf("Debian %s has no package %s", a.suite, pattern)
	}
	debs, err := a.show(ctx, names...)
	if err != nil {
		return Deb{}, err
	}
	slices.SortStableFunc(debs, func(x, y Deb) int { return compareVersions(y.Version, x.Version) })
	for _, deb := range debs {
		if _, ok := a.s.Cached(deb.release()); ok || !a.d.missing(ctx, a.url(deb)) {
			return deb, nil
		}
		a.s.o.Logf("Debian %s: %s lists %s and does not have it", a.suite, a.index.mirror, path.Base(deb.Path))
	}
	return Deb{}, fmt.Errorf("Debian %s: %w", a.suite, a.behind(debs[0]))
}

// behind is the error for a package that is listed and not there.
func (a *Archive) behind(d Deb) error {
	return fmt.Errorf("%s lists %s and does not have it: the mirror is being updated; try again later, or set this host's apt up with another", a.index.mirror, path.Base(d.Path))
}

// show returns the packages that apt-cache(8) describes, by name.
func (a *Archive) show(ctx context.Context, names ...string) ([]Deb, error) {
	text, err := runApt(ctx, a.index.config, append([]string{"apt-cache", "show", "--"}, names...)...)
	if err != nil {
		return nil, fmt.Errorf("Debian %s: %w", a.suite, err)
	}
	debs, err := parseDebs(text)
	if err != nil {
		return nil, fmt.Errorf("Debian %s: %w", a.suite, err)
	}
	return debs, nil
}

// parseDebs reads stanzas of a Packages index.
func parseDebs(text []byte) ([]Deb, error) {
	var debs []Deb
	for _, s := range parseStanzas(text) {
		d := Deb{Package: s.get("Package"), Version: s.get("Version"), Path: s.get("Filename"), SHA256: s.get("SHA256")}
		var err error
		d.Bytes, err = strconv.ParseInt(s.get("Size"), 10, 64)
		if err != nil || d.Bytes <= 0 || d.Package == "" || d.Version == "" || !sha256Pattern.MatchString(d.SHA256) || !validPoolPath(d.Path) {
			return nil, fmt.Errorf("the index describes the package %q in a way that cannot be used (file %q, size %q, sha256 %q)",
				d.Package, d.Path, s.get("Size"), d.SHA256)
		}
		if !slices.Contains(debs, d) {
			debs = append(debs, d)
		}
	}
	slices.SortStableFunc(debs, func(x, y Deb) int { return strings.Compare(x.Package, y.Package) })
	return debs, nil
}

func (d Deb) release() Release {
	return Release{Name: d.Package, Version: d.Version, Origin: OriginDebian, URL: debianScheme + d.Path,
		File: path.Base(d.Path), SHA256: d.SHA256, Bytes: d.Bytes}
}

func (a *Archive) url(d Deb) string { return a.index.mirror + "/" + d.Path }

// Get fetches the package, as Sources.Get does an archive.
func (a *Archive) Get(ctx context.Context, d Deb) (file string, err error) {
	r := d.release()
	if file, ok := a.s.Cached(r); ok {
		return file, nil
	}
	progress := func(done, total int64) { a.s.o.Progress(d.Package+" "+d.Version, done, total) }
	file, err = a.s.download.fetch(ctx, found{release: r, url: a.url(d), client: a.d.settings.client}, progress)
	if err != nil && ctx.Err() == nil && a.d.missing(ctx, a.url(d)) {
		err = errors.Join(a.behind(d), err)
	}
	return file, err
}
