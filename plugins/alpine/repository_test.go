package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"chainguard.dev/apko/pkg/apk/apk"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/source"
)

// signer is somebody with a key.
type signer struct {
	name string // of the public key's file
	key  *rsa.PrivateKey
}

// newSigner makes a key. Making one takes a moment, so tests share them.
func newSigner(name string) *signer {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return &signer{name: name + keySuffix, key: key}
}

var (
	ours     = sync.OnceValue(func() *signer { return newSigner("builder@example.org-0a1b2c3d") })
	stranger = sync.OnceValue(func() *signer { return newSigner("stranger@example.org-00000000") })
	// impostor has another key under our name.
	impostor = sync.OnceValue(func() *signer { return newSigner("builder@example.org-0a1b2c3d") })
)

// publicKey writes the public key's file below dir.
func (s *signer) publicKey(t testing.TB, dir string) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&s.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, s.name)
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// section is the gzip member that signs data: of an index with SHA-256, of a
// package with SHA-1, as abuild-sign does by default.
func (s *signer) section(data []byte, hash crypto.Hash) []byte {
	h := hash.New()
	h.Write(data)
	signature, err := rsa.SignPKCS1v15(rand.Reader, s.key, hash, h.Sum(nil))
	if err != nil {
		panic(err)
	}
	kind := map[crypto.Hash]string{crypto.SHA1: "RSA", crypto.SHA256: "RSA256"}[hash]
	return member(false, entry{name: ".SIGN." + kind + "." + s.name, mode: 0o644, data: string(signature)})
}

// entry is a file of a package.
type entry struct {
	name     string // "etc/passwd"; a directory's ends in a slash
	mode     int64
	uid, gid int
	data     string
	link     string // of a symbolic link
	hard     string // of a hard link
}

// member is a gzip member with a tar, which in the sections in front has no end.
func member(end bool, entries ...entry) []byte {
	var packed bytes.Buffer
	zw := gzip.NewWriter(&packed)
	tw := tar.NewWriter(zw)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: e.mode, Uid: e.uid, Gid: e.gid, Size: int64(len(e.data)), Typeflag: tar.TypeReg}
		switch {
		case strings.HasSuffix(e.name, "/"):
			h.Typeflag = tar.TypeDir
		case e.link != "":
			h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, e.link, 0o777
		case e.hard != "":
			h.Typeflag, h.Linkname = tar.TypeLink, e.hard
		}
		if end && h.Typeflag != tar.TypeDir {
			content := e.data + e.link
			h.Format = tar.FormatPAX
			h.PAXRecords = map[string]string{"APK-TOOLS.checksum.SHA1": hex.EncodeToString(sum1([]byte(content)))}
		}
		if err := tw.WriteHeader(h); err != nil {
			panic(err)
		}
		io.WriteString(tw, e.data)
	}
	if end {
		tw.Close()
	} else {
		tw.Flush()
	}
	zw.Close()
	return packed.Bytes()
}

func sum1(data []byte) []byte { s := sha1.Sum(data); return s[:] }

// pkg is a package to be made.
type pkg struct {
	name, version string
	arch          string // default x86_64
	origin        string // default: the name
	depends       []string
	provides      []string
	replaces      []string
	files         []entry
	scripts       []entry
	signer        *signer // default: ours()
}

// built is a package's file, its sections and what an index says of it.
type built struct {
	apk.Package
	signature, control, data []byte
}

func (b built) file() []byte { return slices.Concat(b.signature, b.control, b.data) }

func (p pkg) build() built {
	if p.arch == "" {
		p.arch = "x86_64"
	}
	if p.origin == "" {
		p.origin = p.name
	}
	if p.signer == nil {
		p.signer = ours()
	}
	b := built{data: member(true, withParents(p.files)...)}
	var size uint64
	for _, f := range p.files {
		size += uint64(len(f.data))
	}
	var info strings.Builder
	fmt.Fprintf(&info, "# made by a test\npkgname = %s\npkgver = %s\narch = %s\norigin = %s\nsize = %d\npkgdesc = for a test\nlicense = MIT\n", p.name, p.version, p.arch, p.origin, size)
	for _, list := range []struct {
		key    string
		values []string
	}{{"depend", p.depends}, {"provides", p.provides}, {"replaces", p.replaces}} {
		for _, v := range list.values {
			fmt.Fprintf(&info, "%s = %s\n", list.key, v)
		}
	}
	hash := sha256.Sum256(b.data)
	fmt.Fprintf(&info, "datahash = %x\n", hash)
	b.control = member(false, append([]entry{{name: ".PKGINFO", mode: 0o644, data: info.String()}}, p.scripts...)...)
	b.signature = p.signer.section(b.control, crypto.SHA1)
	b.Package = apk.Package{
		Name: p.name, Version: p.version, Arch: p.arch, Origin: p.origin, Dependencies: p.depends, Provides: p.provides, Replaces: p.replaces,
		Checksum: sum1(b.control), Size: uint64(len(b.signature) + len(b.control) + len(b.data)),
		// apk itself unpacks no package that has none of it.
		InstalledSize: size,
	}
	return b
}

