package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

const (
	startTimeout    = 30 * time.Second // from execve to the handshake
	describeTimeout = 10 * time.Second
	defaultGrace    = 10 * time.Second // more than builder.Run's between SIGTERM and SIGKILL
	window          = 256 << 10        // bytes under way from a plugin that the host has not read
)

const authorsFault = "this is a fault of the plugin: report it to its author"

// Options for Start.
type Options struct {
	// Log receives all that the plugin writes to standard error, and what it
	// should not have written to standard output. Nil: only the last lines are
	// kept, for errors.
	Log io.Writer
	// SHA256 is the digest that the plugin's file must have, in hexadecimal;
	// empty: any.
	SHA256 string
	// Env names variables that the plugin gets beside the usual ones: PATH,
	// HOME, USER, LANG, LC_*, TMPDIR, XDG_*, LEANLAB_* and *_proxy in either
	// case. It gets no others: what is not there cannot change a build.
	Env []string
	// Grace is how long the plugin may take to stop what it does before it is
	// killed. Default: 10 s.
	Grace time.Duration
}

// Plugin is a running plugin: a builder.Builder and builder.Packager whose
// answers are checked. Its errors are the builder's own (*builder.Failure), the
// context's, or a *Fault.
type Plugin struct {
	path    string
	grace   time.Duration
	log     *logbook
	process *process
	client  *plugin.Client  // go-plugin's
	builder *builder.Client // ours
	close   sync.Once
	closing atomic.Bool // Close was called: what fails from then on is not the plugin's fault

	mu   sync.Mutex
	last map[string]string // VM → last step of its plan
}

var (
	_ builder.Builder  = (*Plugin)(nil)
	_ builder.Packager = (*Plugin)(nil)
)

// Start runs the plugin at path and asks it who it is. Cancelling ctx ends the
// start only; a plugin that has started must be closed.
//
// The connection is a Unix socket in a directory that only this user can enter,
// so there is no TLS on it: it would cost tens of milliseconds and keep out
// nobody.
func Start(ctx context.Context, path string, opts Options) (*Plugin, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := check(path); err != nil {
		return nil, err
	}
	if opts.SHA256 != "" {
		if err := checkDigest(path, opts.SHA256); err != nil {
			return nil, err
		}
	}
	if opts.Log == nil {
		opts.Log = io.Discard
	}
	if opts.Grace == 0 {
		opts.Grace = defaultGrace
	}
	log := &logbook{w: opts.Log}
	p := &Plugin{path: path, grace: opts.Grace, log: log, process: newProcess(path, log), last: make(map[string]string)}
	p.client = plugin.NewClient(p.config(opts))
	if err := p.connect(ctx); err != nil {
		p.kill()
		if ctx.Err() != nil {
			return nil, fmt.Errorf("starting plugin %s: %w", path, context.Cause(ctx))
		}
		return nil, err
	}
	return p, nil
}

// config is what go-plugin needs to know.
func (p *Plugin) config(opts Options) *plugin.ClientConfig {
	return &plugin.ClientConfig{
		HandshakeConfig:  builder.Handshake,
		VersionedPlugins: builder.Plugins(nil),
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		StartTimeout:     startTimeout,
		SkipHostEnv:      true,
		SyncStdout:       p.log,
		SyncStderr:       p.log,
		Logger:           hclog.New(&hclog.LoggerOptions{Level: hclog.Off, Output: io.Discard}),
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: socketDir()},
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, tmpDir string) (runner.Runner, error) {
			p.process.prepare(append(allowed(os.Environ(), opts.Env), cmd.Env...), tmpDir)
			return p.process, nil
		},
		// Small fixed windows: a plugin that floods is held up at its own end.
		GRPCDialOptions: []grpc.DialOption{
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(builder.MaxMessage)),
			grpc.WithInitialWindowSize(window),
			grpc.WithInitialConnWindowSize(4 * window),
		},
	}
}

// socketDir is where the socket's directory is made: a socket's path must not
// exceed 107 bytes (unix(7)), of which go-plugin's names take up to 50.
func socketDir() string {
	if dir := os.TempDir(); len(dir) < 55 {
		return dir
	}
	return "/tmp"
}

