package otp

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/source"
)

// notBuilt are OTP applications that neither compiling an app nor running it
// in a VM needs: graphical tools, protocols with a successor in Hex, other
// languages. OTP's configure leaves each out with --without-NAME
// (HOWTO/INSTALL.md, "Advanced configuration"). What is not in this list can be
// named in a definition's lean.keep.
var notBuilt = []string{
	"common_test", "debugger", "dialyzer", "diameter", "edoc", "eldap", "et",
	"ftp", "javac", "jinterface", "megaco", "observer", "odbc", "reltool",
	"snmp", "ssh", "tftp", "wx",
}

// commonFlags are the configure arguments of both OTP builds. They are part of
// every step key, so changing one builds again.
func commonFlags() []string {
	flags := []string{
		// No absolute paths in beams.
		"--enable-deterministic-build",
		// No date of compilation in the emulator.
		"--disable-saved-compile-time",
		// SCTP would be looked for by dlopen, and no VM here has it.
		"--disable-sctp",
		// OpenSSL is linked into the NIF: one file to keep or drop.
		"--with-ssl", "--disable-dynamic-ssl-lib",
	}
	for _, app := range notBuilt {
		flags = append(flags, "--without-"+app)
	}
	return flags
}

// unpack puts the OTP source archive in dir.
func unpack(ctx context.Context, ev builder.Events, archive, dir string) error {
	ev.Emit(builder.StepStarted{Title: "unpacking"})
	defer ev.Emit(builder.StepFinished{Title: "unpacking"})
	if err := source.Unpack(ctx, archive, dir, source.UnpackOptions{Strip: 1}); err != nil {
		return err
	}
	configure := filepath.Join(dir, "configure")
	if _, err := os.Stat(configure); err != nil {
		return fmt.Errorf("%s: no configure script in it (%w): not a release of OTP 24 or later; give the otp_src archive of a release", archive, err)
	}
	return nil
}

// run runs a program in an unpacked OTP tree.
func run(ctx context.Context, ev builder.Events, erlTop string, env []string, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = erlTop
	cmd.Env = append(buildEnv(), "ERL_TOP="+erlTop)
	cmd.Env = append(cmd.Env, env...)
	return builder.Run(ctx, ev, cmd)
}

// buildEnv is the environment of every compilation: nothing of the user's that
// could change the result gets in.
func buildEnv() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"),
		"LANG=C.UTF-8", "LC_ALL=C.UTF-8", // Elixir wants UTF-8 file names
		"TZ=UTC",
		"SOURCE_DATE_EPOCH=0",
	}
}

// CompilerVersion names the C compiler and C library of the host, for step
// inputs: another compiler makes other files.
func CompilerVersion(ctx context.Context, cc string) (string, error) {
	out, err := exec.Command(cc, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w (install gcc)", cc, err)
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return first + " on " + runtime.GOARCH, nil
}
