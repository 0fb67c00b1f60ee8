package ui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-isatty"
	"golang.org/x/sys/unix"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// UI shows steps. It is safe for concurrent use. After Close it shows nothing.
type UI interface {
	// Start shows that a step begins. id is short and unique among running
	// steps; title is for people.
	Start(id, title string) Step
	// Cached shows a step whose result was found in the store.
	Cached(id, title string)
	// Message shows a text of level "note", "warning" or "error" that belongs
	// to no step. Its lines after the first are details.
	Message(level, text string)
	// Close ends the display, which leaves the terminal as it was found, and the
	// log file. It returns what kept the log from being written, if anything did.
	Close() error
}

// Step is a running step. It ends with one call of Done or Fail; what comes
// after that is ignored.
type Step interface {
	builder.Events
	// Done shows that the step succeeded, with what it made, which may be empty.
	Done(summary string)
	// Fail shows that the step failed and its last lines of output, but not
	// where err wraps context.Canceled: then the user knows why.
	Fail(err error)
}

// Kinds are what New knows.
var Kinds = []string{"auto", "tty", "plain", "json"}

// heartbeat is how long a plain step may be silent.
const heartbeat = 10 * time.Second

// lastLines is how many lines of output a failure shows.
const lastLines = 20

// New makes a UI of the given kind that writes to out. "auto" is "tty" where
// out is a terminal that can move its cursor and knows its size, else "plain". getenv is asked for
// TERM, NO_COLOR (no-color.org) and the locale (LC_ALL, LC_CTYPE, LANG). The
// full log is written to logPath, which is truncated; its directory is created.
func New(kind string, out io.Writer, getenv func(string) string, logPath string) (UI, error) {
	terminal := isTerminal(out)
	switch kind {
	case "auto":
		kind = "plain"
		if terminal && getenv("TERM") != "dumb" && knowsSize(out.(*os.File)) {
			kind = "tty"
		}
	case "tty":
		if !terminal {
			return nil, errors.New("the output is not a terminal: use --progress plain, or auto")
		}
	}
	var sink sink
	look := lookOf(getenv, terminal)
	switch kind {
	case "tty":
		sink = newTTY(out, look)
	case "plain":
		sink = &plain{out: out, look: look}
	case "json":
		sink = &jsonLines{out: out}
	default:
		return nil, fmt.Errorf("no display is called %q: there are %s", kind, strings.Join(Kinds, ", "))
	}
	tick := time.NewTicker(time.Second)
	d, err := start(sink, logPath, time.Now, tick.C)
	if err != nil {
		tick.Stop()
		return nil, err
	}
	d.stopTick = tick.Stop
	return d, nil
}

func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// knowsSize is false for many a serial console, where nothing can be redrawn.
func knowsSize(f *os.File) bool {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	return err == nil && size.Col > 0 && size.Row > 0
}

// sink draws. Its methods are called one at a time, except that a tty also
// redraws by itself.
type sink interface {
	begin(now time.Time, logPath string)
	started(now time.Time, s *step)
	cached(now time.Time, id, title string)
	event(now time.Time, s *step, ev builder.Event)
	finished(now time.Time, s *step, end end)
	message(now time.Time, id, level, text string)
	tick(now time.Time, running []*step)
	close()
}

// end is how a step ended.
type end struct {
	err         error // nil: done
	summary     string
	interrupted bool
	lines       []string // the last ones, fit for a screen; only of a failure
	log         string
}

// display keeps the steps and the log, and tells the sink.
type display struct {
	sink    sink
	now     func() time.Time
	logPath string

	mu       sync.Mutex // one event at a time
	log      *os.File
	logErr   error // the first one; the build goes on without a log
	running  []*step
	closed   bool
	stop     chan struct{}
	ticking  sync.WaitGroup
	stopTick func()
}

func start(s sink, logPath string, now func() time.Time, tick <-chan time.Time) (*display, error) {
	if err := os.MkdirAll(filepath.Dir(logPath), 0o755); err != nil {
		return nil, fmt.Errorf("full log: %w", err)
	}
	log, err := os.Create(logPath)
	if err != nil {
		return nil, fmt.Errorf("full log: %w", err)
	}
	d := &display{sink: s, now: now, logPath: logPath, log: log, stop: make(chan struct{}), stopTick: func() {}}
	s.begin(now(), logPath)
	d.ticking.Go(func() {
		for {
			select {
			case <-d.stop:
				return
			case <-tick:
				d.locked(func(now time.Time) { d.sink.tick(now, d.running) })
			}
		}
	})
	return d, nil
}

// locked runs f unless the display is closed.
func (d *display) locked(f func(now time.Time)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		f(d.now())
	}
}

func (d *display) Start(id, title string) Step {
	id, title = screenLine(id), screenLine(title) // plugins choose them
	s := &step{d: d, id: id, title: title, began: d.now()}
	s.spoke = s.began
	d.locked(func(now time.Time) {
		d.running = append(d.running, s)
		d.record(now, id, "started: "+title)
		d.sink.started(now, s)
	})
	return s
}

