package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/builder/builderpb"
)

// The test binary is plugin and host too, so that nothing has to be compiled:
// under a plugin's name it behaves, or misbehaves, as the strategy in that name
// says; with LEANLAB_TEST_HOST set it is a host that is going to be killed.
func TestMain(m *testing.M) {
	if strategy, ok := strings.CutPrefix(filepath.Base(os.Args[0]), prefix); ok {
		bePlugin(strategy)
		return
	}
	if path := os.Getenv("LEANLAB_TEST_HOST"); path != "" {
		beHost(path)
		return
	}
	os.Exit(m.Run())
}

// bePlugin is a plugin's main.
func bePlugin(strategy string) {
	switch strategy {
	case "exits":
		fmt.Fprintln(os.Stderr, "no licence found")
		os.Exit(3)
	case "panics":
		panic("cannot start")
	case "noisy":
		fmt.Println("Loading modules ...")
		builder.Serve(rogue{strategy})
	case "chatters": // a first line with no end
		os.Stdout.WriteString(strings.Repeat("x", 3*maxHandshake))
		select {}
	case "mute":
		select {}
	case "newer":
		plugin.Serve(&plugin.ServeConfig{
			HandshakeConfig:  builder.Handshake,
			VersionedPlugins: map[int]plugin.PluginSet{2: builder.Plugins(rogue{strategy})[builder.ProtocolVersion]},
			GRPCServer:       plugin.DefaultGRPCServer,
		})
	case "netrpc":
		plugin.Serve(&plugin.ServeConfig{
			HandshakeConfig:  builder.Handshake,
			VersionedPlugins: map[int]plugin.PluginSet{1: {builder.PluginName: netRPC{}}},
		})
	case "misnamed":
		builder.Serve(rogue{"another"})
	case "undescribed":
		builder.Serve(undescribed{rogue{strategy}})
	case "rawnoresult", "rawchatty":
		plugin.Serve(&plugin.ServeConfig{
			HandshakeConfig:  builder.Handshake,
			VersionedPlugins: map[int]plugin.PluginSet{1: {builder.PluginName: &rawPlugin{strategy: strategy}}},
			GRPCServer:       plugin.DefaultGRPCServer,
		})
	default:
		builder.Serve(rogue{strategy})
	}
}

// undescribed cannot say who it is.
type undescribed struct{ rogue }

func (undescribed) Describe() builder.Description {
	var d *builder.Description
	return *d
}

// netRPC is a plugin of go-plugin's older protocol.
type netRPC struct{}

func (netRPC) Server(*plugin.MuxBroker) (any, error)              { return struct{}{}, nil }
func (netRPC) Client(*plugin.MuxBroker, *rpc.Client) (any, error) { return nil, nil }

// rawPlugin speaks the protocol without builder.Serve, and breaks its rules.
type rawPlugin struct {
	plugin.NetRPCUnsupportedPlugin
	builderpb.UnimplementedBuilderServer
	strategy string
}

func (p *rawPlugin) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	builderpb.RegisterBuilderServer(s, p)
	return nil
}

func (p *rawPlugin) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("a host does not use this")
}

func (p *rawPlugin) Describe(context.Context, *builderpb.DescribeRequest) (*builderpb.DescribeResponse, error) {
	return &builderpb.DescribeResponse{Description: &builderpb.Description{Name: p.strategy}}, nil
}

func (p *rawPlugin) Build(_ *builderpb.BuildRequest, stream builderpb.Builder_BuildServer) error {
	event := &builderpb.BuildResponse{Kind: &builderpb.BuildResponse_Event{Event: &builderpb.Event{
		Kind: &builderpb.Event_Log{Log: &builderpb.Log{Line: "a line"}},
	}}}
	if p.strategy == "rawchatty" {
		result := &builderpb.BuildResponse{Kind: &builderpb.BuildResponse_Result{Result: &builderpb.BuildResult{}}}
		if err := stream.Send(result); err != nil {
			return err
		}
	}
	return stream.Send(event)
}

// rogue builds by the name of the step: each does one thing wrong, or one that
// a host must get right.
type rogue struct{ strategy string }

func (r rogue) Describe() builder.Description {
	return builder.Description{Name: r.strategy, Version: "1", Arches: []string{"x86_64"}}
}

func (rogue) Probe(context.Context, *builder.Definition) ([]builder.Missing, error) {
	return nil, errors.New("cannot look")
}

func (rogue) Validate(ctx context.Context, def *builder.Definition) (builder.Diagnostics, error) {
	if string(def.Config) == `"panic"` {
		panic("no such fragment")
	}
	if string(def.Config) == `"hang"` {
		select {}
	}
	return builder.Diagnostics{{Severity: builder.Warning, Summary: "rogue", Path: []string{"a", "0"}}}, nil
}

func (rogue) Plan(_ context.Context, def *builder.Definition) (*builder.Plan, error) {
	plan := &builder.Plan{}
	for _, id := range strings.Fields(string(def.Config)) {
		plan.Steps = append(plan.Steps, builder.Step{ID: id})
	}
	return plan, nil
}

