package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/source"
)

// elfFile is a program for an architecture as far as its headers: with musl's
// dynamic linker.
func elfFile(arch string) string {
	machine := map[string]elf.Machine{"x86_64": elf.EM_X86_64, "aarch64": elf.EM_AARCH64}[arch]
	interpreter := "/lib/ld-musl-" + arch + ".so.1\x00"
	var out bytes.Buffer
	header := elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(machine), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1}
	copy(header.Ident[:], elf.ELFMAG)
	header.Ident[elf.EI_CLASS], header.Ident[elf.EI_DATA], header.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	program := elf.Prog64{Type: uint32(elf.PT_INTERP), Off: 120, Filesz: uint64(len(interpreter)), Memsz: uint64(len(interpreter))}
	binary.Write(&out, binary.LittleEndian, header)
	binary.Write(&out, binary.LittleEndian, program)
	return out.String() + interpreter
}

// layer is a layer of an image.
func layer(t testing.TB, entries ...entry) v1.Layer {
	t.Helper()
	var data bytes.Buffer
	tw := tar.NewWriter(&data)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: e.mode, Uid: e.uid, Gid: e.gid, Size: int64(len(e.data)), Typeflag: tar.TypeReg}
		switch {
		case strings.HasSuffix(e.name, "/"):
			h.Typeflag = tar.TypeDir
		case e.link != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, e.link
		case e.hard != "":
			h.Typeflag, h.Linkname = tar.TypeLink, e.hard
		}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		io.WriteString(tw, e.data)
	}
	tw.Close()
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// image has layers, for an architecture.
func image(t testing.TB, arch string, layers ...v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	conf, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	conf = conf.DeepCopy()
	conf.OS, conf.Architecture = "linux", goarch(arch)
	if img, err = mutate.ConfigFile(img, conf); err != nil {
		t.Fatal(err)
	}
	return img
}

// newRegistry is a registry on loopback; its name is its host.
func newRegistry(t testing.TB) string {
	t.Helper()
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func push(t testing.TB, at string, img v1.Image) {
	t.Helper()
	ref, err := name.ParseReference(at)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
}

// pushIndex pushes an image for several architectures.
func pushIndex(t testing.TB, at string, images map[string]v1.Image) {
	t.Helper()
	var index v1.ImageIndex = empty.Index
	for arch, img := range images {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: goarch(arch)}}})
	}
	ref, err := name.ParseReference(at)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, index); err != nil {
		t.Fatal(err)
	}
}

// otpLayers are an image as hexpm/elixir is: OTP and Elixir in /usr/local.
func otpLayers(t testing.TB, arch string) []v1.Layer {
	const otp = "usr/local/lib/erlang/"
	return []v1.Layer{
		layer(t,
			entry{name: "etc/", mode: 0o755}, entry{name: "etc/resolv.conf", mode: 0o644}, entry{name: ".dockerenv", mode: 0o755},
			entry{name: "etc/motd", mode: 0o644, data: "old"}, entry{name: "etc/passwd", mode: 0o644, data: "root:x:0:0::/:/bin/sh\n"},
			entry{name: "var/", mode: 0o755}, entry{name: "var/cache/", mode: 0o755}, entry{name: "var/cache/junk", mode: 0o644, data: "junk"},
			entry{name: "tmp/", mode: 0o1777}, entry{name: "srv/", mode: 0o750, uid: 5, gid: 6},
			entry{name: "bin/", mode: 0o755}, entry{name: "bin/busybox", mode: 0o4755, data: "BusyBox"},
			entry{name: "dev/", mode: 0o755}, entry{name: "dev/shm/", mode: 0o1777}),
		layer(t,
			entry{name: "usr/local/bin/", mode: 0o755}, entry{name: "usr/local/bin/erl", link: "../lib/erlang/bin/erl"}, entry{name: "usr/local/bin/mix", link: "../lib/elixir/bin/mix"},
			entry{name: otp + "bin/erl", mode: 0o755, data: "#!/bin/sh\n"},
			entry{name: otp + "releases/27/OTP_VERSION", mode: 0o644, data: "27.3.4.6\n"},
			entry{name: otp + "erts-15.2.7.4/bin/beam.smp", mode: 0o755, data: elfFile(arch)},
			entry{name: otp + "erts-15.2.7.4/bin/erl_child_setup", mode: 0o755, data: "child setup"},
			entry{name: otp + "lib/kernel-10.2.7.3/ebin/kernel.app", mode: 0o644, data: "{application, kernel, []}."},
			entry{name: "usr/local/lib/elixir/bin/mix", mode: 0o755, data: "#!/usr/bin/env elixir\n"},
			entry{name: "usr/local/lib/elixir/lib/elixir/ebin/elixir.app", mode: 0o644, data: "{application, elixir, []}."}),
		// Above: a file replaced, one removed, a directory emptied, and a hard link to a
		// file of the lowest layer.
		layer(t,
			entry{name: "etc/motd", mode: 0o600, data: "new"}, entry{name: "etc/.wh.passwd", mode: 0o644},
			entry{name: "var/cache/.wh..wh..opq", mode: 0o644}, entry{name: "bin/ls", hard: "bin/busybox"}),
	}
}