// withParents adds the directories that an archive of a package lists first.
func withParents(files []entry) []entry {
	seen := map[string]bool{}
	for _, f := range files {
		if strings.HasSuffix(f.name, "/") {
			seen[f.name] = true
		}
	}
	var all []entry
	for _, f := range files {
		var missing []entry
		for dir := path.Dir(strings.TrimSuffix(f.name, "/")); dir != "."; dir = path.Dir(dir) {
			if !seen[dir+"/"] {
				seen[dir+"/"] = true
				missing = append(missing, entry{name: dir + "/", mode: 0o755})
			}
		}
		slices.Reverse(missing)
		all = append(append(all, missing...), f)
	}
	return all
}

// signedIndex is an APKINDEX.tar.gz.
func signedIndex(s *signer, packages ...built) []byte {
	index := &apk.APKIndex{Description: "for a test"}
	for i := range packages {
		index.Packages = append(index.Packages, &packages[i].Package)
	}
	archive, err := apk.ArchiveFromIndex(index)
	if err != nil {
		panic(err)
	}
	data, err := io.ReadAll(archive)
	if err != nil {
		panic(err)
	}
	return append(s.section(data, crypto.SHA256), data...)
}

// mirror is Alpine's mirror on loopback: files by their path.
type mirror struct {
	*httptest.Server
	mu    sync.Mutex
	files map[string][]byte
	asked []string
}

func newMirror(t testing.TB) *mirror {
	m := &mirror{files: map[string][]byte{}}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.asked = append(m.asked, r.URL.Path)
		data, ok := m.files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write(data)
	}))
	t.Cleanup(m.Close)
	return m
}

func (m *mirror) put(path string, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[path] = data
}

// release is what the tests call Alpine.
const release = "3.22"

// publish puts packages and their signed index in a repository; community is
// there and empty.
func (m *mirror) publish(repo, arch string, packages ...built) {
	at := "/v" + release + "/" + repo + "/" + arch + "/"
	for _, p := range packages {
		m.put(at+p.Filename(), p.file())
	}
	m.put(at+"APKINDEX.tar.gz", signedIndex(ours(), packages...))
	if repo == "main" {
		m.put("/v"+release+"/community/"+arch+"/APKINDEX.tar.gz", signedIndex(ours()))
	}
}

// system are the packages of a root, small: no program in them runs.
func system(arch string) []built {
	var all []built
	for _, p := range []pkg{
		{name: "musl", version: "1.2.5-r10", provides: []string{"so:libc.musl-" + arch + ".so.1=1"}, files: []entry{
			{name: "lib/ld-musl-" + arch + ".so.1", mode: 0o755, data: "the C library"},
			{name: "lib/libc.musl-" + arch + ".so.1", link: "ld-musl-" + arch + ".so.1"},
		}},
		{name: "busybox", version: "1.37.0-r19", depends: []string{"so:libc.musl-" + arch + ".so.1"}, provides: []string{"/bin/sh", "cmd:busybox=1.37.0-r19"}, files: []entry{
			{name: "bin/busybox", mode: 0o755, data: "BusyBox"},
			{name: "bin/sh", link: "/bin/busybox"},
			{name: "etc/busybox-paths.d/busybox", mode: 0o644, data: "bin/sh\nbin/ls\nsbin/udhcpc\nusr/bin/env\n"},
			{name: "tmp/", mode: 0o1777},
		}, scripts: []entry{{name: ".post-install", mode: 0o755, data: "#!/bin/busybox sh\n"}}},
		{name: "alpine-baselayout", version: "3.7.0-r0", depends: []string{"/bin/sh"}, files: []entry{
			{name: "etc/passwd", mode: 0o644, data: "root:x:0:0:root:/root:/bin/sh\nmail:x:8:12:mail:/var/mail:/sbin/nologin\n"},
			{name: "etc/group", mode: 0o644, data: "root:x:0:root\nmail:x:12:mail\nshadow:x:42:\n"},
			{name: "etc/shadow", mode: 0o640, gid: 42, data: "root:*::0:::::\n"},
			{name: "var/mail/", mode: 0o2775, uid: 8, gid: 12},
			{name: "tmp/", mode: 0o1777},
			{name: "root/", mode: 0o700},
		}},
		{name: "erlang27", version: "27.3.4.6-r1", depends: []string{"so:libc.musl-" + arch + ".so.1"}, provides: []string{"erlang=127"}, files: []entry{
			{name: "usr/bin/erl", link: "../lib/erlang/bin/erl"},
			{name: "usr/lib/erlang/bin/erl", mode: 0o755, data: "#!/bin/sh\n"},
			{name: "usr/lib/erlang/releases/27/OTP_VERSION", mode: 0o644, data: "27.3.4.6\n"},
			{name: "usr/lib/erlang/erts-15.2.7.4/bin/beam.smp", mode: 0o755, data: elfFile(arch)},
			{name: "usr/lib/erlang/erts-15.2.7.4/bin/erl_child_setup", mode: 0o755, data: "child setup"},
			{name: "usr/lib/erlang/erts-15.2.7.4/bin/epmd", mode: 0o755, data: "epmd"},
			{name: "usr/lib/erlang/lib/kernel-10.2.7.3/ebin/kernel.app", mode: 0o644, data: "{application, kernel, []}."},
			{name: "usr/lib/erlang/lib/kernel-10.2.7.3/src/kernel.erl", mode: 0o644, data: "-module(kernel)."},
			{name: "usr/lib/erlang/lib/crypto-5.5.3/priv/lib/crypto.so", mode: 0o755, data: "NIF"},
		}},
		{name: "curl", version: "8.14.1-r1", depends: []string{"musl>1.2"}, files: []entry{{name: "usr/bin/curl", mode: 0o4755, data: "curl"}}},
	} {
		p.arch = arch
		all = append(all, p.build())
	}
	return all
}

