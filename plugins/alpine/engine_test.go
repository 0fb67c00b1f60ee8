package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/source"
)

// These tests have real engines build real Dockerfiles. Their images come from a
// registry in this process; in each is Debian's static BusyBox.

// engines are all, and daemonless those that have BuildKit's extensions.
var (
	engines    = []string{enginePodman, engineBuildah, engineDocker}
	daemonless = engines[:2]
)

// busyboxFile is a static BusyBox of the build host's.
func busyboxFile(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("dpkg", "-L", "busybox-static").Output()
	for file := range strings.Lines(string(out)) {
		if file = strings.TrimSpace(file); filepath.Base(file) == "busybox" && strings.Contains(file, "/bin/") {
			return file
		}
	}
	t.Skipf("the images of this test hold Debian's package busybox-static, which is not installed (%v); make test-vm installs it", err)
	return ""
}

// needEngine skips where an engine is not installed.
func needEngine(t testing.TB, engine string) {
	t.Helper()
	if _, err := exec.LookPath(engine); err != nil {
		t.Skipf("%v; make test-vm installs podman and buildah", err)
	}
	if engine == engineDocker {
		if why := missingDaemon(t.Context()); why != "" {
			t.Skip(why)
		}
	}
}

// shellImage is a root with a shell.
func shellImage(t testing.TB, more ...entry) v1.Image {
	t.Helper()
	data, err := os.ReadFile(busyboxFile(t))
	if err != nil {
		t.Fatal(err)
	}
	entries := []entry{{name: "bin/", mode: 0o755}, {name: "bin/busybox", mode: 0o755, data: string(data)}}
	for _, applet := range []string{"sh", "cat", "cp", "chmod", "chown", "echo", "false", "grep", "ln", "ls", "mkdir", "sleep", "test", "touch", "wget"} {
		entries = append(entries, entry{name: "bin/" + applet, link: "busybox"})
	}
	return image(t, hostArch(), layer(t, append(entries, more...)...))
}

// releaseEntries are a release with an emulator as far as headers go.
func releaseEntries(erts string) []entry {
	return []entry{
		{name: "app/erts-" + erts + "/bin/beam.smp", mode: 0o755, data: elfFile(hostArch())},
		{name: "app/erts-" + erts + "/bin/erl_child_setup", mode: 0o755, data: "child setup"},
		{name: "app/releases/start_erl.data", mode: 0o644, data: erts + " 0.1.0"},
		{name: "app/releases/0.1.0/vm.args", mode: 0o644, data: "+P 1000\n"},
		{name: "app/releases/0.1.0/shop.rel", mode: 0o644, data: "{release, {}, {}, []}."},
	}
}

// containerDefinition is one whose root an engine builds, with a Dockerfile and an
// app.
func containerDefinition(t testing.TB, engine, dockerfile string, change func(config map[string]any)) *builder.Definition {
	t.Helper()
	def := definition(t, newMirror(t), nil)
	config := map[string]any{}
	if err := json.Unmarshal(def.Config, &config); err != nil {
		t.Fatal(err)
	}
	config["engine"], config["dockerfile"], config["keys"], config["mirrors"] = engine, "Dockerfile", []string{}, []string{alpineMirror}
	if change != nil {
		change(config)
	}
	data, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	def.Config, def.Arch = data, hostArch()
	def.App = &builder.App{Path: filepath.Join(def.Root, "shop"), Release: "web"}
	writeFile(t, filepath.Join(def.Root, "Dockerfile"), []byte(dockerfile))
	writeFile(t, filepath.Join(def.Root, "shop/mix.exs"), []byte("defmodule Shop.MixProject do end\n"))
	return def
}

// said is what a step has emitted.
type said struct {
	mu    sync.Mutex
	lines []string
	parts []string
	notes []builder.Diagnostic
	heard func(line string)
}

func (s *said) Emit(e builder.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e := e.(type) {
	case builder.Log:
		s.lines = append(s.lines, e.Line)
		if s.heard != nil {
			s.heard(e.Line)
		}
	case builder.StepStarted:
		s.parts = append(s.parts, e.Title)
	case builder.Notice:
		s.notes = append(s.notes, e.Diagnostic)
	}
}

