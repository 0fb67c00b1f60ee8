package main

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// tracker turns make's output into parts and progress, and keeps each package's
// share of it in a file.
//
// Buildroot says ">>> PACKAGE VERSION PHASE" at the start of each phase of a
// package, with two empty words where the phase is nobody's (package/
// pkg-utils.mk, MESSAGE).
type tracker struct {
	builder.Events
	dir     string            // of the logs
	todo    map[string]string // package that is not installed yet → the stamp that it will have
	total   int64
	current string // package
	part    string // title of the part that is open
	log     *os.File
	out     *bufio.Writer
	logErr  error
	failed  string // package whose stamp make could not make
	last    string // phase
}

// newTracker counts what is left of the graph.
func newTracker(ev builder.Events, dir string, g graph, output string) (*tracker, error) {
	t := &tracker{Events: ev, dir: dir, todo: map[string]string{}}
	for _, name := range g.built() {
		if stamp := filepath.Join(output, g[name].StampDir, ".stamp_installed"); !g[name].Virtual && !exists(stamp) {
			t.todo[name] = stamp
		}
	}
	t.total = int64(len(t.todo))
	return t, os.MkdirAll(dir, 0o755)
}

var (
	phaseLine = regexp.MustCompile(`^>>> (\S*) (\S*) (\S.*)$`)
	// make's last word on a goal: `make[1]: *** [package/pkg-generic.mk:293:
	// /out/build/busybox-1.38.0/.stamp_built] Error 2`.
	errorLine = regexp.MustCompile(`^make(\[[0-9]+\])?: \*\*\* \[.*/build/([^/\]]+)/\.stamp_[a-z_]+\]`)
)

// Emit is called by one goroutine at a time: builder.Run's reader.
func (t *tracker) Emit(e builder.Event) {
	line, ok := e.(builder.Log)
	if !ok {
		t.Events.Emit(e)
		return
	}
	if m := phaseLine.FindStringSubmatch(line.Line); m != nil {
		t.begin(m[1], m[2], m[3])
	}
	if m := errorLine.FindStringSubmatch(line.Line); m != nil && t.failed == "" {
		t.failed = m[2]
	}
	t.keep(line.Line)
	t.Events.Emit(e)
}

// begin opens the part of a phase.
func (t *tracker) begin(name, version, phase string) {
	if name != t.current {
		t.closeLog()
		t.current = name
		t.open(name)
	}
	t.last = phase
	t.endPart()
	t.part = strings.Join(strings.Fields(fmt.Sprintf("%s %s %s", name, version, strings.ToLower(phase))), " ")
	t.Events.Emit(builder.StepStarted{Title: t.part})
	t.progress() // which the start of a part clears
}

func (t *tracker) endPart() {
	if t.part != "" {
		t.Events.Emit(builder.StepFinished{Title: t.part})
		t.part = ""
	}
}

// progress counts the packages that are installed by now. That make has gone on
// to another one says nothing: it downloads all of them first, and configures
// some, long before it builds them.
func (t *tracker) progress() {
	maps.DeleteFunc(t.todo, func(_, stamp string) bool { return exists(stamp) })
	if t.total > 0 {
		t.Events.Emit(builder.Progress{Done: t.total - int64(len(t.todo)), Total: t.total, Unit: "packages"})
	}
}

// finish is called when make has ended.
func (t *tracker) finish() {
	t.endPart()
	t.progress()
	t.closeLog()
}

// logName is the file of a package's output; that of the phases that are
// nobody's is buildroot.log.
func (t *tracker) logName(name string) string {
	if name == "" || !filepath.IsLocal(name) {
		name = "buildroot"
	}
	return filepath.Join(t.dir, name+".log")
}

func (t *tracker) open(name string) {
	log, err := os.OpenFile(t.logName(name), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		t.logErr = err
		return
	}
	t.log, t.out = log, bufio.NewWriter(log)
}

func (t *tracker) keep(line string) {
	if t.log == nil {
		t.open(t.current)
	}
	if t.out != nil {
		fmt.Fprintln(t.out, line)
	}
}

// closeLog ends a log; that it is not whole does not fail a build.
func (t *tracker) closeLog() {
	if t.log == nil {
		return
	}
	if err := t.out.Flush(); err != nil {
		t.logErr = err
	}
	t.log.Close()
	t.log, t.out = nil, nil
}

// failure says which package failed and where its output is.
func (t *tracker) failure(err error, g graph) error {
	name := t.current
	for key, p := range g {
		if t.failed != "" && filepath.Base(p.StampDir) == t.failed {
			name = key
		}
	}
	if name == "" {
		return fmt.Errorf("make failed while it was %s: %w\n    its log: %s", strings.ToLower(t.last), err, t.logName(""))
	}
	version := ""
	if p := g[name]; p != nil {
		version = " " + p.Version
	}
	return fmt.Errorf("package %s%s failed (%s): %w\n    its log: %s", name, version, strings.ToLower(t.last), err, t.logName(name))
}
