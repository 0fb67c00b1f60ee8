package ui

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// plain appends lines. See the package's documentation for their form.
type plain struct {
	out  io.Writer
	look look
}

func (p *plain) begin(time.Time, string) {}
func (p *plain) close()                  {}

func (p *plain) started(_ time.Time, s *step) { p.say(s.id, "started", s.title) }

func (p *plain) cached(_ time.Time, id, title string) { p.say(id, "cached", title) }

func (p *plain) event(now time.Time, s *step, ev builder.Event) {
	if ev, ok := ev.(builder.Notice); ok {
		level, text := notice(ev.Diagnostic)
		p.message(now, s.id, level, text)
	}
}

func (p *plain) tick(now time.Time, running []*step) {
	for _, s := range running {
		if now.Sub(s.spoke) >= heartbeat {
			s.spoke = now
			p.say(s.id, "running "+elapsed(now.Sub(s.began)), s.state())
		}
	}
}

func (p *plain) finished(now time.Time, s *step, e end) {
	took := " " + elapsed(now.Sub(s.began))
	switch {
	case e.interrupted:
		p.say(s.id, "interrupted"+took, "")
	case e.err != nil:
		p.say(s.id, "failed"+took, e.summary)
		p.write(failure(e, p.look))
	default:
		p.say(s.id, "done"+took, e.summary)
	}
}

func (p *plain) message(_ time.Time, id, level, text string) { p.say(id, level, text) }

// say writes a line about a step, and further lines of text below it.
func (p *plain) say(id, word, text string) {
	var b strings.Builder
	b.WriteString(">>> ")
	if id != "" {
		b.WriteString(id + ": ")
	}
	b.WriteString(word)
	head, rest := splitText(text)
	if head != "" {
		b.WriteString(": " + head)
	}
	b.WriteByte('\n')
	for _, line := range rest {
		fmt.Fprintf(&b, "    %s\n", line)
	}
	p.write(b.String())
}

// write ignores errors: a build does not stop because nobody watches it.
func (p *plain) write(text string) { io.WriteString(p.out, text) }

// splitText is the first line, and the others, fit for a screen.
func splitText(text string) (head string, rest []string) {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range lines {
		lines[i] = screenLine(line)
	}
	return lines[0], lines[1:]
}

// failure is the last lines of a step that failed, and where the others are.
func failure(e end, l look) string {
	var b strings.Builder
	for _, line := range e.lines {
		b.WriteString(l.paint(faint, "    | "+line) + "\n")
	}
	fmt.Fprintf(&b, "    full log: %s\n", e.log)
	return b.String()
}