// allowed returns those of environ that a plugin gets.
func allowed(environ, more []string) []string {
	names := append([]string{"PATH", "HOME", "USER", "LANG", "TMPDIR"}, more...)
	return slices.DeleteFunc(slices.Clone(environ), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return !slices.Contains(names, name) &&
			!strings.HasPrefix(name, "LC_") && !strings.HasPrefix(name, "XDG_") && !strings.HasPrefix(name, "LEANLAB_") &&
			!strings.HasSuffix(strings.ToLower(name), "_proxy")
	})
}

// connect starts the process, shakes hands and fetches the description.
func (p *Plugin) connect(ctx context.Context) error {
	// go-plugin's start knows no context; without the process it gives up.
	defer context.AfterFunc(ctx, p.killProcess)()
	protocol, err := p.client.Client()
	if err != nil {
		p.killProcess() // so that how it ended is known
		return p.process.startFault(p.path, err)
	}
	dispensed, err := protocol.Dispense(builder.PluginName)
	if err != nil {
		return err
	}
	p.builder = dispensed.(*builder.Client)
	p.builder.Grace = p.grace
	p.builder.Abandon = p.killProcess

	timed, cancel := context.WithTimeoutCause(ctx, describeTimeout, fmt.Errorf("no answer within %s", describeTimeout))
	defer cancel()
	if err := p.builder.Connect(timed); err != nil {
		return p.fault(ctx, "Describe", err)
	}
	want, err := strategyOf(p.path)
	if err != nil {
		return err
	}
	if got := p.builder.Describe().Name; got != want {
		return &Fault{
			Path: p.path, Problem: fmt.Sprintf("says that it builds strategy %q, and its file is named for %q", got, want),
			Remedy: fmt.Sprintf("rename it to %s%s, or install the right plugin", prefix, got),
		}
	}
	return nil
}

// killProcess ends the plugin's process and all below it.
func (p *Plugin) killProcess() {
	if err := p.process.Kill(context.Background()); err != nil {
		p.log.note(err.Error())
	}
}

// kill ends the process and has go-plugin tidy up after it.
func (p *Plugin) kill() {
	p.killProcess()
	p.client.Kill()
}

// Close stops the plugin in three stages: it is asked to stop what it does,
// then to exit, and then, or when it has not within the grace period, it is
// killed with everything below it. Nothing of it is left when Close returns.
// Closing again does nothing.
func (p *Plugin) Close() error {
	p.close.Do(func() {
		p.closing.Store(true)
		ctx, cancel := context.WithTimeout(context.Background(), p.grace)
		defer cancel()
		if err := p.builder.Stop(ctx); err != nil {
			p.kill()
			return
		}
		// go-plugin asks for the exit without a deadline.
		defer time.AfterFunc(p.grace, p.killProcess).Stop()
		p.client.Kill()
		<-p.process.exited
	})
	return nil
}

// fault explains the failure of a call. A builder's own error and that of a
// context that is done are passed on as they are; what Close has cut off is
// reported as cancelled.
func (p *Plugin) fault(ctx context.Context, doing string, err error) error {
	if failure := (*builder.Failure)(nil); errors.As(err, &failure) || ctx.Err() != nil {
		return err
	}
	if p.closing.Load() {
		// Whether gRPC learns first that the process has gone or that its own
		// connection is being closed is chance, and neither is the reason.
		return fmt.Errorf("plugin %s was closed during %s: %w", p.path, doing, context.Canceled)
	}
	fault := &Fault{Path: p.path, Remedy: authorsFault, Err: err}
	if errors.Is(err, builder.ErrDisconnected) {
		// The socket closes a moment before the process has been reaped. One
		// that has closed it and lives on is of no more use.
		select {
		case <-p.process.exited:
		case <-time.After(drainTime):
			p.killProcess()
		}
		fault.Problem = fmt.Sprintf("crashed during %s (%s)", doing, p.process.ending())
	} else {
		fault.Problem = fmt.Sprintf("failed in %s: %v", doing, err)
	}
	fault.Tail = p.log.last()
	return fault
}