// containerRequest has a definition's images fetched, and fresh directories.
func containerRequest(t testing.TB, def *builder.Definition, o source.Options) (*builder.BuildRequest, error) {
	t.Helper()
	plan, err := alpine{}.Plan(t.Context(), def)
	if err != nil {
		return nil, err
	}
	req := &builder.BuildRequest{Definition: def, Step: stepRoot, Out: t.TempDir(), Work: t.TempDir(), Jobs: 1, Offline: o.Offline, Sources: map[string]builder.FetchedSource{}}
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	for _, s := range plan.Sources {
		if s.Selection == "" {
			continue
		}
		if req.Sources[s.Name], err = fetchSource(t, def, s, o); err != nil {
			return nil, err
		}
	}
	return req, nil
}

// buildContainer builds the root.
func buildContainer(t testing.TB, def *builder.Definition, o source.Options) (out string, ev *said, err error) {
	t.Helper()
	ev = &said{}
	req, err := containerRequest(t, def, o)
	if err != nil {
		return "", ev, err
	}
	_, err = alpine{}.Build(t.Context(), req, ev)
	checkNothingLeft(t, req.Work)
	return req.Out, ev, err
}

// checkNothingLeft looks for mounts and storage below a work directory.
func checkNothingLeft(t testing.TB, work string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), work) {
		t.Errorf("something is mounted below %s:\n%s", work, mounts)
	}
	if _, err := os.Stat(filepath.Join(work, "engine")); err == nil {
		t.Errorf("the engine's storage is left in %s", work)
	}
	checkDaemon(t)
}

// checkDaemon looks for images and containers of builds in Docker's daemon.
func checkDaemon(t testing.TB) {
	t.Helper()
	for _, list := range []string{"image", "container"} {
		out, _ := exec.Command("docker", list, "ls", "--all").Output() // nothing where there is no daemon
		if strings.Contains(string(out), "leanlab") {
			t.Errorf("left in the daemon:\n%s", out)
		}
	}
}

