package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/guest"
	"github.com/somebloke1/elixir-lean-lab/core/lean"
	"github.com/somebloke1/elixir-lean-lab/core/otp"
)

// Where the release lies in the VM, and who owns it.
const (
	appRoot = "/srv/app"
	appUser = 1000 // overlays/common/etc/passwd: app
	// Without a domain in the host name, OTP's kernel asks the program
	// inet_gethost for one before it has read its inetrc, and dies when the
	// program is not there (inet_config:init/0).
	domain = ".localdomain"
)

// boot is the boot file: BEAM's command line as erlexec and a release's start
// script would make it (erts/etc/common/erlexec.c; Elixir's lib/mix/lib/mix/
// tasks/release.init.ex), so that the VM needs neither them nor a shell.
func (e *Engine) boot(r *appResult, l *lean.Report) (*guest.Boot, error) {
	dir := path.Join(appRoot, r.Dir())
	file := filepath.Join(r.dir(), r.Dir(), "vm.args")
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("the release has no vm.args: %w", err)
	}
	vmargs, err := otp.ParseVMArgs(file, data)
	if err != nil {
		return nil, err
	}
	home := e.home()
	b := &guest.Boot{
		Hostname: e.def.Hostname + domain,
		Chdir:    home,
		Exec:     l.Emulator,
		Env:      e.environment(r, path.Dir(l.Emulator), dir),
		DHCP:     "eth0",
	}
	if e.VM.User != "root" {
		b.UID, b.GID = appUser, appUser
	}
	for _, nv := range vmargs.Env {
		b.Env[nv[0]] = nv[1]
	}
	for name, value := range e.VM.Env {
		b.Env[name] = value
	}
	b.Args = append(b.Args, emulatorFlags...)
	b.Args = append(b.Args, vmargs.Emulator...)
	b.Args = append(b.Args,
		"--", "-root", appRoot, "-bindir", path.Dir(l.Emulator), "-progname", "erl",
		"--", "-home", home, "--",
		"-noshell",
		// Modules are loaded when they are first called: a small program never
		// touches most of them, and each costs instructions and memory.
		"-mode", "interactive",
		"-boot", path.Join(dir, "start"),
		"-boot_var", "RELEASE_LIB", path.Join(appRoot, "lib"),
		"-config", path.Join(dir, "sys"),
		"-eval", ready(l.Started),
	)
	b.Args = append(b.Args, vmargs.Init...)
	if e.console() {
		b.Args = append(b.Args, "-elixir", "ansi_enabled", "true", "-user", "elixir", "-extra", "--no-halt", "+iex")
	}
	return b, nil
}

// envScript finds what a release's env.sh does: a start script would run it, and
// here there is none. Elixir's own template is all comments.
func envScript(r *appResult) (warning string, err error) {
	data, err := os.ReadFile(filepath.Join(r.dir(), r.Dir(), "env.sh"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	for i, line := range strings.Split(string(data), "\n") {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			return fmt.Sprintf("the release's env.sh is not run, since the VM starts BEAM without a shell: give what it sets in app { env = { … } }; its line %d is %q", i+1, line), nil
		}
	}
	return "", err
}

// ready is what init(3) evaluates at the end of the boot script: it says that
// BEAM is ready when every application that was to start is running. The script
// itself goes on when one did not, since the application controller ends the
// node only a little later.
func ready(started []string) string {
	return fmt.Sprintf(`[] = [%s] -- [A || {A, _, _} <- application:which_applications()], file:make_dir(%q).`,
		strings.Join(started, ", "), guest.ReadyDir)
}

// home is where BEAM starts, and writes its cookie and its crash dump.
func (e *Engine) home() string {
	if e.VM.User == "root" {
		return "/root"
	}
	return "/home/app"
}

// emulatorFlags stand before those of vm.args, which so have the last word
// (erl(1), "Emulator Flags"; beam.smp takes + as -).
var emulatorFlags = []string{
	// Elixir wants UTF-8 file names. The emulator would ask the C library's
	// locale, of which the image has none.
	"-fnu",
	// OTP's default is a table for a million processes, 15 MB that a small VM
	// has a better use for. A process takes at least 2.6 kB, so this many fill
	// 170 MB; an app that wants more says so in rel/vm.args.eex (+P).
	"-P", "65536",
}

// environment is what erlexec and the release's start script set.
func (e *Engine) environment(r *appResult, bindir, dir string) map[string]string {
	return map[string]string{
		"ROOTDIR": appRoot, "BINDIR": bindir, "EMU": "beam", "PROGNAME": "erl",
		"HOME": e.home(), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
		"LANG": "C.UTF-8", "TERM": "vt220",
		// Names are looked up by BEAM itself, without the program inet_gethost.
		"ERL_INETRC":   "/etc/erl_inetrc",
		"RELEASE_ROOT": appRoot, "RELEASE_NAME": r.Name, "RELEASE_VSN": r.Version,
		"RELEASE_MODE": "interactive", "RELEASE_TMP": "/tmp",
		"RELEASE_SYS_CONFIG": path.Join(dir, "sys"),
		"RELEASE_VM_ARGS":    path.Join(dir, "vm.args"),
		"RELEASE_COMMAND":    "start", "RELEASE_DISTRIBUTION": "none",
		"MIX_ENV": "prod",
	}
}
