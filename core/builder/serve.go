package builder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"github.com/somebloke1/elixir-lean-lab/core/builder/builderpb"
	"github.com/somebloke1/elixir-lean-lab/core/builder/proctree"
)

// ProtocolVersion is the major version of the contract: the number in the
// handshake and in the name of the protobuf package.
const ProtocolVersion = 1

// PluginName is the name under which go-plugin dispenses the Builder.
const PluginName = "builder"

// Handshake tells a plugin that a leanlab host started it. It is no secret.
var Handshake = plugin.HandshakeConfig{
	MagicCookieKey:   "LEANLAB_BUILDER",
	MagicCookieValue: "8f1d3c5a-leanlab-builder",
}

// EnvLifeline is set to 1 by a host that holds the other end of the plugin's
// standard input and never writes to it: its end means that the host is gone.
const EnvLifeline = "LEANLAB_BUILDER_LIFELINE"

// Plugins is the versioned plugin set on which host and plugin agree. A host
// passes nil and dispenses a *Client.
func Plugins(b Builder) map[int]plugin.PluginSet {
	return map[int]plugin.PluginSet{ProtocolVersion: {PluginName: &grpcPlugin{b: b}}}
}

// grpcPlugin is go-plugin's view of the contract.
type grpcPlugin struct {
	plugin.NetRPCUnsupportedPlugin
	b Builder
}

func (p *grpcPlugin) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	if p.b == nil {
		return errors.New("no builder to serve")
	}
	builderpb.RegisterBuilderServer(s, newServer(p.b))
	return nil
}

func (p *grpcPlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return NewClient(conn), nil
}

// Serve makes this process a plugin that serves b. It is all that a plugin's
// main does, and returns when the host has no more use for the plugin.
//
// No process that b has started outlives it, whichever way it ends: when the
// host closes it, when the host dies (by SIGKILL too) and on SIGTERM,
// everything below this process is killed first. For that the process becomes
// the parent of its orphaned descendants (PR_SET_CHILD_SUBREAPER(2const)).
//
// Started by a person's command instead, as `PLUGIN configure REQUEST`, it runs
// the builder's Configure with the terminal (see Configurer).
func Serve(b Builder) {
	if len(os.Args) == 3 && os.Args[1] == configureWord {
		os.Exit(serveConfigure(b, os.Args[2]))
	}
	if os.Getenv(Handshake.MagicCookieKey) != Handshake.MagicCookieValue {
		d := b.Describe()
		fmt.Fprintf(os.Stderr, "%s is a builder plugin for leanlab: strategy %q, version %s.\n"+
			"leanlab starts it by itself; to install it, put it beside the leanlab binary or into a directory of LEANLAB_PLUGIN_PATH.\n",
			filepath.Base(os.Args[0]), d.Name, d.Version)
		os.Exit(2)
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintf(os.Stderr, "becoming a subreaper: %v; a process that detaches itself may be left behind\n", err)
	}
	// When the host is gone, so is the reader of standard error; a write to it
	// must fail and not, as is the rule for that file, end the process before it
	// has ended its children.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	stderr := os.Stderr
	var once sync.Once
	end := func(why string) {
		once.Do(func() {
			if why != "" {
				fmt.Fprintln(stderr, why)
			}
			if err := proctree.KillDescendants(os.Getpid()); err != nil {
				fmt.Fprintln(stderr, err)
			}
		})
	}
	go endWithHost(func(why string) {
		end(why)
		removeSocket()
		os.Exit(1)
	})

	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig:  Handshake,
		VersionedPlugins: Plugins(b),
		GRPCServer:       func(opts []grpc.ServerOption) *grpc.Server { return newGRPCServer(opts, stderr) },
		Logger:           hclog.New(&hclog.LoggerOptions{Name: "plugin", Level: hclog.Error, Output: os.Stderr}),
	})
	end("")
}

// newGRPCServer returns a server that, at the first call, undoes go-plugin's
// redirection of os.Stdout and os.Stderr into a stream to the host: what a
// plugin says just before it crashes would get lost in that. Both go to the
// real standard error; the real standard output belongs to the handshake.
func newGRPCServer(opts []grpc.ServerOption, stderr *os.File) *grpc.Server {
	var once sync.Once
	return grpc.NewServer(append(opts, grpc.ChainUnaryInterceptor(
		func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			once.Do(func() { os.Stdout, os.Stderr = stderr, stderr })
			return handle(ctx, req)
		}))...)
}

// endWithHost calls end when the host is gone. The host asks the kernel for a
// SIGTERM at its death; the pipe tells of it too, should the kernel's signal
// have been lost (it is tied to a thread of the host, and to the credentials).
func endWithHost(end func(why string)) {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	gone := make(chan struct{})
	if os.Getenv(EnvLifeline) == "1" {
		os.Unsetenv(EnvLifeline)
		go func() {
			defer close(gone)
			_, _ = io.Copy(io.Discard, os.Stdin)
		}()
	}
	select {
	case <-term:
		end("terminated by SIGTERM")
	case <-gone:
		end("the host is gone")
	}
}

// removeSocket removes what go-plugin leaves behind when it is not shut down by
// the host: the socket, and the directory that the host made for it.
func removeSocket() {
	dir := os.Getenv(plugin.EnvUnixSocketDir)
	if dir == "" {
		return
	}
	sockets, _ := filepath.Glob(filepath.Join(dir, "plugin*"))
	for _, s := range sockets {
		_ = os.Remove(s)
	}
	_ = os.Remove(dir)
}
