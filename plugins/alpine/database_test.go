package main

import (
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/source"
)

// alpinesDatabase is as apk writes it, with a file that a later layer removed.
const alpinesDatabase = `C:Q1abc=
P:musl
V:1.2.5-r10
A:x86_64
S:4
F:lib
R:ld-musl-x86_64.so.1
a:0:0:755
Z:Q1xyz=
R:gone

P:team-tool
V:1-r0
F:
R:rooted
F:usr/bin
M:0:0:0755
R:env
`

// listed are the packages that a root step says its root consists of.
func listed(t *testing.T, out string) []installed {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(out, rootPackages))
	if err != nil {
		t.Fatal(err)
	}
	var all []installed
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAnImagesOwnDatabaseSaysWhatItConsistsOf(t *testing.T) {
	t.Parallel()
	host := newRegistry(t)
	for _, db := range []string{"lib/apk/db/installed", "usr/lib/apk/db/installed"} {
		entries := []entry{{name: db, mode: 0o644, data: alpinesDatabase}, {name: "rooted", mode: 0o644, data: "r"}}
		if strings.HasPrefix(db, "usr/") { // and /lib is a link to /usr/lib
			entries = append(entries, entry{name: "usr/lib/ld-musl-x86_64.so.1", mode: 0o755, data: "musl"}, entry{name: "lib", link: "usr/lib"})
		} else {
			entries = append(entries, entry{name: "lib/ld-musl-x86_64.so.1", mode: 0o755, data: "musl"})
		}
		entries = append(entries, entry{name: "usr/bin/env", link: "/bin/busybox"})
		at := host + "/team/" + path.Dir(path.Dir(path.Dir(path.Dir(db)))) + "app:1.0"
		push(t, at, image(t, "x86_64", append(otpLayers(t, "x86_64"), layer(t, entries...))...))
		out, err := install(t, imageDefinition(t, at), source.Options{})
		if err != nil {
			t.Fatal(err)
		}
		got := listed(t, out)
		want := []installed{
			{Name: "musl", Version: "1.2.5-r10", Files: []string{strings.TrimSuffix(db, "apk/db/installed") + "ld-musl-x86_64.so.1"}},
			{Name: "team-tool", Version: "1-r0", Files: []string{"/rooted", "/usr/bin/env"}},
		}
		want[0].Files[0] = "/" + want[0].Files[0]
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got  %+v\nwant %+v", db, got, want)
		}
	}
}

// What we write we read: apk's database of the packages that we install ourselves.
func TestOurOwnDatabaseIsRead(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	m.publish("main", "x86_64", system("x86_64")...)
	out, err := install(t, definition(t, m, nil), source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := listed(t, out)
	r := &root{tree: readTree(t, filepath.Join(out, rootTar))}
	got, err := r.readDatabase()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) == 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func FuzzDatabase(f *testing.F) {
	f.Add(alpinesDatabase)
	f.Add("P:\nV\nF:../..\nR:../etc/passwd\n\nR:x\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, p := range parseDatabase(text) {
			if p.Name == "" {
				t.Error("a package without a name")
			}
			for _, name := range p.Files {
				if path.Clean(name) != name || !path.IsAbs(name) {
					t.Errorf("%q is no absolute, clean path", name)
				}
			}
		}
	})
}
