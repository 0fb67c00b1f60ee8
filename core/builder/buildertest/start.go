package buildertest

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/builder/proctree"
)

// Start makes a Builder ready for one suite and has t end it.
type Start func(t *testing.T) builder.Builder

// InProcess calls b directly.
func InProcess(b builder.Builder) Start {
	return func(*testing.T) builder.Builder { return b }
}

// OverGRPC calls b in this process through the wire form of the contract.
func OverGRPC(b builder.Builder) Start {
	return func(t *testing.T) builder.Builder {
		client, _ := plugin.TestPluginGRPCConn(t, false, builder.Plugins(b)[builder.ProtocolVersion])
		t.Cleanup(func() { client.Close() }) // which stops the server too
		return connect(t, client)
	}
}

// Binary runs the plugin at path, as a host does. When the suite is over,
// nothing that it has started may be left.
func Binary(path string) Start {
	return func(t *testing.T) builder.Builder {
		cmd := exec.Command(path)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // what it starts is found by the session
		client := plugin.NewClient(&plugin.ClientConfig{
			HandshakeConfig:  builder.Handshake,
			VersionedPlugins: builder.Plugins(nil),
			AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
			Cmd:              cmd,
			Stderr:           t.Output(),
			SyncStderr:       t.Output(),
			Logger:           hclog.New(&hclog.LoggerOptions{Level: hclog.Off, Output: io.Discard}),
			GRPCDialOptions:  []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(builder.MaxMessage))},
		})
		protocol, err := client.Client()
		if err != nil {
			client.Kill()
			t.Fatalf("starting %s: %v", path, err)
		}
		session := cmd.Process.Pid
		t.Cleanup(func() {
			client.Kill()
			if left := inSession(t, session); len(left) > 0 {
				t.Errorf("%s has left processes %d", path, left)
			}
		})
		return connect(t, protocol)
	}
}

// connect dispenses the Builder of a connection and fetches its description.
func connect(t *testing.T, protocol plugin.ClientProtocol) *builder.Client {
	t.Helper()
	dispensed, err := protocol.Dispense(builder.PluginName)
	if err != nil {
		t.Fatal(err)
	}
	client := dispensed.(*builder.Client)
	if err := client.Connect(t.Context()); err != nil {
		t.Fatalf("Describe: %v", err)
	}
	return client
}

// inSession returns the processes of a session, zombies left out.
func inSession(t *testing.T, session int) []int {
	t.Helper()
	all, err := proctree.All()
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, p := range all {
		if p.Session == session && p.State != 'Z' {
			pids = append(pids, p.PID)
		}
	}
	return pids
}

// Compile builds the main package in dir as the plugin of a strategy and
// returns the binary's path.
func Compile(t *testing.T, dir, strategy string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "leanlab-builder-"+strategy)
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", path, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build in %s: %v\n%s", dir, err, out)
	}
	return path
}
