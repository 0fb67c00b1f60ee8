package ui

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// look is how a terminal wants its text.
type look struct {
	color bool
	utf8  bool
}

func lookOf(getenv func(string) string, terminal bool) look {
	locale := getenv("LC_ALL") // POSIX, Base Definitions, 8.2: which of them holds
	if locale == "" {
		locale = getenv("LC_CTYPE")
	}
	if locale == "" {
		locale = getenv("LANG")
	}
	locale = strings.ToLower(strings.ReplaceAll(locale, "-", ""))
	return look{
		color: terminal && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb",
		utf8:  strings.Contains(locale, "utf8"),
	}
}

// SGR parameters (ECMA-48, 8.3.117).
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	faint  = "2"
)

func (l look) paint(sgr, text string) string {
	if !l.color {
		return text
	}
	return "\x1b[" + sgr + "m" + text + "\x1b[0m"
}

// pick chooses by what the terminal can show.
func (l look) pick(utf8, ascii string) string {
	if l.utf8 {
		return utf8
	}
	return ascii
}

// fit cuts the text to a width in columns.
func (l look) fit(text string, width int) string {
	if width <= 0 {
		return ""
	}
	if !l.utf8 {
		text = strings.Map(func(r rune) rune {
			if r > unicode.MaxASCII {
				return '?'
			}
			return r
		}, text)
	}
	return runewidth.Truncate(text, width, l.pick("…", "."))
}

// longestLine is how much of a line a screen is shown; the log has it all.
const longestLine = 500

// screenLine makes a line of some tool's output fit for a screen: without
// escape sequences and control characters, which might do anything to it, and
// of what a carriage return overwrote only the last.
func screenLine(line string) string {
	line = strings.TrimRight(line, "\r\n")
	if i := strings.LastIndexByte(line, '\r'); i >= 0 {
		line = line[i+1:]
	}
	var b strings.Builder
	for rest := line; rest != "" && b.Len() < longestLine; {
		if n := escapeLen(rest); n > 0 {
			rest = rest[n:]
			continue
		}
		r, n := utf8.DecodeRuneInString(rest)
		rest = rest[n:]
		switch {
		case r == '\t':
			b.WriteByte(' ')
		case r == utf8.RuneError && n == 1:
			b.WriteRune(utf8.RuneError)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		}
	}
	return b.String()
}

// escapeLen is the length of the control sequence that text begins with, 0 when
// it begins with none (ECMA-48, 5.3 to 5.6). One that does not end takes all.
func escapeLen(text string) int {
	if len(text) < 2 || text[0] != 0x1b {
		return 0
	}
	switch text[1] {
	case '[': // CSI: parameters and intermediates, then a final byte
		for i := 2; i < len(text); i++ {
			if text[i] >= 0x40 && text[i] <= 0x7e {
				return i + 1
			}
		}
		return len(text)
	case ']', 'P', 'X', '^', '_': // OSC, DCS, SOS, PM, APC: until BEL or ST
		for i := 2; i < len(text); i++ {
			if text[i] == 0x07 {
				return i + 1
			}
			if text[i] == 0x1b && i+1 < len(text) && text[i+1] == '\\' {
				return i + 2
			}
		}
		return len(text)
	}
	return 2
}

// elapsed is a duration to the precision that people care for: 4.2s, 1m02s,
// 1h02m03s.
func elapsed(d time.Duration) string {
	if d < 9950*time.Millisecond {
		return fmt.Sprintf("%.1fs", max(d, 0).Seconds())
	}
	s := int(d.Round(time.Second).Seconds())
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	}
	return fmt.Sprintf("%dh%02dm%02ds", s/3600, s/60%60, s%60)
}

func progress(p builder.Progress) string {
	unit := screenLine(p.Unit)
	switch {
	case p.Done <= 0 && p.Total <= 0:
		return ""
	case unit == "bytes" && p.Total > 0:
		return megabytes(p.Done) + "/" + megabytes(p.Total) + " MB"
	case unit == "bytes":
		return megabytes(p.Done) + " MB"
	case p.Total > 0:
		return strings.TrimSpace(fmt.Sprintf("%d/%d %s", p.Done, p.Total, unit))
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", p.Done, unit))
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f", float64(n)/1e6) }

// ring is the last lines of a step's output.
type ring struct {
	buf [lastLines]string
	n   int // ever added
}

func (r *ring) add(line string) {
	r.buf[r.n%lastLines] = line
	r.n++
}

func (r *ring) lines() []string {
	var out []string
	for i := max(0, r.n-lastLines); i < r.n; i++ {
		out = append(out, r.buf[i%lastLines])
	}
	return out
}
