package pluginhost

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// pluginPath returns a file of a plugin's name that is this test binary.
func pluginPath(t testing.TB, strategy string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), prefix+strategy)
	if err := os.Symlink(self, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// start starts a plugin that behaves, or whose steps misbehave.
func start(t *testing.T, strategy string, opts Options) *Plugin {
	t.Helper()
	p, err := Start(t.Context(), pluginPath(t, strategy), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func request(t *testing.T, step string) *builder.BuildRequest {
	return &builder.BuildRequest{
		Definition: &builder.Definition{VM: "vm"}, Step: step, Out: t.TempDir(), Work: t.TempDir(), Jobs: 2,
	}
}

// recorder is an Events that keeps them.
type recorder struct {
	mu     sync.Mutex
	events []builder.Event
}

func (r *recorder) Emit(e builder.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// wantFault checks an error's class and text.
func wantFault(t *testing.T, err error, path string, want ...string) {
	t.Helper()
	var fault *Fault
	if !errors.As(err, &fault) {
		t.Fatalf("got error %v, want a Fault", err)
	}
	if fault.Path != path {
		t.Errorf("fault names %s, want %s", fault.Path, path)
	}
	if fault.Remedy == "" {
		t.Errorf("the fault does not say what to do: %v", err)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error does not say %q:\n%v", w, err)
		}
	}
}

func TestPluginThatCannotStartIsExplained(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		strategy string
		want     []string
	}{
		{"exits", []string{"ended before the handshake (exit status 3)", "no licence found"}},
		{"panics", []string{"ended before the handshake (exit status 2)", "panic: cannot start"}},
		{"noisy", []string{"wrote to its standard output", `"Loading modules ..."`}},
		{"chatters", []string{"wrote to its standard output", `"xxxx`}},
		{"newer", []string{`speaks version "2" of the builder contract, and this leanlab version 1`}},
		{"netrpc", []string{`offers the protocol "netrpc"`}},
		{"misnamed", []string{`says that it builds strategy "another", and its file is named for "misnamed"`}},
		{"undescribed", []string{"failed in Describe: panic in Describe", "nil pointer"}},
	} {
		t.Run(tt.strategy, func(t *testing.T) {
			t.Parallel()
			path := pluginPath(t, tt.strategy)
			p, err := Start(t.Context(), path, Options{})
			if err == nil {
				p.Close()
				t.Fatal("it started")
			}
			wantFault(t, err, path, tt.want...)
		})
	}
}

func TestCancelEndsAStartThatHangs(t *testing.T) {
	t.Parallel()
	cause := errors.New("the user gave up")
	ctx, cancel := context.WithCancelCause(t.Context())
	fifo := filepath.Join(t.TempDir(), "started")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), prefix+"mute")
	script := fmt.Sprintf("#!/bin/sh\necho $$ > %s\nsleep 1000\n", fifo)
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	gone := make(chan (<-chan struct{}), 1)
	go func() {
		var pid int
		if text, err := os.ReadFile(fifo); err == nil {
			fmt.Sscan(string(text), &pid)
		}
		gone <- exits(t, pid)
		cancel(cause)
	}()
	_, err := Start(ctx, path, Options{})
	if !errors.Is(err, cause) {
		t.Errorf("got error %v, want %v", err, cause)
	}
	wait(t, "the plugin's end", <-gone)
}

func TestFileThatIsNoPluginIsExplained(t *testing.T) {
	t.Parallel()
	foreign := elf.EM_AARCH64
	if runtime.GOARCH == "arm64" {
		foreign = elf.EM_X86_64
	}
	for _, tt := range []struct {
		name    string
		content []byte
		mode    os.FileMode
		want    string
	}{
		{"wrong architecture", elfHeader(t, foreign, ""), 0o755, "built for another architecture: " + foreign.String()},
		{"no dynamic linker", elfHeader(t, machines[runtime.GOARCH], "/lib/ld-of-elsewhere.so.1"), 0o755, `needs the dynamic linker "/lib/ld-of-elsewhere.so.1"`},
		{"cut short", elfHeader(t, foreign, "")[:20], 0o755, "damaged ELF binary"},
		{"not executable", []byte("#!/bin/sh\n"), 0o644, "is not executable (mode 0644)"},
		{"text", []byte("hello"), 0o755, `neither an ELF binary nor a script: it begins with "hell"`},
		{"empty", nil, 0o755, "is empty"},
		{"script without interpreter", []byte("#!/no/such/shell\n"), 0o755, "could not be started: no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), prefix+"x")
			if err := os.WriteFile(path, tt.content, tt.mode); err != nil {
				t.Fatal(err)
			}
			p, err := Start(t.Context(), path, Options{})
			if err == nil {
				p.Close()
				t.Fatal("it started")
			}
			wantFault(t, err, path, tt.want)
		})
	}
}

