package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// These tests build VMs of packages that they make themselves, with a real BEAM
// and a real musl in them, and boot them in QEMU. `make test-vm` gives them what
// they need.

// testFile is a file that the environment names.
func testFile(t *testing.T, variable string) string {
	t.Helper()
	file := os.Getenv(variable)
	if file == "" {
		t.Skipf("%s is not set; make test-vm builds the default VM and runs this", variable)
	}
	return file
}

// hostFile is an entry with the contents of a file of the build host.
func hostFile(t *testing.T, name, file string) entry {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return entry{name: name, mode: int64(info.Mode().Perm()), data: string(data)}
}

// realSystem are packages like Alpine's own with programs that run: Debian's
// musl, the default VM's BusyBox, and BEAM compiled against that musl.
func realSystem(t *testing.T) []built {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("the packages of this test are for x86_64, as the BEAM of make test-vm is")
	}
	otp := filepath.Dir(filepath.Dir(testFile(t, "LEANLAB_TEST_ERL")))
	beam := testFile(t, "LEANLAB_TEST_MUSL_BEAM")
	busybox := testFile(t, "LEANLAB_TEST_BUSYBOX_BINARY")
	links, err := os.ReadFile(filepath.Join(filepath.Dir(busybox), "busybox.links")) // as BusyBox' makefile lists them
	if err != nil {
		t.Fatal(err)
	}
	applets := regexp.MustCompile("(?m)^/").ReplaceAllString(string(links), "")
	packages := []built{
		pkg{name: "musl", version: "1.2.5-r10", provides: []string{"so:libc.musl-x86_64.so.1=1"}, files: []entry{
			hostFile(t, "lib/ld-musl-x86_64.so.1", "/usr/lib/x86_64-linux-musl/libc.so"),
			{name: "lib/libc.musl-x86_64.so.1", link: "ld-musl-x86_64.so.1"},
		}}.build(),
		pkg{name: "busybox", version: "1.37.0-r19", provides: []string{"/bin/sh"}, files: []entry{
			hostFile(t, "bin/busybox", busybox),
			{name: "bin/sh", link: "/bin/busybox"},
			{name: "etc/busybox-paths.d/busybox", mode: 0o644, data: applets},
		}}.build(),
	}
	for _, p := range system("x86_64") {
		if p.Name == "alpine-baselayout" {
			packages = append(packages, p)
		}
	}
	return append(packages, pkg{name: "erlang27", version: "27.3.4-r0", depends: []string{"so:libc.musl-x86_64.so.1"}, files: erlangFiles(t, otp, beam)}.build())
}

