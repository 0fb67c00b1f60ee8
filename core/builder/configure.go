package builder

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
)

// Configurer is implemented by a builder with configuration that people edit in
// a program of its own, such as the kernel's menuconfig. Its Description lists
// CapabilityConfigure.
//
// Configure runs in a plugin process of its own, which has the person's
// terminal as standard input, output and error. It changes checked-in files
// only when the person saved, and prints what it changed.
type Configurer interface {
	Configure(ctx context.Context, req *ConfigureRequest) error
}

// CapabilityConfigure says that the builder implements Configurer.
const CapabilityConfigure = "configure"

// ConfigureRequest asks for one editor.
type ConfigureRequest struct {
	Definition *Definition
	Tool       string // "linux-menuconfig", "savedefconfig": the names that make knows them by
	Sources    map[string]FetchedSource
	Work       string // absolute; kept for the next time
	Jobs       int

	// Needs holds what is in the store of the plan's steps, as it would be built
	// now: step id → its result directory. None is built for a Configure.
	Needs map[string]string
	// Downloads is as in BuildRequest; the directory may not be there yet.
	Downloads string
}

// configureWord is the plugin's command line argument before the request file.
const configureWord = "configure"

// ConfigureCommand returns the command that runs the plugin at path with req,
// which it writes below req.Work. The caller connects the terminal.
func ConfigureCommand(path string, req *ConfigureRequest) (*exec.Cmd, error) {
	data, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(req.Work, "configure.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return nil, err
	}
	return exec.Command(path, configureWord, file), nil
}

// serveConfigure is the plugin's side of ConfigureCommand. It returns the exit
// code.
func serveConfigure(b Builder, file string) int {
	name := filepath.Base(os.Args[0])
	c, ok := b.(Configurer)
	if !ok {
		fmt.Fprintf(os.Stderr, "%s: strategy %q has nothing to configure\n", name, b.Describe().Name)
		return 1
	}
	data, err := os.ReadFile(file)
	var req ConfigureRequest
	if err == nil {
		err = json.Unmarshal(data, &req)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: request %s: %v\n", name, file, err)
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := c.Configure(ctx, &req); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}