// elfHeader returns an ELF file that is a header and, for a dynamic linker, the
// one program header naming it (elf(5)).
func elfHeader(t *testing.T, machine elf.Machine, interp string) []byte {
	t.Helper()
	h := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT), Ehsize: 64, Phentsize: 56,
	}
	var prog elf.Prog64
	if interp != "" {
		h.Phnum, h.Phoff = 1, 64
		prog = elf.Prog64{Type: uint32(elf.PT_INTERP), Off: 64 + 56, Filesz: uint64(len(interp)), Memsz: uint64(len(interp))}
	}
	var file bytes.Buffer
	for _, part := range []any{h, prog, []byte(interp)} {
		if err := binary.Write(&file, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	return file.Bytes()
}

func TestOnlyThePinnedBinaryIsRun(t *testing.T) {
	t.Parallel()
	path := pluginPath(t, "rogue")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Start(t.Context(), path, Options{SHA256: fmt.Sprintf("%x", sha256.Sum256(content))})
	if err != nil {
		t.Fatal(err)
	}
	p.Close()

	_, err = Start(t.Context(), path, Options{SHA256: strings.Repeat("0", 64)})
	wantFault(t, err, path, "is not the one that was pinned")
	if _, err := Start(t.Context(), path, Options{SHA256: "sha256:0"}); err == nil || !strings.Contains(err.Error(), "is no SHA-256") {
		t.Errorf("got error %v for a digest that is none", err)
	}
}

func TestStepThatBreaksTheContractIsExplained(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		strategy, step string
		want           []string
	}{
		{"rogue", "crashes", []string{`crashed during step "crashes" (exit status 7)`, "compiler not found\n", "and this goes there too"}},
		{"rogue", "panics", []string{"panic in Build: index out of range"}},
		{"rogue", "panics-elsewhere", []string{`crashed during step "panics-elsewhere" (exit status 2)`, "panic: lost in a goroutine"}},
		{"rogue", "too-big", []string{"message larger than max"}},
		{"rogue", "artifact-outside", []string{`artifact "passwd": path "../../etc/passwd" is outside of its directory`}},
		{"rogue", "artifact-link", []string{`artifact "passwd": path "link": path escapes`}},
		{"rogue", "artifact-missing", []string{`artifact "image": path "image": no such file`}},
		{"rogue", "kernel-outside", []string{`the machine's kernel: path "../kernel" is outside of its directory`}},
		{"rogue", "kernel-absolute", []string{`the machine's kernel: path "/boot/vmlinuz" is outside of its directory`}},
		{"rogue", "rootfs-link", []string{`the machine's root filesystem: path "etc/passwd": path escapes`}},
		{"rogue", "otp-is-a-file", []string{`the machine's OTP: path "kernel" is no directory`}},
		{"rogue", "unknown-step", []string{`the machine's kernel refers to step "elsewhere", which step "unknown-step" does not need`}},
		{"rawnoresult", "any", []string{"the call ended without a result"}},
		{"rawchatty", "any", []string{"a message came after the result"}},
	} {
		t.Run(tt.strategy+"/"+tt.step, func(t *testing.T) {
			t.Parallel()
			p := start(t, tt.strategy, Options{Grace: time.Second})
			machine, err := p.Build(t.Context(), request(t, tt.step), &recorder{})
			if machine != nil {
				t.Errorf("it returned a machine")
			}
			wantFault(t, err, p.path, tt.want...)
		})
	}
}

