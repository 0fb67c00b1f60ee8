package builder

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

const (
	stopGrace = 5 * time.Second // between SIGTERM and SIGKILL when a command is cancelled
	drainTime = time.Second     // for output that is still in the pipe when the command has ended
	tailLines = 20              // of output, quoted in the error of a command that failed
)

// Run runs cmd and emits each line of its output as a Log. It returns when the
// command has ended and nothing of its process group is left.
//
// Standard output and standard error share one pipe, in the order in which they
// were written, unless cmd.Stdout or cmd.Stderr is set. Lines end in "\n"; of a
// progress display redrawn with "\r", what stood last is the line. Lines longer
// than 4096 bytes are cut into several. Of a long command they come several at a
// time, each at most half a second late.
//
// When ctx is cancelled, the process group gets SIGTERM, and SIGKILL five
// seconds later; the error then wraps the context's cause. Should this process
// die, the command is killed too (PR_SET_PDEATHSIG(2const)).
//
// The error names the command, its directory, how it ended and the last lines
// of its output; it wraps *exec.ExitError when there was an exit status.
func Run(ctx context.Context, ev Events, cmd *exec.Cmd) error {
	return run(ctx, ev, cmd, stopGrace)
}

func run(ctx context.Context, ev Events, cmd *exec.Cmd, grace time.Duration) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s was not started: %w", commandName(cmd), context.Cause(ctx))
	}
	// The kernel sends the parent-death signal when the thread dies that
	// started the command (go.dev/issue/27506), so this one must live until it
	// has ended.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	out, err := start(cmd)
	if err != nil {
		return fmt.Errorf("starting %s: %w", commandName(cmd), err)
	}
	defer out.Close()
	lines := &lineReader{emit: func(line string) { ev.Emit(Log{Line: line}) }}
	ended, drained := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(drained)
		lines.readAll(&unhurried{r: out, began: time.Now(), ended: ended})
	}()

	waitStopping(ctx, cmd.Process.Pid, grace)
	close(ended)
	err = cmd.Wait()
	// A process that left the group may hold the pipe open for ever.
	_ = out.SetReadDeadline(time.Now().Add(drainTime))
	<-drained
	if cmd.ProcessState != nil {
		ev.Emit(Usage{CPU: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()})
	}

	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w (%w)", context.Cause(ctx), err)
		}
		return commandError(cmd, err, lines.tail)
	}
	return nil
}

// start starts cmd as the leader of a process group of its own and returns the
// read end of its output.
func start(cmd *exec.Cmd) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	// So that nothing that prints has to wait for unhurried; the kernel may allow less.
	_, _ = unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, pipeSize)
	if cmd.Stdout == nil {
		cmd.Stdout = w
	}
	if cmd.Stderr == nil {
		cmd.Stderr = w
	}
	cmd.WaitDelay = drainTime // for a Stdout of the caller's that is no file
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := cmd.Start(); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// waitStopping waits until the leader of a process group has ended, stopping
// the group when ctx is cancelled, and kills what is left of the group. The
// leader is not reaped yet: as long as it is a zombie, no other group can have
// its number.
func waitStopping(ctx context.Context, leader int, grace time.Duration) {
	ended, stopperDone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopperDone)
		select {
		case <-ended:
			return
		case <-ctx.Done():
		}
		_ = unix.Kill(-leader, unix.SIGTERM)
		select {
		case <-ended:
		case <-time.After(grace):
			_ = unix.Kill(-leader, unix.SIGKILL)
		}
	}()
	for {
		err := unix.Waitid(unix.P_PID, leader, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	close(ended)
	<-stopperDone
	_ = unix.Kill(-leader, unix.SIGKILL)
}

// commandError says what ran, where, how it ended and what it said last.
func commandError(cmd *exec.Cmd, err error, tail []string) error {
	var hint string
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signal() == syscall.SIGKILL {
			hint = "; nobody asked for this: most often it is the kernel, out of memory (see dmesg; fewer jobs need less)"
		}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		hint = ""
	}
	dir := cmd.Dir
	if dir == "" {
		dir = "."
	}
	if len(tail) == 0 {
		return fmt.Errorf("%s (in %s): %w%s; it printed nothing", commandName(cmd), dir, err, hint)
	}
	return fmt.Errorf("%s (in %s): %w%s; its last lines:\n    %s", commandName(cmd), dir, err, hint, strings.Join(tail, "\n    "))
}

// commandName is the command line as a person would type it, shortened.
func commandName(cmd *exec.Cmd) string {
	words := make([]string, len(cmd.Args))
	for i, arg := range cmd.Args {
		words[i] = arg
		if arg == "" || strings.ContainsAny(arg, " \t\n\"'\\$`*?|&;<>()") {
			words[i] = strconv.Quote(arg)
		}
	}
	const longest = 300
	name := strings.Join(words, " ")
	if len(name) > longest {
		name = strings.ToValidUTF8(name[:longest], "") + " …"
	}
	return name
}

// unhurried reads what a command prints. Where that is a line now and then, it
// lets some more come before it reads again: to wake up this process, and the
// host behind it, for every line of an hour's make takes more of a processor than
// the lines do. It waits for a hundredth of the command's time so far at most, and
// not once that has ended.
type unhurried struct {
	r     io.Reader
	began time.Time
	ended <-chan struct{}
	slow  bool // the last read did not find much
}

const (
	pipeSize     = 1 << 20 // fs.pipe-max-size's default (pipe(7))
	readSize     = 32 << 10
	longestPause = 500 * time.Millisecond
)

func (u *unhurried) Read(p []byte) (int, error) {
	if u.slow {
		select {
		case <-u.ended:
		case <-time.After(min(time.Since(u.began)/100, longestPause)):
		}
	}
	n, err := u.r.Read(p)
	u.slow = n < len(p)/2
	return n, err
}

// lineReader cuts a stream into lines that are clean and bounded, and keeps the
// last of them.
type lineReader struct {
	emit func(line string)
	tail []string
}

func (l *lineReader) readAll(r io.Reader) {
	in := bufio.NewReaderSize(r, readSize)
	var line []byte
	var redraw bool // a "\r" was read: what follows overwrites the line, unless that is "\n"
	for {
		c, err := in.ReadByte()
		switch {
		case err != nil:
			if len(line) > 0 {
				l.put(line)
			}
			return
		case c == '\n':
			l.put(line)
			line, redraw = line[:0], false
		case c == '\r':
			redraw = true
		default:
			if redraw {
				line, redraw = line[:0], false
			}
			line = append(line, c)
			if len(line) == maxLine {
				line = l.putPart(line)
			}
		}
	}
}

// putPart emits the start of a long line and returns the rest, cutting at a
// character's start.
func (l *lineReader) putPart(line []byte) []byte {
	cut := len(line)
	for i := 1; i < utf8.UTFMax; i++ {
		if utf8.RuneStart(line[len(line)-i]) {
			if !utf8.FullRune(line[len(line)-i:]) {
				cut = len(line) - i
			}
			break
		}
	}
	rest := append([]byte(nil), line[cut:]...)
	l.put(line[:cut])
	return rest
}

func (l *lineReader) put(line []byte) {
	text := cleanLine(string(line))
	if len(l.tail) == tailLines {
		l.tail = append(l.tail[:0], l.tail[1:]...)
	}
	l.tail = append(l.tail, text)
	l.emit(text)
}
