package pluginhost

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
)

// Fault is a plugin that cannot be used, or did what the contract forbids.
type Fault struct {
	Path    string   // the plugin's file
	Problem string   // what it did, or is
	Remedy  string   // what the user can do
	Tail    []string // the last lines that it wrote
	Err     error    // the cause, where there is one; its text is in Problem
}

func (f *Fault) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "plugin %s %s", f.Path, f.Problem)
	if len(f.Tail) > 0 {
		fmt.Fprintf(&b, "\nthe last it said:\n    %s", strings.Join(f.Tail, "\n    "))
	}
	fmt.Fprintf(&b, "\n%s", f.Remedy)
	return b.String()
}

func (f *Fault) Unwrap() error { return f.Err }

const (
	tailBytes = 16 << 10 // of a plugin's output held in memory
	tailLines = 20       // of it shown in a Fault
	tailWidth = 500      // bytes of a line shown
)

// logbook passes on what a plugin writes and keeps the end of it.
type logbook struct {
	mu   sync.Mutex
	w    io.Writer
	tail []byte
}

// Write never fails: a full disk must not stop the plugin's pipe being drained.
func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = l.w.Write(p)
	l.keep(p)
	return len(p), nil
}

// note keeps a line for Fault that goes to the user by another way.
func (l *logbook) note(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keep([]byte(line + "\n"))
}

func (l *logbook) keep(p []byte) {
	l.tail = append(l.tail, p...)
	if over := len(l.tail) - tailBytes; over > 0 {
		l.tail = append(l.tail[:0], l.tail[over:]...)
	}
}

// last returns the last lines. Of a Go program that has panicked these begin
// with the reason, which stands above its stack.
func (l *logbook) last() []string {
	l.mu.Lock()
	text := string(bytes.TrimSpace(l.tail))
	l.mu.Unlock()
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = printable(line)
	}
	from := max(0, len(lines)-tailLines)
	for i := from - 1; i >= 0; i-- {
		if strings.HasPrefix(lines[i], "panic: ") || strings.HasPrefix(lines[i], "fatal error: ") {
			return lines[i:min(len(lines), i+tailLines)]
		}
	}
	return lines[from:]
}

// printable makes a line fit for a terminal.
func printable(line string) string {
	line = strings.TrimSuffix(line, "\r")
	if len(line) > tailWidth {
		line = line[:tailWidth] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return '\uFFFD'
		}
		return r
	}, line)
}
