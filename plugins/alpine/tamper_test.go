package main

import (
	"bytes"
	"crypto"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/source"
)

// find is one of packages.
func find(packages []built, name string) (int, built) {
	i := slices.IndexFunc(packages, func(p built) bool { return p.Name == name })
	return i, packages[i]
}

// musl changes the musl of a system before it is published.
func withMusl(change func(p *pkg)) []built {
	packages := system("x86_64")
	i, old := find(packages, "musl")
	p := pkg{name: "musl", version: old.Version, provides: old.Provides, files: []entry{
		{name: "lib/ld-musl-x86_64.so.1", mode: 0o755, data: "another C library"},
		{name: "lib/libc.musl-x86_64.so.1", link: "ld-musl-x86_64.so.1"},
	}}
	change(&p)
	packages[i] = p.build()
	return packages
}

// Every way to slip somebody else's files in is refused, and says which file and
// why. That the same mirror without the change is accepted is every other test.
func TestTamperedRepositoriesAreRefused(t *testing.T) {
	t.Parallel()
	const main = "/v" + release + "/main/x86_64/"
	for _, tt := range []struct {
		name   string
		tamper func(m *mirror)
		want   []string
	}{
		{"index signed by a stranger", func(m *mirror) {
			m.put(main+"APKINDEX.tar.gz", signedIndex(stranger(), system("x86_64")...))
		}, []string{"the index of v3.22/main", "it is signed with stranger@example.org-00000000.rsa.pub", "the known keys are builder@example.org-0a1b2c3d.rsa.pub"}},
		{"index signed with another key of our name", func(m *mirror) {
			m.put(main+"APKINDEX.tar.gz", signedIndex(impostor(), system("x86_64")...))
		}, []string{"the index of v3.22/main", "another key of the same name"}},
		{"index not signed", func(m *mirror) {
			index := signedIndex(ours(), system("x86_64")...)
			signature, err := firstMember(index)
			if err != nil {
				panic(err)
			}
			m.put(main+"APKINDEX.tar.gz", index[len(signature):])
		}, []string{"the index of v3.22/main", "not signed"}},
		{"index altered", func(m *mirror) {
			index := signedIndex(ours(), system("x86_64")...)
			signature, _ := firstMember(index)
			m.put(main+"APKINDEX.tar.gz", append(bytes.Clone(signature), signedIndex(ours(), withMusl(func(*pkg) {})...)[len(signature):]...))
		}, []string{"the index of v3.22/main", "is not of these contents"}},
		{"index cut short", func(m *mirror) {
			index := signedIndex(ours(), system("x86_64")...)
			m.put(main+"APKINDEX.tar.gz", index[:len(index)/2])
		}, []string{"the index of v3.22/main"}},
		{"index is a web page", func(m *mirror) {
			m.put(main+"APKINDEX.tar.gz", []byte("<html>sign in to the network</html>"))
		}, []string{"the index of v3.22/main", "it is no package"}},
		{"package signed by a stranger", func(m *mirror) {
			// The index vouches for it: apko would install it.
			m.publish("main", "x86_64", withMusl(func(p *pkg) { p.signer = stranger() })...)
		}, []string{"musl-1.2.5-r10.apk", "it is signed with stranger@example.org-00000000.rsa.pub"}},
		{"package signed with another key of our name", func(m *mirror) {
			m.publish("main", "x86_64", withMusl(func(p *pkg) { p.signer = impostor() })...)
		}, []string{"musl-1.2.5-r10.apk", "another key of the same name"}},
		{"package not signed", func(m *mirror) {
			packages := system("x86_64")
			i, musl := find(packages, "musl")
			musl.signature, musl.Size = nil, musl.Size-uint64(len(musl.signature))
			packages[i] = musl
			m.publish("main", "x86_64", packages...)
		}, []string{"musl-1.2.5-r10.apk", "it is not signed"}},
		{"package replaced by another of ours", func(m *mirror) {
			_, busybox := find(system("x86_64"), "busybox")
			_, musl := find(system("x86_64"), "musl")
			m.put(main+musl.Filename(), padded(busybox, musl))
		}, []string{"musl-1.2.5-r10.apk"}},
		{"package downgraded: an older one of ours under the newer name", func(m *mirror) {
			_, musl := find(system("x86_64"), "musl")
			_, older := find(withMusl(func(p *pkg) { p.version = "1.2.3-r0" }), "musl")
			m.put(main+musl.Filename(), padded(older, musl))
		}, []string{"musl-1.2.5-r10.apk"}},
		{"package rebuilt with the same version", func(m *mirror) {
			_, musl := find(withMusl(func(*pkg) {}), "musl")
			_, listed := find(system("x86_64"), "musl")
			m.put(main+listed.Filename(), padded(musl, listed))
		}, []string{"musl-1.2.5-r10.apk"}},
		{"control section altered", func(m *mirror) {
			_, musl := find(system("x86_64"), "musl")
			_, other := find(withMusl(func(p *pkg) { p.depends = []string{"evil"} }), "musl")
			m.put(main+musl.Filename(), padded(built{signature: musl.signature, control: other.control, data: musl.data}, musl))
		}, []string{"musl-1.2.5-r10.apk"}},
		{"data altered", func(m *mirror) {
			_, musl := find(system("x86_64"), "musl")
			_, other := find(withMusl(func(*pkg) {}), "musl")
			m.put(main+musl.Filename(), padded(built{signature: musl.signature, control: musl.control, data: other.data}, musl))
		}, []string{"musl-1.2.5-r10.apk"}},
		{"a byte of the data turned over", func(m *mirror) {
			_, musl := find(system("x86_64"), "musl")
			file := bytes.Clone(musl.file())
			file[len(file)-20] ^= 1
			m.put(main+musl.Filename(), file)
		}, []string{"musl-1.2.5-r10.apk", "its data is altered"}},
		{"package cut short", func(m *mirror) {
			_, musl := find(system("x86_64"), "musl")
			m.put(main+musl.Filename(), musl.file()[:len(musl.file())-100])
		}, []string{"musl-1.2.5-r10.apk", "bytes, not the expected"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := newMirror(t)
			m.publish("main", "x86_64", system("x86_64")...)
			tt.tamper(m)
			lock, err := source.LoadLock(filepath.Join(t.TempDir(), "leanlab.lock.hcl"))
			if err != nil {
				t.Fatal(err)
			}
			_, err = fetch(t, definition(t, m, nil), source.Options{Lock: lock})
			if err == nil {
				t.Fatal("it was accepted")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("said %v\nwant %q", err, want)
				}
			}
			if len(lock.Releases()) > 0 {
				t.Error("it was locked")
			}
		})
	}
}