// A container for another architecture runs its programs by QEMU's, where the host
// is set up with them (binfmt_misc), and says so where it is not.
func TestAnEngineBuildsForAnotherArchitecture(t *testing.T) {
	arch := otherArch()
	host := newRegistry(t)
	var entries []entry
	for _, e := range append(releaseEntries("15.2.7.4"), entry{name: "program", mode: 0o755, data: string(exitProgram(arch))}) {
		if strings.HasSuffix(e.name, "/beam.smp") {
			e.data = elfFile(arch)
		}
		entries = append(entries, e)
	}
	push(t, host+"/team/base:1", image(t, arch, layer(t, entries...)))
	_, err := os.Stat("/proc/sys/fs/binfmt_misc/qemu-" + arch)
	emulated := err == nil
	if !emulated {
		t.Logf("%v: programs for %s do not run here, and that is tested", err, arch)
	}
	for _, engine := range daemonless {
		t.Run(engine, func(t *testing.T) {
			needEngine(t, engine)
			def := containerDefinition(t, engine, "FROM "+host+"/team/base:1\nRUN [\"/program\"]\n", nil)
			def.Arch = arch
			// Not by way of the plan, which the kernel's cross compiler belongs to.
			c, err := decode(def)
			if err != nil {
				t.Fatal(err)
			}
			d, _, err := c.readDockerfile(def)
			if err != nil {
				t.Fatal(err)
			}
			images, err := imageSources(d, arch)
			if err != nil {
				t.Fatal(err)
			}
			req := &builder.BuildRequest{Definition: def, Step: stepRoot, Out: t.TempDir(), Work: t.TempDir(), Sources: map[string]builder.FetchedSource{}}
			for _, s := range images {
				if req.Sources[s.Name], err = fetchSource(t, def, s, source.Options{}); err != nil {
					t.Fatal(err)
				}
			}
			_, err = alpine{}.Build(t.Context(), req, noEvents{})
			checkNothingLeft(t, req.Work)
			if !emulated {
				if err == nil || !strings.Contains(err.Error(), "it runs programs for "+arch+" with QEMU's (Debian: qemu-user-static)") {
					t.Errorf("got error %v, want one that names QEMU's package", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(req.Out, rootRelease, "releases/0.1.0/vm.args")); err != nil {
				t.Error(err)
			}
		})
	}
}

// A build as users write them: stages, COPY --from, arguments, a secret.
func TestAnEngineBuildsTheRoot(t *testing.T) {
	host := newRegistry(t)
	push(t, host+"/team/base:1", shellImage(t, releaseEntries("15.2.7.4")...))
	push(t, host+"/team/tools:1", shellImage(t, entry{name: "tool", mode: 0o4755, uid: 3, gid: 4, data: "tool"}))
	const secret = "RUN --mount=type=secret,id=token cat /run/secrets/token | grep -q swordfish"
	const text = `# syntax=docker/dockerfile:1
ARG TAG=nonesuch
FROM REG/team/base:${TAG} AS builder
ARG OTP_VERSION
ARG RELEASE
ARG COLOUR
RUN mkdir -p /app/lib/shop-0.1.0/ebin && \
    echo "otp $OTP_VERSION release $RELEASE colour $COLOUR" > /app/lib/built
COPY . /app/lib/shop-0.1.0/src
` + secret + `
COPY --from=REG/team/tools:1 /tool /usr/bin/tool
RUN mkdir -p /srv && chown 5:6 /srv && chmod 750 /srv

FROM scratch
COPY --from=builder / /
`
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			needEngine(t, engine)
			text, seventh := strings.ReplaceAll(text, "REG", host), "7/11 RUN --mount=type=secret"
			if engine == engineDocker {
				text, seventh = strings.Replace(text, secret, "RUN true", 1), "7/11 RUN true"
			}
			def := containerDefinition(t, engine, text, func(c map[string]any) {
				c["build_args"] = map[string]string{"TAG": "1", "COLOUR": "puce"}
				if engine != engineDocker {
					c["secrets"] = map[string]string{"token": "token.txt"}
				}
			})
			writeFile(t, filepath.Join(def.Root, "token.txt"), []byte("swordfish\n"))
			writeFile(t, filepath.Join(def.App.Path, ".dockerignore"), []byte("ignored\n"))
			writeFile(t, filepath.Join(def.App.Path, "ignored"), nil)
			writeFile(t, filepath.Join(def.App.Path, "_build/prod/made"), nil)
			if ds, err := (alpine{}).Validate(t.Context(), def); err != nil || len(ds) != 1 { // there is no fragment base in this root
				t.Fatalf("Validate: %v, %v", ds, err)
			}
			out, ev, err := buildContainer(t, def, source.Options{})
			if err != nil {
				t.Fatalf("%v\n%s", err, strings.Join(ev.lines, "\n"))
			}
			list := listing(t, filepath.Join(out, rootTar))
			for name, want := range map[string]string{
				"/srv": "directory -rwxr-x--- 5:6", "/usr/bin/tool": "file urwxr-xr-x 3:4", "/bin/sh": "symbolic link", "/bin/busybox": "file -rwxr-xr-x 0:0",
				"/.dockerenv": "", "/run/.containerenv": "", "/run/secrets": "", "/etc/resolv.conf": "", "/etc/hosts": "", "/etc/hostname": "", "/dev/null": "",
				"/app/erts-15.2.7.4/bin/beam.smp": "file -rwxr-xr-x 0:0", "/app/lib": "",
			} {
				if (want == "") != (list[name] == "") || !strings.HasPrefix(list[name], want) {
					t.Errorf("%s: got %q, want %q", name, list[name], want)
				}
			}
			release := filepath.Join(out, rootRelease)
			if built, err := os.ReadFile(filepath.Join(release, "lib/built")); err != nil || string(built) != "otp 27 release web colour puce\n" {
				t.Errorf("got %q, %v", built, err)
			}
			for name, there := range map[string]bool{"mix.exs": true, "ignored": false, "_build": false} {
				if _, err := os.Stat(filepath.Join(release, "lib/shop-0.1.0/src", name)); (err == nil) != there {
					t.Errorf("%s in the context: %v", name, err)
				}
			}
			err = filepath.WalkDir(out, func(file string, d os.DirEntry, err error) error {
				if err != nil || !d.Type().IsRegular() {
					return err
				}
				data, err := os.ReadFile(file)
				if strings.Contains(string(data), "swordfish") {
					t.Errorf("%s holds the secret", file)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
			if !slices.ContainsFunc(ev.parts, func(p string) bool { return strings.HasPrefix(p, seventh) }) {
				t.Errorf("parts are %q", ev.parts)
			}
			if !slices.ContainsFunc(ev.lines, func(l string) bool { return strings.HasPrefix(l, engine+" works with ") }) {
				t.Errorf("which isolation was taken is not said:\n%s", strings.Join(ev.lines, "\n"))
			}
		})
	}
}

func TestAFailureOfAnEngineIsAtItsLine(t *testing.T) {
	host := newRegistry(t)
	push(t, host+"/team/base:1", shellImage(t, releaseEntries("15.2.7.4")...))
	push(t, host+"/team/empty:1", shellImage(t))
	push(t, host+"/team/new:1", shellImage(t, releaseEntries("16.1")...))
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			needEngine(t, engine)
			for _, tt := range []struct{ name, text, want string }{
				{"a RUN that fails", "FROM REG/team/base:1 AS a\nRUN true\n\nFROM REG/team/base:1\n# why\nRUN echo so && \\\n    false\n", "Dockerfile:6: RUN echo so"},
				{"a COPY of what is not there", "FROM REG/team/base:1\nCOPY nonesuch /\n", "Dockerfile:2: COPY nonesuch /: " + engine + ": "},
				{"no release", "FROM REG/team/empty:1\nRUN true\n", "Dockerfile: its last stage: the root has no release: no beam.smp"},
				{"another OTP", "FROM REG/team/new:1\nRUN true\n", `Dockerfile: its last stage: the release in /app was made with OTP 28 (erts-16.1), and the definition says otp { version = "27" }`},
			} {
				_, ev, err := buildContainer(t, containerDefinition(t, engine, strings.ReplaceAll(tt.text, "REG", host), nil), source.Options{})
				if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
					t.Errorf("%s: got %v\nwant %s\n%s", tt.name, err, tt.want, strings.Join(ev.lines, "\n"))
				}
			}
		})
	}
}

