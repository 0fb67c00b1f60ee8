package cli

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/somebloke1/elixir-lean-lab/core/analyze"
	"github.com/somebloke1/elixir-lean-lab/core/inspect"
	"github.com/somebloke1/elixir-lean-lab/core/internal/report"
)

// These tests build, and most of them boot, real VMs. They need the machine of
// the default definition in the store, and for one of them the kernel for a disk
// root, which `make test-vm` puts there: LEANLAB_TEST_BUILD names the default's
// output. Only the app, and what follows it, is built here.

// checkout is the directory that LEANLAB_TEST_BUILD lies in.
func checkout(t *testing.T) string {
	t.Helper()
	build := os.Getenv("LEANLAB_TEST_BUILD")
	if build == "" {
		t.Skip("LEANLAB_TEST_BUILD is not set; make test-vm builds the default VM and runs this")
	}
	return filepath.Dir(filepath.Dir(build))
}

// project is a directory with a definition, as a user has one.
type project struct {
	t    *testing.T
	root string // the checkout
	dir  string
}

// vmBlock is like hcl/custom.hcl, with blocks to add.
func vmBlock(app, blocks string) string {
	return fmt.Sprintf(`vm "t" {
  strategy = "custom"
  elixir   = "1.18"

  app {
    path = %q
    env  = { PORT = "4000", NAME = "a b" }
  }
  otp {
    version = "27"
  }
  %s
}
`, app, blocks)
}