// definition is one that the strategy accepts, with the packages of m.
func definition(t testing.TB, m *mirror, change func(config map[string]any)) *builder.Definition {
	t.Helper()
	dir := t.TempDir()
	config := map[string]any{
		"base": "alpine", "image": "", "engine": "apk", "dockerfile": defaultDockerfile, "target": "", "build_args": map[string]string{}, "secrets": map[string]string{}, "release": release, "packages": []string{}, "mirrors": []string{m.URL}, "keys": []string{ours().publicKey(t, dir)},
		"repository": []any{}, "kernel": "custom", "linux": "6.12", "fragments": []string{"base"}, "overlays": []string{}, "cmdline": "",
	}
	if change != nil {
		change(config)
	}
	data, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return &builder.Definition{VM: "vm", Arch: "x86_64", Root: dir, Elixir: "1.18", Hostname: "vm", Config: data,
		OTP:    builder.OTP{Version: "27", Emulator: "jit", Link: "dynamic"},
		Output: builder.Output{Root: "initramfs", Compression: "zstd"}}
}

// diagnosticsError is how resolve hands diagnostics through core/source.
type diagnosticsError struct{ builder.Diagnostics }

func (e *diagnosticsError) Error() string {
	var all []string
	for _, d := range e.Diagnostics {
		all = append(all, strings.Join(d.Path, ".")+": "+d.Summary+": "+d.Detail)
	}
	return strings.Join(all, "\n")
}

// fetch resolves a definition's packages as the host does.
func fetch(t testing.TB, def *builder.Definition, o source.Options) (builder.FetchedSource, error) {
	t.Helper()
	c, err := decode(def)
	if err != nil {
		t.Fatal(err)
	}
	req := builder.Source{Name: sourceAlpine, Series: c.Release, Selection: c.selection(def)}
	if c.Base == baseOCI {
		if transport, _ := c.localImage(); transport != "" {
			return builder.FetchedSource{}, nil
		}
		if req, err = c.imageSource(def); err != nil {
			t.Fatal(err)
		}
	}
	return fetchSource(t, def, req, o)
}

// fetchSource resolves a source as the host does.
func fetchSource(t testing.TB, def *builder.Definition, wanted builder.Source, o source.Options) (builder.FetchedSource, error) {
	t.Helper()
	c, err := decode(def)
	if err != nil {
		t.Fatal(err)
	}
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	r, paths, err := source.New(o).GetFiles(t.Context(), wanted, c.mirrors(def), func(ctx context.Context, fetched map[string]string) ([]builder.RemoteFile, bool, error) {
		req := &builder.ResolveRequest{Definition: def, Source: wanted, Fetched: fetched, Work: t.TempDir()}
		answer, err := alpine{}.Resolve(ctx, req)
		if err != nil {
			return nil, false, err
		}
		if err := answer.Check(req); err != nil {
			return nil, false, err
		}
		if answer.Diagnostics.HasErrors() {
			return nil, false, &diagnosticsError{answer.Diagnostics}
		}
		return answer.Files, answer.Done, nil
	})
	set := builder.FetchedSource{Version: r.Version, SHA256: r.SHA256}
	for _, f := range r.Files {
		set.Files = append(set.Files, builder.FetchedFile{Name: f.Name, Version: f.Version, Path: paths[f.Name], SHA256: f.SHA256})
	}
	return set, err
}

type noEvents struct{}

func (noEvents) Emit(builder.Event) {}

// install fetches and installs.
func install(t testing.TB, def *builder.Definition, o source.Options) (out string, err error) {
	t.Helper()
	set, err := fetch(t, def, o)
	if err != nil {
		return "", err
	}
	out = t.TempDir()
	req := &builder.BuildRequest{Definition: def, Step: stepRoot, Out: out, Work: t.TempDir(), Jobs: 1,
		Sources: map[string]builder.FetchedSource{sourceAlpine: set, sourceImage: set}}
	_, err = alpine{}.Build(t.Context(), req, noEvents{})
	return out, err
}

// apkoDir is where apko's source is: its tests have files of Alpine's own.
func apkoDir(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "chainguard.dev/apko").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func writeFile(t testing.TB, file string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