// erlangFiles are an installed OTP with another emulator, and without native code
// of the build host's.
func erlangFiles(t *testing.T, otp, beam string) []entry {
	t.Helper()
	var files []entry
	erts, err := filepath.Glob(filepath.Join(otp, "erts-*"))
	if err != nil || len(erts) != 1 {
		t.Fatalf("%s has %d emulators", otp, len(erts))
	}
	bin := "usr/lib/erlang/" + filepath.Base(erts[0]) + "/bin/"
	files = append(files, hostFile(t, bin+"beam.smp", filepath.Join(beam, "beam.smp")), hostFile(t, bin+"erl_child_setup", filepath.Join(beam, "erl_child_setup")))
	for _, dir := range []string{"lib", "releases"} {
		err := filepath.WalkDir(filepath.Join(otp, dir), func(file string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || strings.HasSuffix(file, ".so") || strings.Contains(file, "/priv/bin/") || strings.Contains(file, "/bin/x86_64") {
				return err
			}
			rel, err := filepath.Rel(otp, file)
			if err == nil {
				files = append(files, hostFile(t, "usr/lib/erlang/"+rel, file))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// project is a directory with hcl/alpine.hcl, the packages' key, and a mirror.
type project struct {
	dir    string
	mirror *mirror
	args   []string
}

func newProject(t *testing.T, packages []built) *project {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	p := &project{dir: t.TempDir(), mirror: newMirror(t)}
	for _, name := range []string{"kernel-configs", "overlays", "examples"} {
		if err := os.Symlink(filepath.Join(root, name), filepath.Join(p.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for from, to := range map[string]string{"hcl/alpine.hcl": "alpine.hcl", "hcl/leanlab.lock.hcl": "leanlab.lock.hcl"} {
		data, err := os.ReadFile(filepath.Join(root, from))
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(p.dir, to), data)
	}
	ours().publicKey(t, p.dir)
	p.mirror.publish("main", "x86_64", packages...)
	p.args = []string{"--var", `mirrors=["` + p.mirror.URL + `"]`, "--var", `keys=["` + ours().name + `"]`}
	return p
}

// leanlab runs the program; it must end as wanted. It returns all it printed.
func (p *project) leanlab(t *testing.T, ok bool, args ...string) string {
	t.Helper()
	program, err := filepath.Abs("../../bin/leanlab")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = p.dir
	out, err := cmd.CombinedOutput()
	if (err == nil) != ok {
		t.Fatalf("leanlab %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (p *project) build(t *testing.T, ok bool, args ...string) string {
	t.Helper()
	return p.leanlab(t, ok, append(append([]string{"build", "-f", "alpine.hcl", "--progress", "plain"}, p.args...), args...)...)
}

// manifest is what the tests read of it.
type manifest struct {
	DownloadBytes int64 `json:"download_bytes"`
	Boot          struct{ Verified bool }
	Sources       []struct{ Name, Series, Version, Origin string }
	Components    []component
}

type component struct{ Name, Version string }

func (p *project) manifest(t *testing.T) manifest {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(p.dir, "build/alpine/manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestVMOfPackagesRunsElixir(t *testing.T) {
	p := newProject(t, realSystem(t))
	t.Log(p.build(t, true))
	m := p.manifest(t)
	if !m.Boot.Verified {
		t.Error("it was not booted")
	}
	if m.DownloadBytes > 12_000_000 {
		t.Errorf("it has %d bytes", m.DownloadBytes)
	}
	has := map[string]bool{}
	for _, s := range m.Sources {
		has[s.Name+" "+s.Version+" "+s.Origin] = true
	}
	for _, c := range m.Components {
		has[c.Name+" "+c.Version] = true
	}
	for _, want := range []string{"musl-1.2.5-r10.x86_64.apk 1.2.5-r10 repository", "apk: busybox "} {
		if !has[want] {
			t.Errorf("the manifest lacks %q", want)
		}
	}
	p.leanlab(t, true, "verify", "build/alpine",
		"--eval", `System.otp_release() => "27"`,
		"--eval", `File.read!("/lib/apk/db/installed") =~ "P:musl\n" => true`,
		"--eval", `Bitwise.band(File.stat!("/tmp").mode, 0o7777) => 1023`,
		"--eval", `File.read_link!("/sbin/udhcpc") => "/bin/busybox"`)

	// All of it is in the store now: nothing is fetched, nothing is built.
	p.mirror.Close()
	before, err := os.ReadFile(filepath.Join(p.dir, "build/alpine/bundle/initrd"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(p.dir, "build")); err != nil {
		t.Fatal(err)
	}
	out := p.build(t, true, "--offline")
	after, err := os.ReadFile(filepath.Join(p.dir, "build/alpine/bundle/initrd"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) || strings.Contains(out, ": started") {
		t.Errorf("built again offline, it is not from the store:\n%s", out)
	}
}

// vendor fills a mirror directory, and another from that alone: with nothing in the
// cache, and without a network, all is there.
func (p *project) vendor(t *testing.T) {
	t.Helper()
	one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
	vendor := append([]string{"sources", "vendor", "-f", "alpine.hcl"}, p.args...)
	p.leanlab(t, true, append(vendor, one)...)
	t.Setenv("LEANLAB_CACHE", t.TempDir())
	p.leanlab(t, true, append(vendor, "--offline", "--mirror", one, two)...)
	if err := os.RemoveAll(one); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LEANLAB_CACHE", t.TempDir())
	if out := p.leanlab(t, false, append(vendor, "--offline", "--mirror", one, two)...); !strings.Contains(out, one) {
		t.Errorf("the mirror is gone, and it said %s", out)
	}
}

// kernelWithModules is a package of a distribution's kernel, with its modules.
func kernelWithModules(t *testing.T) built {
	t.Helper()
	dir := testFile(t, "LEANLAB_TEST_PACKAGED_KERNEL")
	if _, err := os.Stat(filepath.Join(dir, "boot/vmlinuz-virt")); err != nil {
		t.Skipf("%v: it was not to be had", err)
	}
	files := []entry{hostFile(t, "boot/vmlinuz-virt", filepath.Join(dir, "boot/vmlinuz-virt"))}
	err := filepath.WalkDir(filepath.Join(dir, "lib/modules"), func(file string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(dir, file)
		if err == nil {
			files = append(files, hostFile(t, rel, file))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return pkg{name: kernelPackage, version: "6.12.60-r0", files: files}.build()
}

// The network card and the power button are modules of this kernel: that the
// evaluator answers and that the VM goes down in order shows that they are loaded.
func TestVMOnAPackagedKernelHasNetworkAndPowerButton(t *testing.T) {
	p := newProject(t, append(realSystem(t), kernelWithModules(t)))
	t.Log(p.build(t, true, "--var", "kernel=alpine"))
	p.leanlab(t, true, "verify", "build/alpine", "--eval", `File.read!("/proc/modules") =~ "virtio_net " => true`)
}

// nifApp is a Mix project with a NIF in C, which COMPILER compiles.
var nifApp = map[string]string{
	"mix.exs": `defmodule Native.MixProject do
  use Mix.Project
  def project, do: [app: :native, version: "1.0.0", compilers: [:native_nif | Mix.compilers()]]
  def application, do: [mod: {Native, []}]
end

defmodule Mix.Tasks.Compile.NativeNif do
  use Mix.Task.Compiler
  def run(_) do
    priv = Path.join(Mix.Project.app_path(), "priv")
    File.mkdir_p!(priv)
    include = Path.join([:code.root_dir(), "erts-#{:erlang.system_info(:version)}", "include"])
    {_, 0} = System.cmd(COMPILER, ~w(-shared -fPIC -Os -I #{include} -o #{priv}/native.so c_src/native.c))
    {:ok, []}
  end
end
`,
	"c_src/native.c": `#include <erl_nif.h>
#include <stdlib.h>
static ERL_NIF_TERM answer(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) { return enif_make_int(env, atoi("42")); }
static ErlNifFunc functions[] = { { "answer", 0, answer, 0 } };
ERL_NIF_INIT(Elixir.Native, functions, NULL, NULL, NULL, NULL)
`,
	"lib/native.ex": `defmodule Native do
  use Application
  @on_load :load
  def load, do: :erlang.load_nif(Path.join(:code.priv_dir(:native), "native"), 0)
  def answer, do: :erlang.nif_error(:not_loaded)
  def start(_, _) do
    IO.puts("the NIF says #{answer()}")
    Supervisor.start_link([], strategy: :one_for_one)
  end
end
`,
}

// A NIF that is compiled with the CC that it is given is for musl, and loads. One
// that is compiled with another is refused before there is an image.
func TestVMWithANIF(t *testing.T) {
	p := newProject(t, realSystem(t))
	write := func(compiler string) {
		for name, text := range nifApp {
			writeFile(t, filepath.Join(p.dir, "native", name), []byte(strings.ReplaceAll(text, "COMPILER", compiler)))
		}
	}
	app := []string{"--var", "app=native", "--var", `expect=["the NIF says 42"]`}
	write(`"gcc"`)
	out := p.build(t, false, app...)
	for _, want := range []string{"/srv/app/lib/native-1.0.0/priv/native.so", "it is linked to glibc, the VM has musl: compile native for musl"} {
		if !strings.Contains(out, want) {
			t.Errorf("said %s\nwant %s", out, want)
		}
	}
	write(`System.fetch_env!("CC")`)
	p.build(t, true, app...)
	if !p.manifest(t).Boot.Verified {
		t.Error("it was not booted")
	}
}

// hostRelease compiles the example app with the default VM's compiler, and gives it
// BEAM for musl: what a builder stage has when mix release is done.
func hostRelease(t *testing.T) []entry {
	t.Helper()
	erl, elixir, beam := testFile(t, "LEANLAB_TEST_ERL"), testFile(t, "LEANLAB_TEST_ELIXIR"), testFile(t, "LEANLAB_TEST_MUSL_BEAM")
	app := filepath.Join(t.TempDir(), "app")
	if err := copyContext("../../examples/hello_world", app); err != nil {
		t.Fatal(err)
	}
	release := filepath.Join(t.TempDir(), "release")
	cmd := exec.CommandContext(t.Context(), filepath.Join(elixir, "bin/mix"), "release", "--path", release)
	cmd.Dir = app
	cmd.Env = append(os.Environ(), "MIX_ENV=prod", "LANG=C.UTF-8", "PATH="+filepath.Dir(erl)+":"+filepath.Join(elixir, "bin")+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mix release: %v\n%s", err, out)
	}
	erts, err := filepath.Glob(filepath.Join(release, "erts-*"))
	if err != nil || len(erts) != 1 {
		t.Fatalf("the release has %d emulators", len(erts))
	}
	bin := "app/" + filepath.Base(erts[0]) + "/bin/"
	files := []entry{hostFile(t, bin+"beam.smp", filepath.Join(beam, "beam.smp")), hostFile(t, bin+"erl_child_setup", filepath.Join(beam, "erl_child_setup"))}
	for _, dir := range []string{"lib", "releases", "bin"} {
		err := filepath.WalkDir(filepath.Join(release, dir), func(file string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || strings.HasSuffix(file, ".so") || strings.Contains(file, "/priv/bin/") {
				return err
			}
			rel, err := filepath.Rel(release, file)
			if err == nil {
				files = append(files, hostFile(t, "app/"+rel, file))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// A VM whose root an engine builds: musl and BusyBox as the base, a release copied
// into it, and a program of the image's that runs in a RUN.
func TestVMFromADockerfile(t *testing.T) {
	for _, engine := range daemonless {
		t.Run(engine, func(t *testing.T) {
			needEngine(t, engine)
			var base []v1.Layer
			for _, p := range realSystem(t) {
				if strings.HasPrefix(p.Name, "erlang") {
					continue
				}
				l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(p.data)), nil })
				if err != nil {
					t.Fatal(err)
				}
				base = append(base, l)
			}
			// Alpine's image has BusyBox' links. The evaluator needs a network, and so
			// udhcpc and what its script runs.
			links, err := os.ReadFile(filepath.Join(filepath.Dir(testFile(t, "LEANLAB_TEST_BUSYBOX_BINARY")), "busybox.links"))
			if err != nil {
				t.Fatal(err)
			}
			var applets []entry
			for name := range strings.FieldsSeq(string(links)) {
				if name != "/bin/sh" { // which the package has
					applets = append(applets, entry{name: strings.TrimPrefix(name, "/"), link: "/bin/busybox"})
				}
			}
			base = append(base, layer(t, applets...))
			host := newRegistry(t)
			push(t, host+"/team/base:1", image(t, "x86_64", base...))
			push(t, host+"/team/builder:1", image(t, "x86_64", layer(t, hostRelease(t)...)))
			p := newProject(t, nil)
			p.args = []string{"--var", "engine=" + engine} // the mirror's packages are of no use
			writeFile(t, filepath.Join(p.dir, defaultDockerfile), []byte(strings.ReplaceAll(`FROM REG/team/base:1
ARG OTP_VERSION
COPY --from=REG/team/builder:1 /app /app
RUN echo "made for $OTP_VERSION" > /etc/made
`, "REG", host)))
			t.Log(p.build(t, true))
			m := p.manifest(t)
			if !m.Boot.Verified {
				t.Error("it was not booted")
			}
			if !slices.ContainsFunc(m.Components, func(c component) bool { return c.Name == "beam" }) {
				t.Errorf("BEAM is no component: %v", m.Components)
			}
			p.leanlab(t, true, "verify", "build/alpine", "--eval", `System.otp_release() => "27"`, "--eval", `File.read!("/etc/made") => "made for 27\n"`)
			before := p.build(t, true, "--offline")
			if strings.Contains(before, ": started") {
				t.Errorf("built again offline, it is not from the store:\n%s", before)
			}
			p.vendor(t)
		})
	}
}

// developersPackages are what the default Dockerfile adds to Alpine's image, made
// here of the parts that run in it: OTP on musl with its launcher, and Elixir. No C
// compiler is among them.
func developersPackages(t *testing.T) []built {
	t.Helper()
	elixir, beam := testFile(t, "LEANLAB_TEST_ELIXIR"), testFile(t, "LEANLAB_TEST_MUSL_BEAM")
	otp := filepath.Dir(filepath.Dir(testFile(t, "LEANLAB_TEST_ERL")))
	files := erlangFiles(t, otp, beam)
	bin := path.Dir(files[0].name)
	files = append(files, hostFile(t, bin+"/erlexec", filepath.Join(beam, "erlexec")), hostFile(t, bin+"/inet_gethost", filepath.Join(beam, "inet_gethost")),
		entry{name: "usr/bin/erl", mode: 0o755, data: `#!/bin/sh
export ROOTDIR=/usr/lib/erlang BINDIR=/` + bin + ` EMU=beam PROGNAME=erl
exec $BINDIR/erlexec "$@"
`})
	boot, err := filepath.Glob(filepath.Join(otp, "bin/*.boot"))
	if err != nil || len(boot) == 0 {
		t.Fatalf("%s/bin has no boot scripts", otp)
	}
	for _, file := range boot {
		files = append(files, hostFile(t, "usr/lib/erlang/bin/"+filepath.Base(file), file))
	}
	var tools []entry
	err = filepath.WalkDir(elixir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(elixir, file)
		if err == nil {
			tools = append(tools, hostFile(t, "usr/lib/elixir/"+rel, file))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"elixir", "elixirc", "iex", "mix"} {
		tools = append(tools, entry{name: "usr/bin/" + name, link: "../lib/elixir/bin/" + name})
	}
	all := []built{
		pkg{name: "erlang27", version: "27.3.4-r0", depends: []string{"so:libc.musl-x86_64.so.1"}, files: files}.build(),
		pkg{name: "erlang27-dev", version: "27.3.4-r0", depends: []string{"erlang27=27.3.4-r0"}, provides: []string{"erlang-dev=127"}}.build(),
		pkg{name: "elixir", version: "1.18.3-r0", depends: []string{"erlang-dev>=25"}, files: tools}.build(),
		pkg{name: "tzdata", version: "2026a-r0", files: []entry{{name: "usr/share/zoneinfo/UTC", mode: 0o644, data: "TZif"}}}.build(),
	}
	for _, name := range []string{"build-base", "git", "libstdc++", "ncurses-libs"} {
		all = append(all, pkg{name: name, version: "1-r0"}.build())
	}
	return all
}

// archived is a file in a tar.gz.
func archived(t *testing.T, archive, name string) string {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zr, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if err != nil {
			t.Fatalf("%s in %s: %v", name, archive, err)
		}
		if strings.TrimPrefix(h.Name, "./") == name {
			data, err := io.ReadAll(tr)
			if err != nil {
				t.Fatal(err)
			}
			return string(data)
		}
	}
}

// The Dockerfile that everyone begins with, on Alpine's own image: what its apk,
// shell and musl make of it. LEANLAB_TEST_MINIROOTFS names Alpine's archive
// alpine-minirootfs-…-x86_64.tar.gz, which make test-vm cannot fetch everywhere.
func TestVMFromTheDefaultDockerfile(t *testing.T) {
	minirootfs := os.Getenv("LEANLAB_TEST_MINIROOTFS")
	if minirootfs == "" {
		t.Skip("LEANLAB_TEST_MINIROOTFS is not set: it names Alpine's alpine-minirootfs-…-x86_64.tar.gz, https://alpinelinux.org/downloads/")
	}
	base, err := tarball.LayerFromFile(minirootfs)
	if err != nil {
		t.Fatal(err)
	}
	repositories := regexp.MustCompile(`(?m)^https.*/alpine/(v[0-9.]+)/`).FindStringSubmatch(archived(t, minirootfs, "etc/apk/repositories"))
	if repositories == nil {
		t.Fatalf("%s has no repositories", minirootfs)
	}
	key, err := os.ReadFile(ours().publicKey(t, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	for _, engine := range daemonless {
		t.Run(engine, func(t *testing.T) {
			needEngine(t, engine)
			host := newRegistry(t)
			push(t, host+"/library/alpine:"+release, image(t, "x86_64", base,
				layer(t, entry{name: "etc/apk/keys/" + ours().name, mode: 0o644, data: string(key)})))
			p := newProject(t, developersPackages(t))
			text, err := os.ReadFile("../../" + defaultDockerfile)
			if err != nil {
				t.Fatal(err)
			}
			dockerfile := strings.ReplaceAll(string(text), "docker.io/library/alpine", host+"/library/alpine")
			for file, data := range maps.Clone(p.mirror.files) { // where the image's release has them
				p.mirror.put(strings.Replace(file, "/v"+release+"/", "/"+repositories[1]+"/", 1), data)
			}
			writeFile(t, filepath.Join(p.dir, defaultDockerfile), []byte(dockerfile))
			writeFile(t, filepath.Join(p.dir, "app/mix.exs"), []byte(`defmodule Greeter.MixProject do
  use Mix.Project
  # A cookie: OTP without OpenSSL cannot make one up.
  def project, do: [app: :greeter, version: "1.0.0", releases: [greeter: [cookie: "known"]]]
  def application, do: [mod: {Greeter, []}]
end
`))
			writeFile(t, filepath.Join(p.dir, "app/lib/greeter.ex"), []byte(`defmodule Greeter do
  use Application
  def start(_, _) do
    IO.puts("compiled on Alpine #{File.read!("/etc/alpine-release")}")
    Supervisor.start_link([], strategy: :one_for_one)
  end
end
`))
			p.args = []string{"--var", "engine=" + engine, "--var", "app=app", "--var", `expect=["compiled on Alpine 3."]`,
				"--var", `packages=["tzdata"]`, "--var", `mirrors=["` + p.mirror.URL + `"]`}
			t.Log(p.build(t, true))
			if !p.manifest(t).Boot.Verified {
				t.Error("it was not booted")
			}
			p.leanlab(t, true, "verify", "build/alpine", "--eval", `System.otp_release() => "27"`,
				"--eval", `File.read!("/lib/apk/db/installed") =~ "P:musl\n" => true`,
				"--eval", `File.read!("/usr/share/zoneinfo/UTC") => "TZif"`)
			if out := p.leanlab(t, true, "analyze", "build/alpine"); !strings.Contains(out, "libcrypto3") {
				t.Errorf("the analysis does not know the image's packages:\n%s", out)
			}
		})
	}
}
