package engine

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/internal/definition"
	"github.com/somebloke1/elixir-lean-lab/core/internal/pluginhost"
	"github.com/somebloke1/elixir-lean-lab/core/internal/report"
	"github.com/somebloke1/elixir-lean-lab/core/internal/store"
	"github.com/somebloke1/elixir-lean-lab/core/internal/ui"
	"github.com/somebloke1/elixir-lean-lab/core/source"
)

// Version is leanlab's own.
const Version = "0.1.0"

// Options is what a command line gives.
type Options struct {
	Dir         string // absolute; what relative paths are relative to, and where build/ is
	Definitions *definition.Definitions
	VM          *definition.VM
	Store       *store.Store
	UI          ui.UI
	PluginDirs  []string
	PluginLog   *os.File
	LockPath    string // the lock file beside the definition
	Mirror      string
	Suite       string
	Offline     bool
	Install     bool // install missing Debian packages instead of naming them
	NoProof     bool // leave the boot proof out, for a faster round while developing
}

// Engine builds one VM.
type Engine struct {
	Options
	plugin     *pluginhost.Plugin
	pluginPath string
	desc       builder.Description
	def        *builder.Definition
	plan       *builder.Plan
	sources    *source.Sources
	lock       *source.Lock
	releases   map[string]source.Release // by source name, once resolved
	graph      map[string]builder.Step
	fetching   sync.Map // source name → its ui.Step

	appDigest string // of the app's directory, when a step of the plan reads it

	hostChecked bool
	brought     bool // the machine brought the release
}

// New returns an engine for one VM.
func New(o Options) *Engine { return &Engine{Options: o} }

// Build does everything that is not in the store yet, and publishes build/<vm>.
func (e *Engine) Build(ctx context.Context) (*report.Manifest, error) {
	if err := e.prepare(ctx); err != nil {
		return nil, err
	}
	defer e.Close()
	if err := e.fetch(ctx); err != nil {
		return nil, err
	}
	machine, err := e.runSteps(ctx)
	if err != nil {
		return nil, err
	}
	release, err := e.buildApp(ctx, machine)
	if err != nil {
		return nil, err
	}
	lean, err := e.leanTree(ctx, machine, release)
	if err != nil {
		return nil, err
	}
	images, err := e.writeImages(ctx, machine, lean)
	if err != nil {
		return nil, err
	}
	if err := e.checkBudget(images); err != nil {
		return nil, err
	}
	proof, err := e.prove(ctx, images)
	if err != nil {
		return nil, err
	}
	return e.publish(lean, images, proof)
}

// Close stops the plugin.
func (e *Engine) Close() error {
	if e.plugin == nil {
		return nil
	}
	err := e.plugin.Close()
	e.plugin = nil
	return err
}

// step looks a result up, and builds it when it is not there.
func (e *Engine) step(ctx context.Context, title string, s store.Step, build func(ctx context.Context, out, work string, ev ui.Step) error) (*store.Entry, error) {
	return e.stepAs(ctx, s.Kind, title, s, build)
}

// stepAs is step for a result whose kind is not what people know the step by.
func (e *Engine) stepAs(ctx context.Context, id, title string, s store.Step, build func(ctx context.Context, out, work string, ev ui.Step) error) (*store.Entry, error) {
	s.Scope = e.VM.Name
	var shown ui.Step
	entry, built, err := e.Store.Build(ctx, s, func(ctx context.Context, out, work string) error {
		shown = e.UI.Start(id, title)
		return build(ctx, out, work, &cpuCounter{Step: shown, ctx: ctx})
	})
	switch {
	case err != nil:
		if shown != nil {
			var before *ShownError
			switch {
			case ctx.Err() != nil:
				// By the user, or because another step failed, which says so itself.
				shown.Fail(context.Canceled)
			case errors.As(err, &before):
				shown.Fail(errors.New("what it reads could not be had, see above"))
			default:
				shown.Fail(err)
			}
			err = &ShownError{err}
		}
		return nil, err
	case built:
		shown.Done("")
	default:
		e.UI.Cached(id, title)
	}
	return entry, nil
}

// ShownError is an error that the UI has shown with its step.
type ShownError struct{ Err error }

func (e *ShownError) Error() string { return e.Err.Error() }
func (e *ShownError) Unwrap() error { return e.Err }

// cpuCounter credits a step in the store with the processor time that its
// commands report.
type cpuCounter struct {
	ui.Step
	ctx context.Context
}

func (c *cpuCounter) Emit(ev builder.Event) {
	if used, ok := ev.(builder.Usage); ok {
		store.AddCPU(c.ctx, used.CPU)
	}
	c.Step.Emit(ev)
}

// jobs is how many processes one step may run: all processors, since steps that
// run beside each other are rarely both at full width (OTP's build spends half
// of its time on one core).
func jobs() int { return runtime.NumCPU() }

// ErrDiagnostics says that what is wrong has been shown with the definition.
var ErrDiagnostics = errors.New("the definition has errors")
