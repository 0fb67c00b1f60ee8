package builder

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
)

// DownloadsFile is the name, in a step's result, of the list of files that the
// build system behind the builder wants: they are known only once it is
// configured, so no Plan can list them. WriteDownloads writes it.
const DownloadsFile = "downloads.json"

// Downloads is what a DownloadsFile holds.
type Downloads struct {
	// Look lists directories that may hold some of the files already, at the
	// same paths. The host only reads them.
	Look  []string
	Files []Download
}

// Download is one file. The host takes it from wherever it finds that digest: a
// mirror, the URLs, Debian's archive of sources.
type Download struct {
	Path    string   // below BuildRequest.Downloads: "busybox/busybox-1.37.0.tar.bz2"
	Package string   // for people: "busybox 1.37.0"
	URLs    []string // http, https or file; tried in this order
	SHA256  string   // 64 lower-case hexadecimal digits
}

// WriteDownloads puts the list into a step's result.
func WriteDownloads(out string, d Downloads) error {
	if err := d.Check(); err != nil {
		return err
	}
	data, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, DownloadsFile), append(data, '\n'), 0o644)
}

// ReadDownloads reads the list in a step's result.
func ReadDownloads(out string) (Downloads, error) {
	path := filepath.Join(out, DownloadsFile)
	f, err := os.Open(path)
	if err != nil {
		return Downloads{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxMessage+1))
	if err != nil {
		return Downloads{}, err
	}
	if len(data) > MaxMessage {
		return Downloads{}, fmt.Errorf("%s: more than %d bytes", path, MaxMessage)
	}
	d, err := parseDownloads(data)
	if err != nil {
		return Downloads{}, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

func parseDownloads(data []byte) (Downloads, error) {
	var d Downloads
	in := json.NewDecoder(bytes.NewReader(data))
	if err := in.Decode(&d); err != nil {
		return Downloads{}, err
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return Downloads{}, fmt.Errorf("something follows the list at byte %d", in.InputOffset())
	}
	return d, d.Check()
}

var digestPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Check holds a list to the contract: paths that stay below the directory, each
// once, and digests.
func (d Downloads) Check() error {
	for _, dir := range d.Look {
		if !filepath.IsAbs(dir) {
			return fmt.Errorf("directory %q is not absolute", dir)
		}
	}
	seen := map[string]bool{}
	for _, f := range d.Files {
		switch {
		case !filepath.IsLocal(f.Path) || filepath.Clean(f.Path) != f.Path || f.Path == ".":
			return fmt.Errorf("%q is no path below the directory of downloads", f.Path)
		case seen[f.Path]:
			return fmt.Errorf("%s is listed twice", f.Path)
		case !digestPattern.MatchString(f.SHA256):
			return fmt.Errorf("%s: %q is no SHA-256 digest in lower-case hexadecimal", f.Path, f.SHA256)
		}
		seen[f.Path] = true
		for _, text := range f.URLs {
			u, err := url.Parse(text)
			if err != nil {
				return fmt.Errorf("%s: %w", f.Path, err)
			}
			if u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "file" {
				return fmt.Errorf("%s: %q is no http, https or file URL", f.Path, text)
			}
		}
	}
	return nil
}
