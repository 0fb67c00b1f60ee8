package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// What Start makes in its directory.
const (
	MonitorSocket = "monitor" // QMP
	ConsoleSocket = "console" // the serial port: one client at a time
	ChannelSocket = "channel" // see Channel; one client at a time
	ConsoleLog    = "console.log"
	errorLog      = "qemu.log" // QEMU's standard error
)

// Served is a QEMU that this process has started and that is reached through the
// sockets in its directory.
type Served struct {
	*Monitor // over a connection of its own
	dir      string
	proc     *process
}

// Start starts a machine with its console and monitor on sockets in dir, which
// only the user should have access to. The machine is paused until Resume, so that a
// console which is connected before shows all of it. Config.Stdin and Config.Console
// are not used.
//
// A detached QEMU outlives this process, in a session of its own; another is
// killed when this process ends, whatever way. When ctx ends before Start returns,
// QEMU is killed, and not after.
func Start(ctx context.Context, cfg Config, dir string, detached bool) (*Served, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg, err := cfg.absolute()
	if err != nil {
		return nil, err
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, fmt.Errorf("vm: socket for QEMU's monitor: %w", err)
	}
	cmd := exec.Command(machines[cfg.Arch].qemu, append(cfg.args(), serveArgs(cfg)...)...)
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Dir = dir // the sockets' names are relative: a path of theirs may be too long
	stderr, err := os.Create(filepath.Join(dir, errorLog))
	if err != nil {
		ours.Close()
		theirs.Close()
		return nil, fmt.Errorf("vm: %w", err)
	}
	defer stderr.Close()
	cmd.Stderr = stderr
	attr := tied()
	if detached {
		attr = &syscall.SysProcAttr{Setsid: true}
	}
	s := &Served{dir: dir}
	s.proc, err = start(context.WithoutCancel(ctx), cmd, attr)
	theirs.Close() // only QEMU holds it, so that its end is seen
	if err != nil {
		ours.Close()
		return nil, fmt.Errorf("vm: %w; on Debian: apt-get install %s", err, debianPackage[cfg.Arch])
	}
	if s.Monitor, err = newMonitor(ctx, ours); err != nil {
		s.Kill()
		return nil, fmt.Errorf("vm: %s did not start: %w%s", cmd.Path, err, s.complaint())
	}
	return s, nil
}

// serveArgs is the console, the monitors and the channel.
func serveArgs(cfg Config) []string {
	args := []string{"-S",
		"-chardev", "socket,id=console,path=" + ConsoleSocket + ",server=on,wait=off,logfile=" + ConsoleLog + ",logappend=off",
		"-serial", "chardev:console",
		"-chardev", "socket,id=qmp,fd=3", "-mon", "chardev=qmp,mode=control",
		"-chardev", "socket,id=monitor,path=" + MonitorSocket + ",server=on,wait=off", "-mon", "chardev=monitor,mode=control",
	}
	if cfg.Channel.Addr != "" {
		args = append(args, "-chardev", "socket,id=channel,path="+ChannelSocket+",server=on,wait=off")
	}
	return args
}

// absolute is for a QEMU that runs in another directory.
func (c Config) absolute() (Config, error) {
	for _, path := range []*string{&c.Kernel, &c.Initrd, &c.Disk, &c.Scratch} {
		if *path == "" {
			continue
		}
		var err error
		if *path, err = filepath.Abs(*path); err != nil {
			return c, fmt.Errorf("vm: %w", err)
		}
	}
	return c, nil
}

// PID is QEMU's.
func (s *Served) PID() int { return s.proc.cmd.Process.Pid }

// Ended is closed when QEMU has ended.
func (s *Served) Ended() <-chan struct{} { return s.proc.ended }

// PoweredOff reports whether the guest cut its own power. After Ended only.
func (s *Served) PoweredOff() bool {
	<-s.Monitor.Ended() // the event came before
	return s.Monitor.PoweredOff()
}

// Wait returns when QEMU has ended. An end that was not the guest's is an error.
func (s *Served) Wait(ctx context.Context) error {
	select {
	case <-s.proc.ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.proc.err != nil {
		return fmt.Errorf("vm: QEMU: %w%s", s.proc.err, s.complaint())
	}
	return nil
}

// complaint is what QEMU said, on lines of its own.
func (s *Served) complaint() string {
	text, err := os.ReadFile(filepath.Join(s.dir, errorLog))
	if err != nil || len(bytes.TrimSpace(text)) == 0 {
		return ""
	}
	return "\n  " + strings.ReplaceAll(string(bytes.TrimSpace(text)), "\n", "\n  ")
}

// Kill ends QEMU without asking the guest, and waits for its end.
func (s *Served) Kill() {
	s.proc.kill()
	<-s.proc.ended
}

// maxSocketPath is what fits sun_path with its NUL, on Linux (108) and macOS (104).
const maxSocketPath = 103

// Dial connects to a socket of the QEMU in dir.
func Dial(ctx context.Context, dir, socket string) (net.Conn, error) {
	path := filepath.Join(dir, socket)
	short := path
	if len(path) > maxSocketPath {
		// The kernel follows this to the directory, however long its name is.
		d, err := os.Open(dir)
		if err != nil {
			return nil, fmt.Errorf("vm: %w", err)
		}
		defer d.Close()
		short = fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), socket)
		if _, err := os.Stat(short); err != nil {
			return nil, fmt.Errorf("vm: %s is longer than the %d bytes that a socket's name may have: %w", path, maxSocketPath, err)
		}
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", short)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("vm: %s: its QEMU has ended: %w", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("vm: %w", err)
	}
	return conn, nil
}