func TestPanicLeavesItsStackInTheLogAndThePluginUsable(t *testing.T) {
	t.Parallel()
	var log syncBuffer
	p := start(t, "rogue", Options{Log: &log})
	_, err := p.Validate(t.Context(), &builder.Definition{Config: []byte(`"panic"`)})
	wantFault(t, err, p.path, "panic in Validate: no such fragment")
	if _, err := p.Validate(t.Context(), &builder.Definition{}); err != nil {
		t.Errorf("after the panic: %v", err)
	}
	p.Close()
	if text := log.String(); !strings.Contains(text, "rogue.Validate") {
		t.Errorf("the log has no stack:\n%s", text)
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestBuildersOwnErrorIsPassedOn(t *testing.T) {
	t.Parallel()
	p := start(t, "rogue", Options{})
	_, err := p.Build(t.Context(), request(t, "fails"), &recorder{})
	if want := (&builder.Failure{Message: "no such symbol\nat base.config:3"}); !reflect.DeepEqual(err, want) {
		t.Errorf("got error %#v, want %#v", err, want)
	}
	if _, err := p.Probe(t.Context(), &builder.Definition{}); !reflect.DeepEqual(err, &builder.Failure{Message: "cannot look"}) {
		t.Errorf("got error %#v from Probe", err)
	}
}

func TestArtifactAndMachineInTheirDirectoryPass(t *testing.T) {
	t.Parallel()
	p := start(t, "rogue", Options{})
	events := &recorder{}
	if _, err := p.Build(t.Context(), request(t, "artifact"), events); err != nil {
		t.Error(err)
	}
	if want := []builder.Event{builder.Artifact{Name: "kernel", Path: "kernel"}}; !reflect.DeepEqual(events.events, want) {
		t.Errorf("events %v, want %v", events.events, want)
	}
	machine, err := p.Build(t.Context(), request(t, "machine"), events)
	if err != nil {
		t.Fatal(err)
	}
	if want := (builder.Ref{Step: "machine", Path: "kernel"}); machine.Kernel != want {
		t.Errorf("kernel %v, want %v", machine.Kernel, want)
	}
}

func TestMachineComesFromTheLastStepOnly(t *testing.T) {
	t.Parallel()
	p := start(t, "rogue", Options{})
	plan := func(steps string) {
		if _, err := p.Plan(t.Context(), &builder.Definition{VM: "vm", Config: []byte(steps)}); err != nil {
			t.Fatal(err)
		}
	}
	plan("machine nothing")
	_, err := p.Build(t.Context(), request(t, "machine"), &recorder{})
	wantFault(t, err, p.path, `it returned a machine, which only the last step, "nothing", may`)
	_, err = p.Build(t.Context(), request(t, "nothing"), &recorder{})
	wantFault(t, err, p.path, "the last step returned no machine")
	plan("nothing machine")
	if _, err := p.Build(t.Context(), request(t, "machine"), &recorder{}); err != nil {
		t.Error(err)
	}
}

func TestCancelledStepHasLetGoWhenBuildReturns(t *testing.T) {
	t.Parallel()
	p := start(t, "rogue", Options{Grace: time.Minute})
	req := request(t, "stops-slowly")
	ctx, cancel := context.WithCancel(t.Context())
	_, err := p.Build(ctx, req, onFirst(cancel))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want context.Canceled", err)
	}
	if _, err := os.Stat(filepath.Join(req.Out, "written-while-stopping")); err != nil {
		t.Errorf("Build returned before the step had: %v", err)
	}
	if _, err := p.Build(t.Context(), request(t, "machine"), &recorder{}); err != nil {
		t.Errorf("the plugin is of no more use: %v", err)
	}
}

func TestStepThatHangsIsKilledWhenCancelled(t *testing.T) {
	t.Parallel()
	p := start(t, "rogue", Options{Grace: 100 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	_, err := p.Build(ctx, request(t, "hangs"), onFirst(cancel))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want context.Canceled", err)
	}
	wait(t, "the plugin's end", p.process.exited)
}

func TestCloseEndsAStepThatHangs(t *testing.T) {
	t.Parallel()
	p := start(t, "rogue", Options{Grace: 100 * time.Millisecond})
	begun := make(chan struct{})
	failed := make(chan error)
	go func() {
		_, err := p.Build(context.Background(), request(t, "hangs"), onFirst(func() { close(begun) }))
		failed <- err
	}()
	<-begun
	p.Close()
	err := <-failed
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), p.path+` was closed during step "hangs"`) {
		t.Errorf("got error %v, want one that says that the plugin was closed during the step", err)
	}
	if got := p.process.ending(); got != "signal: killed" {
		t.Errorf("the plugin ended with %q, want that it was killed", got)
	}
}

// onFirst returns an Events that calls f at the first event.
func onFirst(f func()) builder.Events { return &firstEvent{f: f} }

type firstEvent struct {
	once sync.Once
	f    func()
}

func (e *firstEvent) Emit(builder.Event) { e.once.Do(e.f) }

// counter counts events, and the most memory that was in use meanwhile.
type counter struct {
	events atomic.Int64
	heap   atomic.Uint64
}

