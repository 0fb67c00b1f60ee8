package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// debianNames maps the names of sources to Debian's; empty where Debian has no
// such source package.
var debianNames = map[string]string{
	"linux":     "linux",
	"erlang":    "erlang",
	"elixir":    "elixir-lang",
	"busybox":   "busybox",
	"buildroot": "",
}

// elsewhere says how else to come by what Debian does not have.
var elsewhere = map[string]string{
	"buildroot": "; a Buildroot on this machine can be used as it is: make BUILDROOT_DIR=path/to/buildroot",
}

// suiteNewest is asked when the configured suite does not have the series.
// Its archives are replaced within days, so a lock on one does not last.
const suiteNewest = "sid"

// debian is the origin of Debian's source archive. apt, with a configuration
// of its own, checks the signature of a suite's Release file and the digest of
// its index; the index vouches for the digest of the archive. Only the .orig
// tarball is fetched, not the packaging: the two files of a package do not
// always stay on a mirror for the same time.
type debian struct {
	o      Options
	aptEtc string // the host's /etc/apt

	mu       sync.Mutex
	settings aptSettings
	suites   map[string]suiteIndex // refreshed in this run
}

// suiteIndex is a suite whose lists apt has verified in this run.
type suiteIndex struct {
	config string            // apt's configuration file
	mirror string            // URI of the archive's root
	pool   map[string]string // digest of a source archive → its path; nil: not read yet
	err    error             // or why there are no lists
}

func newDebian(o Options, aptEtc string) *debian {
	return &debian{o: o, aptEtc: aptEtc, suites: map[string]suiteIndex{}}
}

func (*debian) name() string { return OriginDebian }

func (d *debian) find(ctx context.Context, req Request, want *Release) (found, error) {
	if debianNames[req.Name] == "" {
		return found{}, fmt.Errorf("Debian has no source package of %s%s", req.Name, elsewhere[req.Name])
	}
	if d.o.Offline {
		if want != nil {
			return found{}, errOffline
		}
		return found{}, fmt.Errorf("nothing is locked, and %w", errOffline)
	}
	mirrors, err := debianMirrors(d.aptEtc)
	if err != nil {
		return found{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.settings.client == nil {
		d.settings = readAptSettings(ctx)
	}
	if want != nil {
		// The lock's digest is check enough; apt need not be asked.
		if path, ok := strings.CutPrefix(want.URL, debianScheme); ok && validPoolPath(path) {
			return found{release: *want, url: mirrors[0].URI + "/" + path, client: d.settings.client}, nil
		}
	}
	var said []error
	for _, suite := range slices.Compact([]string{d.o.Suite, suiteNewest}) {
		f, err := d.findIn(ctx, suite, req, want, mirrors)
		if err == nil {
			return f, nil
		}
		said = append(said, err)
	}
	return found{}, errors.Join(said...)
}

// findIn looks req up in one suite.
func (d *debian) findIn(ctx context.Context, suite string, req Request, want *Release, mirrors []aptEntry) (found, error) {
	index := d.sourceIndex(ctx, suite, mirrors)
	if index.err != nil {
		return found{}, index.err
	}
	text, err := runApt(ctx, index.config, "apt-cache", "showsrc", "--only-source", debianNames[req.Name])
	if err != nil {
		return found{}, fmt.Errorf("%s: %w", suite, err)
	}
	releases, err := chooseSources(text, req)
	if err != nil {
		return found{}, fmt.Errorf("%s %w", suite, err)
	}
	at := func(r Release) found {
		return found{release: r, url: index.mirror + "/" + strings.TrimPrefix(r.URL, debianScheme), client: d.settings.client}
	}
	if want != nil {
		for _, r := range releases {
			if r.SHA256 == want.SHA256 {
				f := at(r)
				f.release = *want
				return f, nil
			}
		}
		return found{}, fmt.Errorf("%s has %s with sha256 %s", suite, releases[0].File, releases[0].SHA256)
	}
	// After a point release a suite lists several, and a mirror may have its
	// index before it has the newest of them.
	for _, r := range releases {
		f := at(r)
		if !d.missing(ctx, f.url) {
			return f, nil
		}
		d.o.Logf("Debian %s: %s lists %s and does not have it", suite, index.mirror, r.File)
	}
	return at(releases[0]), nil // to be told why, when it is fetched
}

// missing says that the mirror has no such file. Any other answer, or none, is
// for the download to tell.
func (d *debian) missing(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return false
	}
	resp, err := d.settings.client.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusNotFound
}

// sourceIndex is a suite's index of source packages, refreshed once in a run.
func (d *debian) sourceIndex(ctx context.Context, suite string, mirrors []aptEntry) suiteIndex {
	index, ok := d.suites[suite]
	if !ok {
		if index = d.refresh(ctx, suite, "", mirrors); ctx.Err() == nil {
			d.suites[suite] = index
		}
	}
	return index
}

// refresh has apt fetch and verify the lists of a suite, from the first mirror
// that has it: of source packages, or of an architecture's binary packages.
func (d *debian) refresh(ctx context.Context, suite, arch string, mirrors []aptEntry) suiteIndex {
	if ctx.Err() != nil {
		return suiteIndex{err: context.Cause(ctx)}
	}
	if !regexp.MustCompile(`^[a-z][a-z0-9.-]*$`).MatchString(suite) {
		return suiteIndex{err: fmt.Errorf("%q is no name of a Debian suite", suite)}
	}
	name, what := suite, "sources"
	if arch != "" {
		name, what = suite+"-"+arch, "packages for "+arch
	}
	root, err := filepath.Abs(filepath.Join(d.o.Dir, "apt", name))
	if err != nil {
		return suiteIndex{err: err}
	}
	if strings.ContainsAny(root, "\"\n\\") {
		return suiteIndex{err: fmt.Errorf("apt cannot be configured to work in %q", root)}
	}
	for _, dir := range []string{"etc/apt.conf.d", "etc/preferences.d", "etc/sources.list.d", "etc/trusted.gpg.d", "state", "lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return suiteIndex{err: err}
		}
	}
	unlock, err := lockFile(ctx, filepath.Join(root, "lock"), func() {
		d.o.Logf("Debian %s: waiting for another process that refreshes the lists", suite)
	})
	if err != nil {
		return suiteIndex{err: err}
	}
	defer unlock()
	config := filepath.Join(root, "apt.conf")
	var said []error
	for _, m := range mirrors {
		d.o.Logf("Debian %s: refreshing the list of %s from %s", suite, what, m.URI)
		if err = d.configure(root, config, suite, arch, m); err == nil {
			_, err = runApt(ctx, config, "apt-get", "update")
		}
		if err == nil {
			return suiteIndex{config: config, mirror: m.URI}
		}
		said = append(said, fmt.Errorf("%s from %s: %w", suite, m.URI, err))
	}
	return suiteIndex{err: errors.Join(said...)}
}