// newProject writes files into a new directory with the checkout's data folders.
func newProject(t *testing.T, files map[string]string) *project {
	t.Helper()
	p := &project{t: t, root: checkout(t), dir: t.TempDir()}
	for _, name := range []string{"kernel-configs", "overlays"} {
		if err := os.Symlink(filepath.Join(p.root, name), filepath.Join(p.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	lock, err := os.ReadFile(filepath.Join(p.root, "hcl", "leanlab.lock.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	p.write("leanlab.lock.hcl", string(lock))
	for name, text := range files {
		p.write(name, text)
	}
	return p
}

func (p *project) write(name, text string) {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// leanlab runs a command line in the project and returns its exit code and
// output.
func (p *project) leanlab(args ...string) (code int, stdout, stderr string) {
	p.t.Helper()
	var out, errs bytes.Buffer
	app := &App{Args: args, Stdin: os.Stdin, Stdout: &out, Stderr: &errs, Environ: os.Environ(), Dir: p.dir,
		Executable: filepath.Join(p.root, "bin", "leanlab")}
	code = app.Run(context.Background())
	return code, out.String(), errs.String()
}

// build must succeed.
func (p *project) build(args ...string) (m *report.Manifest, log string) {
	p.t.Helper()
	code, _, log := p.leanlab(append([]string{"build", "-f", "vm.hcl", "--progress", "plain"}, args...)...)
	if code != 0 {
		p.t.Fatalf("leanlab build ended with %d:\n%s", code, log)
	}
	m, err := report.Read(filepath.Join(p.dir, "build", "t", report.FileName))
	if err != nil {
		p.t.Fatal(err)
	}
	return m, log
}

// fails must fail with each text in what it says, and publish nothing.
func (p *project) fails(texts ...string) {
	p.t.Helper()
	code, _, log := p.leanlab("build", "-f", "vm.hcl", "--progress", "plain")
	if code != exitFailed {
		p.t.Errorf("leanlab build ended with %d, want %d", code, exitFailed)
	}
	for _, text := range texts {
		if !strings.Contains(log, text) {
			p.t.Errorf("no %q in what it said:\n%s", text, log)
		}
	}
	if _, err := os.Stat(filepath.Join(p.dir, "build", "t")); err == nil {
		p.t.Error("a failed build published build/t")
	}
}

// copyExample puts the example app into the project as app/.
func (p *project) copyExample() {
	p.t.Helper()
	from := filepath.Join(p.root, "examples", "hello_world")
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil || strings.HasPrefix(rel, "_build") {
			return err
		}
		text, err := os.ReadFile(path)
		p.write(filepath.Join("app", rel), string(text))
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// app is a Mix project of one module.
func app(mix, module string) map[string]string {
	return map[string]string{
		"app/lib/demo.ex": module,
		"app/mix.exs": `defmodule Demo.MixProject do
  use Mix.Project
  def project, do: [app: :demo, version: "0.1.0", elixir: "~> 1.15"` + mix + `]
  def application, do: [mod: {Demo, []}]
end
`,
	}
}

const demo = `defmodule Demo do
  use Application
  def start(_, _) do
    %s
    Supervisor.start_link([], strategy: :one_for_one)
  end
end
`

func with(files map[string]string, name, text string) map[string]string {
	files[name] = text
	return files
}

func TestDefaultVMHoldsToItsFigures(t *testing.T) {
	root := checkout(t)
	m, err := report.Read(filepath.Join(root, "build", "custom", report.FileName))
	if err != nil {
		t.Fatal(err)
	}
	if !m.Boot.Verified {
		t.Fatal("the default VM was not booted")
	}
	for _, figure := range []struct {
		name      string
		got, most int64
	}{
		{"bytes to download", m.DownloadBytes, 8_000_000},
		{"bytes of kernel", m.Artifacts[0].Bytes, 2_200_000},
		{"instructions until ready", m.Boot.Instructions.Ready, 1_600_000_000},
		{"MiB of RAM", m.Boot.MemoryMiB, 64},
	} {
		t.Logf("%s: %d", figure.name, figure.got)
		if figure.got > figure.most {
			t.Errorf("%s: %d, want at most %d", figure.name, figure.got, figure.most)
		}
	}
}

// serving is an app that answers on port 4000.
func serving() map[string]string {
	return app("", fmt.Sprintf(demo, `IO.puts("serving")
    spawn(fn ->
      {:ok, listener} = :gen_tcp.listen(4000, [:binary, active: false])
      Stream.repeatedly(fn ->
        {:ok, socket} = :gen_tcp.accept(listener)
        {:ok, "GET " <> rest} = :gen_tcp.recv(socket, 0)
        status = if String.starts_with?(rest, "/health "), do: "200 OK", else: "404 Not Found"
        :gen_tcp.send(socket, "HTTP/1.1 #{status}\r\nconnection: close\r\n\r\nfine")
        :gen_tcp.close(socket)
      end)
      |> Stream.run()
    end)`))
}

func TestChecksOfADefinitionAreMadeByBuildAndByVerify(t *testing.T) {
	t.Parallel()
	p := newProject(t, with(serving(), "vm.hcl", vmBlock("app", `
  proof {
    expect = ["serving"]
    http {
      port = 4000
      path = "/health"
      body = "fine"
    }
    eval {
      code   = "Application.spec(:demo, :vsn)"
      result = "~c\"0.1.0\""
    }
  }`)))
	m, _ := p.build()
	if !m.Boot.Verified || m.Checks == nil || len(m.Checks.HTTP) != 1 || len(m.Checks.Eval) != 1 {
		t.Errorf("the manifest has %+v and %+v", m.Boot, m.Checks)
	}
	if _, log := p.build(); strings.Contains(log, ": started:") {
		t.Errorf("nothing had changed, and yet:\n%s", log)
	}
	code, out, log := p.leanlab("verify", "build/t", "--timeout", "1m", "--http", "4000/other 200", "--eval", "raise \"oh\" => 1", "--junit", "junit.xml")
	for _, want := range []string{
		`ok    prints "serving"`, "ok    answers 4000/health 200 fine", `ok    evaluates Application.spec(:demo, :vsn) => ~c"0.1.0"`,
		"FAIL  answers 4000/other 200", "the status is 404, not 200", "** (RuntimeError) oh", "ok    goes down in order", "| leanlab: down",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if code != exitFailed || !strings.Contains(log, "2 of 7 checks failed") {
		t.Errorf("it ended with %d: %s", code, log)
	}
	if junit, err := os.ReadFile(filepath.Join(p.dir, "junit.xml")); err != nil || !strings.Contains(string(junit), `tests="7" failures="2"`) {
		t.Errorf("JUnit's report: %v\n%s", err, junit)
	}
}

func TestTaskThatEndsIsProven(t *testing.T) {
	t.Parallel()
	p := newProject(t, with(app("", fmt.Sprintf(demo, `Task.start(fn ->
      IO.puts("sum: #{Enum.sum(1..9)}")
      System.stop(0)
    end)`)), "vm.hcl", vmBlock("app", `
  proof {
    expect = ["sum: 45"]
    exit   = "clean"
  }`)))
	m, _ := p.build()
	t.Logf("%+v", m.Boot)
	if !m.Boot.Verified {
		t.Error("not verified")
	}
	code, out, log := p.leanlab("verify", "build/t", "--expect", "sum: 46")
	for _, want := range []string{"ok    ends by itself with status 0", `ok    prints "sum: 45"`, `FAIL  prints "sum: 46"`} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if code != exitFailed {
		t.Errorf("it ended with %d:\n%s%s", code, out, log)
	}
	code, _, log = p.leanlab("verify", "build/t", "--http", "4000/")
	if code != exitUsage || !strings.Contains(log, "A VM that ends by itself cannot be asked") {
		t.Errorf("a request to a task ended with %d: %s", code, log)
	}
}

func TestTwoBenchesAgreeToTheDigit(t *testing.T) {
	t.Parallel()
	root := checkout(t)
	p := &project{t: t, root: root, dir: t.TempDir()}
	run := func(args ...string) (int, string, string) {
		return p.leanlab(append([]string{"bench", filepath.Join(root, "build", "custom"), "--no-least", "--runs", "1", "--progress", "plain"}, args...)...)
	}
	code, out, log := run("--json", "first.json", "--html", "bench.html", "--markdown", "bench.md")
	if code != exitOK {
		t.Fatalf("leanlab bench ended with %d:\n%s", code, log)
	}
	t.Log("\n" + out)
	code, out, log = run("--json", "second.json", "--baseline", "first.json", "--fail-on-regress", "0%")
	if code != exitOK || !strings.Contains(out, "Nothing changed against the baseline.") {
		t.Errorf("the second run ended with %d and does not agree with the first:\n%s%s", code, out, log)
	}
	read := func(name string) *report.Bench {
		b, err := report.ReadBench(filepath.Join(p.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	first, second := read("first.json"), read("second.json")
	one, two := first.Images[0], second.Images[0]
	if one.Boot != two.Boot || !slices.Equal(one.Micro, two.Micro) {
		t.Errorf("%+v %+v, then\n%+v %+v", one.Boot, one.Micro, two.Boot, two.Micro)
	}
	if len(one.Micro) != len(report.MicroNames()) || one.NoMicro != "" || one.Built.Emulator != "interpreter" || one.Built.Lean != "closure" || one.Built.Root != "initramfs zstd" {
		t.Errorf("%+v", one)
	}
	if b := one.Boot; b.Kernel <= 0 || b.Init <= 0 || b.Beam <= 0 || b.Kernel+b.Init+b.Beam != b.Ready {
		t.Errorf("the phases do not add up: %+v", b)
	}

	// A run that was interrupted when all was measured continues there.
	if err := report.WriteBench(filepath.Join(p.dir, "third.json"+unfinished), first); err != nil {
		t.Fatal(err)
	}
	first.Images[0].Bytes.Download--
	if err := report.WriteBench(filepath.Join(p.dir, "smaller.json"), first); err != nil {
		t.Fatal(err)
	}
	code, _, log = run("--json", "third.json", "--baseline", "smaller.json", "--fail-on-regress", "0%")
	if code != exitFailed || !strings.Contains(log, "bytes to download") {
		t.Errorf("a byte more than the baseline's ended with %d:\n%s", code, log)
	}
	if strings.Contains(log, ": started:") || !reflect.DeepEqual(read("third.json"), second) {
		t.Errorf("what an interrupted run had measured was measured again, or not taken over:\n%s", log)
	}
	if _, err := os.Stat(filepath.Join(p.dir, "third.json"+unfinished)); err == nil {
		t.Error("the unfinished result is left when all is measured")
	}
}

func TestMakePassesItsVariablesOn(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("make", "plan", "APP=", "VARS=link=dynamic emulator=jit", "FLAGS=--offline")
	cmd.Dir = checkout(t)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	for _, want := range []string{"iex console", "BEAM emulator (jit, dynamic)"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestEditedAppIsAllThatIsBuiltAgain(t *testing.T) {
	t.Parallel()
	p := newProject(t, map[string]string{"vm.hcl": vmBlock("app", "")})
	p.copyExample()
	first, _ := p.build("--no-proof")
	_, log := p.build("--no-proof")
	if strings.Contains(log, ": started:") {
		t.Errorf("nothing had changed, and yet:\n%s", log)
	}
	path := filepath.Join(p.dir, "app", "lib", "hello_world", "greeter.ex")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	unique := strconv.FormatInt(time.Now().UnixNano(), 36) // an edit that no earlier run of this test has made
	p.write("app/lib/hello_world/greeter.ex", strings.Replace(string(text), "Hello from", "Hello "+unique+" from", 1))
	second, log := p.build("--no-proof")
	for _, step := range []string{"app", "lean", "image"} {
		if !strings.Contains(log, ">>> "+step+": started:") {
			t.Errorf("%s was not built again:\n%s", step, log)
		}
	}
	if strings.Contains(log, ">>> custom/") && strings.Contains(log, "custom/kernel: started") {
		t.Errorf("the machine was built again:\n%s", log)
	}
	if first.Artifacts[1].SHA256 == second.Artifacts[1].SHA256 {
		t.Error("the edit did not reach the image")
	}
	if second.Boot.Verified {
		t.Error("an image that was not booted counts as verified")
	}
}

func TestPathDependencyBesideTheAppIsSeen(t *testing.T) {
	t.Parallel()
	unique := strconv.FormatInt(time.Now().UnixNano(), 36) // no earlier run of this test has built these
	shared := func(text string) string {
		return fmt.Sprintf("defmodule Shared do\n  def text, do: %q\nend\n", text+unique)
	}
	files := with(app(`, deps: [{:shared, path: "../shared"}]`, fmt.Sprintf(demo, `IO.puts(Shared.text())`)), "shared/lib/shared.ex", shared("one"))
	files["shared/mix.exs"] = `defmodule Shared.MixProject do
  use Mix.Project
  def project, do: [app: :shared, version: "0.1.0"]
end
`
	files["vm.hcl"] = vmBlock("app", "")
	p := newProject(t, files)
	one, _ := p.build("--no-proof")
	p.write("shared/lib/shared.ex", shared("two"))
	if _, plan, _ := p.leanlab("plan", "-f", "vm.hcl"); !strings.Contains(plan, "outside ../shared") {
		t.Errorf("the plan does not say that ../shared changed:\n%s", plan)
	}
	two, _ := p.build("--no-proof")
	if one.Artifacts[1].SHA256 == two.Artifacts[1].SHA256 {
		t.Error("an edit of the dependency did not reach the image")
	}
	for _, text := range []string{"two", "one"} {
		p.write("shared/lib/shared.ex", shared(text))
		if _, log := p.build("--no-proof"); strings.Contains(log, ": started:") {
			t.Errorf("with the text %q all had been built before, and yet:\n%s", text, log)
		}
	}
}

func TestEnvScriptOfAReleaseIsWarnedAbout(t *testing.T) {
	t.Parallel()
	files := with(app("", fmt.Sprintf(demo, ":ok")), "app/rel/env.sh.eex", "#!/bin/sh\n# that is all\nexport UNIQUE="+strconv.FormatInt(time.Now().UnixNano(), 36)+"\n")
	p := newProject(t, with(files, "vm.hcl", vmBlock("app", "")))
	if _, log := p.build("--no-proof"); !strings.Contains(log, "env.sh is not run") || !strings.Contains(log, "line 3") {
		t.Errorf("no warning of env.sh:\n%s", log)
	}
}

func TestConsoleAnswers(t *testing.T) {
	t.Parallel()
	p := newProject(t, map[string]string{"vm.hcl": vmBlock("", `
  lean {
    keep = ["crypto", "ssl"]
  }
  budget {
    size = "9MB"
  }`)})
	m, _ := p.build()
	t.Logf("iex with crypto and ssl: %d bytes to download, %d instructions", m.DownloadBytes, m.Boot.Instructions.Ready)
	if !m.Boot.Verified {
		t.Error("iex was not asked")
	}
	code, out, _ := p.leanlab("lean", "explain", "crypto", "-f", "vm.hcl")
	if code != 0 || !strings.Contains(out, "crypto stays") {
		t.Errorf("lean explain crypto: %d, %s", code, out)
	}
}

func TestRuntimeConfigurationIsRead(t *testing.T) {
	t.Parallel()
	files := with(app("", fmt.Sprintf(demo, `IO.puts("port is #{Application.fetch_env!(:demo, :port)}, name is #{System.get_env("NAME")}")`)),
		"app/config/runtime.exs", "import Config\nconfig :demo, port: String.to_integer(System.fetch_env!(\"PORT\")) + 1\n")
	p := newProject(t, with(files, "vm.hcl", vmBlock("app", `
  proof {
    expect = ["port is 4001, name is a b"]
  }`)))
	if m, _ := p.build(); !m.Boot.Verified {
		t.Error("not verified")
	}
}

// A disk root has to be all that an initramfs is: written to where OTP, Elixir and
// apps write, and told by run what to do. Config.Provider rewrites sys.config and
// restarts BEAM.
func TestDiskRootIsAsGoodAsAnInitramfs(t *testing.T) {
	t.Parallel()
	files := with(app(`, releases: [demo: [reboot_system_after_config: true]]`, fmt.Sprintf(demo, `File.write!("in_home", "x")
    IO.puts("port is #{Application.fetch_env!(:demo, :port)}")`)),
		"app/config/runtime.exs", "import Config\nconfig :demo, port: String.to_integer(System.fetch_env!(\"PORT\")) + 1\n")
	p := newProject(t, with(files, "vm.hcl", vmBlock("app", `
  output {
    root = "disk"
  }
  custom {
    fragments = ["base", "virtio", "net", "squashfs"]
  }`)))
	m, _ := p.build("--no-proof")
	code, out, log := p.leanlab("verify", "build/t", "--memory", "64", "--expect", "port is 4001",
		"--eval", `Path.expand("in_home") => "/home/app/in_home"`,
		"--eval", `File.read!("/proc/mounts") |> String.split("\n") |> hd() |> String.slice(0, 17) => "overlay / overlay"`,
		"--eval", `File.read!("/sys/block/vda/ro") => "1\n"`,
		"--eval", `:inet.gethostbyname(~c"localhost") |> elem(0) => :ok`)
	if code != exitOK {
		t.Errorf("leanlab verify ended with %d:\n%s%s", code, out, log)
	}

	var transferred, components int64
	var names []string
	for _, a := range m.Artifacts {
		names = append(names, a.Path)
		if a.Path == "bundle/kernel" || a.Path == "bundle/root.squashfs" {
			transferred += a.Bytes
		}
	}
	for _, c := range m.Components {
		components += c.PackedBytes
	}
	if got := strings.Join(names, " "); got != "bundle/kernel bundle/root.squashfs bundle/cmdline bundle/run" {
		t.Errorf("the artifacts are %s", got)
	}
	if m.DownloadBytes != transferred || components != transferred {
		t.Errorf("to download are %d bytes, the components add up to %d, the files to %d", m.DownloadBytes, components, transferred)
	}
	img, err := inspect.Open(t.Context(), filepath.Join(p.dir, "build", "t"), inspect.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	analysis, err := analyze.Analyze(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	if share := analysis.Accounted(); share < 0.995 {
		t.Errorf("%.2f %% of the image are accounted for", 100*share)
	}
}

func TestAppThatDoesNotWorkIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"does not compile": {
			app("", "defmodule Demo do\n  def broken(\nend\n"),
			[]string{"lib/demo.ex", "does not compile"},
		},
		"needs a newer Elixir": {
			map[string]string{"app/lib/demo.ex": "", "app/mix.exs": `defmodule Demo.MixProject do
  use Mix.Project
  def project, do: [app: :demo, version: "0.1.0", elixir: "~> 9.0"]
end
`},
			[]string{"~> 9.0", "set elixir = "},
		},
		"has several releases": {
			app(", releases: [a: [], b: []]", fmt.Sprintf(demo, ":ok")),
			[]string{`app { release = "NAME" }`},
		},
		"misses a dependency": {
			app(`, deps: [{:nothing, path: "nothing"}]`, fmt.Sprintf(demo, ":ok")),
			[]string{"nothing", "mix deps.get"},
		},
		"holds a NIF, and linking is static": {
			with(app("", fmt.Sprintf(demo, ":ok")), "app/priv/demo_nif.so", sharedObject(t)),
			[]string{"priv/demo_nif.so", `link = "dynamic"`},
		},
		"crashes when it starts": {
			app("", fmt.Sprintf(demo, `raise "no disk, no fun"`)),
			[]string{"does not work", "no disk, no fun"},
		},
		"halts": {
			app("", fmt.Sprintf(demo, `System.halt(3)`)),
			[]string{"does not work", "status 3"},
		},
		"prints something else": {
			with(app("", fmt.Sprintf(demo, `IO.puts("hi")`)), "vm.hcl", vmBlock("app", `
  proof {
    expect  = ["bye"]
    timeout = "60s"
  }`)),
			[]string{"does not work", "output missing", "bye"},
		},
		"answers something else": {
			with(serving(), "vm.hcl", vmBlock("app", `
  proof {
    timeout = "60s"
    http {
      port = 4000
      path = "/health"
      body = "ill"
    }
    eval {
      code   = "1 + 1"
      result = "3"
    }
    eval {
      code   = "System.halt(3)"
      result = "1"
    }
  }`)),
			[]string{"does not work", "3 of 5 checks failed", `answers 4000/health 200 ill: "ill" is not in the body: "fine"`,
				"evaluates 1 + 1 => 3: the value is 2", "evaluates System.halt(3) => 1: BEAM ended: status=3 when it should have gone on running", "| serving"},
		},
		"stays when it should end": {
			with(app("", fmt.Sprintf(demo, ":ok")), "vm.hcl", vmBlock("app", `
  proof {
    exit    = "clean"
    timeout = "60s"
  }`)),
			[]string{"does not work", "did not end", "BEAM was ready", "System.stop"},
		},
		"is over the budget": {
			with(app("", fmt.Sprintf(demo, ":ok")), "vm.hcl", vmBlock("app", `
  budget {
    size = "1MB"
  }`)),
			[]string{"vm.hcl:", "over its budget", "kernel"},
		},
		"asks for what is not there": {
			with(app("", fmt.Sprintf(demo, ":ok")), "vm.hcl", vmBlock("app", `
  lean {
    keep = ["crypot"]
  }`)),
			[]string{"crypot", "lean.keep"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := tc.files
			if files["vm.hcl"] == "" {
				files["vm.hcl"] = vmBlock("app", "")
			}
			newProject(t, files).fails(tc.want...)
		})
	}
}

// sharedObject is the text of a real NIF's kind of file: an ELF shared object
// of this machine.
func sharedObject(t *testing.T) string {
	t.Helper()
	triplet := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[runtime.GOARCH]
	for _, path := range []string{"/lib/" + triplet + "/libm.so.6", "/lib64/libm.so.6", "/usr/lib/libm.so.6"} {
		if data, err := os.ReadFile(path); err == nil {
			return string(data)
		}
	}
	t.Skip("no libm.so.6 on this machine to play a NIF")
	return ""
}
