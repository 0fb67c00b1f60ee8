package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// gateGoal is a goal at which make waits for our word. One make with it is in
// place of two: to read Buildroot's makefiles takes make five seconds each time.
const gateGoal = "leanlab-gate"

// gatePoll is how often it is looked whether make is there, which takes minutes
// where the toolchain must be built first.
const gatePoll = 200 * time.Millisecond

// gate is where make waits. Its rule comes by way of Buildroot's package override
// file, which only the make at the top includes.
type gate struct {
	makefile, fifo string
	closed         chan struct{}
}

// newGate makes a gate in a directory; overrides is the override file behind it.
func newGate(dir, overrides string) (*gate, error) {
	g := &gate{makefile: filepath.Join(dir, "gate.mk"), fifo: filepath.Join(dir, "gate"), closed: make(chan struct{})}
	if err := os.Remove(g.fifo); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := unix.Mkfifo(g.fifo, 0o600); err != nil {
		return nil, &os.PathError{Op: "mkfifo", Path: g.fifo, Err: err}
	}
	text := fmt.Sprintf("-include %s\n.PHONY: %s\n%s:\n\t@read -r answer <%s && test \"$$answer\" = go\n", overrides, gateGoal, gateGoal, g.fifo)
	return g, os.WriteFile(g.makefile, []byte(text), 0o644)
}

// answer waits until make is at the gate, and lets it go on if check has nothing
// against it. What check says is sent, or nothing once the gate is closed.
func (g *gate) answer(check func() error) <-chan error {
	said := make(chan error, 1)
	go func() {
		defer close(said)
		for {
			// It can be opened as soon as somebody reads (fifo(7)). Whatever else
			// keeps it from that, make must not be left waiting.
			f, err := os.OpenFile(g.fifo, os.O_WRONLY|unix.O_NONBLOCK, 0)
			if err == nil {
				word := "go\n"
				if err := check(); err != nil {
					word = "stop\n"
					said <- err
				}
				_, _ = f.WriteString(word) // to nobody, if make was killed meanwhile
				f.Close()
				return
			}
			select {
			case <-g.closed:
				return
			case <-time.After(gatePoll):
			}
		}
	}()
	return said
}

// close is called when make has ended, wherever that was.
func (g *gate) close() { close(g.closed) }
