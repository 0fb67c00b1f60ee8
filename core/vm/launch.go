package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// VM is a running QEMU.
type VM struct {
	console *console
	lines   *reader
	stdin   io.WriteCloser
	stderr  *lastBytes
	proc    *process
	qmp     *qmp

	mu     sync.Mutex
	reason string // of QMP's SHUTDOWN event: "guest-shutdown", "guest-reset", "guest-panic"
}

// Launch starts a machine. When ctx ends, it is killed. The caller must call
// Wait or Quit.
func Launch(ctx context.Context, cfg Config) (*VM, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, fmt.Errorf("vm: socket for QEMU's monitor: %w", err)
	}
	// A connected socket instead of a path: no limit of 108 bytes, nothing to
	// remove, and QEMU sees it close.
	cmd := exec.Command(machines[cfg.Arch].qemu, append(cfg.args(),
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
		"-chardev", "socket,id=qmp,fd=3", "-mon", "chardev=qmp,mode=control")...)
	cmd.ExtraFiles = []*os.File{theirs}

	vm := &VM{console: newConsole(), stderr: &lastBytes{}}
	vm.lines = &reader{c: vm.console}
	cmd.Stderr = vm.stderr
	cmd.Stdout = vm.console
	if cfg.Console != nil {
		cmd.Stdout = io.MultiWriter(vm.console, cfg.Console)
	}
	if cfg.Stdin != nil {
		cmd.Stdin = cfg.Stdin
	} else if vm.stdin, err = cmd.StdinPipe(); err != nil {
		ours.Close()
		theirs.Close()
		return nil, fmt.Errorf("vm: %w", err)
	}
	vm.proc, err = start(ctx, cmd, tied())
	theirs.Close() // only QEMU holds it, so that its end is seen
	if err != nil {
		ours.Close()
		return nil, fmt.Errorf("vm: %w; on Debian: apt-get install %s", err, debianPackage[cfg.Arch])
	}
	go func() {
		<-vm.proc.ended
		vm.console.close()
	}()
	if vm.qmp, err = newQMP(ctx, ours, vm.event); err != nil {
		vm.proc.kill()
		<-vm.proc.ended
		return nil, fmt.Errorf("vm: %s did not start: %w%s", cmd.Path, err, vm.stderr.indented())
	}
	return vm, nil
}

var debianPackage = map[string]string{"x86_64": "qemu-system-x86", "aarch64": "qemu-system-arm"}

// event remembers why QEMU ends; it says so before it does.
func (vm *VM) event(m *message) {
	if reason := shutdownReason(m); reason != "" {
		vm.mu.Lock()
		vm.reason = reason
		vm.mu.Unlock()
	}
}

// WaitFor returns the first line after the one that it returned last for which
// match is true. match also sees a line that is still being written, such as a
// prompt; that line comes again with what is added to it. When the console ends
// before: io.EOF.
func (vm *VM) WaitFor(ctx context.Context, match func(line string) bool) (string, error) {
	for {
		line, _, err := vm.lines.read(ctx)
		if err != nil {
			return "", err
		}
		if match(line) {
			return line, nil
		}
	}
}

// Screen returns the last n lines of the console, without escape sequences.
func (vm *VM) Screen(n int) []string { return vm.console.tail(n) }

// Type types text at the console. Enter is "\r". Not with Config.Stdin.
func (vm *VM) Type(text string) error {
	if vm.stdin == nil {
		return errors.New("vm: the console's input is Config.Stdin")
	}
	if _, err := io.WriteString(vm.stdin, text); err != nil {
		return fmt.Errorf("vm: typing at the console: %w", err)
	}
	return nil
}

// Powerdown presses the power button and does not wait for what comes of it.
func (vm *VM) Powerdown(ctx context.Context) error {
	return vm.qmp.execute(ctx, "system_powerdown")
}

// Quit ends QEMU without asking the guest, and waits for its end.
func (vm *VM) Quit() {
	vm.proc.kill()
	<-vm.proc.ended
}

// Wait returns when QEMU has ended: by the guest's power off or reset, a panic,
// Quit, or the context of Launch. An end that was not the guest's is an error.
func (vm *VM) Wait(ctx context.Context) error {
	select {
	case <-vm.proc.ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	if vm.proc.err != nil {
		return fmt.Errorf("vm: QEMU: %w%s", vm.proc.err, vm.stderr.indented())
	}
	return nil
}

// poweredOff reports whether the guest cut its own power. After Wait only.
func (vm *VM) poweredOff() bool {
	<-vm.qmp.ended // the event came before
	vm.mu.Lock()
	defer vm.mu.Unlock()
	return vm.reason == "guest-shutdown"
}

func (vm *VM) complaint() string { return vm.stderr.indented() }

// process is a child.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // of Wait; read after ended
}

// start runs cmd from a thread of its own that stays until cmd has ended: on
// Linux a child's death signal (attr: tied) is tied to the thread that forked it,
// and Go ends threads at will.
func start(ctx context.Context, cmd *exec.Cmd, attr *syscall.SysProcAttr) (*process, error) {
	p := &process{cmd: cmd, ended: make(chan struct{})}
	cmd.SysProcAttr = attr
	// Ends the copying of stdin, which may block for ever in a terminal.
	cmd.WaitDelay = time.Second
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		err = cmd.Wait()
		if !errors.Is(err, exec.ErrWaitDelay) {
			p.err = err
		}
		close(p.ended)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	go func() {
		select {
		case <-ctx.Done():
			p.kill()
		case <-p.ended:
		}
	}()
	return p, nil
}

func (p *process) kill() {
	p.cmd.Process.Kill() // QEMU has no children
}

func socketPair() (ours, theirs *os.File, err error) {
	syscall.ForkLock.RLock() // no child started meanwhile inherits them
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, err
	}
	// Non-blocking before NewFile: Close then ends a pending Read.
	if err := syscall.SetNonblock(fds[0], true); err != nil {
		syscall.Close(fds[0])
		syscall.Close(fds[1])
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "qmp"), os.NewFile(uintptr(fds[1]), "qmp"), nil
}

// lastBytes keeps the end of what is written to it.
type lastBytes struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lastBytes) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Write(p)
	if over := l.buf.Len() - 4096; over > 0 {
		l.buf.Next(over)
	}
	return len(p), nil
}

// indented is the text on lines of its own, or nothing.
func (l *lastBytes) indented() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.TrimSpace(l.buf.String())
	if text == "" {
		return ""
	}
	return "\n  " + strings.ReplaceAll(text, "\n", "\n  ")
}