// configure writes apt's configuration for one suite of one mirror. Nothing of
// the host's is used but what is written here: hooks, pins and other archives
// of the host must not matter.
func (d *debian) configure(root, config, suite, arch string, m aptEntry) error {
	if _, err := os.Stat(m.SignedBy); err != nil {
		return fmt.Errorf("its keyring: %w (Debian's package debian-archive-keyring brings %s)", err, debianKeyring)
	}
	types := "deb-src"
	if arch != "" {
		types = "deb"
	}
	sources := fmt.Sprintf("Types: %s\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n", types, m.URI, suite, m.SignedBy)
	if err := writeFile(filepath.Join(root, "etc", "sources.list.d", "debian.sources"), []byte(sources)); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(root, "state", "status"), nil); err != nil {
		return err
	}
	var b strings.Builder
	set := func(name, value string) { fmt.Fprintf(&b, "%s \"%s\";\n", name, value) }
	set("Dir::Etc", filepath.Join(root, "etc"))
	set("Dir::State", filepath.Join(root, "state"))
	set("Dir::State::lists", filepath.Join(root, "lists"))
	set("Dir::State::status", filepath.Join(root, "state", "status"))
	set("Dir::Cache", filepath.Join(root, "cache"))
	if arch != "" {
		set("APT::Architecture", arch)
		set("APT::Architectures", arch)
	}
	// As root, apt would download as _apt, who cannot enter a home directory.
	set("APT::Sandbox::User", "root")
	set("Acquire::Languages", "none")
	set("Acquire::PDiffs", "false")
	set("Acquire::Retries", "1")
	seconds := strconv.Itoa(int(connectTimeout.Seconds()))
	set("Acquire::http::Timeout", seconds)
	set("Acquire::https::Timeout", seconds)
	// Without it, update succeeds with yesterday's lists when a mirror is down
	// and when a signature does not check out.
	set("APT::Update::Error-Mode", "any")
	for _, name := range slices.Sorted(maps.Keys(d.settings.host)) {
		set(name, d.settings.host[name])
	}
	return writeFile(config, []byte(b.String()))
}

// aptSettings is what we take over from the host's apt configuration.
type aptSettings struct {
	host   map[string]string
	client *http.Client // goes through apt's proxy
}

// hostSettings are how to reach an archive, and whether its dates can be
// believed, which the owner of the host has decided.
var hostSettings = []string{"Acquire::http::Proxy", "Acquire::https::Proxy", "Acquire::Check-Valid-Until", "Acquire::Check-Date"}

