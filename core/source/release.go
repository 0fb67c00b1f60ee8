package source

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/agext/levenshtein"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// Origins of a Release.
const (
	OriginMirror   = "mirror"
	OriginUpstream = "upstream"
	OriginDebian   = "debian"
	// OriginRepository is where a builder's Resolver finds its files.
	OriginRepository = "repository"
)

// Release is one exact source archive; or, with Files, several that a builder's
// Resolver found.
type Release struct {
	Name   string // "erlang"
	Series string // "27"
	// Selection is that of the request, with Files.
	Selection string
	Version   string // "27.3.4.1"; Debian's "+dfsg" is left out here and kept in File and URL
	Origin    string // OriginMirror, OriginUpstream, OriginDebian or OriginRepository
	// URL is where the archive was first published: an http(s) URL, or
	// "debian:" and a path below the root of any Debian mirror, so that a lock
	// file does not depend on the mirror one host happens to use. A release
	// from a mirror keeps the URL it was vendored from.
	URL    string
	File   string        // base name of the archive
	SHA256 string        // 64 lower-case hexadecimal digits; with Files, of what they say
	Bytes  int64         // size of the archive; 0 while unknown
	Files  []ReleaseFile // instead of URL and File; sorted by name
}

// Request names what is wanted: a source, a series, and perhaps a selection.
type Request = builder.Source

// debianScheme begins the URL of a release in Debian's archive.
const debianScheme = "debian:"

// InSeries reports whether version belongs to series: "27.3.4" is in "27" and
// in "27.3"; "6.120" is not in "6.12".
func InSeries(version, series string) bool {
	return series != "" && (version == series || strings.HasPrefix(version, series+"."))
}

// Known returns the upstream releases listed in this package, sorted by name
// and series. Bytes is 0: it is learnt when the archive is fetched.
func Known() []Release {
	out := slices.Clone(upstreamReleases)
	for i := range out {
		out[i].Origin = OriginUpstream
	}
	slices.SortFunc(out, compareReleases)
	return out
}

// KnownSeries returns the series of name with an upstream release listed here,
// oldest first; none for a name that is not known.
func KnownSeries(name string) []string {
	var out []string
	for _, r := range Known() {
		if r.Name == name {
			out = append(out, r.Series)
		}
	}
	return out
}

// checkName says whether a source is known at all, under upstream's name.
func checkName(name string) error {
	if _, ok := debianNames[name]; ok {
		return nil
	}
	var names []string
	nearest, score := "", 0.6 // below that, a suggestion is a guess
	for n := range debianNames {
		names = append(names, n)
		if s := levenshtein.Similarity(n, name, nil); s > score {
			nearest, score = n, s
		}
	}
	slices.Sort(names)
	hint := ""
	if nearest != "" {
		hint = fmt.Sprintf("; did you mean %q?", nearest)
	}
	return fmt.Errorf("no source is named %q; known are %s%s", name, strings.Join(names, ", "), hint)
}

func compareReleases(a, b Release) int {
	if c := strings.Compare(a.Name, b.Name); c != 0 {
		return c
	}
	if c := compareVersions(a.Series, b.Series); c != 0 {
		return c
	}
	return strings.Compare(a.Selection, b.Selection)
}

// compareVersions orders dotted versions number by number.
func compareVersions(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := 0; i < len(as) && i < len(bs); i++ {
		x, errx := strconv.Atoi(as[i])
		y, erry := strconv.Atoi(bs[i])
		if errx != nil || erry != nil {
			if c := strings.Compare(as[i], bs[i]); c != 0 {
				return c
			}
			continue
		}
		if x != y {
			return x - y
		}
	}
	return len(as) - len(bs)
}

var (
	sha256Pattern = regexp.MustCompile(`^[0-9a-f]{64}$`)
	// A name that is safe as a path element and in a URL.
	// Debian's file names hold '+' and '~', those of Alpine's keys '@'.
	filePattern   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+~@-]*$`)
	urlPattern    = regexp.MustCompile(`^(https?://|debian:)[A-Za-z0-9./_~+:@,;=&?%#!*()-]+$`)
	seriesPattern = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*$`)
)

// check says what is wrong with a release that was read from a file.
func (r Release) check() error {
	switch {
	case !filePattern.MatchString(r.Name):
		return fmt.Errorf("%q is no source name", r.Name)
	case r.Files != nil && !filePattern.MatchString(r.Series):
		return fmt.Errorf("%q is no series", r.Series)
	case r.Files == nil && !seriesPattern.MatchString(r.Series):
		return fmt.Errorf("%q is no version series, such as \"6.12\"", r.Series)
	case !filePattern.MatchString(r.Version):
		return fmt.Errorf("%q is no version", r.Version)
	case !InSeries(r.Version, r.Series):
		return fmt.Errorf("version %q is not in the series %s", r.Version, r.Series)
	case r.Files != nil:
		return r.checkFiles()
	case r.Selection != "":
		return fmt.Errorf("there is a selection, %q, and no file", r.Selection)
	case !slices.Contains([]string{OriginMirror, OriginUpstream, OriginDebian}, r.Origin):
		return fmt.Errorf("origin %q is none of mirror, upstream, debian", r.Origin)
	case !urlPattern.MatchString(r.URL):
		return fmt.Errorf("url %q is no http(s) or debian: URL", r.URL)
	case !filePattern.MatchString(r.File):
		return fmt.Errorf("file %q is not a plain file name", r.File)
	case !sha256Pattern.MatchString(r.SHA256):
		return fmt.Errorf("sha256 %q is not 64 lower-case hexadecimal digits", r.SHA256)
	case r.Bytes < 0:
		return fmt.Errorf("bytes is %d", r.Bytes)
	}
	return nil
}
