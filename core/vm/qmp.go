package vm

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// maxMessage bounds one line of QMP. QEMU's answers to what is asked here are
// under 1 KiB.
const maxMessage = 1 << 20

// message is one line that QEMU sends (QEMU, docs/interop/qmp-spec.rst): a
// greeting, the answer to a command, or an event.
type message struct {
	Greeting *struct {
		Version json.RawMessage `json:"version"`
	} `json:"QMP"`
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
	ID    int64           `json:"id"`
	Event string          `json:"event"`
	Data  json.RawMessage `json:"data"`
}

// decoder reads messages.
type decoder struct{ lines *bufio.Scanner }

func newDecoder(r io.Reader) *decoder {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxMessage)
	return &decoder{lines}
}

// next returns io.EOF at the end.
func (d *decoder) next() (*message, error) {
	for d.lines.Scan() {
		if len(d.lines.Bytes()) == 0 {
			continue
		}
		var m message
		if err := json.Unmarshal(d.lines.Bytes(), &m); err != nil {
			return nil, fmt.Errorf("qmp: %w", err)
		}
		if m.Greeting == nil && m.Return == nil && m.Error == nil && m.Event == "" {
			return nil, errors.New("qmp: a message that is no greeting, return, error or event")
		}
		return &m, nil
	}
	if err := d.lines.Err(); err != nil {
		return nil, fmt.Errorf("qmp: %w", err)
	}
	return nil, io.EOF
}

// qmp is a client of QEMU's machine protocol. Safe for concurrent use.
type qmp struct {
	conn   io.ReadWriteCloser
	events func(*message) // called from one goroutine; must not block

	mu      sync.Mutex
	id      int64
	pending map[int64]chan *message
	err     error         // why the connection ended
	ended   chan struct{} // closed then
}

// newQMP takes the connection over, reads the greeting and leaves negotiation mode.
func newQMP(ctx context.Context, conn io.ReadWriteCloser, events func(*message)) (*qmp, error) {
	q := &qmp{conn: conn, events: events, pending: make(map[int64]chan *message), ended: make(chan struct{})}
	greeted := make(chan struct{})
	go q.receive(newDecoder(conn), greeted)
	select {
	case <-greeted:
	case <-q.ended:
		return nil, q.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := q.execute(ctx, "qmp_capabilities"); err != nil {
		return nil, err
	}
	return q, nil
}

// receive ends when QEMU does, so that no event before that is lost.
func (q *qmp) receive(d *decoder, greeted chan struct{}) {
	defer q.conn.Close()
	for first := true; ; first = false {
		m, err := d.next()
		if err == nil && first != (m.Greeting != nil) {
			err = errors.New("qmp: the first message, and only that, must be the greeting")
		}
		if err != nil {
			q.end(err)
			return
		}
		switch {
		case m.Greeting != nil:
			close(greeted)
		case m.Event != "":
			q.events(m)
		default:
			q.mu.Lock()
			if answer := q.pending[m.ID]; answer != nil {
				answer <- m
				delete(q.pending, m.ID)
			}
			q.mu.Unlock()
		}
	}
}

func (q *qmp) end(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.err = err
	close(q.ended)
}

// execute runs a command without arguments and waits for its answer.
func (q *qmp) execute(ctx context.Context, command string) error {
	answer := make(chan *message, 1)
	q.mu.Lock()
	q.id++
	id := q.id
	q.pending[id] = answer
	line, err := json.Marshal(struct {
		Execute string `json:"execute"`
		ID      int64  `json:"id"`
	}{command, id})
	if err == nil {
		_, err = q.conn.Write(append(line, '\n'))
	}
	q.mu.Unlock()
	if err != nil {
		return fmt.Errorf("qmp: %s: %w", command, err)
	}
	select {
	case m := <-answer:
		if m.Error != nil {
			return fmt.Errorf("qmp: %s: %s: %s", command, m.Error.Class, m.Error.Desc)
		}
		return nil
	case <-q.ended:
		return fmt.Errorf("qmp: %s: the connection ended: %w", command, q.err)
	case <-ctx.Done():
		return fmt.Errorf("qmp: %s: %w", command, ctx.Err())
	}
}
