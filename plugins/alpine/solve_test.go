package main

import (
	"crypto"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/source"
)

func TestWhatCannotBeInstalledIsSaidAtItsPlace(t *testing.T) {
	t.Parallel()
	tool := func(p pkg) built {
		p.files = []entry{{name: "usr/bin/" + p.name, mode: 0o755, data: p.name}}
		return p.build()
	}
	for _, tt := range []struct {
		name    string
		more    []pkg
		wishes  []string
		change  func(def *builder.Definition)
		path    string
		summary string
		says    []string
	}{
		{name: "misspelt", wishes: []string{"curl", "crul"}, path: "packages.1", summary: "Unknown package",
			says: []string{`have no package "crul"`, `Did you mean "curl"?`}},
		{name: "nothing like it", wishes: []string{"qwertyuiop"}, path: "packages.0", summary: "Unknown package",
			says: []string{`The repositories of Alpine 3.22 have no package "qwertyuiop".`}},
		{name: "a version that is not there", wishes: []string{"curl>9"}, path: "packages.0", summary: "cannot be installed together",
			says: []string{`"curl>9" is asked for, and curl-8.14.1-r1 is not curl>9.`}},
		{name: "a dependency that nothing provides", wishes: []string{"git"}, more: []pkg{{name: "git", version: "2.49.0-r0", depends: []string{"so:libpcre2-8.so.0"}}},
			path: "packages.0", summary: "cannot be installed together",
			says: []string{"git-2.49.0-r0 needs so:libpcre2-8.so.0, and no repository has that."}},
		{name: "two that exclude each other", wishes: []string{"postfix", "exim"},
			more: []pkg{{name: "postfix", version: "3.10-r0", depends: []string{"!exim"}}, {name: "exim", version: "4.98-r0"}},
			path: "packages", summary: "cannot be installed together", says: []string{"exim-4.98-r0 is excluded by postfix-3.10-r0."}},
		{name: "two versions of one library", wishes: []string{"new", "old"},
			more: []pkg{{name: "new", version: "1-r0", depends: []string{"lib>2"}}, {name: "old", version: "1-r0", depends: []string{"lib<2"}},
				{name: "lib", version: "1.0-r0"}, {name: "lib", version: "2.5-r0"}},
			path: "packages", summary: "cannot be installed together", says: []string{"needs lib", "lib-1.0-r0 is not lib>2", "lib-2.5-r0 is not lib<2"}},
		{name: "another OTP", change: func(def *builder.Definition) { def.OTP.Version = "25" }, path: "release", summary: "No such OTP",
			says: []string{"Alpine 3.22 has no package of OTP 25; it has OTP 27"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := newMirror(t)
			packages := system("x86_64")
			for _, p := range tt.more {
				packages = append(packages, tool(p))
			}
			m.publish("main", "x86_64", packages...)
			def := definition(t, m, func(c map[string]any) { c["packages"] = append([]string{}, tt.wishes...) })
			if tt.change != nil {
				tt.change(def)
			}
			_, err := fetch(t, def, source.Options{})
			var found *diagnosticsError
			if !errors.As(err, &found) {
				t.Fatalf("got %v", err)
			}
			d := found.Diagnostics[0]
			if path := strings.Join(d.Path, "."); path != tt.path && !strings.HasPrefix(path, tt.path+".") || !strings.Contains(d.Summary, tt.summary) {
				t.Errorf("got %q at %s, want %q at %s", d.Summary, path, tt.summary, tt.path)
			}
			for _, want := range tt.says {
				if !strings.Contains(d.Detail, want) {
					t.Errorf("said %s\nwant %s", d.Detail, want)
				}
			}
			t.Log(d.Detail)
		})
	}
}