// readAptSettings asks apt-config(8). A host without it has no settings, and
// the lack of apt is reported by the command that cannot do without.
func readAptSettings(ctx context.Context) aptSettings {
	s := aptSettings{host: map[string]string{}}
	for _, name := range hostSettings {
		cmd := exec.CommandContext(ctx, "apt-config", "dump", "--no-empty", "--format", "%v", name)
		out, err := cmd.Output()
		if value := strings.TrimSpace(string(out)); err == nil && value != "" && !strings.ContainsAny(value, "\"\n\\") {
			s.host[name] = value
		}
	}
	s.client = newClient(func(r *http.Request) (*url.URL, error) {
		proxy, ok := s.host["Acquire::"+r.URL.Scheme+"::Proxy"]
		switch {
		case !ok:
			return http.ProxyFromEnvironment(r)
		case proxy == "DIRECT":
			return nil, nil
		}
		return url.Parse(proxy)
	})
	return s
}

// runApt runs one of apt's programs with a configuration file of ours.
func runApt(ctx context.Context, config string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "APT_CONFIG="+config, "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("%s is not installed: this is not a Debian host", args[0])
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %s", args[0], args[1], aptComplaint(stderr.String(), err))
	}
	return out, nil
}

// aptComplaint picks the lines that say what is wrong.
func aptComplaint(stderr string, err error) string {
	var lines []string
	for line := range strings.Lines(stderr) {
		line = strings.TrimSpace(line)
		if text, ok := strings.CutPrefix(line, "E: "); ok {
			lines = append(lines, text)
		} else if text, ok := strings.CutPrefix(line, "W: "); ok {
			lines = append(lines, text)
		}
	}
	if len(lines) == 0 {
		return strings.TrimSpace(err.Error() + " " + stderr)
	}
	return strings.Join(lines, "\n")
}

// chooseSources reads the stanzas of a Sources index (deb-src, as apt-cache
// showsrc prints them) and returns the .orig tarballs in the series, the newest
// first.
func chooseSources(text []byte, req Request) ([]Release, error) {
	var in []Release
	var has []string
	for _, s := range parseStanzas(text) {
		if s.get("Package") != debianNames[req.Name] {
			continue
		}
		r, ok := sourceRelease(s, req)
		if !ok {
			continue
		}
		if !slices.Contains(has, r.Version) {
			has = append(has, r.Version)
		}
		if InSeries(r.Version, req.Series) && !slices.ContainsFunc(in, func(have Release) bool { return have.SHA256 == r.SHA256 && have.URL == r.URL }) {
			in = append(in, r)
		}
	}
	switch {
	case len(in) > 0:
		slices.SortStableFunc(in, func(a, b Release) int { return compareVersions(b.Version, a.Version) })
		return in, nil
	case len(has) == 0:
		return nil, fmt.Errorf("has no source package %s with an .orig tarball", debianNames[req.Name])
	}
	return nil, fmt.Errorf("has %s %s, not %s", debianNames[req.Name], strings.Join(has, ", "), req.Series)
}

// sourceRelease finds the .orig tarball in one stanza of a Sources index.
func sourceRelease(s stanza, req Request) (Release, bool) {
	exact := s.get("Version")
	if _, after, ok := strings.Cut(exact, ":"); ok {
		exact = after // the epoch is not in file names
	}
	if i := strings.LastIndexByte(exact, '-'); i >= 0 {
		exact = exact[:i] // nor the revision in the .orig tarball's
	}
	prefix := debianNames[req.Name] + "_" + exact + ".orig.tar."
	for line := range strings.Lines(s.get("Checksums-Sha256")) {
		f := strings.Fields(line)
		if len(f) != 3 || !sha256Pattern.MatchString(f[0]) || !filePattern.MatchString(f[2]) {
			continue
		}
		size, err := strconv.ParseInt(f[1], 10, 64)
		suffix, ok := strings.CutPrefix(f[2], prefix)
		path := s.get("Directory") + "/" + f[2]
		if err != nil || size <= 0 || !ok || !slices.Contains([]string{"xz", "gz", "bz2"}, suffix) || !validPoolPath(path) {
			continue
		}
		return Release{
			Name: req.Name, Series: req.Series, Version: upstreamVersion(exact), Origin: OriginDebian,
			URL: debianScheme + path, File: f[2], SHA256: f[0], Bytes: size,
		}, true
	}
	return Release{}, false
}

// repacked matches what Debian adds to a version whose tarball it has changed,
// mostly to leave out what is not free: 27.3.4.1+dfsg, 1.18.3.dfsg, 3.0+ds1.
var repacked = regexp.MustCompile(`[+.~](dfsg|ds)[0-9.]*$`)

func upstreamVersion(exact string) string { return repacked.ReplaceAllString(exact, "") }

// validPoolPath accepts paths below an archive's root.
func validPoolPath(path string) bool {
	if !filepath.IsLocal(path) {
		return false
	}
	for _, element := range strings.Split(path, "/") {
		if !filePattern.MatchString(element) {
			return false
		}
	}
	return true
}
