package pluginhost

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"golang.org/x/sys/unix"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/builder/proctree"
)

const (
	maxHandshake = 8 << 10     // bytes of the first line of standard output
	drainTime    = time.Second // for output that is still in a pipe when the plugin has ended
)

// process is a plugin's process: go-plugin's runner.Runner, in place of its own,
// because that one
//   - waits for the end of the pipes before it waits for the process, for ever
//     if the plugin has left a child behind that holds them;
//   - kills one process, where a plugin is a tree;
//   - parses every line of standard error as JSON, and what it finds there can
//     make it panic.
type process struct {
	cmd  *exec.Cmd
	log  *logbook
	mark string // in the environment of every process that the plugin starts

	handshake *io.PipeReader // the first line of standard output, for go-plugin
	announce  *io.PipeWriter

	exited chan struct{} // closed when the process has been reaped and nothing of it is left
	pid    sync.Mutex    // held while the PID must not be given up, or is being

	mu        sync.Mutex
	began     time.Time // when it was started; zero: it was not
	killed    bool      // Kill came before Start
	reaped    bool
	firstLine string // of standard output, once it is there
	startErr  error
	state     *os.ProcessState
}

var _ runner.Runner = (*process)(nil)

func newProcess(path string, log *logbook) *process {
	p := &process{
		log:    log,
		exited: make(chan struct{}),
		cmd: &exec.Cmd{
			Path: path, Args: []string{path},
			SysProcAttr: &syscall.SysProcAttr{
				// A session of its own: away from the terminal's signals, and a
				// name for all that the plugin starts.
				Setsid: true,
				// Not SIGKILL: the plugin has its own children to end first.
				Pdeathsig: syscall.SIGTERM,
			},
		},
	}
	p.handshake, p.announce = io.Pipe()
	return p
}

// prepare takes what go-plugin decides: variables for the environment, and the
// directory that it has made for the plugin's socket. That is the plugin's
// working directory too: a path that is relative by mistake hurts nobody there.
func (p *process) prepare(env []string, tmpDir string) {
	p.cmd.Env = append(env, builder.EnvLifeline+"=1")
	p.cmd.Dir = tmpDir
	p.mark = plugin.EnvUnixSocketDir + "=" + tmpDir
}

// Start starts the process.
func (p *process) Start(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.killed {
		return errors.New("killed before it was started")
	}
	started := make(chan error)
	go p.run(started)
	if p.startErr = <-started; p.startErr != nil {
		return p.startErr
	}
	p.began = time.Now()
	return nil
}

// run starts the process and stays with it to its end, on one thread: the
// kernel takes the death of the thread that started it for the host's death
// (go.dev/issue/27506).
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.exited)

	pipes, err := p.start()
	started <- err
	if err != nil {
		p.announce.Close()
		return
	}
	defer pipes.lifeline.Close()
	var readers sync.WaitGroup
	readers.Go(func() { p.readStdout(pipes.stdout) })
	readers.Go(func() { _, _ = io.Copy(p.log, pipes.stderr) })

	for {
		err := unix.Waitid(unix.P_PID, p.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	// Not reaped yet, so that no other session can have its number.
	p.sweep()
	p.pid.Lock()
	_ = p.cmd.Wait()
	p.mu.Lock()
	p.reaped, p.state = true, p.cmd.ProcessState
	p.mu.Unlock()
	p.pid.Unlock()

	deadline := time.Now().Add(drainTime)
	_ = pipes.stdout.SetReadDeadline(deadline)
	_ = pipes.stderr.SetReadDeadline(deadline)
	readers.Wait()
	pipes.stdout.Close()
	pipes.stderr.Close()
}

// pipes are the host's ends.
type pipes struct{ stdout, stderr, lifeline *os.File }

// start starts the process with its standard files on pipes.
func (p *process) start() (*pipes, error) {
	var ends [3][2]*os.File // stdin, stdout, stderr; each read end, write end
	closeAll := func() {
		for _, pair := range ends {
			pair[0].Close() // closing a nil *os.File is an error, and no more
			pair[1].Close()
		}
	}
	for i := range ends {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll()
			return nil, err
		}
		ends[i] = [2]*os.File{r, w}
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = ends[0][0], ends[1][1], ends[2][1]
	if err := p.cmd.Start(); err != nil {
		closeAll()
		return nil, err
	}
	ends[0][0].Close()
	ends[1][1].Close()
	ends[2][1].Close()
	return &pipes{lifeline: ends[0][1], stdout: ends[1][0], stderr: ends[2][0]}, nil
}

// readStdout hands the first line to go-plugin and all that follows, which
// should not be there, to the log.
func (p *process) readStdout(r io.Reader) {
	in := bufio.NewReaderSize(r, maxHandshake)
	line, err := in.ReadSlice('\n')
	p.mu.Lock()
	p.firstLine = string(line)
	p.mu.Unlock()
	if err == nil {
		_, _ = p.announce.Write(line)
	} else {
		_, _ = p.log.Write(line) // no handshake: too long, or the end
	}
	p.announce.Close()
	_, _ = io.Copy(p.log, in)
}

// sweep kills what a plugin that has ended left behind.
func (p *process) sweep() {
	session, mark := p.cmd.Process.Pid, []byte(p.mark)
	err := proctree.KillAll(func(all []proctree.Process) []proctree.Process {
		var left []proctree.Process
		for _, proc := range all {
			if proc.PID != os.Getpid() && (proc.Session == session || marked(proc, mark)) {
				left = append(left, proc)
			}
		}
		return left
	})
	if err != nil {
		p.log.note(err.Error())
	}
}

// kthreadd is the parent of the kernel's threads, which have no environment.
const kthreadd = 2

// marked reports whether a process was started with mark in its environment. In
// the midst of execve(2) a process has none to show, for a moment.
func marked(proc proctree.Process, mark []byte) bool {
	if proc.PPID == kthreadd || proc.State == 'Z' {
		return false
	}
	for range 5 {
		env, err := os.ReadFile("/proc/" + strconv.Itoa(proc.PID) + "/environ")
		if err != nil {
			return false // another user's, or gone
		}
		if len(env) > 0 {
			return slices.ContainsFunc(bytes.Split(env, []byte{0}), func(v []byte) bool { return bytes.Equal(v, mark) })
		}
		time.Sleep(time.Millisecond)
	}
	return false
}

// Kill ends the plugin and everything below it. Stopped, the plugin can start
// nothing more, and as a subreaper it still holds what its children leave.
func (p *process) Kill(context.Context) error {
	p.mu.Lock()
	started := !p.began.IsZero()
	p.killed = true
	p.mu.Unlock()
	if !started {
		return nil
	}
	if err := p.killTree(); err != nil {
		return err
	}
	<-p.exited
	return nil
}

func (p *process) killTree() error {
	p.pid.Lock()
	defer p.pid.Unlock()
	p.mu.Lock()
	reaped := p.reaped
	p.mu.Unlock()
	if reaped {
		return nil
	}
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	if err := proctree.KillDescendants(p.cmd.Process.Pid); err != nil {
		p.log.note(err.Error())
	}
	return p.cmd.Process.Kill()
}

// ending says how the process ended, for an error's text.
func (p *process) ending() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == nil {
		return "it is still there"
	}
	return p.state.String()
}

