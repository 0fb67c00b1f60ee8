package guest

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"
)

// BootPath is where /init looks for the file that Boot.Encode writes.
const BootPath = "/etc/leanlab/boot"

// ReadyDir is what BEAM makes when it is ready; its parent is BEAM's to write.
const ReadyDir = "/run/leanlab/ready"

// ShellWord on the kernel's command line makes /init run /bin/sh on the console
// instead of BEAM.
const ShellWord = "leanlab.shell"

// BootWord on the kernel's command line, with a path behind it, makes /init read
// that instead of BootPath; it may be a disk that holds what Disk returns.
const BootWord = "leanlab.boot="

// Limits of /init's parser; the same stand in init/init.c.
const (
	maxFile  = 65536
	maxWords = 256
	maxReady = 1024
	maxID    = 1<<32 - 2 // (uid_t)-1 means "no change" to chown(2) and setuid(2)
	maxStop  = 24 * time.Hour
)

//go:embed init/init.c
var source []byte

// Source returns the C source of /init: one file for any C11 compiler with
// glibc or musl. Compile it with `cc -Os -static`; with glibc that is about
// 730 kB, with musl-gcc 50 kB.
func Source() []byte { return bytes.Clone(source) }

//go:embed busybox.config
var busybox []byte

// BusyBoxConfig returns the fragment of a BusyBox .config, for its 1.37 and 1.38,
// that has what /init starts (udhcpc) and what a person at the console needs.
// Base: allnoconfig.
func BusyBoxConfig() []byte { return bytes.Clone(busybox) }

// Boot is what /init does with a VM. The zero value of a field leaves its
// directive out.
type Boot struct {
	Hostname    string
	UID, GID    int               // who BEAM runs as
	Chdir       string            // absolute
	Env         map[string]string // BEAM's whole environment
	Modules     []string          // of the kernel, absolute paths of uncompressed files, loaded in this order
	Address     string            // interface, address and gateway, in IPv4: "eth0 10.0.2.15/24 10.0.2.2"
	DHCP        string            // interface that /sbin/udhcpc configures, such as "eth0"
	Ready       string            // text of the program's that says that it is ready; empty: it makes ReadyDir
	Exec        string            // absolute path of the program; required
	Args        []string          // its arguments, without argv[0]
	StopTimeout time.Duration     // from SIGTERM to SIGKILL at shutdown, whole seconds; 0: init's default, 10 s
}

// Encode returns the boot file for /init. Equal values give equal bytes. A
// value that the file cannot hold (newline, NUL) or that init would refuse is
// an error that names the field.
func (b Boot) Encode() ([]byte, error) {
	if err := b.check(); err != nil {
		return nil, fmt.Errorf("boot file %s: %w", BootPath, err)
	}
	var out bytes.Buffer
	line := func(directive, value string) {
		if value != "" {
			fmt.Fprintf(&out, "%s %s\n", directive, value)
		}
	}
	line("hostname", b.Hostname)
	line("user", fmt.Sprintf("%d %d", b.UID, b.GID))
	line("chdir", b.Chdir)
	for _, name := range slices.Sorted(maps.Keys(b.Env)) {
		line("env", name+"="+b.Env[name])
	}
	for _, m := range b.Modules {
		line("module", m)
	}
	line("address", b.Address)
	line("dhcp", b.DHCP)
	line("ready", b.Ready)
	line("exec", b.Exec)
	for _, arg := range b.Args {
		fmt.Fprintf(&out, "arg %s\n", arg) // an empty argument is one, too
	}
	if b.StopTimeout != 0 {
		line("stop-timeout", fmt.Sprint(int64(b.StopTimeout/time.Second)))
	}
	if out.Len() > maxFile {
		return nil, fmt.Errorf("boot file %s: %d bytes; /init reads at most %d", BootPath, out.Len(), maxFile)
	}
	return out.Bytes(), nil
}

// Disk returns the boot file as a disk: as Encode does, and filled up to whole
// sectors with empty lines.
func (b Boot) Disk() ([]byte, error) {
	text, err := b.Encode()
	for len(text)%sectorBytes != 0 {
		text = append(text, '\n')
	}
	return text, err
}

// sectorBytes divide maxFile.
const sectorBytes = 512

func (b Boot) check() error {
	if b.Exec == "" {
		return errors.New("exec: there is no program to run")
	}
	for _, p := range []struct{ name, value string }{{"exec", b.Exec}, {"chdir", b.Chdir}} {
		if p.value != "" && !path.IsAbs(p.value) {
			return fmt.Errorf("%s: %q is not an absolute path", p.name, p.value)
		}
	}
	if b.UID < 0 || b.UID > maxID || b.GID < 0 || b.GID > maxID {
		return fmt.Errorf("user: %d %d: a uid and a gid are 0 to %d", b.UID, b.GID, int64(maxID))
	}
	if b.StopTimeout < 0 || b.StopTimeout > maxStop || b.StopTimeout%time.Second != 0 {
		return fmt.Errorf("stop-timeout: %v is not a whole number of seconds up to %v", b.StopTimeout, maxStop)
	}
	if len(b.Args) > maxWords || len(b.Env) > maxWords || len(b.Modules) > maxWords {
		return fmt.Errorf("%d arguments, %d variables and %d modules; /init takes at most %d of each", len(b.Args), len(b.Env), len(b.Modules), maxWords)
	}
	for _, m := range b.Modules {
		if !path.IsAbs(m) {
			return fmt.Errorf("module: %q is not an absolute path", m)
		}
		if err := checkText("module", m); err != nil {
			return err
		}
	}
	for name, value := range b.Env {
		if name == "" || strings.Contains(name, "=") {
			return fmt.Errorf("env: %q cannot name a variable", name)
		}
		if err := checkText("env "+name, name+value); err != nil {
			return err
		}
	}
	for i, arg := range b.Args {
		if err := checkText(fmt.Sprintf("arg %d", i+1), arg); err != nil {
			return err
		}
	}
	if len(b.Ready) > maxReady {
		return fmt.Errorf("ready: %d bytes; /init looks for at most %d", len(b.Ready), maxReady)
	}
	return errors.Join(checkText("hostname", b.Hostname), checkText("chdir", b.Chdir), checkAddress(b.Address),
		checkText("dhcp", b.DHCP), checkText("ready", b.Ready), checkText("exec", b.Exec))
}

// maxInterface is IFNAMSIZ without its NUL (linux/if.h).
const maxInterface = 15

// checkAddress wants what /init takes, in the one form that it prints.
func checkAddress(s string) error {
	if s == "" {
		return nil
	}
	words := strings.Split(s, " ")
	if len(words) == 3 && words[0] != "" && len(words[0]) <= maxInterface {
		prefix, err1 := netip.ParsePrefix(words[1])
		gateway, err2 := netip.ParseAddr(words[2])
		if err1 == nil && err2 == nil && prefix.Addr().Is4() && gateway.Is4() {
			return checkText("address", s)
		}
	}
	return fmt.Errorf("address: %q: want an interface, an IPv4 address with its bits, and a gateway, such as eth0 10.0.2.15/24 10.0.2.2", s)
}

// checkText refuses what a line of the boot file cannot carry.
func checkText(name, value string) error {
	if i := strings.IndexAny(value, "\n\x00"); i >= 0 {
		return fmt.Errorf("%s: %q holds %q, which a line cannot carry", name, value, value[i])
	}
	return nil
}
