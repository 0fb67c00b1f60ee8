package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// watcher passes an engine's output on, and makes parts and progress of the lines
// that begin an instruction.
type watcher struct {
	builder.Events
	d     *dockerfile
	names map[string]string // image → its name in the engine
	total int
	done  int
	part  string // that is running
	line  int    // of the Dockerfile
	text  string // the instruction
	last  string // line of the output
}

// instruction is one of the Dockerfile's.
type instruction struct {
	line int
	text string
}

func newWatcher(ev builder.Events, d *dockerfile, names map[string]string) *watcher {
	w := &watcher{Events: ev, d: d, names: names}
	for i := range d.stages {
		w.total += len(d.instructions(i))
	}
	return w
}

// instructions are those of a stage, FROM first: as engines number them.
func (d *dockerfile) instructions(stage int) []instruction {
	s := d.stages[stage]
	all := []instruction{{line(s.Location), s.SourceCode}}
	for _, c := range s.Commands {
		text := c.Name()
		if code, ok := c.(fmt.Stringer); ok {
			text = code.String()
		}
		all = append(all, instruction{line(c.Location()), text})
	}
	return all
}

// How engines begin an instruction. podman and buildah, with the stage where there
// are several: "[2/3] STEP 4/11: RUN …". docker's own builder, numbered
// through, with the ARGs before the first FROM: "Step 4/11 : RUN …".
var (
	stepLine   = regexp.MustCompile(`^(?:\[(\d+)/\d+\] )?STEP (\d+)/(\d+): (.*)$`)
	dockerLine = regexp.MustCompile(`^Step (\d+)/\d+ : (.*)$`)
)

func (w *watcher) Emit(e builder.Event) {
	log, ok := e.(builder.Log)
	if !ok {
		w.Events.Emit(e)
		return
	}
	for ref, ours := range w.names {
		log.Line = strings.ReplaceAll(log.Line, ours, ref)
	}
	if strings.TrimSpace(log.Line) != "" {
		w.last = log.Line
	}
	if at, ok := w.begins(log.Line); ok {
		w.begin(at)
	}
	w.Events.Emit(log)
}

// begins finds the instruction that a line of the output begins.
func (w *watcher) begins(text string) (instruction, bool) {
	if m := stepLine.FindStringSubmatch(text); m != nil {
		stage, _ := strconv.Atoi(m[1])
		number, _ := strconv.Atoi(m[2])
		return w.find(max(stage, 1)-1, number, m[4]), true
	}
	if m := dockerLine.FindStringSubmatch(text); m != nil {
		number, _ := strconv.Atoi(m[1])
		if number -= w.d.global; number < 1 {
			return instruction{}, false
		}
		for stage := range w.d.stages {
			if n := len(w.d.instructions(stage)); number > n {
				number -= n
				continue
			}
			return w.find(stage, number, m[2]), true
		}
		return instruction{text: m[2]}, true
	}
	return instruction{}, false
}

// find is the instruction with a number in a stage, or else the first of which
// the text is this. An engine may leave stages out that are of no use.
func (w *watcher) find(stage, number int, text string) instruction {
	keyword, _, _ := strings.Cut(text, " ")
	if stage >= 0 && stage < len(w.d.stages) {
		all := w.d.instructions(stage)
		if number >= 1 && number <= len(all) {
			if has, _, _ := strings.Cut(all[number-1].text, " "); strings.EqualFold(has, keyword) {
				return instruction{all[number-1].line, text}
			}
		}
	}
	for stage := range w.d.stages {
		for _, i := range w.d.instructions(stage) {
			if strings.Join(strings.Fields(i.text), " ") == strings.Join(strings.Fields(text), " ") {
				return instruction{i.line, text}
			}
		}
	}
	return instruction{text: text}
}

// longTitle is where the title of a part is cut.
const longTitle = 60

func (w *watcher) begin(at instruction) {
	if w.part != "" {
		w.Events.Emit(builder.StepFinished{Title: w.part})
		w.done++
	}
	w.line, w.text = at.line, at.text
	title := strings.Join(strings.Fields(at.text), " ")
	if r := []rune(title); len(r) > longTitle {
		title = string(r[:longTitle-1]) + "…"
	}
	w.part = fmt.Sprintf("%d/%d %s", min(w.done+1, w.total), w.total, title)
	w.Events.Emit(builder.StepStarted{Title: w.part})
	w.Events.Emit(builder.Progress{Done: int64(min(w.done, w.total)), Total: int64(w.total), Unit: "steps"})
}

// finish ends the part that runs.
func (w *watcher) finish() {
	if w.part != "" {
		w.Events.Emit(builder.StepFinished{Title: w.part})
	}
	w.part = ""
}

// engineError begins what engines say when they give up. What follows repeats the
// instruction, in quotes.
var engineError = regexp.MustCompile(`^(?:Error: |ERROR: )?(?:building at STEP "(?:[^"\\]|\\.)*": )?(?:error building at STEP "(?:[^"\\]|\\.)*": )?`)

// explain puts a failure at its line.
func (w *watcher) explain(engine string, err error) error {
	reason := engineError.ReplaceAllString(w.last, "")
	if w.last == "" {
		reason = err.Error()
	}
	if w.text == "" {
		return fmt.Errorf("%s: %s build: %s", w.d.path, engine, reason)
	}
	text := strings.Join(strings.Fields(w.text), " ")
	if w.line == 0 {
		return fmt.Errorf("%s: %s: %s: %s", w.d.path, text, engine, reason)
	}
	return &lineError{w.d.path, w.line, fmt.Sprintf("%s: %s: %s", text, engine, reason)}
}
