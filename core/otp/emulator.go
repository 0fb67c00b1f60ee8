package otp

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// Emulators builds what runs in the VM: beam.smp without and with the crypto
// NIFs linked in, and the helper that starts port programs.
type Emulators struct {
	Source   string // the otp_src archive
	Out      string
	Work     string
	Jobs     int
	Triplet  string // GNU triplet of the target when it differs from the build host, such as "aarch64-linux-gnu"
	OTP      string // with Triplet: as made by Host.Build of the same source; its programs generate sources
	Emulator string // "interpreter" or "jit"
	Link     string // "static" or "dynamic"
}

// Files of an Emulators build, below Out.
const (
	EmulatorPlain  = "beam.smp"        // no NIFs beyond those of erts itself
	EmulatorCrypto = "beam.crypto.smp" // CryptoNIFs linked in
	ChildSetup     = "erl_child_setup" // forks port programs (erts/emulator/sys/unix/erl_child_setup.c)
)

// CryptoNIFs are the applications whose NIFs EmulatorCrypto holds.
var CryptoNIFs = []string{"asn1", "crypto"}

// flags are the configure arguments.
func (e Emulators) flags() []string {
	flags := append(commonFlags(),
		// The console needs what a terminal description gives: prim_tty links
		// libtinfo, which is asked for here so that a host without it fails.
		"--with-termcap",
	)
	if e.Emulator == "interpreter" {
		flags = append(flags, "--disable-jit")
	}
	if e.Triplet != "" {
		// The build host's own triplet, which config.guess would find, must be
		// given along with --host (HOWTO/INSTALL-CROSS.md).
		flags = append(flags, "--host="+e.Triplet, "--build="+buildTriplets[runtime.GOARCH],
			// Where Debian has libraries of other architectures.
			"--with-ssl-lib-subdir=lib/"+e.Triplet)
	}
	return flags
}

// buildTriplets are the GNU triplets of build hosts.
var buildTriplets = map[string]string{"amd64": "x86_64-pc-linux-gnu", "arm64": "aarch64-unknown-linux-gnu"}

// linkFlags are LDFLAGS.
func (e Emulators) linkFlags() string {
	// --build-id=none: it would differ with the path of the object files.
	flags := "-Wl,--build-id=none -Wl,--gc-sections -Wl,-O1"
	if e.Link == "static" {
		return "-static " + flags
	}
	return flags
}

// makeFlags override variables of erts/emulator/Makefile.in.
func (e Emulators) makeFlags() []string {
	// Its own value aligns segments to 2 MiB, for huge pages that a small VM
	// does not have; the padding would cost memory.
	flags := []string{"EMU_LDFLAGS="}
	if e.Link == "static" {
		// Exported symbols serve NIFs that are loaded; none can be.
		flags = append(flags, "DEXPORT=")
	}
	return flags
}

// compileFlags are CFLAGS and CXXFLAGS. Sections of their own let the linker
// drop what nobody calls.
const compileFlags = "-O2 -ffunction-sections -fdata-sections"

// Inputs is what the build depends on beyond its source.
func (e Emulators) Inputs() map[string]string {
	return map[string]string{
		"configure": strings.Join(e.flags(), " "),
		"cflags":    compileFlags,
		"ldflags":   e.linkFlags(),
		"make":      strings.Join(e.makeFlags(), " "),
		"recipe":    "1", // raise when the commands of Build change
	}
}

// Build configures OTP for the target and compiles its emulator alone.
func (e Emulators) Build(ctx context.Context, ev builder.Events) error {
	top := filepath.Join(e.Work, "otp")
	if err := unpack(ctx, ev, e.Source, top); err != nil {
		return err
	}
	if err := forgetPath(top); err != nil {
		return err
	}
	env, err := e.compilers(top)
	if err != nil {
		return err
	}
	ev.Emit(builder.StepStarted{Title: "configuring"})
	if err := run(ctx, ev, top, env, "./configure", e.flags()...); err != nil {
		return err
	}
	ev.Emit(builder.StepFinished{Title: "configuring"})

	target, err := e.targetDir(top)
	if err != nil {
		return err
	}
	flavor := "emu"
	if e.Emulator == "jit" {
		flavor = "jit"
	}
	counted := countLines(ev, emulatorCompilations)
	mk := func(dir string, args ...string) error {
		args = append([]string{"-C", dir, "-j" + strconv.Itoa(max(e.Jobs, 1))}, args...)
		// Below its top directory OTP's make takes the build host for the target.
		args = append(append(args, "TARGET="+target), e.makeFlags()...)
		return run(ctx, counted, top, env, "make", args...)
	}
	ev.Emit(builder.StepStarted{Title: "compiling the emulator"})
	for _, dir := range []string{"erts/lib_src", "erts/emulator"} {
		if err := mk(dir, "opt", "FLAVOR="+flavor); err != nil {
			return err
		}
	}
	if err := e.take(ctx, ev, top, target, "beam.smp", EmulatorPlain); err != nil {
		return err
	}
	if err := e.take(ctx, ev, top, target, "erl_child_setup", ChildSetup); err != nil {
		return err
	}
	ev.Emit(builder.StepFinished{Title: "compiling the emulator"})

	ev.Emit(builder.StepStarted{Title: "linking crypto into a second emulator"})
	if err := e.linkCrypto(top, target, flavor, mk); err != nil {
		return err
	}
	if err := e.take(ctx, ev, top, target, "beam.smp", EmulatorCrypto); err != nil {
		return err
	}
	ev.Emit(builder.StepFinished{Title: "linking crypto into a second emulator"})
	return nil
}

