package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/somebloke1/elixir-lean-lab/core/bundle"
	"github.com/somebloke1/elixir-lean-lab/core/vm"
)

// host is a user's session: a directory for running VMs, and the default build.
type host struct {
	t       *testing.T
	build   string
	environ []string
}

func newHost(t *testing.T) *host {
	t.Helper()
	root := checkout(t)
	return &host{t: t, build: filepath.Join(root, "build", "custom"),
		environ: append(os.Environ(), "XDG_RUNTIME_DIR="+t.TempDir())}
}

func (h *host) app(out, errs io.Writer, args ...string) *App {
	return &App{Args: args, Stdin: nullInput(h.t), Stdout: out, Stderr: errs, Environ: h.environ, Dir: h.t.TempDir()}
}

func nullInput(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func (h *host) leanlab(args ...string) (code int, stdout, stderr string) {
	h.t.Helper()
	return h.within(5*time.Minute, args...)
}

func (h *host) within(limit time.Duration, args ...string) (code int, stdout, stderr string) {
	h.t.Helper()
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	code = h.app(&out, &errs, args...).Run(ctx)
	return code, out.String(), errs.String()
}

// must succeed.
func (h *host) must(args ...string) string {
	h.t.Helper()
	code, stdout, stderr := h.leanlab(args...)
	if code != exitOK {
		h.t.Fatalf("leanlab %q ended with %d:\n%s%s", args, code, stdout, stderr)
	}
	return stdout
}

func (h *host) fails(code int, text string, args ...string) {
	h.t.Helper()
	got, stdout, stderr := h.leanlab(args...)
	if got != code || !strings.Contains(stderr, text) {
		h.t.Errorf("leanlab %q ended with %d, want %d with %q:\n%s%s", args, got, code, text, stdout, stderr)
	}
}

func (h *host) ps() []listed {
	h.t.Helper()
	var list []listed
	if err := json.Unmarshal([]byte(h.must("ps", "--json")), &list); err != nil {
		h.t.Fatal(err)
	}
	return list
}

// start runs the default VM in the background until the test ends.
func (h *host) start(args ...string) {
	h.t.Helper()
	args = append([]string{"run", h.build, "--detach", "--name", "t", "--memory", "96", "--wait", "4m"}, args...)
	if out := h.must(args...); out != "t\n" {
		h.t.Errorf("run --detach printed %q", out)
	}
	h.t.Cleanup(func() { h.leanlab("stop", "t", "--force") })
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestDetachedVM(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	port := freePort(t)
	value := `a "b" $c \ 'd'  e=f`
	h.start("-p", fmt.Sprintf("%d:4000", port), "--env", "WORD="+value, "--", "-s", "x y", "")

	list := h.ps()
	if len(list) != 1 || list[0].Name != "t" || list[0].State != "running" || list[0].MemoryMiB != 96 ||
		len(list[0].Ports) != 1 || list[0].Ports[0] != fmt.Sprintf("127.0.0.1:%d:4000", port) || list[0].Accelerator == "" {
		t.Errorf("ps: %+v", list)
	}
	if out := h.must("ps"); !strings.Contains(out, "96 MiB") {
		t.Errorf("ps:\n%s", out)
	}

	for code, want := range map[string]string{
		`1 + 1`: "2\n",
		`System.get_env("WORD") == ` + fmt.Sprintf("%q", value): "true\n",
		`:init.get_plain_arguments()`:                           "[~c\"-s\", ~c\"x y\", []]\n",
		`IO.puts("größe"); :ok`:                                 "größe\n:ok\n",
		`String.duplicate("x", 100_000) |> byte_size()`:         "100000\n",
	} {
		if got := h.must("exec", "t", code); got != want {
			t.Errorf("%s gave %q, want %q", code, got, want)
		}
	}
	h.fails(exitFailed, "** (RuntimeError) oh", "exec", "t", `raise "oh"`)
	h.fails(exitFailed, `undefined variable "nowhere"`, "exec", "t", `nowhere + 1`)
	h.fails(exitFailed, "TokenMissingError", "exec", "t", `foo(`)
	h.fails(exitFailed, "gave no answer in 1s", "exec", "t", "--timeout", "1s", `Process.sleep(:infinity)`)
	if got := h.must("exec", "t", ":after"); got != ":after\n" {
		t.Errorf("after a request that was given up: %q", got)
	}
	if logs := h.must("logs", "t"); !strings.Contains(logs, "leanlab: ready") || strings.Contains(logs, "größe") {
		t.Errorf("the console has what exec printed, or not what the VM did:\n%s", logs)
	}

	// The port is QEMU's, and leads into the guest.
	h.must("exec", "t", `{:ok, l} = :gen_tcp.listen(4000, active: false); spawn(fn -> {:ok, s} = :gen_tcp.accept(l); :gen_tcp.send(s, "served"); :gen_tcp.close(s) end) |> then(&:gen_tcp.controlling_process(l, &1))`)
	conn, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if text, err := io.ReadAll(conn); string(text) != "served" {
		t.Errorf("through the port came %q, %v", text, err)
	}
	h.fails(exitFailed, "is in use", "run", h.build, "-d", "-p", fmt.Sprintf("%d:80", port))
	h.fails(exitFailed, "is running: choose another --name", "run", h.build, "-d", "--name", "t")
	h.fails(exitFailed, "running: t", "stop", "unknown")

	if out := h.must("stop", "t"); out != "t was shut down\n" {
		t.Errorf("stop: %q", out)
	}
	if list := h.ps(); len(list) != 0 {
		t.Errorf("after stop: %+v", list)
	}
}

func TestVMThatDoesNotGoDownIsKilled(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.start("--exec=false")
	h.fails(exitFailed, "was started without --exec", "exec", "t", "1")
	if out := h.must("stop", "t", "--timeout", "1ms"); !strings.Contains(out, "was killed") {
		t.Errorf("stop: %q", out)
	}
	h.start()
	if err := syscall.Kill(h.pid("t"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for list := h.ps(); len(list) != 1 || list[0].State != "gone"; list = h.ps() {
		if len(list) == 0 {
			t.Fatal("a killed VM was not shown as gone")
		}
	}
	if list := h.ps(); len(list) != 0 {
		t.Errorf("ps lists a VM that has gone twice: %+v", list)
	}
}

func (h *host) pid(name string) int {
	h.t.Helper()
	i, err := h.app(io.Discard, io.Discard).find(name)
	if err != nil {
		h.t.Fatal(err)
	}
	return i.Process.PID
}

// lines is a console that can be waited for.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
	return l.text.Write(p)
}

func (l *lines) wait(t *testing.T, text string) {
	t.Helper()
	for late := time.After(4 * time.Minute); ; {
		l.mu.Lock()
		seen := strings.Contains(l.text.String(), text)
		l.mu.Unlock()
		if seen {
			return
		}
		select {
		case <-l.more:
		case <-late:
			t.Fatalf("no %q in\n%s", text, l.text.String())
		}
	}
}

func TestInterruptedForegroundVMIsShutDown(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	out := &lines{more: make(chan struct{}, 1)}
	var errs bytes.Buffer
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan int, 1)
	go func() { ended <- h.app(out, &errs, "run", h.build, "--name", "t").Run(ctx) }()
	out.wait(t, "leanlab: ready")
	pid := h.pid("t")
	h.fails(exitFailed, "is in the terminal that runs it", "console", "t")
	cancel()
	if code := <-ended; code != exitInterrupted || !strings.Contains(errs.String(), "the VM was shut down") {
		t.Errorf("ended with %d:\n%s", code, errs.String())
	}
	out.wait(t, "leanlab: down")
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("QEMU %d is still there: %v", pid, err)
	}
	if list := h.ps(); len(list) != 0 {
		t.Errorf("%+v", list)
	}
}

// TestKilledForegroundLeavesNoQEMU uses this test binary as leanlab.
func TestKilledForegroundLeavesNoQEMU(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	leanlab, err := exec.LookPath("leanlab") // put into PATH by testscript.Main
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(leanlab, "run", h.build, "--name", "t")
	cmd.Env = h.environ
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for console := bufio.NewScanner(out); console.Scan() && !strings.Contains(console.Text(), "leanlab: init"); {
	}
	i, err := h.app(io.Discard, io.Discard).find("t")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	for deadline := time.Now().Add(time.Minute); i.Alive(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			i.Kill()
			t.Fatal("QEMU outlives leanlab")
		}
	}
	if list := h.ps(); len(list) != 1 || list[0].State != "gone" {
		t.Errorf("%+v", list)
	}
}

