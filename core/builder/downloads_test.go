package builder

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var zeros = strings.Repeat("0", 64)

func TestDownloadsReadBackAsWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := Downloads{Look: []string{"/srv/dl"}, Files: []Download{
		{Path: "busybox/busybox-1.37.0.tar.bz2", Package: "busybox 1.37.0", URLs: []string{"https://busybox.net/a", "file:///srv/a"}, SHA256: zeros},
		{Path: "v1.0.tar.gz", SHA256: zeros},
	}}
	if err := WriteDownloads(dir, want); err != nil {
		t.Fatal(err)
	}
	got, err := ReadDownloads(dir)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAListThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"Files": [{"Path": "../passwd", "SHA256": "` + zeros + `"}]}`:                                 "no path below",
		`{"Files": [{"Path": "/etc/passwd", "SHA256": "` + zeros + `"}]}`:                               "no path below",
		`{"Files": [{"Path": "a/../b", "SHA256": "` + zeros + `"}]}`:                                    "no path below",
		`{"Files": [{"Path": "", "SHA256": "` + zeros + `"}]}`:                                          "no path below",
		`{"Files": [{"Path": "a", "SHA256": "abc"}]}`:                                                   "no SHA-256 digest",
		`{"Files": [{"Path": "a", "SHA256": "` + zeros + `", "URLs": ["git://a"]}]}`:                    "no http, https or file URL",
		`{"Files": [{"Path": "a", "SHA256": "` + zeros + `"},{"Path": "a", "SHA256":"` + zeros + `"}]}`: "listed twice",
		`{"Look": ["dl"]}`: "not absolute",
		`{} {}`:            "something follows",
		`[]`:               "cannot unmarshal",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, DownloadsFile), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadDownloads(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func FuzzParseDownloads(f *testing.F) {
	f.Add([]byte(`{"Look":["/a"],"Files":[{"Path":"a/b","URLs":["https://a/b"],"SHA256":"` + zeros + `"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := parseDownloads(data)
		if err != nil {
			return
		}
		for _, file := range d.Files {
			if path := filepath.Join("/dl", file.Path); !strings.HasPrefix(path, "/dl/") {
				t.Errorf("%q leads to %s", file.Path, path)
			}
		}
	})
}
