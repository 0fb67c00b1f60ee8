package verify

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/internal/check"
	"github.com/somebloke1/elixir-lean-lab/core/vm"
)

// serve answers on loopback, where a VM's port would lead to.
func serve(t *testing.T, handler http.HandlerFunc) (host string) {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func TestRequestIsRepeatedUntilItIsAnsweredRight(t *testing.T) {
	t.Parallel()
	n := 0
	host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.String() != "/health?deep=%20" || r.Method != http.MethodGet || !r.Close {
			t.Errorf("asked %s %s, connection closed: %v", r.Method, r.URL, r.Close)
		}
		if n++; n < 3 {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, "all is well")
	})
	r := request{check.HTTP{Port: 4000, Path: "/health?deep=%20", Status: 200, Body: "is well"}, host}
	if err := r.ask(t.Context()); err != nil || n != 3 {
		t.Errorf("after %d requests: %v", n, err)
	}
}

func TestWrongAnswerSaysWhatCame(t *testing.T) {
	t.Parallel()
	host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/", http.StatusFound)
			return
		}
		fmt.Fprint(w, "hello")
	})
	for _, c := range []struct {
		path   string
		status int
		body   string
		want   string
	}{
		{"/", 404, "", `the status is 200, not 404; the body is "hello"`},
		{"/moved", 200, "hello", "the status is 302, not 200"},
		{"/moved", 302, "", ""},
		{"/", 200, "goodbye", `"goodbye" is not in the body: "hello"`},
		{"/", 200, "ell", ""},
	} {
		r := request{check.HTTP{Port: 4000, Path: c.path, Status: c.status, Body: c.body}, host}
		err := r.once(t.Context())
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", r, err, c.want)
		}
	}
}

// TestLastRealAnswerIsTheReason: and not that the time is up.
func TestLastRealAnswerIsTheReason(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if n++; n == 2 {
			cancel()
			<-r.Context().Done()
		}
		w.WriteHeader(http.StatusTeapot)
	})
	err := request{check.HTTP{Port: 4000, Path: "/", Status: 200}, host}.ask(ctx)
	if err == nil || !strings.Contains(err.Error(), "the status is 418") {
		t.Errorf("got %v", err)
	}
}

func TestPortIsForwardedOnce(t *testing.T) {
	t.Parallel()
	var cfg vm.Config
	hosts, err := forward([]check.HTTP{{Port: 80}, {Port: 4000}, {Port: 80}}, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Forwards) != 2 || len(hosts) != 2 || cfg.Forwards[0].Host == cfg.Forwards[1].Host {
		t.Errorf("%v, %v", cfg.Forwards, hosts)
	}
	for _, f := range cfg.Forwards {
		if hosts[f.Guest] != fmt.Sprintf("127.0.0.1:%d", f.Host) {
			t.Errorf("port %d is reached at %s, and forwarded from %d", f.Guest, hosts[f.Guest], f.Host)
		}
	}
}