func (d *display) Cached(id, title string) {
	id, title = screenLine(id), screenLine(title)
	d.locked(func(now time.Time) {
		d.record(now, id, "cached: "+title)
		d.sink.cached(now, id, title)
	})
}

func (d *display) Message(level, text string) {
	d.locked(func(now time.Time) {
		d.record(now, "", level+": "+text)
		d.sink.message(now, "", level, text)
	})
}

func (d *display) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	d.sink.close()
	d.mu.Unlock()
	close(d.stop)
	d.stopTick()
	d.ticking.Wait()
	if err := d.log.Close(); d.logErr == nil {
		d.logErr = err
	}
	if d.logErr != nil {
		return fmt.Errorf("full log: %w", d.logErr)
	}
	return nil
}

// record writes to the log, unbuffered: it is wanted most when we are killed.
func (d *display) record(now time.Time, id, text string) {
	if d.logErr != nil {
		return
	}
	prefix := now.UTC().Format(stamp) + " " + id + "| "
	var b strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		b.WriteString(prefix)
		b.WriteString(line)
		b.WriteByte('\n')
	}
	if _, d.logErr = d.log.WriteString(b.String()); d.logErr != nil {
		d.sink.message(now, "", "warning", fmt.Sprintf("the full log ends here: %v", d.logErr))
	}
}

// stamp is RFC 3339 with milliseconds, of fixed width.
const stamp = "2006-01-02T15:04:05.000Z07:00"

// step is a running step, as all sinks need it.
type step struct {
	d     *display
	id    string
	title string
	began time.Time

	mu       sync.Mutex // a tty draws while events arrive
	doing    []string   // the titles of the parts it is in, innermost last
	line     string     // the last one, fit for a screen
	progress builder.Progress
	ended    bool

	last  ring
	spoke time.Time // plain: when it last had a line; json: when it last had progress
	held  bool      // json: progress was left out since
}

func (s *step) Emit(ev builder.Event) {
	s.d.locked(func(now time.Time) {
		if s.ended {
			return
		}
		s.record(now, ev)
		s.apply(ev)
		s.d.sink.event(now, s, ev)
	})
}

// record logs the event.
func (s *step) record(now time.Time, ev builder.Event) {
	switch ev := ev.(type) {
	case builder.Log:
		s.d.record(now, s.id, ev.Line)
	case builder.StepStarted:
		s.d.record(now, s.id, "part started: "+ev.Title)
	case builder.StepFinished:
		s.d.record(now, s.id, "part finished: "+ev.Title)
	case builder.Notice:
		level, text := notice(ev.Diagnostic)
		s.d.record(now, s.id, level+": "+text)
	case builder.Artifact:
		s.d.record(now, s.id, "artifact "+ev.Name+": "+ev.Path)
	}
}

// apply makes the event part of the step's state.
func (s *step) apply(ev builder.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch ev := ev.(type) {
	case builder.Log:
		s.line = screenLine(ev.Line)
		s.last.add(s.line)
	case builder.Progress:
		s.progress = ev
	case builder.StepStarted:
		s.doing = append(s.doing, screenLine(ev.Title))
		s.line, s.progress = "", builder.Progress{}
	case builder.StepFinished:
		if i := slices.Index(s.doing, screenLine(ev.Title)); i >= 0 {
			s.doing = slices.Delete(s.doing, i, i+1)
		}
		s.line, s.progress = "", builder.Progress{}
	}
}

func (s *step) Done(summary string) { s.finish(end{summary: summary}) }

func (s *step) Fail(err error) {
	s.finish(end{
		err:         err,
		summary:     err.Error(),
		interrupted: errors.Is(err, context.Canceled),
		log:         s.d.logPath,
	})
}

func (s *step) finish(e end) {
	s.d.locked(func(now time.Time) {
		if s.ended {
			return
		}
		s.mu.Lock()
		s.ended = true
		s.mu.Unlock()
		d := s.d
		d.running = slices.DeleteFunc(d.running, func(r *step) bool { return r == s })
		if e.err == nil {
			d.record(now, s.id, "done: "+e.summary)
		} else {
			d.record(now, s.id, "failed: "+e.summary)
			if !e.interrupted {
				e.lines = s.last.lines()
			}
		}
		d.sink.finished(now, s, e)
	})
}

// state is what the step is doing, in a line: "412/3120 objects: compile". A
// part is preferred to the last line of output, which changes too fast to read
// but is better than nothing.
func (s *step) state() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var parts []string
	if p := progress(s.progress); p != "" {
		parts = append(parts, p)
	}
	if n := len(s.doing); n > 0 {
		parts = append(parts, s.doing[n-1])
	} else if s.line != "" {
		parts = append(parts, s.line)
	}
	return strings.Join(parts, ": ")
}

// fraction is how far the step is, from 0 to 1; false when unknown.
func (s *step) fraction() (float64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.progress.Total <= 0 {
		return 0, false
	}
	return min(max(float64(s.progress.Done)/float64(s.progress.Total), 0), 1), true
}

func notice(d builder.Diagnostic) (level, text string) {
	level = "warning"
	if d.Severity == builder.Error {
		level = "error"
	}
	if d.Detail == "" {
		return level, d.Summary
	}
	return level, d.Summary + "\n" + d.Detail
}