// Once locked, a tag may move, and neither registry nor network is needed; what
// runs in a container has none either.
func TestAnEngineBuildsOffline(t *testing.T) {
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			needEngine(t, engine)
			host := newRegistry(t)
			push(t, host+"/team/base:1", shellImage(t, append(releaseEntries("15.2.7.4"), entry{name: "first", mode: 0o644})...))
			def := containerDefinition(t, engine, "FROM "+host+"/team/base:1\nRUN ! wget -q -T 3 -O /dev/null http://"+host+"/v2/\n", nil)
			lock, err := source.LoadLock(filepath.Join(t.TempDir(), "leanlab.lock.hcl"))
			if err != nil {
				t.Fatal(err)
			}
			o := source.Options{Dir: t.TempDir(), Lock: lock}
			if _, err := containerRequest(t, def, o); err != nil {
				t.Fatal(err)
			}
			push(t, host+"/team/base:1", shellImage(t, append(releaseEntries("15.2.7.4"), entry{name: "second", mode: 0o644})...))
			o.Offline = true
			out, ev, err := buildContainer(t, def, o)
			if err != nil {
				t.Fatalf("%v\n%s", err, strings.Join(ev.lines, "\n"))
			}
			if list := listing(t, filepath.Join(out, rootTar)); list["/first"] == "" || list["/second"] != "" {
				t.Error("it is not the image that was locked")
			}
			def = containerDefinition(t, engine, "FROM scratch\nADD https://example.org/x /x\n", nil)
			if _, _, err := buildContainer(t, def, o); err == nil || err.Error() != "Dockerfile:2: ADD of a URL needs the network, and --offline forbids it" {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestABaseImageForAnotherArchitectureIsRefused(t *testing.T) {
	t.Parallel()
	host := newRegistry(t)
	push(t, host+"/team/base:1", image(t, otherArch(), layer(t, releaseEntries("15.2.7.4")...)))
	def := containerDefinition(t, enginePodman, "# comment\nFROM "+host+"/team/base:1\n", nil)
	_, err := containerRequest(t, def, source.Options{})
	want := fmt.Sprintf("dockerfile: The image is for another architecture: Dockerfile:2: %s/team/base:1 is there for linux/%s; the definition asks for %s", host, goarch(otherArch()), hostArch())
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

// A build that is stopped in a RUN ends its processes, and nothing stays mounted.
func TestAnEngineThatIsStoppedLeavesNothing(t *testing.T) {
	host := newRegistry(t)
	push(t, host+"/team/base:1", shellImage(t, releaseEntries("15.2.7.4")...))
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			needEngine(t, engine)
			const mark = "31536007" // seconds, by which ps finds it
			def := containerDefinition(t, engine, "FROM "+host+"/team/base:1\nRUN echo asleep && sleep "+mark+"\n", nil)
			req, err := containerRequest(t, def, source.Options{})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ev := &said{heard: func(line string) {
				if line == "asleep" {
					cancel()
				}
			}}
			start := time.Now()
			if _, err = (alpine{}).Build(ctx, req, ev); err == nil || ctx.Err() == nil {
				t.Fatalf("got %v\n%s", err, strings.Join(ev.lines, "\n"))
			}
			t.Logf("it ended after %s with: %v", time.Since(start), err)
			checkNothingLeft(t, req.Work)
			if out, _ := exec.Command("pgrep", "-af", "sleep "+mark).Output(); len(out) > 0 {
				t.Errorf("still running: %s", out)
			}
		})
	}
}

func TestWhatAnEngineCannotTakeIsRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(c map[string]any)
		want   string // at its path
	}{
		{"an unknown engine", func(c map[string]any) { c["engine"] = "kaniko" }, `engine: Unknown engine: "kaniko" is none of`},
		{"no Dockerfile", func(c map[string]any) { c["dockerfile"] = "nonesuch" }, "dockerfile: No Dockerfile: open "},
		{"an unknown stage", func(c map[string]any) { c["target"] = "z" }, `target: The Dockerfile has an error: Dockerfile: it has no stage "z"; it has 0`},
		{"an image besides", func(c map[string]any) { c["base"], c["image"] = "oci", "docker.io/a/a:1" }, "engine: Two ways to make the root"},
		{"keys", func(c map[string]any) { c["keys"] = []string{"k"} }, "keys: Keys for a container engine"},
		{"a repository", func(c map[string]any) {
			c["repository"] = []any{map[string]any{"url": "https://example.org", "keys": []string{"k"}}}
		}, "repository.0: A repository for a container engine"},
		{"a directory as the mirror", func(c map[string]any) { c["mirrors"] = []string{"/mnt"} }, "mirrors: More than one URL as the mirror"},
		{"a mirror that nothing reads", func(c map[string]any) { c["mirrors"] = []string{"https://example.org"} }, "mirrors: The Dockerfile has no use for it: Dockerfile has no ARG ALPINE_MIRROR."},
		{"packages that nothing reads", func(c map[string]any) { c["packages"] = []string{"curl"} }, "packages: The Dockerfile has no use for it: Dockerfile has no ARG PACKAGES."},
		{"an argument that is not declared", func(c map[string]any) { c["build_args"] = map[string]string{"COLOR": "x"} }, "build_args.COLOR: The Dockerfile has no use for it: Dockerfile has no ARG COLOR. It has COLOUR, TOKEN."},
		{"an argument that is given", func(c map[string]any) { c["build_args"] = map[string]string{"OTP_VERSION": "26"} }, "build_args.OTP_VERSION: An argument with a value already"},
		{"a secret as an argument", func(c map[string]any) { c["build_args"] = map[string]string{"TOKEN": "x"} }, "build_args.TOKEN: A secret in a build argument?"},
		{"a secret that is not there", func(c map[string]any) { c["secrets"] = map[string]string{"key": "nonesuch"} }, "secrets.key: Unreadable secret"},
		{"a secret that nothing mounts", func(c map[string]any) { c["secrets"] = map[string]string{"key": "Dockerfile"} }, "secrets.key: The Dockerfile has no use for it"},
		{"a Dockerfile without an engine", func(c map[string]any) { c["engine"] = "apk" }, "dockerfile: Of no use without a container engine"},
	} {
		def := containerDefinition(t, enginePodman, "FROM docker.io/a/a:1\nARG TOKEN\nARG COLOUR\n", tt.change)
		ds, err := alpine{}.Validate(t.Context(), def)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := (&diagnosticsError{ds}).Error(); !strings.Contains("\n"+got, "\n"+tt.want) {
			t.Errorf("%s: got\n%s\nwant %s", tt.name, got, tt.want)
		}
	}
	def := containerDefinition(t, enginePodman, "FROM docker.io/a/a:1\n\nRNU true\n", nil)
	def.App = nil
	ds, err := alpine{}.Validate(t.Context(), def)
	got := (&diagnosticsError{ds}).Error()
	for _, want := range []string{"dockerfile: The Dockerfile has an error: Dockerfile:3: unknown instruction: RNU", "engine: A Dockerfile without an app"} {
		if err != nil || !strings.Contains(got, want) {
			t.Errorf("got %s, %v\nwant %s", got, err, want)
		}
	}
}

func TestAnEngineThatIsMissingIsNamed(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	def := containerDefinition(t, enginePodman, "FROM scratch\n", nil)
	missing, err := alpine{}.Probe(t.Context(), def)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(missing, func(m builder.Missing) bool {
		return m.What == "podman" && m.Debian == "podman" && strings.Contains(m.Why, "it was looked for in PATH")
	}) {
		t.Errorf("got %+v", missing)
	}
}

