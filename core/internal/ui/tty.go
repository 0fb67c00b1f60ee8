package ui

import (
	"io"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// tty draws running steps at the bottom of a terminal, and lets what is over
// scroll away above them. mpb redraws and asks for the terminal's width each
// time; the lines are ours.
//
// mpb calls fill from its own goroutine, and makes callers of its methods wait
// for that; so no lock that fill takes may be held while calling it.
type tty struct {
	p    *mpb.Progress
	look look
	bars map[*step]*mpb.Bar
}

func newTTY(out io.Writer, l look) *tty {
	return &tty{p: mpb.New(mpb.WithOutput(out)), look: l, bars: map[*step]*mpb.Bar{}}
}

func (t *tty) begin(time.Time, string) {}
func (t *tty) tick(time.Time, []*step) {}

func (t *tty) started(_ time.Time, s *step) {
	bar, err := t.p.Add(0, mpb.BarFillerFunc(func(w io.Writer, st decor.Statistics) error {
		_, err := io.WriteString(w, t.look.runningLine(s, s.d.now(), st.AvailableWidth))
		return err
	}), mpb.BarFillerTrim())
	if err == nil { // mpb has given up when the terminal is gone
		t.bars[s] = bar
	}
}

func (t *tty) cached(_ time.Time, id, title string) {
	t.print(t.look.paint(green, t.look.pick("✓", "ok")) + " " + t.name(id, title) + " " + t.look.paint(faint, "cached"))
}

func (t *tty) event(now time.Time, s *step, ev builder.Event) {
	if ev, ok := ev.(builder.Notice); ok {
		level, text := notice(ev.Diagnostic)
		t.message(now, s.id, level, text)
	}
}

func (t *tty) finished(now time.Time, s *step, e end) {
	if bar := t.bars[s]; bar != nil {
		delete(t.bars, s)
		bar.Abort(true)
	}
	took := t.look.paint(faint, elapsed(now.Sub(s.began)))
	name := t.name(s.id, s.title)
	switch {
	case e.interrupted:
		t.print(t.look.paint(yellow, t.look.pick("–", "--")) + " " + name + " " + took + " interrupted")
	case e.err != nil:
		t.print(t.look.paint(red, t.look.pick("✗", "!!")) + " " + name + " " + took)
		head, rest := splitText(e.summary)
		t.print("    " + strings.Join(append([]string{head}, rest...), "\n    "))
		t.print(strings.TrimSuffix(failure(e, t.look), "\n"))
	default:
		line := t.look.paint(green, t.look.pick("✓", "ok")) + " " + name + " " + took
		if head, _ := splitText(e.summary); head != "" {
			line += "  " + head
		}
		t.print(line)
	}
}

func (t *tty) message(_ time.Time, id, level, text string) {
	sgr := map[string]string{"warning": yellow, "error": red}[level]
	if sgr == "" {
		sgr = faint
	}
	head, rest := splitText(text)
	line := t.look.paint(sgr, level+":") + " " + head
	if id != "" {
		line = id + ": " + line
	}
	t.print(strings.Join(append([]string{line}, rest...), "\n    "))
}

// print puts lines above the running steps. They may be wider than the
// terminal: they are never redrawn.
func (t *tty) print(lines string) { io.WriteString(t.p, lines+"\n") }

func (t *tty) close() {
	for _, bar := range t.bars {
		bar.Abort(true)
	}
	t.p.Wait() // until the aborted ones are off the screen
}

func (t *tty) name(id, title string) string {
	return id + t.look.paint(faint, " "+title)
}

var (
	spinUTF8  = []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}
	spinASCII = []string{"-", `\`, "|", "/"}
)

// spinEvery is how long a frame of the spinner stays; a little less than mpb's
// refresh of 150 ms.
const spinEvery = 140 * time.Millisecond

// barWidth is the columns of a progress bar, brackets included.
const barWidth = 20

// runningLine is a running step in less than width columns: a full line would
// make some terminals wrap.
//
//	⠹ kernel 1m02s [#####             ] 412/3120 objects: compile
func (l look) runningLine(s *step, now time.Time, width int) string {
	s.mu.Lock()
	ended := s.ended
	s.mu.Unlock()
	if ended {
		return "" // mpb draws once more what it is about to drop
	}
	took := now.Sub(s.began)
	frames := spinASCII
	if l.utf8 {
		frames = spinUTF8
	}
	line := frames[int(max(took, 0)/spinEvery)%len(frames)] + " " + s.id + " " + elapsed(took) + " "
	if f, ok := s.fraction(); ok && width >= 4*barWidth {
		line += l.bar(f) + " "
	}
	state := s.state()
	if state == "" {
		state = s.title
	}
	room := width - 1 - runewidth.StringWidth(line)
	if room <= 0 {
		return l.fit(line, width-1)
	}
	return line + l.paint(faint, l.fit(state, room))
}

func (l look) bar(fraction float64) string {
	inner := barWidth - 2
	full := int(fraction * float64(inner))
	return "[" + strings.Repeat(l.pick("█", "#"), full) + strings.Repeat(" ", inner-full) + "]"
}
