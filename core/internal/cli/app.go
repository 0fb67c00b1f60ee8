package cli

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/somebloke1/elixir-lean-lab/core/internal/definition"
	"github.com/somebloke1/elixir-lean-lab/core/internal/engine"
	"github.com/somebloke1/elixir-lean-lab/core/internal/pluginhost"
	"github.com/somebloke1/elixir-lean-lab/core/internal/store"
	"github.com/somebloke1/elixir-lean-lab/core/internal/ui"
)

// App is a process's surroundings.
type App struct {
	Args       []string // without the program's name
	Stdin      *os.File
	Stdout     io.Writer
	Stderr     io.Writer
	Environ    []string
	Executable string // whose directory is searched for plugins
	Dir        string // absolute; what relative paths are relative to
}

// Exit codes.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// usageError is an error of the command line itself.
type usageError struct{ error }

// Run runs a command line and returns its exit code.
func (a *App) Run(ctx context.Context) int {
	root := a.command()
	root.SetArgs(a.Args)
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	err := root.ExecuteContext(ctx)
	var usage usageError
	var stopped stoppedError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &stopped):
		fmt.Fprintf(a.Stderr, "leanlab: %v\n", err)
		return exitInterrupted
	case ctx.Err() != nil:
		fmt.Fprintln(a.Stderr, "leanlab: interrupted; what was finished is kept, the next run continues from there")
		return exitInterrupted
	case errors.As(err, &usage):
		fmt.Fprintf(a.Stderr, "leanlab: %v\n", err)
		return exitUsage
	}
	var shown *engine.ShownError
	if !errors.Is(err, errShown) && !errors.As(err, &shown) {
		fmt.Fprintf(a.Stderr, "leanlab: %v\n", err)
	}
	return exitFailed
}

// errShown says that what is wrong has been printed already.
var errShown = errors.New("shown")

func (a *App) command() *cobra.Command {
	root := &cobra.Command{
		Use:           "leanlab",
		Short:         "Build the smallest Linux VM that provably runs an Elixir app",
		Version:       engine.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q; run leanlab --help", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		a.buildCommand(), a.planCommand(), a.validateCommand(),
		a.runCommand(), a.psCommand(), a.consoleCommand(), a.logsCommand(), a.stopCommand(), a.execCommand(),
		a.verifyCommand(), a.analyzeCommand(), a.diffCommand(), a.benchCommand(),
		a.leanCommand(), a.sourcesCommand(), a.cacheCommand(), a.configureCommand(),
	)
	return root
}

// exactly is cobra.ExactArgs with our exit code.
func exactly(n int) cobra.PositionalArgs { return usageArgs(cobra.ExactArgs(n)) }

func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{fmt.Errorf("%s: %w; run %s --help", cmd.CommandPath(), err, cmd.CommandPath())}
		}
		return nil
	}
}

// definitionFlags are what every command that reads a definition takes.
type definitionFlags struct {
	file     string
	vm       string
	as       string // of build only
	vars     []string
	varFiles []string
	mirror   string
	suite    string
	offline  bool
	progress string
}

func (f *definitionFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&f.file, "file", "f", "hcl/custom.hcl", "definition file, or a directory of them")
	flags.StringVar(&f.vm, "vm", "", "which VM of the definition; needed where it defines several")
	flags.StringArrayVar(&f.vars, "var", nil, "set a variable: NAME=VALUE; may be repeated")
	flags.StringArrayVar(&f.varFiles, "var-file", nil, "read variables from a file; may be repeated")
}

// addSources adds the flags of commands that fetch.
func (f *definitionFlags) addSources(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.mirror, "mirror", "", "directory or URL to fetch sources from first, as filled by `leanlab sources vendor`")
	flags.StringVar(&f.suite, "suite", "", "Debian suite whose sources are used where upstream cannot be reached (default trixie)")
	flags.BoolVar(&f.offline, "offline", false, "never touch the network")
	flags.StringVar(&f.progress, "progress", "auto", "how to show progress: auto, tty, plain or json")
}

// session is what a command that works on a VM has open.
type session struct {
	*engine.Engine
	ui    ui.UI
	store *store.Store
	log   *os.File
}