// The Dockerfile that comes with leanlab takes all that a definition can give.
func TestTheDefaultDockerfileDeclaresAllArguments(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, defaultDockerfile))
	if err != nil {
		t.Fatal(err)
	}
	def := containerDefinition(t, enginePodman, string(text), func(c map[string]any) {
		c["packages"], c["mirrors"], c["release"], c["kernel"] = []string{"curl"}, []string{"https://example.org/alpine"}, "3.21", "alpine"
	})
	plan, err := alpine{}.Plan(t.Context(), def)
	if err != nil {
		t.Fatal(err)
	}
	if want := (builder.Source{Name: "image-alpine", Series: "3.21", Selection: "docker.io/library/alpine:3.21 for " + platform(hostArch())}); !slices.Contains(plan.Sources, want) {
		t.Errorf("sources are %+v", plan.Sources)
	}
	i := slices.IndexFunc(plan.Steps, func(s builder.Step) bool { return s.ID == stepRoot })
	step := plan.Steps[i]
	for name, want := range map[string]string{"arg ALPINE_VERSION": "3.21", "arg OTP_VERSION": "27", "arg RELEASE": "web", "arg PACKAGES": "curl linux-virt", "arg ALPINE_MIRROR": "https://example.org/alpine", "engine": "podman"} {
		if step.Inputs[name] != want {
			t.Errorf("%s is %q, want %q", name, step.Inputs[name], want)
		}
	}
	if !step.App || slices.ContainsFunc(plan.Steps, func(s builder.Step) bool { return s.ID == stepOTP }) {
		t.Errorf("steps are %+v", plan.Steps)
	}
	if ds, err := (alpine{}).Validate(t.Context(), def); err != nil || ds.HasErrors() {
		t.Errorf("%v, %v", ds, err)
	}
}

// A build that is killed takes its processes and mounts with it. Docker's daemon
// has its own; what it keeps is removed by the next build.
func TestAnEngineThatIsKilledLeavesNothing(t *testing.T) {
	const mark = "31536008"
	if os.Getenv(killedDir) != "" {
		buildUntilKilled(t, mark)
		return
	}
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			needEngine(t, engine)
			if engine != engineDocker && !asRoot() {
				t.Skip("the storage of a build without root belongs to users that a test cannot be")
			}
			host := newRegistry(t)
			push(t, host+"/team/base:1", shellImage(t, releaseEntries("15.2.7.4")...))
			work := t.TempDir()
			cmd := exec.Command(os.Args[0], "-test.run=^TestAnEngineThatIsKilledLeavesNothing$", "-test.timeout=2m")
			cmd.Env = append(os.Environ(), killedDir+"="+work, "LEANLAB_TEST_KILLED_ENGINE="+engine, "LEANLAB_TEST_KILLED_IMAGE="+host+"/team/base:1")
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			lines := bufio.NewScanner(out)
			for lines.Scan() && lines.Text() != "asleep" {
				text.WriteString(lines.Text() + "\n")
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			if lines.Text() != "asleep" {
				t.Fatalf("it did not come to the RUN:\n%s", text.String())
			}
			if engine == engineDocker {
				d := newDocker(engineDocker, &builder.BuildRequest{Definition: &builder.Definition{Arch: hostArch()}, Work: t.TempDir()})
				if err := d.prepare(t.Context(), noEvents{}); err != nil {
					t.Fatal(err)
				}
				d.close()
				checkDaemon(t)
				return
			}
			gone := func() bool { // the kernel takes its time to end a namespace
				out, _ := exec.Command("pgrep", "-af", "sleep "+mark).Output()
				return len(out) == 0
			}
			for wait := time.Now().Add(10 * time.Second); !gone() && time.Now().Before(wait); {
				time.Sleep(10 * time.Millisecond)
			}
			if !gone() {
				t.Error("what RUN started still runs")
			}
			if err := os.RemoveAll(work); err != nil {
				t.Error(err)
			}
			checkNothingLeft(t, work)
		})
	}
}

// killedDir names, to the test that is to be killed, the work directory.
const killedDir = "LEANLAB_TEST_KILLED_WORK"

func buildUntilKilled(t *testing.T, mark string) {
	def := containerDefinition(t, os.Getenv("LEANLAB_TEST_KILLED_ENGINE"), "FROM "+os.Getenv("LEANLAB_TEST_KILLED_IMAGE")+"\nRUN echo asleep && sleep "+mark+"\n", nil)
	req, err := containerRequest(t, def, source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	req.Work = os.Getenv(killedDir)
	_, err = alpine{}.Build(t.Context(), req, &said{heard: func(line string) { fmt.Println(line) }})
	t.Fatalf("it ended: %v", err)
}