func (rogue) Build(ctx context.Context, req *builder.BuildRequest, ev builder.Events) (*builder.Machine, error) {
	write := func(name string) {
		if err := os.WriteFile(filepath.Join(req.Out, name), []byte(name), 0o644); err != nil {
			panic(err)
		}
	}
	local := func(path string) builder.Ref { return builder.Ref{Step: req.Step, Path: path} }
	write("kernel")
	machine := &builder.Machine{Kernel: local("kernel"), Rootfs: local("kernel")}

	switch req.Step {
	case "nothing":
		return nil, nil
	case "machine":
		return machine, nil
	case "fails":
		return nil, errors.New("no such symbol\nat base.config:3")
	case "crashes":
		fmt.Fprintln(os.Stderr, "compiler not found")
		fmt.Println("and this goes there too")
		os.Exit(7)
	case "panics":
		panic("index out of range")
	case "panics-elsewhere":
		go panic("lost in a goroutine")
		<-ctx.Done()
	case "hangs":
		ev.Emit(builder.Log{Line: "begun"})
		select {}
	case "stops-slowly":
		ev.Emit(builder.Log{Line: "begun"})
		<-ctx.Done()
		write("written-while-stopping")
		return nil, ctx.Err()
	case "floods":
		line := strings.Repeat("x", 1000)
		for range 100_000 {
			ev.Emit(builder.Log{Line: line})
		}
		return nil, nil
	case "compiles": // a line now and then, as make prints them
		return nil, builder.Run(ctx, ev, exec.Command("sh", "-c", `for i in $(seq 300); do echo "  CC $i.o"; sleep 0.05; done`))
	case "floods-stderr":
		ev.Emit(builder.Log{Line: "begun"})
		chunk := []byte(strings.Repeat("y", 1<<16))
		for range 1000 {
			os.Stderr.Write(chunk)
		}
		return nil, nil
	case "too-big":
		ev.Emit(builder.Notice{Diagnostic: builder.Diagnostic{Summary: strings.Repeat("z", builder.MaxMessage+1)}})
		return nil, nil
	case "artifact":
		ev.Emit(builder.Artifact{Name: "kernel", Path: "kernel"})
		return nil, nil
	case "artifact-outside":
		ev.Emit(builder.Artifact{Name: "passwd", Path: "../../etc/passwd"})
		<-ctx.Done() // told to stop
		return nil, ctx.Err()
	case "artifact-link":
		if err := os.Symlink("/etc/passwd", filepath.Join(req.Out, "link")); err != nil {
			return nil, err
		}
		ev.Emit(builder.Artifact{Name: "passwd", Path: "link"})
		return nil, nil
	case "artifact-missing":
		ev.Emit(builder.Artifact{Name: "image", Path: "image"})
		return nil, nil
	case "kernel-outside":
		machine.Kernel = local("../kernel")
		return machine, nil
	case "kernel-absolute":
		machine.Kernel = local("/boot/vmlinuz")
		return machine, nil
	case "rootfs-link":
		if err := os.Symlink("/etc", filepath.Join(req.Out, "etc")); err != nil {
			return nil, err
		}
		machine.Rootfs = local("etc/passwd")
		return machine, nil
	case "otp-is-a-file":
		machine.Toolchain.OTP = local("kernel")
		return machine, nil
	case "unknown-step":
		machine.Kernel.Step = "elsewhere"
		return machine, nil
	case "forks":
		return nil, family(ctx, ev)
	case "forks-and-crashes":
		said := make(lines, 100)
		go func() { _ = family(context.Background(), said) }()
		var pids strings.Builder
		for range familySize {
			fmt.Fprintln(&pids, <-said)
		}
		// Not as events: those may be under way still when it crashes.
		if err := os.WriteFile(filepath.Join(req.Out, "pids"), []byte(pids.String()), 0o644); err != nil {
			return nil, err
		}
		os.Exit(9)
	case "forks-and-hangs":
		go func() { _ = family(context.Background(), ev) }()
		select {}
	}
	return nil, fmt.Errorf("no step %q", req.Step)
}

// familySize is how many processes the script of family starts, itself
// included. Each prints a line "pid N" when it is there.
const familySize = 4

// family starts a child, a child in a session of its own and a daemon (in a
// session of its own, its parent gone, deaf to SIGTERM) and waits.
func family(ctx context.Context, ev builder.Events) error {
	return builder.Run(ctx, ev, exec.Command("sh", "-c", `
		echo pid $$
		sleep 1000 & echo pid $!
		setsid sleep 1001 & echo pid $!
		(setsid sh -c 'trap "" TERM; echo pid $$; while :; do sleep 1002; done' &)
		wait`))
}

// lines is an Events that takes the log lines.
type lines chan string

func (l lines) Emit(e builder.Event) {
	if log, ok := e.(builder.Log); ok {
		l <- log.Line
	}
}

// beHost runs a step that starts processes, prints their numbers and that of
// the plugin, and waits to be killed.
func beHost(path string) {
	p, err := Start(context.Background(), path, Options{Log: os.Stderr, Grace: time.Minute})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("pid", p.process.cmd.Process.Pid)
	_, err = p.Build(context.Background(), &builder.BuildRequest{
		Definition: &builder.Definition{}, Step: os.Getenv("LEANLAB_TEST_STEP"), Out: os.Getenv("LEANLAB_TEST_OUT"),
	}, printer{})
	fmt.Println("the build returned:", err)
}

// printer is an Events that prints the log lines.
type printer struct{}

func (printer) Emit(e builder.Event) {
	if log, ok := e.(builder.Log); ok {
		fmt.Println(log.Line)
	}
}