// open loads the definition and everything that an engine needs.
func (a *App) open(f definitionFlags) (*session, error) {
	defs, vm, err := a.load(f)
	if err != nil {
		return nil, err
	}
	cache, err := store.DefaultDir(a.getenv)
	if err != nil {
		return nil, err
	}
	st, err := store.Open(cache)
	if err != nil {
		return nil, err
	}
	// One log for each VM of each project.
	project := fnv.New32a()
	project.Write([]byte(a.Dir))
	logPath := filepath.Join(st.LogDir(), fmt.Sprintf("%s-%08x.log", vm.Name, project.Sum32()))
	out, err := ui.New(f.progress, a.Stderr, a.getenv, logPath)
	if err != nil {
		st.Close()
		return nil, err
	}
	pluginLog, err := os.Create(strings.TrimSuffix(logPath, ".log") + ".plugin.log")
	if err != nil {
		return nil, errors.Join(err, out.Close(), st.Close())
	}
	st.OnWait = func(step store.Step, holder string) {
		out.Message("note", fmt.Sprintf("%s is being built by another run (%s); waiting for it", step.Kind, holder))
	}
	lock := f.file
	if !filepath.IsAbs(lock) {
		lock = filepath.Join(a.Dir, lock)
	}
	if info, err := os.Stat(lock); err != nil || !info.IsDir() {
		lock = filepath.Dir(lock)
	}
	return &session{
		Engine: engine.New(engine.Options{
			Dir: a.Dir, Definitions: defs, VM: vm, Store: st, UI: out,
			PluginDirs: pluginhost.DefaultDirs(a.Executable), PluginLog: pluginLog,
			LockPath: filepath.Join(lock, "leanlab.lock.hcl"),
			Mirror:   f.mirror, Suite: f.suite, Offline: f.offline,
		}),
		ui: out, store: st, log: pluginLog,
	}, nil
}

// withVM runs do on the VM that the flags select, and shows what is wrong with
// its definition.
func (a *App) withVM(f *definitionFlags, do func(ctx context.Context, s *session, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		s, err := a.open(*f)
		if err != nil {
			return err
		}
		defer s.close()
		return a.show(s.Definitions, do(cmd.Context(), s, args))
	}
}

func (s *session) close() {
	s.Engine.Close()
	s.ui.Close()
	s.log.Close()
	s.store.Close()
}

// load evaluates the definition and picks the VM.
func (a *App) load(f definitionFlags) (*definition.Definitions, *definition.VM, error) {
	defs, diags := definition.Load(definition.Options{
		Paths: []string{f.file}, Vars: f.vars, VarFiles: f.varFiles,
		Environ: a.Environ, Dir: a.Dir, Version: engine.Version,
	})
	if diags.HasErrors() {
		return nil, nil, a.show(defs, &engine.DiagnosticsError{Diagnostics: diags})
	}
	vm, err := defs.VM(f.vm)
	if err == nil && f.as != "" {
		if err := vm.Rename(f.as); err != nil {
			return nil, nil, usageError{fmt.Errorf("--as %w", err)}
		}
	}
	return defs, vm, err
}

// show prints diagnostics with their snippets; any other error it returns.
func (a *App) show(defs *definition.Definitions, err error) error {
	var de *engine.DiagnosticsError
	if !errors.As(err, &de) {
		return err
	}
	if err := defs.Write(a.Stderr, de.Diagnostics, a.color(), 100); err != nil {
		return err
	}
	return errShown
}

func (a *App) getenv(name string) string {
	for _, kv := range a.Environ {
		if len(kv) > len(name) && kv[len(name)] == '=' && kv[:len(name)] == name {
			return kv[len(name)+1:]
		}
	}
	return ""
}

// path is a file named on the command line.
func (a *App) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(a.Dir, name)
}

// color reports whether diagnostics may be coloured: standard error is a
// terminal and NO_COLOR is not set (no-color.org).
func (a *App) color() bool {
	f, ok := a.Stderr.(*os.File)
	return ok && isatty.IsTerminal(f.Fd()) && a.getenv("NO_COLOR") == ""
}
