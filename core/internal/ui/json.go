package ui

import (
	"encoding/json"
	"io"
	"strings"
	"time"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// progressEvery is how often a step's progress is worth an object.
const progressEvery = 100 * time.Millisecond

// jsonLines writes an object a line. See the package's documentation for them.
type jsonLines struct {
	out io.Writer
}

// object is any of them. Members that belong to a type are pointers where their
// zero value means something.
type object struct {
	Time        string   `json:"time"`
	Type        string   `json:"type"`
	Step        string   `json:"step,omitempty"`
	Schema      int      `json:"schema,omitempty"`
	Log         string   `json:"log,omitempty"`
	Title       *string  `json:"title,omitempty"`
	State       string   `json:"state,omitempty"`
	Line        *string  `json:"line,omitempty"`
	Done        *int64   `json:"done,omitempty"`
	Total       *int64   `json:"total,omitempty"`
	Unit        *string  `json:"unit,omitempty"`
	Name        string   `json:"name,omitempty"`
	Path        string   `json:"path,omitempty"`
	Severity    string   `json:"severity,omitempty"`
	Seconds     *float64 `json:"seconds,omitempty"`
	Summary     string   `json:"summary,omitempty"`
	Detail      string   `json:"detail,omitempty"`
	Interrupted *bool    `json:"interrupted,omitempty"`
	Lines       []string `json:"lines,omitempty"`
}

func (j *jsonLines) write(now time.Time, o object) {
	o.Time = now.UTC().Format(stamp)
	b, err := json.Marshal(o)
	if err != nil {
		return // of strings and numbers alone there is none
	}
	j.out.Write(append(b, '\n')) // a build does not stop because nobody watches it
}

func (j *jsonLines) begin(now time.Time, logPath string) {
	j.write(now, object{Type: "begin", Schema: 1, Log: logPath})
}

func (j *jsonLines) started(now time.Time, s *step) {
	s.spoke = time.Time{}
	j.write(now, object{Type: "started", Step: s.id, Title: &s.title})
}

func (j *jsonLines) cached(now time.Time, id, title string) {
	j.write(now, object{Type: "cached", Step: id, Title: &title})
}

func (j *jsonLines) event(now time.Time, s *step, ev builder.Event) {
	switch ev := ev.(type) {
	case builder.Log:
		j.write(now, object{Type: "log", Step: s.id, Line: &ev.Line})
	case builder.Progress:
		j.progress(now, s, ev)
	case builder.StepStarted:
		j.write(now, object{Type: "part", Step: s.id, Title: &ev.Title, State: "started"})
	case builder.StepFinished:
		j.write(now, object{Type: "part", Step: s.id, Title: &ev.Title, State: "finished"})
	case builder.Artifact:
		j.write(now, object{Type: "artifact", Step: s.id, Name: ev.Name, Path: ev.Path})
	case builder.Notice:
		level, text := notice(ev.Diagnostic)
		j.message(now, s.id, level, text)
	}
}

func (j *jsonLines) progress(now time.Time, s *step, p builder.Progress) {
	if s.held = now.Sub(s.spoke) < progressEvery; s.held {
		return
	}
	s.spoke = now
	j.write(now, object{Type: "progress", Step: s.id, Done: &p.Done, Total: &p.Total, Unit: &p.Unit})
}

// tick catches up with progress that came too soon after the one before.
func (j *jsonLines) tick(now time.Time, running []*step) {
	for _, s := range running {
		if s.held {
			j.progress(now, s, s.progress)
		}
	}
}

func (j *jsonLines) finished(now time.Time, s *step, e end) {
	if s.held {
		s.spoke = time.Time{}
		j.progress(now, s, s.progress)
	}
	took := now.Sub(s.began).Seconds()
	o := object{Type: "done", Step: s.id, Seconds: &took, Summary: e.summary}
	if e.err != nil {
		o.Type, o.Interrupted, o.Lines = "failed", &e.interrupted, e.lines
	}
	j.write(now, o)
}

func (j *jsonLines) message(now time.Time, id, level, text string) {
	summary, detail, _ := strings.Cut(text, "\n")
	j.write(now, object{Type: "message", Step: id, Severity: level, Summary: summary, Detail: detail})
}

func (j *jsonLines) close() {}
