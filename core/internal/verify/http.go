package verify

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/somebloke1/elixir-lean-lab/core/internal/check"
	"github.com/somebloke1/elixir-lean-lab/core/vm"
)

// forward gives each port that is asked a free one of this host.
func forward(requests []check.HTTP, cfg *vm.Config) (hosts map[int]string, err error) {
	hosts = map[int]string{}
	for _, r := range requests {
		if hosts[r.Port] != "" {
			continue
		}
		// QEMU opens it a moment later; until then somebody else could.
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all at once: each is another one
		hosts[r.Port] = l.Addr().String()
		cfg.Forwards = append(cfg.Forwards, vm.Forward{Addr: "127.0.0.1", Host: l.Addr().(*net.TCPAddr).Port, Guest: r.Port})
	}
	return hosts, nil
}

// request is a check.HTTP with the address at which the VM's port is reached.
type request struct {
	check.HTTP
	host string
}

// Between two tries of a request there is a moment, which grows.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
)

// ask repeats the request until it is answered as it must be: a program may
// listen a moment after it is ready.
func (r request) ask(ctx context.Context) error {
	var last error
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := r.once(ctx)
		if err == nil {
			return nil
		}
		// The try that the end of the time cut short says less than the one before.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(pause):
		}
	}
}

const (
	// maxBody bounds what of an answer is read.
	maxBody = 1 << 20
	// oneTry is for a connection that QEMU accepts and that goes nowhere in the guest.
	oneTry = 10 * time.Second
)

func (r request) once(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, oneTry)
	defer cancel()
	req, err := http.NewRequestWithContext(limited, http.MethodGet, "http://"+r.host+r.Path, nil)
	if err != nil {
		return err
	}
	req.Close = true                                    // a server that shuts down waits for the connections that are kept
	answer, err := http.DefaultTransport.RoundTrip(req) // which follows no redirection
	if err != nil {
		return fmt.Errorf("port %d of the VM: %w", r.Port, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	switch {
	case err != nil:
		return fmt.Errorf("port %d of the VM: %w", r.Port, err)
	case answer.StatusCode != r.Status:
		return fmt.Errorf("the status is %d, not %d; the body is %.200q", answer.StatusCode, r.Status, body)
	case !strings.Contains(string(body), r.Body):
		return fmt.Errorf("%q is not in the body: %.200q", r.Body, body)
	}
	return nil
}
