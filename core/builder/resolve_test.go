package builder

import (
	"strings"
	"testing"
)

func TestResolutionThatCannotBeIsFoundOut(t *testing.T) {
	t.Parallel()
	req := &ResolveRequest{Fetched: map[string]string{"here": "/here"}}
	file := func(name string) RemoteFile { return RemoteFile{Name: name, URL: "u/" + name} }
	for _, tt := range []struct {
		name string
		r    Resolution
		want string // empty: sound
	}{
		{"wants more", Resolution{Files: []RemoteFile{file("here"), file("there")}}, ""},
		{"done", Resolution{Files: []RemoteFile{file("here")}, Done: true}, ""},
		{"an error alone", Resolution{Diagnostics: Diagnostics{{Summary: "no such package"}}}, ""},
		{"nothing", Resolution{}, "names no file"},
		{"a path", Resolution{Files: []RemoteFile{file("../etc/passwd")}}, "no plain file name"},
		{"a hidden file", Resolution{Files: []RemoteFile{file(".part")}}, "no plain file name"},
		{"twice", Resolution{Files: []RemoteFile{file("there"), file("there")}}, "twice"},
		{"nowhere", Resolution{Files: []RemoteFile{{Name: "there"}}}, "no URL"},
		{"done without it", Resolution{Files: []RemoteFile{file("there")}, Done: true}, "was not fetched"},
		{"for ever", Resolution{Files: []RemoteFile{file("here")}}, "for ever"},
	} {
		err := tt.r.Check(req)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}