// An OTP that a release has under its plain name is found by its version.
func TestOTPIsFoundUnderBothOfItsNames(t *testing.T) {
	t.Parallel()
	packages := system("x86_64")
	files := []entry{
		{name: "usr/lib/erlang/releases/26/OTP_VERSION", mode: 0o644, data: "26.2.5.15\n"},
		{name: "usr/lib/erlang/erts-14.2.5/bin/beam.smp", mode: 0o755, data: elfFile("x86_64")},
		{name: "usr/lib/erlang/erts-14.2.5/bin/erl_child_setup", mode: 0o755, data: "child setup"},
	}
	packages = append(packages, pkg{name: "erlang", version: "26.2.5.15-r0", files: files}.build())
	m := newMirror(t)
	m.publish("main", "x86_64", packages...)
	for series, want := range map[string]string{"26": "erlang-26.2.5.15-r0.x86_64.apk", "27": "erlang27-27.3.4.6-r1.x86_64.apk"} {
		def := definition(t, m, nil)
		def.OTP.Version = series
		set, err := fetch(t, def, source.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(set.Files, func(f builder.FetchedFile) bool { return f.Name == want }) {
			t.Errorf("OTP %s: %s is not among %v", series, want, set.Files)
		}
	}
}

// A team's own repository has its own key, which signs nothing of Alpine's, and
// Alpine's nothing of the team's.
func TestARepositoryIsSignedWithItsOwnKey(t *testing.T) {
	t.Parallel()
	tool := pkg{name: "acme-tool", version: "1.0-r0", signer: stranger(), files: []entry{{name: "usr/bin/acme", mode: 0o755, data: "acme"}}}.build()
	m := newMirror(t)
	m.publish("main", "x86_64", system("x86_64")...)
	with := func(signer, knows *signer) (builder.FetchedSource, error) {
		m.put("/acme/x86_64/"+tool.Filename(), tool.file())
		m.put("/acme/x86_64/APKINDEX.tar.gz", signedIndex(signer, tool))
		return fetch(t, definition(t, m, func(c map[string]any) {
			c["packages"] = []string{"acme-tool"}
			c["repository"] = []any{map[string]any{"url": m.URL + "/acme", "keys": []string{knows.publicKey(t, t.TempDir())}}}
		}), source.Options{})
	}
	set, err := with(stranger(), stranger())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(set.Files, func(f builder.FetchedFile) bool { return f.Name == "acme-tool-1.0-r0.x86_64.apk" }) {
		t.Errorf("it is not among %v", set.Files)
	}
	if _, err := with(ours(), stranger()); err == nil || !strings.Contains(err.Error(), "it is signed with "+ours().name) {
		t.Errorf("an index signed with Alpine's key: %v", err)
	}
	if _, err := with(ours(), ours()); err == nil || !strings.Contains(err.Error(), "acme-tool-1.0-r0.apk: it is signed with "+stranger().name) {
		t.Errorf("a package that the repository's key did not sign: %v", err)
	}
}

// A directory serves as a mirror and as a repository, without a network.
func TestDirectoriesServeOffline(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	m.publish("main", "x86_64", system("x86_64")...)
	dir := t.TempDir()
	for name, data := range m.files {
		writeFile(t, filepath.Join(dir, name), data)
	}
	tool := pkg{name: "acme-tool", version: "1.0-r0", files: []entry{{name: "usr/bin/acme", mode: 0o755, data: "acme"}}}.build()
	def := definition(t, m, func(c map[string]any) {
		c["mirrors"] = []string{dir}
		c["packages"] = []string{"acme-tool"}
		c["repository"] = []any{map[string]any{"url": "packages", "keys": c["keys"]}}
	})
	writeFile(t, filepath.Join(def.Root, "packages/x86_64", tool.Filename()), tool.file())
	writeFile(t, filepath.Join(def.Root, "packages/x86_64/APKINDEX.tar.gz"), signedIndex(ours(), tool))
	set, err := fetch(t, def, source.Options{Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Files) != 5 {
		t.Errorf("got %v", set.Files)
	}
	if m.asked != nil {
		t.Errorf("the network was asked for %v", m.asked)
	}
}

// What was fetched once is there offline: with the lock file, and without it by
// the indexes as they were.
func TestTheCacheServesOffline(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	m.publish("main", "x86_64", system("x86_64")...)
	dir := t.TempDir()
	def := definition(t, m, nil)
	first, err := fetch(t, def, source.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	again, err := fetch(t, def, source.Options{Dir: dir, Offline: true})
	if err != nil || again.SHA256 != first.SHA256 {
		t.Errorf("got %v, %v", again, err)
	}
	more := definition(t, m, func(c map[string]any) { c["packages"] = []string{"curl"} })
	if _, err := fetch(t, more, source.Options{Dir: dir, Offline: true}); err == nil || !strings.Contains(err.Error(), "curl-8.14.1-r1.apk: not asked: offline") {
		t.Errorf("a package that was never fetched: %v", err)
	}
}

func TestFileThatTwoPackagesHaveIsAConflict(t *testing.T) {
	t.Parallel()
	clash := pkg{name: "clash", version: "1-r0", files: []entry{{name: "usr/bin/curl", mode: 0o755, data: "another curl"}}}
	for _, replaces := range [][]string{nil, {"curl"}} {
		m := newMirror(t)
		clash.replaces = replaces
		m.publish("main", "x86_64", append(system("x86_64"), clash.build())...)
		_, err := install(t, definition(t, m, func(c map[string]any) { c["packages"] = []string{"curl", "clash"} }), source.Options{})
		switch {
		case replaces == nil && (err == nil || !strings.Contains(err.Error(), "packages clash and curl both have the file usr/bin/curl")):
			t.Errorf("got %v", err)
		case replaces != nil && err != nil:
			t.Errorf("with replaces: %v", err)
		}
	}
}

// Packages that were signed anew are the same to the index: what is in the cache
// is not taken for them.
func TestPackagesThatWereSignedAnewAreFetchedAnew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, s := range []*signer{ours(), impostor()} {
		m := newMirror(t)
		packages := system("x86_64")
		for i, p := range packages {
			packages[i].signature = s.section(p.control, crypto.SHA1)
			packages[i].Size = uint64(len(packages[i].file()))
			m.put("/v"+release+"/main/x86_64/"+p.Filename(), packages[i].file())
		}
		m.put("/v"+release+"/main/x86_64/APKINDEX.tar.gz", signedIndex(s, packages...))
		m.put("/v"+release+"/community/x86_64/APKINDEX.tar.gz", signedIndex(s))
		def := definition(t, m, func(c map[string]any) { c["keys"] = []string{s.publicKey(t, t.TempDir())} })
		if _, err := fetch(t, def, source.Options{Dir: dir}); err != nil {
			t.Error(err)
		}
	}
}
