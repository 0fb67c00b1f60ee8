package vm

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

const greeting = `{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}}, "capabilities": ["oob"]}}` + "\n"

// scripted is a monitor that greets with hello and answers each command with
// the next of answers.
func scripted(hello string, answers ...string) net.Conn {
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		io.WriteString(server, hello)
		for lines := bufio.NewScanner(server); len(answers) > 0 && lines.Scan(); answers = answers[1:] {
			io.WriteString(server, answers[0])
		}
	}()
	return client
}

func TestQMPCommandFailsWithWhatQEMUSays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, hello string
		answers     []string
		want        string
	}{
		{"no greeting", `{"return": {}, "id": 1}` + "\n", nil, "must be the greeting"},
		{"no JSON", "hello\n", nil, "invalid character"},
		{"nothing known", `{"hello": 1}` + "\n", nil, "no greeting, return, error or event"},
		{"end at once", "", nil, "EOF"},
		{"endless line", strings.Repeat("x", maxMessage+1), nil, "too long"},
		{"capabilities refused", greeting, []string{`{"error": {"class": "GenericError", "desc": "no"}, "id": 1}` + "\n"}, "qmp_capabilities: GenericError: no"},
		{"end before the answer", greeting, []string{`{"return": {}, "id": 1}` + "\n", ""}, "system_powerdown: the connection ended"},
		{"command refused", greeting, []string{`{"return": {}, "id": 1}` + "\n",
			`{"error": {"class": "CommandNotFound", "desc": "what?"}, "id": 2}` + "\n"}, "system_powerdown: CommandNotFound: what?"},
		{"answer to another", greeting, []string{`{"return": {}, "id": 1}` + "\n", `{"return": {}, "id": 7}` + "\n"}, "the connection ended"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			q, err := newQMP(ctx, scripted(c.hello, c.answers...), func(*message) {})
			if err == nil {
				err = q.execute(ctx, "system_powerdown")
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestQMPEventsComeBetweenAnswers(t *testing.T) {
	t.Parallel()
	events := make(chan string, 4)
	q, err := newQMP(context.Background(), scripted(greeting,
		`{"timestamp": {"seconds": 1}, "event": "RESUME"}`+"\n"+`{"return": {}, "id": 1}`+"\n",
		`{"return": {}, "id": 2}`+"\n"+`{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}`+"\n",
	), func(m *message) { events <- m.Event })
	if err != nil {
		t.Fatal(err)
	}
	if err := q.execute(context.Background(), "system_powerdown"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"RESUME", "SHUTDOWN"} {
		if got := <-events; got != want {
			t.Errorf("event %s, want %s", got, want)
		}
	}
}

// FuzzQMP: whatever a monitor sends, the decoder returns messages that are one
// of the four kinds, and ends.
func FuzzQMP(f *testing.F) {
	f.Add(greeting + `{"return": {}, "id": 1}` + "\n")
	f.Add(`{"error": {"class": "x", "desc": "y"}, "id": -1}` + "\n\n\r\n")
	f.Add(`{"event": "SHUTDOWN", "data": {"reason": 1}}`)
	f.Add(`{"id": 1e400}`)
	f.Add(`[]` + "\n" + `null`)
	f.Fuzz(func(t *testing.T, text string) {
		vm := &VM{}
		for d := newDecoder(strings.NewReader(text)); ; {
			m, err := d.next()
			if err != nil {
				return
			}
			if m.Greeting == nil && m.Return == nil && m.Error == nil && m.Event == "" {
				t.Fatalf("%+v is nothing", m)
			}
			vm.event(m)
		}
	})
}