// emulatorCompilations is about how many lines make prints for an emulator
// (OTP 27, interpreter: 220); only the progress bar reads it.
const emulatorCompilations = 220

// forgetPath keeps ERL_TOP out of the flags that the emulator records for
// erlang:system_info(compile_info); with it, two builds in two directories
// differ.
func forgetPath(top string) error {
	path := filepath.Join(top, "erts", "emulator", "utils", "make_compiler_flags")
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	const before = "my $value = $constants{$_};\n"
	if strings.Count(string(data), before) != 1 {
		return fmt.Errorf("%s: no line %q, so the path of the build would stay in the emulator; tested with OTP 27", path, strings.TrimSpace(before))
	}
	patched := strings.Replace(string(data), before, before+"    $value =~ s/\\Q$ENV{ERL_TOP}\\E/\\/otp/g;\n", 1)
	return os.WriteFile(path, []byte(patched), 0o755)
}

// compilers writes wrappers named cc and c++ that map the source path away.
// They exist because the emulator records its CFLAGS (utils/make_compiler_flags)
// and a flag that names a path would make two builds differ.
func (e Emulators) compilers(top string) ([]string, error) {
	prefix := ""
	if e.Triplet != "" {
		prefix = e.Triplet + "-"
	}
	bin := filepath.Join(e.Work, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return nil, err
	}
	for name, compiler := range map[string]string{"cc": prefix + "gcc", "c++": prefix + "g++"} {
		path, err := exec.LookPath(compiler)
		if err != nil {
			return nil, fmt.Errorf("%s: %w (install the C and C++ compilers for the target)", compiler, err)
		}
		script := fmt.Sprintf("#!/bin/sh\nexec %s -ffile-prefix-map='%s'=/otp \"$@\"\n", path, top)
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
			return nil, err
		}
	}
	if e.Triplet != "" {
		bin += ":" + filepath.Join(e.OTP, "bin")
	}
	return []string{
		"PATH=" + bin + ":" + os.Getenv("PATH"),
		// Read in cross builds only: configure looks for OpenSSL below it.
		"erl_xcomp_sysroot=/",
		"CC=cc", "CXX=c++", "LD=" + prefix + "ld", "AR=" + prefix + "ar", "RANLIB=" + prefix + "ranlib",
		"CFLAGS=" + compileFlags, "CXXFLAGS=" + compileFlags,
		"LDFLAGS=" + e.linkFlags(),
	}, nil
}

// linkCrypto makes the static NIF archives and links the emulator once more
// with them. configure's own --enable-static-nifs leaves libcrypto out of the
// link line (erlang/otp#10817), and would link NIFs into every emulator.
func (e Emulators) linkCrypto(top, target, flavor string, mk func(dir string, args ...string) error) error {
	archives := []string{}
	for _, app := range CryptoNIFs {
		if err := mk(filepath.Join("lib", app, "c_src"), "BUILD_STATIC_LIBS=1", "static_lib"); err != nil {
			return err
		}
		found, err := filepath.Glob(filepath.Join(top, "lib", app, "priv", "lib", target, "*.a"))
		if err != nil || len(found) != 1 {
			return fmt.Errorf("%s/lib/%s/priv/lib/%s: found %d static archives, want one", top, app, target, len(found))
		}
		archives = append(archives, found[0])
	}
	// The table of NIFs is compiled once; it has to list the new ones.
	table := filepath.Join(top, "erts", "emulator", "obj", target, "opt", flavor, "driver_tab.o")
	if err := os.Remove(table); err != nil {
		return fmt.Errorf("the emulator's table of NIFs is not where OTP 27 has it: %w", err)
	}
	for _, name := range []string{"beam.smp", "beam." + flavor + ".smp"} {
		if err := os.Remove(filepath.Join(top, "bin", target, name)); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	// TYPE_LIBS is empty for TYPE=opt and ends the link line.
	return mk("erts/emulator", "opt", "FLAVOR="+flavor,
		"STATIC_NIFS="+strings.Join(archives, " "), "TYPE_LIBS=-l:libcrypto.a")
}

// targetDir is the directory name that OTP uses for the target, such as
// x86_64-pc-linux-gnu.
func (e Emulators) targetDir(top string) (string, error) {
	found, err := filepath.Glob(filepath.Join(top, "make", "*", "otp.mk"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("%s/make/*/otp.mk: found %d, want one: did configure succeed?", top, len(found))
	}
	return filepath.Base(filepath.Dir(found[0])), nil
}

// take copies a program out of the tree, stripped.
func (e Emulators) take(ctx context.Context, ev builder.Events, top, target, name, as string) error {
	strip := "strip"
	if e.Triplet != "" {
		strip = e.Triplet + "-strip"
	}
	return run(ctx, ev, top, nil, strip, "--strip-all", "--remove-section=.comment", "--remove-section=.note*",
		"-o", filepath.Join(e.Out, as), filepath.Join(top, "bin", target, name))
}