func (c *counter) Emit(builder.Event) {
	if c.events.Add(1)%2000 == 0 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		c.heap.Store(max(c.heap.Load(), m.HeapInuse))
	}
}

func TestFloodArrivesWholeInBoundedMemory(t *testing.T) {
	p := start(t, "rogue", Options{})
	events := &counter{}
	if _, err := p.Build(t.Context(), request(t, "floods"), events); err != nil {
		t.Fatal(err)
	}
	if got := events.events.Load(); got != 100_000 {
		t.Errorf("%d of 100000 lines arrived", got)
	}
	// 100 MB went through.
	if heap := events.heap.Load(); heap > 48<<20 {
		t.Errorf("%d MiB of heap were in use", heap>>20)
	}
}

func TestFloodWithoutLinesOnStderrIsDrained(t *testing.T) {
	t.Parallel()
	log := &byteCount{}
	p := start(t, "rogue", Options{Log: log})
	if _, err := p.Build(t.Context(), request(t, "floods-stderr"), &recorder{}); err != nil {
		t.Fatal(err)
	}
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	if len(p.log.tail) > tailBytes {
		t.Errorf("%d bytes of it are held", len(p.log.tail))
	}
}

type byteCount struct{ n atomic.Int64 }

func (c *byteCount) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// exits returns a channel that is closed when the process has ended, reaped or
// not: by pidfd_open(2), so that no later process with its number is meant.
func exits(t *testing.T, pid int) <-chan struct{} {
	t.Helper()
	if unix.Kill(pid, 0) != nil {
		t.Errorf("process %d is not there", pid)
	}
	return exitsIfThere(pid)
}

// exitsIfThere is exits for a process that may be gone already.
func exitsIfThere(pid int) <-chan struct{} {
	gone := make(chan struct{})
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		close(gone)
		return gone
	}
	go func() {
		defer close(gone)
		defer unix.Close(fd)
		for {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
			if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
				return
			}
		}
	}()
	return gone
}

// wait waits as long as a test may take on a machine under load.
func wait(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatalf("still waiting for %s", what)
	}
}

// pids collects what family prints.
type pids chan int

func (p pids) Emit(e builder.Event) {
	if log, ok := e.(builder.Log); ok {
		var pid int
		if _, err := fmt.Sscanf(log.Line, "pid %d", &pid); err == nil {
			p <- pid
		}
	}
}

func TestNothingThatAStepStartedOutlivesThePlugin(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, step string
		end        func(p *Plugin, cancel func())
	}{
		{"closed", "forks", func(p *Plugin, _ func()) { p.Close() }},
		{"closed while hung", "forks-and-hangs", func(p *Plugin, _ func()) { p.Close() }},
		{"cancelled, then closed", "forks", func(p *Plugin, cancel func()) { cancel(); p.Close() }},
		{"plugin killed", "forks", func(p *Plugin, _ func()) { p.process.cmd.Process.Kill() }},
		{"plugin terminated", "forks", func(p *Plugin, _ func()) { p.process.cmd.Process.Signal(unix.SIGTERM) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, "rogue", Options{Grace: 500 * time.Millisecond})
			seen := make(pids, 3*familySize)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			built := make(chan error, 1)
			go func() {
				_, err := p.Build(ctx, request(t, tt.step), seen)
				built <- err
			}()
			var gone []<-chan struct{}
			for range familySize {
				var pid int
				select {
				case pid = <-seen:
				case err := <-built:
					t.Fatalf("the step is over: %v", err)
				}
				gone = append(gone, exits(t, pid))
			}
			tt.end(p, cancel)
			if err := <-built; err == nil {
				t.Error("the step succeeded")
			}
			wait(t, "the plugin's end", p.process.exited)
			for _, g := range gone {
				wait(t, "the end of what the step started", g)
			}
		})
	}
}

func TestNothingThatAStepStartedOutlivesACrash(t *testing.T) {
	t.Parallel()
	p := start(t, "rogue", Options{})
	req := request(t, "forks-and-crashes")
	_, err := p.Build(t.Context(), req, &recorder{})
	wantFault(t, err, p.path, "crashed", "exit status 9")
	wait(t, "the plugin's end", p.process.exited)
	pids, err := os.ReadFile(filepath.Join(req.Out, "pids"))
	if err != nil {
		t.Fatal(err)
	}
	var seen int
	for line := range strings.Lines(string(pids)) {
		var pid int
		if _, err := fmt.Sscanf(line, "pid %d", &pid); err != nil {
			t.Fatal(err)
		}
		seen++
		wait(t, "the end of what the step started", exitsIfThere(pid)) // killed, and perhaps no zombie yet
	}
	if seen != familySize {
		t.Errorf("%d processes were started, not %d", seen, familySize)
	}
}