func TestRunRefusesWhatCannotRun(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	kernel, initrd := filepath.Join(h.build, "bundle", "kernel"), filepath.Join(h.build, "bundle", "initrd")
	disk := file("disk.img", string(disk(8, 0)))
	least := filepath.Join(dir, "least")
	if err := os.CopyFS(least, os.DirFS(h.build)); err != nil {
		t.Fatal(err)
	}
	manifest, err := os.ReadFile(filepath.Join(least, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	file("least/manifest.json", strings.Replace(string(manifest), `"idle_mib"`, `"min_mib": 60, "idle_mib"`, 1))
	for _, c := range []struct {
		code int
		text string
		args []string
	}{
		{exitFailed, "there is no such image", []string{"nothing"}},
		{exitFailed, "no bundle", []string{dir}},
		{exitFailed, "a kernel: give it with --kernel", []string{kernel}},
		{exitFailed, "compressed with zstd: an initrd is given with --initrd", []string{initrd}},
		{exitFailed, "is it truncated?", []string{file("short.img", "too short")}},
		{exitFailed, "no bootable kernel", []string{"--kernel", disk, "--initrd", initrd}},
		{exitUsage, "has no root to run", []string{"--kernel", kernel}},
		{exitUsage, "has its kernel, root and command line", []string{h.build, "--append", "quiet"}},
		{exitUsage, "has no disk", []string{h.build, "--read-only"}},
		{exitUsage, "want NAME=VALUE", []string{h.build, "--env", "X"}},
		{exitUsage, "want [ADDR:]HOST:GUEST", []string{h.build, "-p", "0:80"}},
		{exitUsage, "want a size", []string{h.build, "--scratch", "much"}},
		{exitFailed, "which a line cannot carry", []string{h.build, "--env", "X=a\nb"}},
		{exitFailed, "it starts its own boot loader", []string{disk, "--env", "X=a"}},
		{exitFailed, "the least that it was measured to need is 60 MiB", []string{least, "--memory", "59"}},
	} {
		h.fails(c.code, c.text, append([]string{"run"}, c.args...)...)
	}
	for _, command := range []string{"bench", "verify"} {
		h.fails(exitFailed, "the least that it was measured to need is 60 MiB", command, least, "--memory", "59")
	}
	if list := h.ps(); len(list) != 0 {
		t.Errorf("a run that was refused is listed: %+v", list)
	}
}

func TestRunTellsADiskOnlyWithABootFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	builtVMWith(t, dir, "disk", bundle.Disk, map[string]string{"/sbin/init": "another's"})
	for _, args := range [][]string{{"--env", "X=a"}, {"--exec"}, {"--", "word"}} {
		var errs bytes.Buffer
		app := &App{Args: append([]string{"run", "disk"}, args...), Stdout: io.Discard, Stderr: &errs, Environ: []string{"XDG_RUNTIME_DIR=" + dir}, Dir: dir}
		if code := app.Run(t.Context()); code != exitFailed || !strings.Contains(errs.String(), "there is no /etc/leanlab/boot in it, so its /init is not leanlab's") {
			t.Errorf("run %q ended with %d: %s", args, code, &errs)
		}
	}
}

// TestQEMUThatIsNotInstalledIsNamed uses this test binary as leanlab.
func TestQEMUThatIsNotInstalledIsNamed(t *testing.T) {
	t.Parallel()
	leanlab, err := exec.LookPath("leanlab") // put into PATH by testscript.Main
	must(t, err)
	dir := t.TempDir()
	kernel := make([]byte, 4096)
	copy(kernel[0x202:], "HdrS")
	for name, data := range map[string][]byte{"kernel": kernel, "initrd": []byte("070701"), "cmdline": []byte("quiet\n")} {
		must(t, os.WriteFile(filepath.Join(dir, name), data, 0o644))
	}
	for _, args := range [][]string{{"run", dir}, {"run", dir, "-d"}, {"verify", dir}, {"bench", dir}} {
		cmd := exec.Command(leanlab, args...)
		cmd.Env = []string{"PATH=" + t.TempDir(), "LEANLAB_CACHE=" + filepath.Join(t.TempDir(), "store"), "XDG_RUNTIME_DIR=" + t.TempDir()}
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != exitFailed || !strings.Contains(string(out), `"qemu-system-x86_64": executable file not found in $PATH; on Debian: apt-get install qemu-system-x86`) {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
	}
}

func TestKernelAndInitrdRun(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	bundle := filepath.Join(h.build, "bundle")
	h.must("run", "--kernel", filepath.Join(bundle, "kernel"), "--initrd", filepath.Join(bundle, "initrd"), "--append", "quiet word=1",
		"-d", "--name", "t", "--scratch", "3MiB", "--cpus", "2", "--wait", "4m")
	defer h.leanlab("stop", "t", "--force")
	if got := h.must("exec", "t", `{File.read!("/proc/cmdline") =~ "quiet word=1", File.read!("/sys/block/vda/size"), System.schedulers()}`); got != "{true, \"6144\\n\", 2}\n" {
		t.Errorf("%s", got)
	}
}

// BenchmarkRunOverhead is what leanlab adds to QEMU until the guest runs: each
// iteration is a pair, the same machine by hand and by the command, and the median
// of the differences is reported. The guest is a boot sector, so that the time is
// not lost in that of a whole boot.
func BenchmarkRunOverhead(b *testing.B) {
	leanlab, err := exec.LookPath("leanlab") // put into PATH by testscript.Main
	if err != nil {
		b.Fatal(err)
	}
	program, _ := vm.Program("x86_64")
	if _, err := exec.LookPath(program); err != nil {
		b.Skipf("%s is not installed", program)
	}
	sector := make([]byte, 512)
	copy(sector, []byte{0xba, 0xf8, 0x03, 0xb0, '!', 0xee, 0xeb, 0xfd}) // mov dx,3f8h; mov al,'!'; out dx,al; jmp
	sector[510], sector[511] = 0x55, 0xaa
	disk := filepath.Join(b.TempDir(), "disk")
	if err := os.WriteFile(disk, append(sector, make([]byte, 1<<20)...), 0o600); err != nil {
		b.Fatal(err)
	}
	environ := append(os.Environ(), "XDG_RUNTIME_DIR="+b.TempDir())
	byHand := []string{"-M", "q35,graphics=off", "-accel", "tcg", "-cpu", "max", "-m", "64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-drive", "if=none,id=disk,format=raw,snapshot=on,file=" + disk, "-device", "virtio-blk-pci,drive=disk",
		"-object", "rng-builtin,id=rng", "-device", "virtio-rng-pci,rng=rng",
		"-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile=", "-serial", "stdio"}
	untilGuest := func(name string, args ...string) time.Duration {
		cmd := exec.Command(name, args...)
		cmd.Env = append(environ, vm.AccelVariable+"=tcg")
		out, err := cmd.StdoutPipe()
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		defer func() { cmd.Process.Kill(); cmd.Wait() }()
		if _, err := bufio.NewReader(out).ReadString('!'); err != nil {
			b.Fatalf("%q: the guest did not run: %v", cmd.Args, err)
		}
		return time.Since(began)
	}
	var hand, added []time.Duration
	for b.Loop() {
		one := untilGuest(program, byHand...)
		hand = append(hand, one)
		added = append(added, untilGuest(leanlab, "run", disk, "--memory", "64")-one)
	}
	slices.Sort(hand)
	slices.Sort(added)
	b.ReportMetric(float64(hand[len(hand)/2].Microseconds())/1000, "ms-by-hand")
	b.ReportMetric(float64(added[len(added)/2].Microseconds())/1000, "ms-added")
}
