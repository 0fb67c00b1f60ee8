package vm

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func shown(text string) (lines []string, last string) {
	c := newConsole()
	io.WriteString(c, text)
	return c.lines, c.term.String()
}

func TestConsoleShowsWhatATerminalWould(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, sent, want, last string }{
		{"lines", "one\r\ntwo\nthree", "one|two", "three"},
		{"colours go", "\x1b[1;31mred\x1b[0m\n", "red", ""},
		{"a title goes", "\x1b]0;title\x07text\x1b]0;t\x1b\\ more\n", "text more", ""},
		{"a character set choice goes", "\x1b(Btext\n", "text", ""},
		{"carriage return writes over", "12345\rabc\n", "abc45", ""},
		{"backspace writes over", "ab\b\bc\n", "cb", ""},
		{"cursor left and erase", "iex(1)> 1+1\x1b[3D\x1b[K2", "", "iex(1)> 2"},
		{"erase the line", "old text\r\x1b[2Knew\n", "new", ""},
		{"column", "abcdef\x1b[3GX\n", "abXdef", ""},
		{"cursor never leaves the line", "\x1b[99D\x1b[99Ca\b\b\bb\n", "b", ""},
		{"bell and NUL go", "a\x07\x00b\n", "ab", ""},
		{"non-ASCII text stays", "größe ✓\n", "größe ✓", ""},
		{"a title that never ends costs one line", "\x1b]0;dead\nalive\n", "|alive", ""},
	} {
		lines, last := shown(c.sent)
		if got := strings.Join(lines, "|"); got != c.want || last != c.last {
			t.Errorf("%s: %q and %q; want %q and %q", c.name, got, last, c.want, c.last)
		}
	}
}

func TestFloodedConsoleIsBoundedAndSaysSo(t *testing.T) {
	t.Parallel()
	c := newConsole()
	r := &reader{c: c}
	io.WriteString(c, strings.Repeat("x", 3*maxLine)+"\n")
	if len(c.lines) != 4 {
		t.Errorf("an endless line became %d lines", len(c.lines))
	}
	for range maxLines {
		io.WriteString(c, "flood\n")
	}
	if len(c.lines) != maxLines {
		t.Errorf("%d lines are kept, more than %d", len(c.lines), maxLines)
	}
	if _, _, err := r.read(context.Background()); !errors.Is(err, errFlooded) {
		t.Errorf("a reader that missed lines got %v", err)
	}
	if line, whole, err := r.read(context.Background()); line != "flood" || !whole || err != nil {
		t.Errorf("afterwards %q %v %v", line, whole, err)
	}
}

func TestReaderSeesAnUnfinishedLineOncePerChange(t *testing.T) {
	t.Parallel()
	c := newConsole()
	r := &reader{c: c}
	ctx := context.Background()
	want := func(line string, whole bool) {
		t.Helper()
		if got, w, err := r.read(ctx); got != line || w != whole || err != nil {
			t.Errorf("read %q %v %v, want %q %v", got, w, err, line, whole)
		}
	}
	io.WriteString(c, "iex(1)> ")
	want("iex(1)> ", false)
	go io.WriteString(c, "1+1")
	want("iex(1)> 1+1", false)
	io.WriteString(c, "\n2\n")
	want("iex(1)> 1+1", true)
	want("2", true)
	stopped, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	if _, _, err := r.read(stopped); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("read without anything new: %v", err)
	}
	c.close()
	if _, _, err := r.read(ctx); err != io.EOF {
		t.Errorf("read at the end: %v", err)
	}
}

// FuzzConsole: no output of a guest breaks the line terminal, puts a control
// character on the screen, or gets a line over its bound.
func FuzzConsole(f *testing.F) {
	f.Add("plain\r\n\x1b[31mred\x1b[0m\n")
	f.Add("\x1b[999999999999999999999C\x1b[K\x1b[1J\x1b]x\x1b\\")
	f.Add("\xff\xfe\x1b")
	f.Add("a\b\b\b\x1b[5Gb\x1b[0Gc\n")
	f.Fuzz(func(t *testing.T, text string) {
		lines, last := shown(text)
		for _, line := range append(lines, last) {
			if len(line) > maxLine {
				t.Fatalf("a line of %d bytes", len(line))
			}
			if i := strings.IndexFunc(line, func(r rune) bool { return r < ' ' && r != '\t' }); i >= 0 {
				t.Fatalf("%q on the screen", line[i])
			}
		}
	})
}