func TestKilledHostLeavesNoProcess(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"forks", "forks-and-hangs"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			tmp := t.TempDir()
			host := exec.Command(self)
			host.Env = append(os.Environ(),
				"LEANLAB_TEST_HOST="+pluginPath(t, "rogue"), "LEANLAB_TEST_STEP="+step, "LEANLAB_TEST_OUT="+t.TempDir(), "TMPDIR="+tmp)
			out, err := host.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			host.Stderr = os.Stderr
			if err := host.Start(); err != nil {
				t.Fatal(err)
			}
			var gone []<-chan struct{}
			in := bufio.NewScanner(out)
			for len(gone) < 1+familySize && in.Scan() {
				var pid int
				if _, err := fmt.Sscanf(in.Text(), "pid %d", &pid); err != nil {
					t.Fatalf("the host said %q", in.Text())
				}
				gone = append(gone, exits(t, pid))
			}
			if err := host.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			for _, g := range gone {
				wait(t, "the end of the plugin and what it started", g)
			}
			_ = host.Wait()
			if left, _ := filepath.Glob(filepath.Join(tmp, "plugin*")); len(tmp) < 55 && len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

func TestPluginSeesTheAllowedEnvironmentOnly(t *testing.T) {
	t.Parallel()
	environ := []string{
		"PATH=/bin", "HOME=/home", "LANG=C", "LC_ALL=C", "TMPDIR=/tmp", "XDG_DATA_HOME=/d", "LEANLAB_X=1",
		"https_proxy=p", "NO_PROXY=n", "CFLAGS=-O3", "AWS_SECRET=s", "LD_PRELOAD=x", "CCACHE_DIR=/c",
	}
	got := allowed(environ, []string{"CCACHE_DIR"})
	want := []string{
		"PATH=/bin", "HOME=/home", "LANG=C", "LC_ALL=C", "TMPDIR=/tmp", "XDG_DATA_HOME=/d", "LEANLAB_X=1",
		"https_proxy=p", "NO_PROXY=n", "CCACHE_DIR=/c",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestPackageNeedsTheCapability(t *testing.T) {
	t.Parallel()
	p := start(t, "rogue", Options{})
	err := p.Package(t.Context(), &builder.PackageRequest{}, &recorder{})
	if err == nil || !strings.Contains(err.Error(), `lacks the capability "package"`) {
		t.Errorf("got error %v", err)
	}
}

// A build with nothing to do starts a plugin, so this counts into its second.
func BenchmarkStartToDescribe(b *testing.B) {
	path := pluginPath(b, "rogue")
	for b.Loop() {
		p, err := Start(b.Context(), path, Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		p.Close()
		b.StartTimer()
	}
}

// What a line of a long build costs in the host and its plugin: they pass on some
// ten thousand of an hour's, and all that is taken from the compiler.
func BenchmarkLineOfABuild(b *testing.B) {
	p, err := Start(b.Context(), pluginPath(b, "rogue"), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	req := &builder.BuildRequest{Definition: &builder.Definition{VM: "vm"}, Step: "compiles", Out: b.TempDir(), Work: b.TempDir(), Jobs: 2}
	began, lines := processorTime(b, os.Getpid(), p.process.cmd.Process.Pid), 0
	for b.Loop() {
		r := &recorder{}
		if _, err := p.Build(b.Context(), req, r); err != nil {
			b.Fatal(err)
		}
		lines += len(r.events)
	}
	spent := processorTime(b, os.Getpid(), p.process.cmd.Process.Pid) - began
	b.ReportMetric(float64(spent.Microseconds())/float64(lines), "CPU-µs/line")
	b.ReportMetric(0, "ns/op")
}

// processorTime is what processes have used of processors, without their
// children's share (proc(5), /proc/pid/stat).
func processorTime(b *testing.B, pids ...int) time.Duration {
	const tick = time.Second / 100 // USER_HZ
	var sum time.Duration
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			b.Fatal(err)
		}
		_, fields, _ := strings.Cut(string(text), ") ")
		var user, system int64
		if _, err := fmt.Sscanf(strings.Join(strings.Fields(fields)[11:13], " "), "%d %d", &user, &system); err != nil {
			b.Fatalf("/proc/%d/stat: %v: %s", pid, err, text)
		}
		sum += time.Duration(user+system) * tick
	}
	return sum
}