// imageDefinition is one whose root is an image.
func imageDefinition(t testing.TB, image string) *builder.Definition {
	return definition(t, newMirror(t), func(c map[string]any) { c["base"], c["image"] = "oci", image })
}

func TestImagesAreFlattenedFromWhereverTheyAre(t *testing.T) {
	t.Parallel()
	host := newRegistry(t)
	img := image(t, "x86_64", otpLayers(t, "x86_64")...)
	push(t, host+"/team/app:1.0", img)
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	tag, err := name.NewTag("example.org/team/app:1.0")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(filepath.Join(dir, "docker.tar"), tag, img); err != nil {
		t.Fatal(err)
	}
	l, err := layout.Write(filepath.Join(dir, "layout"), empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.AppendImage(img); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{
		host + "/team/app:1.0", host + "/team/app@" + digest.String(),
		"docker-archive:" + filepath.Join(dir, "docker.tar"), "oci:" + filepath.Join(dir, "layout"),
	} {
		t.Run(strings.ReplaceAll(from, "/", "_"), func(t *testing.T) {
			def := imageDefinition(t, from)
			if ds, err := (alpine{}).Validate(t.Context(), def); err != nil || len(ds) != 1 { // there is no fragment base in this root
				t.Fatalf("Validate: %v, %v", ds, err)
			}
			out, err := install(t, def, source.Options{})
			if err != nil {
				t.Fatal(err)
			}
			list := listing(t, filepath.Join(out, rootTar))
			for name, want := range map[string]string{
				"/etc/motd": "file -rw------- 0:0", "/etc/passwd": "", "/var/cache": "directory -rwxr-xr-x 0:0", "/var/cache/junk": "",
				"/srv": "directory -rwxr-x--- 5:6", "/bin/busybox": "file urwxr-xr-x 0:0", "/bin/ls": "file urwxr-xr-x 0:0",
				"/.dockerenv": "", "/etc/resolv.conf": "", "/dev/shm": "", "/usr/local/bin/erl": "", "/usr/local/bin/mix": "", "/usr/local/lib/elixir": "",
				"/usr/local/lib/erlang/erts-15.2.7.4/bin/beam.smp": "file -rwxr-xr-x 0:0", "/usr/local/lib/erlang/lib": "",
			} {
				if list[name] != want {
					t.Errorf("%s: got %q, want %q", name, list[name], want)
				}
			}
			if _, err := os.Stat(filepath.Join(out, rootOTP, "lib/kernel-10.2.7.3/ebin/kernel.app")); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTheImageForTheArchitectureIsTaken(t *testing.T) {
	t.Parallel()
	host := newRegistry(t)
	images := map[string]v1.Image{}
	for _, arch := range []string{"x86_64", "aarch64"} {
		images[arch] = image(t, arch, append(otpLayers(t, arch), layer(t, entry{name: "etc/arch", mode: 0o644, data: arch}))...)
	}
	pushIndex(t, host+"/team/both:1", images)
	for arch := range images {
		def := imageDefinition(t, host+"/team/both:1")
		def.Arch = arch
		out, err := install(t, def, source.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if list := listing(t, filepath.Join(out, rootTar)); list["/etc/arch"] == "" {
			t.Errorf("%s: got another image", arch)
		}
	}
	delete(images, "aarch64")
	pushIndex(t, host+"/team/one:1", images)
	push(t, host+"/team/single:1", images["x86_64"])
	for _, ref := range []string{"/team/one:1", "/team/single:1"} {
		def := imageDefinition(t, host+ref)
		def.Arch = "aarch64"
		_, err := install(t, def, source.Options{})
		var found *diagnosticsError
		if !errors.As(err, &found) || !strings.Contains(err.Error(), "is there for linux/amd64; the definition asks for aarch64, which is linux/arm64") {
			t.Errorf("%s: got %v", ref, err)
		}
	}
	// An archive does not say; its programs do.
	dir := t.TempDir()
	tag, _ := name.NewTag("example.org/a:1")
	if err := tarball.WriteToFile(filepath.Join(dir, "a.tar"), tag, images["x86_64"]); err != nil {
		t.Fatal(err)
	}
	def := imageDefinition(t, "docker-archive:"+filepath.Join(dir, "a.tar"))
	def.Arch = "aarch64"
	if _, err := install(t, def, source.Options{}); err == nil || !strings.Contains(err.Error(), "beam.smp is for EM_X86_64, the VM is aarch64") {
		t.Errorf("got %v", err)
	}
}

func TestImagesAreLockedByDigest(t *testing.T) {
	t.Parallel()
	host := newRegistry(t)
	push(t, host+"/team/app:latest-but-one", image(t, "x86_64", otpLayers(t, "x86_64")...))
	lock, err := source.LoadLock(filepath.Join(t.TempDir(), "leanlab.lock.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	def := imageDefinition(t, host+"/team/app:latest-but-one")
	dir := t.TempDir()
	first, err := fetch(t, def, source.Options{Lock: lock, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := lock.Save(); err != nil {
		t.Fatal(err)
	}
	push(t, host+"/team/app:latest-but-one", image(t, "x86_64", layer(t, entry{name: "another", mode: 0o644, data: "image"})))
	for _, o := range []source.Options{{Lock: lock, Dir: t.TempDir()}, {Lock: lock, Dir: dir, Offline: true}} {
		if again, err := fetch(t, def, o); err != nil || again.SHA256 != first.SHA256 {
			t.Errorf("%+v: got %v, %v, want what is locked", o, again, err)
		}
	}
}

// An app's own image, whose release runs as it is.
func TestAReleaseInAnImageIsTaken(t *testing.T) {
	t.Parallel()
	app := layer(t,
		entry{name: "app/erts-15.2.7.4/bin/beam.smp", mode: 0o755, data: elfFile("x86_64")},
		entry{name: "app/erts-15.2.7.4/bin/erl_child_setup", mode: 0o755, data: "child setup"},
		entry{name: "app/releases/start_erl.data", mode: 0o644, data: "15.2.7.4 0.1.0"},
		entry{name: "app/releases/0.1.0/vm.args", mode: 0o644, data: "+P 1000\n"},
		entry{name: "app/releases/0.1.0/shop.rel", mode: 0o644, data: "{release, {}, {}, []}."},
		entry{name: "app/lib/shop-0.1.0/ebin/shop.app", mode: 0o644, data: "{application, shop, []}."},
		entry{name: "etc/ssl/cert.pem", mode: 0o644, data: "certificates"})
	host := newRegistry(t)
	push(t, host+"/team/shop:0.1.0", image(t, "x86_64", app))
	push(t, host+"/team/otp:27", image(t, "x86_64", otpLayers(t, "x86_64")...))
	push(t, host+"/team/nothing:1", image(t, "x86_64", layer(t, entry{name: "hello", mode: 0o644, data: "hello"})))

	def := imageDefinition(t, host+"/team/shop:0.1.0")
	def.Console = true
	out, err := install(t, def, source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	list := listing(t, filepath.Join(out, rootTar))
	for name, there := range map[string]bool{"/app/erts-15.2.7.4/bin/beam.smp": true, "/app/lib": false, "/app/releases": false, "/etc/ssl/cert.pem": true} {
		if (list[name] != "") != there {
			t.Errorf("%s: got %q", name, list[name])
		}
	}
	if _, err := os.Stat(filepath.Join(out, rootRelease, "releases/0.1.0/shop.rel")); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct {
		image   string
		console bool
		want    string
	}{
		{"/team/otp:27", true, "the root has no release that `mix release` made with its emulator, only OTP in /usr/local/lib/erlang: name the app to add"},
		{"/team/shop:0.1.0", false, "the root has no OTP to add an app to, only a release in /app: leave app out"},
		{"/team/nothing:1", true, "the root has no release: no beam.smp"},
	} {
		def := imageDefinition(t, host+tt.image)
		def.Console = tt.console
		if _, err := install(t, def, source.Options{}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.image, err, tt.want)
		}
	}
}

func TestNamesOfImagesMustBeWhole(t *testing.T) {
	t.Parallel()
	for image, want := range map[string]string{
		"alpine:3.22":                   "write docker.io/library/alpine:3.22",
		"hexpm/elixir:1.18.4-alpine":    "write docker.io/hexpm/elixir:1.18.4-alpine",
		"docker.io/library/alpine":      "has no tag",
		"":                              "Name the image",
		"docker-archive:nonesuch.tar":   "no such file",
		"docker.io/library/Alpine:3.22": "is no image's name",
		"docker.io/library/alpine:3.22": "",
		"localhost/team/app:1":          "",
		"127.0.0.1:5000/team/app@sha256:" + strings.Repeat("0", 64): "",
	} {
		got := checkImage(&builder.Definition{Root: t.TempDir()}, config{Image: image})
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%q: got %q, want %q", image, got, want)
		}
	}
}

// A registry that asks for a token gets one, and one that has no such image says so.
func TestARegistryThatDoesNotHaveItIsNamed(t *testing.T) {
	t.Parallel()
	host := newRegistry(t)
	_, err := fetch(t, imageDefinition(t, host+"/team/app:1"), source.Options{})
	if err == nil || !strings.Contains(err.Error(), "oci://"+host+"/team/app/manifests/1") || !strings.Contains(err.Error(), "404") {
		t.Errorf("got %v", err)
	}
}

func FuzzManifest(f *testing.F) {
	manifest, _ := json.Marshal(v1.Manifest{SchemaVersion: 2, Layers: []v1.Descriptor{{Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}}}})
	f.Add(manifest)
	f.Add([]byte(`{"layers": [{"digest": "md5:00"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(t.TempDir(), "manifest.json")
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
		parts, err := imageParts("oci://example.org/a", file)
		for _, p := range parts {
			if err == nil && len(p.SHA256) != 64 {
				t.Errorf("%+v", p)
			}
		}
	})
}