// Describe returns who the plugin is.
func (p *Plugin) Describe() builder.Description { return p.builder.Describe() }

func (p *Plugin) Probe(ctx context.Context, def *builder.Definition) ([]builder.Missing, error) {
	missing, err := p.builder.Probe(ctx, def)
	if err != nil {
		return nil, p.fault(ctx, "Probe", err)
	}
	return missing, nil
}

func (p *Plugin) Validate(ctx context.Context, def *builder.Definition) (builder.Diagnostics, error) {
	diagnostics, err := p.builder.Validate(ctx, def)
	if err != nil {
		return nil, p.fault(ctx, "Validate", err)
	}
	return diagnostics, nil
}

// Plan returns a plan that has been checked.
func (p *Plugin) Plan(ctx context.Context, def *builder.Definition) (*builder.Plan, error) {
	plan, err := p.builder.Plan(ctx, def)
	if err != nil {
		return nil, p.fault(ctx, "Plan", err)
	}
	if err := plan.Check(); err != nil {
		return nil, p.fault(ctx, "Plan", err)
	}
	p.mu.Lock()
	p.last[def.VM] = plan.Steps[len(plan.Steps)-1].ID
	p.mu.Unlock()
	return plan, nil
}

// Resolve returns an answer that has been checked.
func (p *Plugin) Resolve(ctx context.Context, req *builder.ResolveRequest) (*builder.Resolution, error) {
	if d := p.Describe(); !slices.Contains(d.Capabilities, builder.CapabilityResolve) {
		return nil, fmt.Errorf("strategy %q has a source with a selection, %q, and plugin %s lacks the capability %q", d.Name, req.Source.Name, p.path, builder.CapabilityResolve)
	}
	resolution, err := p.builder.Resolve(ctx, req)
	if err != nil {
		return nil, p.fault(ctx, "Resolve", err)
	}
	if err := resolution.Check(req); err != nil {
		return nil, p.fault(ctx, "Resolve", err)
	}
	return resolution, nil
}

// Build runs a step. When it returns, for whatever reason, nothing writes to
// req.Out any more. When the VM has been planned, the last step must return a
// machine and no other may.
func (p *Plugin) Build(ctx context.Context, req *builder.BuildRequest, events builder.Events) (*builder.Machine, error) {
	watched, reject := context.WithCancelCause(ctx)
	defer reject(nil)
	watch := &watch{events: events, log: p.log, reject: reject}
	doing := fmt.Sprintf("step %q", req.Step)
	machine, err := p.builder.Build(watched, req, watch)
	if err != nil {
		return nil, p.fault(ctx, doing, err)
	}
	if err := watch.checkArtifacts(req.Out); err != nil {
		return nil, p.fault(ctx, doing, err)
	}
	p.mu.Lock()
	last, planned := p.last[req.Definition.VM]
	p.mu.Unlock()
	switch {
	case planned && machine == nil && last == req.Step:
		return nil, p.fault(ctx, doing, errors.New("the last step returned no machine"))
	case planned && machine != nil && last != req.Step:
		return nil, p.fault(ctx, doing, fmt.Errorf("it returned a machine, which only the last step, %q, may", last))
	case machine != nil:
		if err := machine.Check(req); err != nil {
			return nil, p.fault(ctx, doing, err)
		}
	}
	return machine, nil
}

// Package has the plugin make its own artifacts. Like Build it returns when
// nothing writes to req.Out any more.
func (p *Plugin) Package(ctx context.Context, req *builder.PackageRequest, events builder.Events) error {
	if d := p.Describe(); !slices.Contains(d.Capabilities, builder.CapabilityPackage) {
		return fmt.Errorf("strategy %q makes no artifacts of its own: plugin %s lacks the capability %q", d.Name, p.path, builder.CapabilityPackage)
	}
	watched, reject := context.WithCancelCause(ctx)
	defer reject(nil)
	watch := &watch{events: events, log: p.log, reject: reject}
	if err := p.builder.Package(watched, req, watch); err != nil {
		return p.fault(ctx, "Package", err)
	}
	if err := watch.checkArtifacts(req.Out); err != nil {
		return p.fault(ctx, "Package", err)
	}
	return nil
}
