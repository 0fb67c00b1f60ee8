package ui

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// terminal is a pseudo-terminal (pts(4)) and what has been drawn on it.
type terminal struct {
	pts  *os.File
	mu   sync.Mutex
	raw  strings.Builder
	more *sync.Cond
	end  chan struct{}
}

func newTerminal(t *testing.T, columns, rows uint16) *terminal {
	t.Helper()
	ptm, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	t.Cleanup(func() { ptm.Close() })
	if err := unix.IoctlSetPointerInt(int(ptm.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(ptm.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	pts, err := os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	x := &terminal{pts: pts, end: make(chan struct{})}
	x.more = sync.NewCond(&x.mu)
	x.resize(t, columns, rows)
	go func() {
		defer close(x.end)
		b := make([]byte, 4096)
		for {
			n, err := ptm.Read(b) // EIO once the other side is closed
			x.mu.Lock()
			x.raw.Write(b[:n])
			x.more.Broadcast()
			x.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return x
}

func (x *terminal) resize(t *testing.T, columns, rows uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(x.pts.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows}); err != nil {
		t.Fatal(err)
	}
}

// await waits until the text has been written; the test's own deadline ends it.
func (x *terminal) await(text string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for !strings.Contains(x.raw.String(), text) {
		x.more.Wait()
	}
}

// screen closes the terminal and gives what it shows in the end.
func (x *terminal) screen(t *testing.T) (lines []string, raw string) {
	t.Helper()
	x.pts.Close()
	<-x.end
	lines, err := draw(x.raw.String())
	if err != nil {
		t.Fatal(err)
	}
	return lines, x.raw.String()
}

// draw is as much of a terminal as is written to: text, CR, LF, cursor up,
// erase below, colours.
func draw(raw string) ([]string, error) {
	lines := []string{""}
	row, column := 0, 0
	for raw != "" {
		var n int
		switch {
		case raw[0] == '\n':
			if row++; row == len(lines) {
				lines = append(lines, "")
			}
			raw = raw[1:]
		case raw[0] == '\r':
			column, raw = 0, raw[1:]
		case strings.HasPrefix(raw, "\x1b[J"):
			lines = append(lines[:row], string([]rune(lines[row])[:column]))
			raw = raw[3:]
		case raw[0] == 0x1b:
			seq := raw[:escapeLen(raw)]
			if _, err := fmt.Sscanf(seq, "\x1b[%dA", &n); err == nil && strings.HasSuffix(seq, "A") {
				if row -= n; row < 0 {
					return nil, fmt.Errorf("cursor above the screen: %q", raw)
				}
			} else if !strings.HasSuffix(seq, "m") {
				return nil, fmt.Errorf("sequence %q leaves the terminal changed", seq)
			}
			raw = raw[len(seq):]
		default:
			r := []rune(raw)[0]
			line := []rune(lines[row])
			lines[row] = string(append(line[:min(column, len(line))], r))
			column++
			raw = raw[len(string(r)):]
		}
	}
	return lines, nil
}

func environment(pairs ...string) func(string) string {
	return func(name string) string {
		for _, p := range pairs {
			if value, ok := strings.CutPrefix(p, name+"="); ok {
				return value
			}
		}
		return ""
	}
}

func newOn(t *testing.T, x *terminal, env ...string) (UI, string) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	u, err := New("auto", x.pts, environment(env...), log)
	if err != nil {
		t.Fatal(err)
	}
	return u, log
}

func TestATerminalKeepsOneLineForEachStep(t *testing.T) {
	t.Parallel()
	x := newTerminal(t, 80, 24)
	u, log := newOn(t, x, "TERM=xterm", "LANG=C.UTF-8")
	u.Cached("otp", "OTP 27")
	k, a := u.Start("kernel", "Linux 6.12"), u.Start("app", "mix release")
	k.Emit(builder.StepStarted{Title: "compile"})
	k.Emit(builder.Progress{Done: 412, Total: 3120, Unit: "objects"})
	x.await("412/3120 objects: compile")
	x.await("mix release")
	u.Message("warning", "something\nwith details")
	for i := range 30 {
		a.Emit(builder.Log{Line: fmt.Sprint("line ", i)})
	}
	x.await("line 29")
	a.Fail(errors.New("exit status 1"))
	k.Done("2.2 MB")
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	lines, raw := x.screen(t)
	want := []string{"✓ otp OTP 27 cached", "warning: something", "    with details", "✗ app mix release TIME", "    exit status 1"}
	for i := 10; i < 30; i++ {
		want = append(want, fmt.Sprint("    | line ", i))
	}
	want = append(want, "    full log: "+log, "✓ kernel Linux 6.12 TIME  2.2 MB")
	compare(t, lines, want)
	if !strings.Contains(raw, "\x1b[32m✓\x1b[0m") || strings.Count(raw, "\x1b[?25l") != strings.Count(raw, "\x1b[?25h") {
		t.Errorf("colour is missing, or the cursor is: %q", raw)
	}
}

// compare compares a screen with what it should show, where TIME is any word.
func compare(t *testing.T, lines, want []string) {
	t.Helper()
	want = append(want, "") // where the cursor is left
	for i, w := range want {
		if i >= len(lines) {
			break
		}
		before, after, ok := strings.Cut(w, "TIME")
		got := lines[i]
		if ok {
			_, rest, _ := strings.Cut(strings.TrimPrefix(got, before), "s")
			if strings.HasPrefix(got, before) && rest == after {
				continue
			}
		}
		if got != w {
			t.Errorf("line %d: %q, want %q", i, got, w)
		}
	}
	if len(lines) != len(want) {
		t.Errorf("%d lines, want %d:\n%s", len(lines), len(want), strings.Join(lines, "\n"))
	}
}

func TestWithoutUTF8AndColourATerminalGetsPlainASCII(t *testing.T) {
	t.Parallel()
	x := newTerminal(t, 80, 24)
	u, _ := newOn(t, x, "TERM=xterm", "LANG=C", "NO_COLOR=1")
	k := u.Start("kernel", "Linux")
	k.Emit(builder.Log{Line: "größe"})
	x.await("gr??e")
	k.Done("")
	u.Close()
	lines, raw := x.screen(t)
	compare(t, lines, []string{"ok kernel Linux TIME"})
	for i := range len(raw) {
		if raw[i] > 0x7e || strings.HasPrefix(raw[i:], "\x1b[3") || strings.HasPrefix(raw[i:], "\x1b[0") {
			t.Fatalf("not plain ASCII: %q", raw)
		}
	}
}

func TestClosingWithStepsRunningLeavesACleanTerminal(t *testing.T) {
	t.Parallel()
	x := newTerminal(t, 80, 24)
	u, _ := newOn(t, x, "TERM=xterm")
	u.Cached("otp", "OTP 27")
	k := u.Start("kernel", "Linux")
	x.await("Linux")
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	k.Emit(builder.Log{Line: "after the end"})
	k.Done("after the end")
	lines, _ := x.screen(t)
	compare(t, lines, []string{"ok otp OTP 27 cached"})
}

func TestATerminalMayShrinkAndVanish(t *testing.T) {
	t.Parallel()
	x := newTerminal(t, 80, 24)
	u, _ := newOn(t, x, "TERM=xterm", "NO_COLOR=1")
	k := u.Start("kernel", "Linux")
	k.Emit(builder.StepStarted{Title: strings.Repeat("w", 50) + "end"})
	x.await("wwend")
	x.resize(t, 24, 2)
	x.await("www.\r\n")
	x.resize(t, 0, 0) // of unknown size
	k.Emit(builder.StepStarted{Title: "unknown"})
	k.Emit(builder.Log{Line: "x"})
	x.pts.Close()
	<-x.end
	k.Emit(builder.Log{Line: "nobody sees this"})
	k.Done("")
	u.Message("note", "nor this")
	if err := u.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestATerminalThatCannotRedrawGetsPlainLines(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		columns uint16
		term    string
	}{"dumb": {80, "dumb"}, "of unknown size": {0, "vt100"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newTerminal(t, tt.columns, tt.columns)
			u, _ := newOn(t, x, "TERM="+tt.term)
			u.Cached("otp", "OTP 27")
			u.Close()
			if _, raw := x.screen(t); raw != ">>> otp: cached: OTP 27\r\n" {
				t.Errorf("%q", raw)
			}
		})
	}
}

func TestAFloodOnATerminalIsDrawnSeldom(t *testing.T) {
	t.Parallel()
	x := newTerminal(t, 80, 24)
	u, _ := newOn(t, x, "TERM=xterm")
	k := u.Start("kernel", "Linux")
	began := time.Now()
	const lines = 50_000
	for i := range lines {
		k.Emit(builder.Log{Line: fmt.Sprint("line ", i)})
	}
	took := time.Since(began)
	k.Done("")
	u.Close()
	_, raw := x.screen(t)
	// One line a frame, of at most 80 columns and some control sequences.
	frames := int(took/(100*time.Millisecond)) + 20
	if len(raw) > frames*200 {
		t.Errorf("%d bytes were drawn in %v for %d lines", len(raw), took, lines)
	}
}
