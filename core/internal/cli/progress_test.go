package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// awaited is a writer that says when a text was written to it.
type awaited struct {
	all     bytes.Buffer
	text    string
	written chan struct{}
}

func (w *awaited) Write(b []byte) (int, error) {
	before := strings.Contains(w.all.String(), w.text)
	n, err := w.all.Write(b)
	if !before && strings.Contains(w.all.String(), w.text) {
		close(w.written)
	}
	return n, err
}

func TestWorkThatTakesLongIsShown(t *testing.T) {
	t.Parallel()
	for _, fail := range []error{nil, errors.New("no such thing")} {
		out := &awaited{text: ">>> analyze: started: big.img", written: make(chan struct{})}
		a := &App{Stderr: out, Environ: []string{"LEANLAB_CACHE=" + t.TempDir()}}
		err := a.withProgress("plain", "analyze", "big.img", func() error {
			<-out.written // it ends when it has been shown
			return fail
		})
		if fail == nil && (err != nil || !strings.Contains(out.all.String(), ">>> analyze: done")) {
			t.Errorf("error %v, shown is %s", err, &out.all)
		}
		if fail != nil && (!errors.Is(err, errShown) || strings.Count(out.all.String(), "no such thing") != 1) {
			t.Errorf("error %v, shown is %s", err, &out.all)
		}
	}
}

func TestWorkThatIsQuickIsNotShown(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	a := &App{Stderr: &out, Environ: []string{"LEANLAB_CACHE=/nonexistent/cache"}}
	if err := a.withProgress("plain", "analyze", "small.img", func() error { return nil }); err != nil || out.Len() > 0 {
		t.Errorf("error %v, shown is %s", err, &out)
	}
}
