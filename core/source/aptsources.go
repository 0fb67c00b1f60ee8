package source

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// aptEntry is what one entry of the host's apt sources says about a repository
// (sources.list(5)). Types, architectures and trust options are not kept: we ask
// for other indexes, and trust nothing but a keyring.
type aptEntry struct {
	URI        string
	Suites     []string
	Components []string
	SignedBy   string // absolute path of a keyring, or empty
}

// debianKeyring comes with Debian's package debian-archive-keyring.
const debianKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// debianMirrors returns the archives of Debian that the host's apt is set up
// with, likely ones first, each with all suites that it is used for.
func debianMirrors(aptEtc string) ([]aptEntry, error) {
	entries, read, err := readAptSources(aptEtc)
	if err != nil {
		return nil, err
	}
	var all []aptEntry
	for _, e := range entries {
		e.URI = strings.TrimRight(e.URI, "/")
		if e.SignedBy == "" {
			e.SignedBy = debianKeyring
		}
		if !slices.Contains(e.Components, "main") {
			continue
		}
		same := func(other aptEntry) bool { return other.URI == e.URI }
		if i := slices.IndexFunc(all, same); i >= 0 {
			all[i].Suites = append(slices.Clip(all[i].Suites), e.Suites...)
		} else {
			all = append(all, e)
		}
	}
	var likely, possible []aptEntry
	for _, e := range all {
		switch {
		case strings.HasSuffix(e.URI, "/debian"):
			likely = append(likely, e)
		case slices.ContainsFunc(e.Suites, isDebianSuite):
			possible = append(possible, e)
		}
	}
	out := append(likely, possible...)
	if len(out) == 0 {
		return nil, fmt.Errorf("this host's apt is set up with no archive of Debian (read: %s)", strings.Join(read, ", "))
	}
	return out, nil
}

// isDebianSuite knows the suites whose Release files cover all of Debian.
// Entries such as trixie-security are other archives.
func isDebianSuite(s string) bool {
	return slices.Contains([]string{"oldstable", "stable", "testing", "unstable", "bullseye", "bookworm", "trixie", "forky", "duke", "sid"}, s)
}

// readAptSources reads sources.list and sources.list.d, as apt does, and says
// which files it read.
func readAptSources(aptEtc string) (entries []aptEntry, read []string, err error) {
	lists, err := filepath.Glob(filepath.Join(aptEtc, "sources.list.d", "*"))
	if err != nil {
		return nil, nil, err
	}
	for _, path := range append([]string{filepath.Join(aptEtc, "sources.list")}, lists...) {
		parse := parseSourcesList
		switch filepath.Ext(path) {
		case ".sources":
			parse = parseDeb822Sources
		case ".list":
		default:
			continue
		}
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		read = append(read, path)
		for _, e := range parse(text) {
			entries = append(entries, expandMirrorFile(e)...)
		}
	}
	if len(read) == 0 {
		return nil, nil, fmt.Errorf("no apt sources in %s: this is not a Debian host", aptEtc)
	}
	return entries, read, nil
}

// expandMirrorFile replaces mirror+file:/path, which Debian's cloud images use,
// with the URIs listed in that file (apt-transport-mirror(1)). Other transports
// than http and https are left out: the archive is fetched by us.
func expandMirrorFile(e aptEntry) []aptEntry {
	if isHTTP(e.URI) {
		return []aptEntry{e}
	}
	path, ok := strings.CutPrefix(e.URI, "mirror+file:")
	if !ok {
		return nil
	}
	text, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return nil
	}
	var out []aptEntry
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 0 && isHTTP(f[0]) {
			e.URI = f[0]
			out = append(out, e)
		}
	}
	return out
}

// parseSourcesList reads the one-line style: type [options] uri suite components.
// Lines that are not of that form are left out; complaining is apt's business.
func parseSourcesList(text []byte) []aptEntry {
	var out []aptEntry
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		kind, rest, _ := strings.Cut(strings.TrimSpace(strings.ReplaceAll(line, "\t", " ")), " ")
		if kind != "deb" && kind != "deb-src" {
			continue
		}
		var e aptEntry
		rest = strings.TrimSpace(rest)
		if options, after, ok := strings.Cut(rest, "]"); ok && strings.HasPrefix(rest, "[") {
			rest = after
			for _, option := range strings.Fields(options[1:]) {
				if name, value, _ := strings.Cut(option, "="); strings.EqualFold(name, "signed-by") {
					e.SignedBy = keyringPath(value)
				}
			}
		}
		f := strings.Fields(rest)
		if len(f) < 2 || !validURI(f[0]) {
			continue
		}
		e.URI, e.Suites, e.Components = f[0], []string{f[1]}, f[2:]
		out = append(out, e)
	}
	return out
}

// parseDeb822Sources reads the deb822 style of .sources files.
func parseDeb822Sources(text []byte) []aptEntry {
	var out []aptEntry
	for _, stanza := range parseStanzas(text) {
		if strings.EqualFold(stanza.get("Enabled"), "no") {
			continue
		}
		for _, uri := range strings.Fields(stanza.get("URIs")) {
			if validURI(uri) {
				out = append(out, aptEntry{
					URI:        uri,
					Suites:     strings.Fields(stanza.get("Suites")),
					Components: strings.Fields(stanza.get("Components")),
					SignedBy:   keyringPath(stanza.get("Signed-By")),
				})
			}
		}
	}
	return out
}

// validURI also keeps characters out that would end a line of our own
// configuration for apt.
func validURI(uri string) bool {
	u, err := url.Parse(uri)
	return err == nil && u.Scheme != "" && !strings.ContainsAny(uri, " \t\r\n\"';{}[]#\\")
}

// keyringPath returns the value of Signed-By if it is one absolute path; it may
// also be fingerprints or a whole key, for which Debian's own keyring serves.
func keyringPath(value string) string {
	if !filepath.IsAbs(value) || strings.ContainsAny(value, " \t\r\n,\"';{}[]#\\") {
		return ""
	}
	return value
}

// stanza is one paragraph of deb822(5) fields.
type stanza map[string]string

func (s stanza) get(field string) string { return s[strings.ToLower(field)] }

// parseStanzas reads deb822 paragraphs. The lines of a folded field are joined
// by newlines, without their indent. Lines that are no field are left out.
func parseStanzas(text []byte) []stanza {
	var out []stanza
	var current stanza
	field := ""
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 16<<20) // Package-List of linux is one folded field, but lines can be long too
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), " \t\r")
		switch {
		case line == "":
			current, field = nil, ""
		case line[0] == '#':
		case line[0] == ' ' || line[0] == '\t':
			if field != "" {
				current[field] += "\n" + strings.TrimSpace(line)
			}
		default:
			name, value, ok := strings.Cut(line, ":")
			if !ok {
				continue
			}
			if current == nil {
				current = stanza{}
				out = append(out, current)
			}
			field = strings.ToLower(strings.TrimSpace(name))
			current[field] = strings.TrimSpace(value)
		}
	}
	return out
}