// padded is p's file with the length of another's, so that its size does not give
// it away first.
func padded(p, other built) []byte {
	file := p.file()
	for len(file) < len(other.file()) {
		file = append(file, 0)
	}
	return file[:len(other.file())]
}

// The same rows by themselves: what verifies a package says what is wrong, also
// where nothing before it does.
func TestAPackageIsVerifiedByItself(t *testing.T) {
	t.Parallel()
	_, musl := find(system("x86_64"), "musl")
	_, other := find(withMusl(func(p *pkg) { p.depends = []string{"evil"} }), "musl")
	dir := t.TempDir()
	keys, err := readKeys([]string{ours().publicKey(t, dir)})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, want string
		file       []byte
	}{
		{"sound", "", musl.file()},
		{"signed with SHA-256", "", slices.Concat(ours().section(musl.control, crypto.SHA256), musl.control, musl.data)},
		{"control altered", "is not of these contents", slices.Concat(musl.signature, other.control, musl.data)},
		{"data altered", "its data is altered", slices.Concat(musl.signature, musl.control, other.data)},
		{"data cut", "its data is altered or cut short", musl.file()[:len(musl.file())-10]},
		{"data gone", "its data is altered or cut short", slices.Concat(musl.signature, musl.control)},
		{"control cut", "it is cut short", slices.Concat(musl.signature, musl.control[:len(musl.control)/2])},
		{"more behind it", "its data is altered", append(musl.file(), musl.data...)},
		{"nothing", "it is cut short", nil},
		{"not a package", "it is no package", []byte("hello, this is plain text and no package at all")},
		{"signed by nobody known", "it is signed with stranger@example.org-00000000.rsa.pub", slices.Concat(stranger().section(musl.control, crypto.SHA1), musl.control, musl.data)},
	} {
		file := filepath.Join(dir, "package.apk")
		if err := os.WriteFile(file, tt.file, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := verifyPackage(file, keys, nil)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

// Alpine's own: a package and an index with the signatures that Alpine gave them,
// which apko's test data holds, and the keys, which it does not.
func TestAlpinesOwnSignaturesVerify(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("LEANLAB_TEST_ALPINE_KEYS")
	if dir == "" {
		t.Skip("LEANLAB_TEST_ALPINE_KEYS does not name a directory with Alpine's public keys (/usr/share/apk/keys of any Alpine)")
	}
	data := filepath.Join(apkoDir(t), "pkg/apk/apk/testdata")
	rings := map[string]keyring{}
	for arch, key := range alpineKeys {
		pem, err := readKey(filepath.Join(dir, key.Name))
		if err != nil {
			t.Fatal(err)
		}
		if digest(pem) != key.SHA256 {
			t.Errorf("%s has another digest than alpineKeys says", key.Name)
		}
		rings[arch] = keyring{key.Name: pem}
	}
	v, err := verifyPackage(filepath.Join(data, "alpine-316/alpine-baselayout-3.2.0-r23.apk"), rings["aarch64"], nil)
	if err != nil {
		t.Fatal(err)
	}
	if v.info.Name != "alpine-baselayout" || v.info.Version != "3.2.0-r23" {
		t.Errorf("got %s-%s", v.info.Name, v.info.Version)
	}
	main := origin{name: "main", url: "v3.16/main"}
	file := filepath.Join(data, "alpine-316/APKINDEX.tar.gz")
	index, err := readIndex(t.Context(), main, file, "x86_64", rings["x86_64"], t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if n := index.Count(); n < 1000 {
		t.Errorf("the index of Alpine 3.16's main has %d packages", n)
	}
	if _, err := readIndex(t.Context(), main, file, "x86_64", rings["aarch64"], t.TempDir()); err == nil {
		t.Error("the same index verifies with another key, a moment later")
	}
}

// A lock file says which file, by its digest: a mirror that goes back to an older
// index, properly signed, changes nothing.
func TestALockHoldsAgainstAnOlderIndex(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	m.publish("main", "x86_64", system("x86_64")...)
	lock, err := source.LoadLock(filepath.Join(t.TempDir(), "leanlab.lock.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	def := definition(t, m, nil)
	first, err := fetch(t, def, source.Options{Lock: lock})
	if err != nil {
		t.Fatal(err)
	}
	if err := lock.Save(); err != nil {
		t.Fatal(err)
	}
	m.publish("main", "x86_64", withMusl(func(p *pkg) { p.version = "1.2.3-r0" })...)
	again, err := fetch(t, def, source.Options{Lock: lock})
	if err != nil || again.SHA256 != first.SHA256 {
		t.Errorf("got %v, %v, want what is locked", again, err)
	}
	// And under the same name, the older package is not the one that is locked.
	_, musl := find(system("x86_64"), "musl")
	_, older := find(withMusl(func(p *pkg) { p.version = "1.2.3-r0" }), "musl")
	m.put("/v"+release+"/main/x86_64/"+musl.Filename(), padded(older, musl))
	_, err = fetch(t, def, source.Options{Lock: lock})
	var failed *source.FilesError
	if !errors.As(err, &failed) || failed.File != "musl-1.2.5-r10.x86_64.apk" || !strings.Contains(err.Error(), "leanlab sources lock") {
		t.Errorf("got %v", err)
	}
}

// A package that is altered on disk after it was resolved is not installed.
func TestAPackageIsVerifiedAgainWhenItIsInstalled(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	m.publish("main", "x86_64", system("x86_64")...)
	def := definition(t, m, nil)
	set, err := fetch(t, def, source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, other := find(withMusl(func(p *pkg) { p.signer = stranger() }), "musl")
	for i, f := range set.Files {
		if strings.HasPrefix(f.Name, "musl-") {
			set.Files[i].Path = filepath.Join(t.TempDir(), f.Name)
			if err := os.WriteFile(set.Files[i].Path, other.file(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, err = alpine{}.Build(t.Context(), &builder.BuildRequest{Definition: def, Step: stepRoot, Out: t.TempDir(), Work: t.TempDir(),
		Sources: map[string]builder.FetchedSource{sourceAlpine: set}}, noEvents{})
	if err == nil || !strings.Contains(err.Error(), "it is signed with stranger@example.org-00000000.rsa.pub") {
		t.Errorf("got %v", err)
	}
}
