package builder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// logged returns the lines among events.
func (r *recorder) logged() []string {
	var lines []string
	for _, e := range r.events {
		if l, ok := e.(Log); ok {
			lines = append(lines, l.Line)
		}
	}
	return lines
}

func sh(script string) *exec.Cmd { return exec.Command("sh", "-c", script) }

func TestOutputArrivesAsLinesInOrder(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, script string
		want         []string
	}{
		{"both streams", "echo one; echo two >&2; echo three", []string{"one", "two", "three"}},
		{"no newline at the end", "printf 'a\\nb'", []string{"a", "b"}},
		{"empty lines", "printf '\\n\\nx\\n'", []string{"", "", "x"}},
		{"redrawn", "printf ' 10%%\\r 20%%\\rdone\\n'", []string{"done"}},
		{"CRLF", "printf 'a\\r\\nb\\r\\n'", []string{"a", "b"}},
		{"binary", "printf '\\377\\000x\\n'", []string{"\uFFFD\uFFFDx"}},
		{"nothing", "true", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rec := &recorder{}
			if err := Run(t.Context(), rec, sh(tt.script)); err != nil {
				t.Fatal(err)
			}
			if got := rec.logged(); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLongLineIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	text := "x" + strings.Repeat("é€", 5000) // so that the cuts fall into characters
	var got []string
	l := &lineReader{emit: func(line string) { got = append(got, line) }}
	l.readAll(strings.NewReader(text))
	if strings.Join(got, "") != text {
		t.Error("the pieces are not the line")
	}
	if len(got) != (len(text)+maxLine-1)/maxLine && len(got) != (len(text)+maxLine-1)/maxLine+1 {
		t.Errorf("%d pieces of %d bytes", len(got), len(text))
	}
}

// slowPipe has what was written to it, and counts how often somebody looked.
type slowPipe struct {
	lines chan string
	reads int
}

func (p *slowPipe) Read(b []byte) (int, error) {
	p.reads++
	line, ok := <-p.lines
	if !ok {
		return 0, io.EOF
	}
	n := copy(b, line)
	for len(p.lines) > 0 {
		n += copy(b[n:], <-p.lines)
	}
	return n, nil
}

func TestLinesOfALongCommandAreReadSeveralAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const lines, every = 6000, 50 * time.Millisecond // five minutes
		pipe, ended, began := &slowPipe{lines: make(chan string, lines)}, make(chan struct{}), time.Now()
		go func() {
			for i := range lines {
				time.Sleep(every)
				pipe.lines <- fmt.Sprintln(i)
			}
			close(ended)
			close(pipe.lines)
		}()
		got := 0
		l := &lineReader{emit: func(line string) {
			if line != strconv.Itoa(got) {
				t.Fatalf("line %d is %q", got, line)
			}
			got++
			printed := time.Duration(got) * every
			if late, most := time.Since(began)-printed, min(time.Since(began)/100, longestPause); late > most {
				t.Fatalf("line %s, of %s, came %s later, more than %s", line, printed, late, most)
			}
		}}
		l.readAll(&unhurried{r: pipe, began: began, ended: ended})
		if got != lines || pipe.reads > lines/5 {
			t.Errorf("%d lines in %d reads, want %d in a fifth as many", got, pipe.reads, lines)
		}
		if over := time.Since(began) - lines*every; over != 0 {
			t.Errorf("it went on for %s after the command's end", over)
		}
	})
}

func FuzzLinesAreCleanAndBounded(f *testing.F) {
	for _, seed := range []string{"a\nb", "\r\n\r", "\x00\xff\x1b[1m", strings.Repeat("€", 3000)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		l := &lineReader{emit: func(line string) {
			if len(line) > 3*maxLine || !utf8.ValidString(line) || strings.ContainsAny(line, "\n\r\x00\x1b") {
				t.Errorf("line %q", line)
			}
		}}
		l.readAll(strings.NewReader(string(in)))
		if len(l.tail) > tailLines {
			t.Errorf("a tail of %d lines", len(l.tail))
		}
	})
}

func TestFailureSaysWhatRanWhereAndHowItEnded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := sh("seq 30; exit 3")
	cmd.Dir = dir
	err := Run(t.Context(), &recorder{}, cmd)
	want := fmt.Sprintf("sh -c \"seq 30; exit 3\" (in %s): exit status 3; its last lines:\n    11\n    12", dir)
	if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.HasSuffix(err.Error(), "\n    30") {
		t.Errorf("got error %v\nwant %s …", err, want)
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("the error does not wrap the exit status")
	}

	if err := Run(t.Context(), &recorder{}, exec.Command("/no/such/cc", "-v")); err == nil ||
		!strings.Contains(err.Error(), "starting /no/such/cc -v: ") || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a command that is not there: %v", err)
	}
	if err := Run(t.Context(), &recorder{}, sh("kill -9 $$")); err == nil || !strings.Contains(err.Error(), "out of memory") {
		t.Errorf("a command killed by no one: %v", err)
	}
}

func TestOwnStdoutIsLeftToTheCaller(t *testing.T) {
	t.Parallel()
	var stdout strings.Builder
	cmd := sh("echo out; echo err >&2")
	cmd.Stdout = &stdout
	rec := &recorder{}
	if err := Run(t.Context(), rec, cmd); err != nil {
		t.Fatal(err)
	}
	if stdout.String() != "out\n" || !reflect.DeepEqual(rec.logged(), []string{"err"}) {
		t.Errorf("stdout %q, logged %q", stdout.String(), rec.logged())
	}
}

// lineFunc is an Events that gets the lines.
type lineFunc func(string)

func (f lineFunc) Emit(e Event) {
	if l, ok := e.(Log); ok {
		f(l.Line)
	}
}

// gone waits for a process's end.
func gone(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 60_000)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n != 1 {
			t.Errorf("process %d is still there: %v", pid, err)
		}
		return
	}
}

func TestCancelEndsTheWholeGroup(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"by SIGTERM": "sleep 1000 & echo $!; wait",
		"by SIGKILL": "trap '' TERM; sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1000; done' & while :; do wait; done",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cause := errors.New("enough")
			ctx, cancel := context.WithCancelCause(t.Context())
			var child int
			err := run(ctx, lineFunc(func(line string) {
				fmt.Sscan(line, &child)
				cancel(cause)
			}), sh(script), 200*time.Millisecond)
			if !errors.Is(err, cause) {
				t.Errorf("got error %v, want %v", err, cause)
			}
			gone(t, child)
		})
	}
}

func TestCancelledBeforehandNothingIsStarted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	file := filepath.Join(t.TempDir(), "file")
	if err := Run(ctx, &recorder{}, exec.Command("touch", file)); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v", err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("it ran")
	}
}

func TestWhatACommandLeavesRunningIsKilled(t *testing.T) {
	t.Parallel()
	var child int
	err := Run(t.Context(), lineFunc(func(line string) { fmt.Sscan(line, &child) }), sh("sleep 1000 & echo $!"))
	if err != nil {
		t.Fatal(err)
	}
	if child == 0 {
		t.Fatal("no process was started")
	}
	gone(t, child)
}

func TestDaemonThatHoldsTheOutputDoesNotHoldRun(t *testing.T) {
	t.Parallel()
	var daemon int
	err := Run(t.Context(), lineFunc(func(line string) { fmt.Sscan(line, &daemon) }), sh("setsid sleep 1000 & echo $!"))
	if daemon > 0 {
		defer unix.Kill(daemon, unix.SIGKILL)
	}
	if err != nil || daemon == 0 {
		t.Errorf("got error %v, daemon %d", err, daemon)
	}
}
