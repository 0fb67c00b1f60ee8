package otp

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// Host builds an OTP that runs on the build host.
type Host struct {
	Source string // the otp_src archive
	Out    string // where it is installed: bin/erl, lib/, erts-V/
	Work   string // scratch
	Jobs   int
}

// HostInputs is what a Host build depends on beyond its source.
func HostInputs() map[string]string {
	return map[string]string{"configure": strings.Join(commonFlags(), " ")}
}

// Build configures, compiles and installs. The result can be moved: its erl
// finds its root by its own path (erts/etc/unix/erl.src.src, dyn_erl).
func (h Host) Build(ctx context.Context, ev builder.Events) error {
	top := filepath.Join(h.Work, "otp")
	if err := unpack(ctx, ev, h.Source, top); err != nil {
		return err
	}
	step := func(title, name string, args ...string) error {
		ev.Emit(builder.StepStarted{Title: title})
		defer ev.Emit(builder.StepFinished{Title: title})
		return run(ctx, ev, top, nil, name, args...)
	}
	jobs := "-j" + strconv.Itoa(max(h.Jobs, 1))
	if err := step("configuring", "./configure", commonFlags()...); err != nil {
		return err
	}
	counted := countLines(ev, hostCompilations)
	ev.Emit(builder.StepStarted{Title: "compiling"})
	if err := run(ctx, counted, top, nil, "make", jobs); err != nil {
		return err
	}
	ev.Emit(builder.StepFinished{Title: "compiling"})
	if err := step("installing", "make", "release", "RELEASE_ROOT="+h.Out); err != nil {
		return err
	}
	// Install writes bin/erl and the start scripts. The path it is given is the
	// fallback only: bin/dyn_erl makes erl find the root it lies in.
	install := exec.Command("./Install", "-minimal", h.Out)
	install.Dir = h.Out
	install.Env = buildEnv()
	if err := builder.Run(ctx, ev, install); err != nil {
		return err
	}
	return h.trim()
}

// trim drops what no later step reads: it halves the store entry.
func (h Host) trim() error {
	for _, pattern := range []string{"lib/*/doc", "lib/*/examples", "erts-*/doc", "erts-*/man", "misc", "usr"} {
		matches, err := filepath.Glob(filepath.Join(h.Out, pattern))
		if err != nil {
			return err
		}
		for _, m := range matches {
			if err := os.RemoveAll(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// hostCompilations is about how many files a Host build compiles (OTP 27:
// 1 064 lines of ERLC and CC); only the progress bar reads it.
const hostCompilations = 1064

// countLines forwards events and turns make's lines, one for each file it
// compiles, into progress.
func countLines(ev builder.Events, total int64) builder.Events {
	return &lineCounter{Events: ev, total: total}
}

type lineCounter struct {
	builder.Events
	done, total int64
}

// Emit is called by one builder.Run at a time, so done needs no lock.
func (c *lineCounter) Emit(e builder.Event) {
	c.Events.Emit(e)
	line, ok := e.(builder.Log)
	if !ok {
		return
	}
	for _, prefix := range []string{" ERLC\t", " CC\t", " CXX\t"} {
		if strings.HasPrefix(line.Line, prefix) {
			c.done++
			c.total = max(c.total, c.done)
			c.Events.Emit(builder.Progress{Done: c.done, Total: c.total, Unit: "files"})
			return
		}
	}
}

// Toolchain is an OTP and an Elixir on the build host.
type Toolchain struct {
	OTP    string            // as made by Host.Build
	Elixir string            // as made by Elixir.Build
	Env    map[string]string // for compilers of NIFs
	Target string            // an OTP for the VM (erts-V/, lib/), whose applications go into a release; empty: OTP's own do
}

// environ is the environment in which the toolchain runs; home is a directory
// of the caller's for what Mix and Hex keep.
func (tc Toolchain) environ(home string) []string {
	env := buildEnv()
	path := filepath.Join(tc.OTP, "bin") + ":" + os.Getenv("PATH")
	if tc.Elixir != "" {
		path = filepath.Join(tc.Elixir, "bin") + ":" + path
	}
	env[0] = "PATH=" + path
	env = append(env, "HOME="+home,
		// compile(3): no paths or options in a module. Not for OTP's own build,
		// which has --enable-deterministic-build: there this variable takes the
		// directories out of the dependencies that erlc -M writes.
		"ERL_COMPILER_OPTIONS=deterministic")
	for name, value := range tc.Env {
		env = append(env, name+"="+value)
	}
	return env
}

// Version returns the exact OTP version, such as "27.3.4".
func (tc Toolchain) Version() (string, error) { return Version(tc.OTP) }

// Version returns the exact version of the OTP that is installed in dir.
func Version(dir string) (string, error) {
	matches, err := filepath.Glob(filepath.Join(dir, "releases", "*", "OTP_VERSION"))
	if err != nil || len(matches) != 1 {
		return "", fmt.Errorf("%s/releases/*/OTP_VERSION: found %d files, want one: not an installed OTP", dir, len(matches))
	}
	data, err := os.ReadFile(matches[0])
	return strings.TrimSpace(string(data)), err
}

// targetERTS returns the directory of the target's emulator. What the one OTP
// compiles runs on the other when both are of one series (OTP System Principles,
// "Support, Compatibility, Deprecations, and Removal").
func (tc Toolchain) targetERTS() (string, error) {
	compiles, err := Version(tc.OTP)
	if err != nil {
		return "", err
	}
	runs, err := Version(tc.Target)
	if err != nil {
		return "", err
	}
	if major(compiles) != major(runs) {
		return "", fmt.Errorf("the VM has OTP %s and the compiler is of OTP %s: set otp { version = %q }, or take the other packages", runs, compiles, major(runs))
	}
	matches, err := filepath.Glob(filepath.Join(tc.Target, "erts-*"))
	if err != nil || len(matches) != 1 {
		return "", fmt.Errorf("%s/erts-*: found %d directories, want one: not an installed OTP", tc.Target, len(matches))
	}
	return matches[0], nil
}

func major(version string) string {
	m, _, _ := strings.Cut(version, ".")
	return m
}