func (p *process) Wait(context.Context) error {
	<-p.exited
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != nil && !p.state.Success() {
		return errors.New(p.state.String())
	}
	return nil
}

// Stdout gives go-plugin the handshake and then the end.
func (p *process) Stdout() io.ReadCloser { return p.handshake }

// Stderr gives go-plugin nothing: standard error goes straight to the log.
func (p *process) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

func (p *process) Name() string { return p.cmd.Path }

// ID must not be empty, even when the start failed: then go-plugin would not
// remove its directory.
func (p *process) ID() string                      { return p.mark }
func (p *process) Diagnose(context.Context) string { return "" }

func (p *process) PluginToHost(network, addr string) (string, string, error) {
	return network, addr, nil
}

func (p *process) HostToPlugin(network, addr string) (string, string, error) {
	return network, addr, nil
}

// startFault explains why go-plugin could not start the plugin, of which it
// says only that the handshake was not as expected. The form of the handshake
// is "core version|contract version|network|address|protocol|…".
func (p *process) startFault(path string, err error) *Fault {
	p.mu.Lock()
	startErr, line := p.startErr, strings.TrimSpace(p.firstLine)
	late := time.Since(p.began) >= startTimeout
	p.mu.Unlock()
	fault := &Fault{Path: path, Tail: p.log.last(), Err: err, Remedy: authorsFault}
	fields := strings.Split(line, "|")
	switch {
	case startErr != nil:
		fault.Problem = "could not be started: " + reason(startErr)
		fault.Remedy = "check the file; a script needs the interpreter of its first line"
	case line == "" && late:
		fault.Problem = fmt.Sprintf("did not begin the handshake within %s", startTimeout)
	case line == "":
		fault.Problem = fmt.Sprintf("ended before the handshake (%s)", p.ending())
		fault.Remedy = "install it again, as a build that belongs to this leanlab; if that does not help, report it to the plugin's author"
	case len(fields) < 5 || fields[0] != strconv.Itoa(plugin.CoreProtocolVersion):
		fault.Problem = fmt.Sprintf("wrote to its standard output, which carries the handshake: %q", printable(line))
		fault.Remedy = "report it to the plugin's author: output belongs into events, or on standard error"
	case fields[1] != strconv.Itoa(builder.ProtocolVersion):
		fault.Problem = fmt.Sprintf("speaks version %q of the builder contract, and this leanlab version %d", printable(fields[1]), builder.ProtocolVersion)
		fault.Remedy = "install the version of the plugin, or of leanlab, that fits the other"
	case fields[4] != string(plugin.ProtocolGRPC):
		fault.Problem = fmt.Sprintf("offers the protocol %q, and leanlab speaks only gRPC", printable(fields[4]))
	default:
		fault.Problem = "could not be connected to: " + err.Error()
	}
	return fault
}
