package vm

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
)

// Limits of what is kept of a console, for a guest that floods it.
const (
	maxLines = 20000
	maxLine  = 4096 // bytes; a longer line is broken
)

// errFlooded: the reader fell behind by more than maxLines.
var errFlooded = errors.New("vm: the guest printed faster than its console was read; lines were lost")

// console is what a serial terminal shows: lines of text, the last one perhaps
// still being written. Escape sequences move the cursor in the line or go.
type console struct {
	mu      sync.Mutex
	lines   []string
	dropped int // lines before lines[0]
	term    lineTerminal
	closed  bool
	changed chan struct{} // closed, and replaced, at every change
}

func newConsole() *console { return &console{changed: make(chan struct{})} }

// Write takes what the guest sent.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range p {
		if line, whole := c.term.put(b); whole {
			c.lines = append(c.lines, line)
		}
	}
	if over := len(c.lines) - maxLines; over > 0 {
		c.lines = slices.Delete(c.lines, 0, over)
		c.dropped += over
	}
	c.wake()
	return len(p), nil
}

func (c *console) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		c.wake()
	}
}

func (c *console) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// tail returns the last n lines, the unfinished one included.
func (c *console) tail(n int) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	lines := slices.Clone(c.lines[max(0, len(c.lines)-n):])
	if last := c.term.String(); last != "" {
		lines = append(lines, last)
	}
	return lines[max(0, len(lines)-n):]
}

// reader reads a console from its start. Not safe for concurrent use.
type reader struct {
	c       *console
	next    int    // number of the next whole line
	partial string // of the unfinished line, what was returned already
}

// read returns the next line. whole is false for a line that is still being
// written: it is returned again when there is more of it. At the end: io.EOF.
func (r *reader) read(ctx context.Context) (line string, whole bool, err error) {
	for {
		line, whole, err, changed := r.poll()
		if changed == nil {
			return line, whole, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", false, ctx.Err()
		}
	}
}

func (r *reader) poll() (line string, whole bool, err error, changed <-chan struct{}) {
	c := r.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.next < c.dropped {
		r.next = c.dropped
		return "", false, errFlooded, nil
	}
	if i := r.next - c.dropped; i < len(c.lines) {
		r.next++
		r.partial = ""
		return c.lines[i], true, nil, nil
	}
	if last := c.term.String(); last != r.partial {
		r.partial = last
		return last, false, nil, nil
	}
	if c.closed {
		return "", false, io.EOF, nil
	}
	return "", false, nil, c.changed
}

// lineTerminal is as much of a terminal as one line needs (ECMA-48): cursor
// left and right, erase in line, carriage return, backspace. A character is a
// byte here, so editing in the middle of non-ASCII text shows rubbish.
type lineTerminal struct {
	line   []byte
	column int
	state  escapeState
	param  int
}

type escapeState int

const (
	plain  escapeState = iota
	escape             // after ESC
	csi                // after ESC [
	osc                // after ESC ], P, X, ^ or _: a string up to BEL or ESC \
	oscEsc             // ESC in such a string
	skip               // ESC and an intermediate byte: one more
)

func (t *lineTerminal) String() string { return string(t.line) }

// put returns the line that b ended.
func (t *lineTerminal) put(b byte) (line string, whole bool) {
	switch t.state {
	case plain:
		return t.putPlain(b)
	case escape:
		t.state, t.param = plain, 0
		switch {
		case b == '[':
			t.state = csi
		case b == ']' || b == 'P' || b == 'X' || b == '^' || b == '_':
			t.state = osc
		case b >= 0x20 && b <= 0x2f:
			t.state = skip
		}
	case csi:
		t.putCSI(b)
	case osc:
		if b == 0x07 {
			t.state = plain
		} else if b == 0x1b {
			t.state = oscEsc
		} else if b == '\n' { // not a string: the guest died in it
			t.state = plain
			return t.putPlain(b)
		}
	case oscEsc, skip:
		t.state = plain
	}
	return "", false
}

func (t *lineTerminal) putPlain(b byte) (line string, whole bool) {
	switch {
	case b == 0x1b:
		t.state = escape
	case b == '\n':
		return t.end(), true
	case b == '\r':
		t.column = 0
	case b == '\b':
		t.column = max(0, t.column-1)
	case b < 0x20 && b != '\t' || b == 0x7f:
	default:
		if t.column < len(t.line) {
			t.line[t.column] = b
		} else {
			t.line = append(t.line, b)
		}
		t.column++
		if len(t.line) >= maxLine {
			return t.end(), true
		}
	}
	return "", false
}

func (t *lineTerminal) end() string {
	line := string(t.line)
	t.line, t.column = t.line[:0], 0
	return line
}

func (t *lineTerminal) putCSI(b byte) {
	switch {
	case b >= '0' && b <= '9':
		t.param = min(t.param*10+int(b-'0'), maxLine)
		return
	case b < 0x40: // other parameter and intermediate bytes
		t.param = 0
		return
	}
	t.state = plain
	switch b {
	case 'C':
		t.column = min(len(t.line), t.column+max(1, t.param))
	case 'D':
		t.column = max(0, t.column-max(1, t.param))
	case 'G':
		t.column = min(len(t.line), max(1, t.param)-1)
	case 'J', 'K':
		switch t.param {
		case 0:
			t.line = t.line[:t.column]
		case 2:
			t.line, t.column = t.line[:0], 0
		}
	}
}
