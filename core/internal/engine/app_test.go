package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/internal/definition"
	"github.com/somebloke1/elixir-lean-lab/core/internal/store"
)

// planned is an engine with a plan, whose one step reads the app's directory.
func planned(t *testing.T, app *definition.App) *Engine {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	step := builder.Step{ID: "root", Title: "root", App: true}
	return &Engine{
		Options: Options{Dir: t.TempDir(), VM: &definition.VM{Name: "shop", Strategy: "alpine", App: app}, Store: s},
		plan:    &builder.Plan{Steps: []builder.Step{step}}, graph: map[string]builder.Step{"root": step},
	}
}

func TestAStepThatReadsTheAppIsKnownByIt(t *testing.T) {
	t.Parallel()
	e := planned(t, &definition.App{Path: "shop"})
	write := func(name, text string) {
		file := filepath.Join(e.Dir, "shop", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	key := func() string {
		if err := e.digestAppForSteps(); err != nil {
			t.Fatal(err)
		}
		return e.storeStep(e.plan.Steps[0]).Key()
	}
	write("mix.exs", "one")
	write("_build/dev/lib/x", "made")
	first := key()
	write("_build/dev/lib/x", "made again")
	write(".git/HEAD", "ref: refs/heads/main")
	if key() != first {
		t.Error("what tools make changes the key")
	}
	write("lib/shop.ex", "two")
	if key() == first {
		t.Error("a new source does not change the key")
	}
}

func TestAStepCannotReadAnAppThatIsNotThere(t *testing.T) {
	t.Parallel()
	e := planned(t, nil)
	if err := e.digestAppForSteps(); err == nil || !strings.Contains(err.Error(), `step "root" reads the app's directory, and vm "shop" has no app`) {
		t.Errorf("got %v", err)
	}
}

func TestAReleaseIsTakenWhereItIsTheApps(t *testing.T) {
	t.Parallel()
	app := &definition.App{Path: "shop"}
	for _, tt := range []struct {
		name    string
		app     *definition.App
		step    builder.Step
		release string
		want    bool
	}{
		{"no app, a release", nil, builder.Step{ID: "root"}, "root", true},
		{"no app, no release", nil, builder.Step{ID: "root"}, "", false},
		{"an app, and a release made from it", app, builder.Step{ID: "root", App: true}, "root", true},
		{"an app, and somebody else's release", app, builder.Step{ID: "root"}, "root", false},
		{"an app, read by a step that makes no release", app, builder.Step{ID: "root", App: true}, "", false},
	} {
		e := &Engine{Options: Options{VM: &definition.VM{App: tt.app}}, graph: map[string]builder.Step{"root": tt.step}}
		m := &stepResults{Machine: builder.Machine{Release: builder.Ref{Step: tt.release, Path: "release"}}}
		if got := e.bringsRelease(m); got != tt.want {
			t.Errorf("%s: got %t", tt.name, got)
		}
	}
}
