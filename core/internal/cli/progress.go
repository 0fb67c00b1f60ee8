package cli

import (
	"path/filepath"
	"time"

	"github.com/somebloke1/elixir-lean-lab/core/internal/store"
	"github.com/somebloke1/elixir-lean-lab/core/internal/ui"
)

// silence is how long work may take without a word.
const silence = time.Second

// withProgress does work that needs no words unless it takes long.
func (a *App) withProgress(kind, id, title string, work func() error) error {
	done := make(chan error, 1)
	go func() { done <- work() }()
	select {
	case err := <-done:
		return err
	case <-time.After(silence):
	}
	out, err := a.openUI(kind, id)
	if err != nil {
		<-done // it must not go on when we are gone
		return err
	}
	defer out.Close()
	step := out.Start(id, title)
	if err := <-done; err != nil {
		step.Fail(err)
		return errShown
	}
	step.Done("")
	return nil
}

// openUI shows steps that belong to no VM.
func (a *App) openUI(kind, id string) (ui.UI, error) {
	cache, err := store.DefaultDir(a.getenv)
	if err != nil {
		return nil, err
	}
	st, err := store.Open(cache)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	return ui.New(kind, a.Stderr, a.getenv, filepath.Join(st.LogDir(), id+".log"))
}
