package main

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/cc"
)

// containerEngine builds a Dockerfile. Nothing of what it does is left behind:
// not in its own storage, and no mount.
type containerEngine interface {
	// prefix begins the names that images are loaded under.
	prefix() string
	// prepare finds out how it works here. The request's Work is its own.
	prepare(ctx context.Context, ev builder.Events) error
	// load makes an image, in a docker archive, known by the name that stands in it.
	load(ctx context.Context, archive string, ev builder.Events) error
	// build builds o and writes the root of its last stage to o.tar: that, or an
	// image of it.
	build(ctx context.Context, o buildOptions, ev builder.Events) error
	// close removes what is left.
	close()
}

// buildOptions is what an engine builds.
type buildOptions struct {
	context, dockerfile string
	target              string
	args, secrets       []string // NAME=VALUE; id=ID,src=FILE
	tar                 string
}

func (o buildOptions) flags() []string {
	flags := []string{"--file", o.dockerfile}
	if o.target != "" {
		flags = append(flags, "--target", o.target)
	}
	for _, arg := range o.args {
		flags = append(flags, "--build-arg", arg)
	}
	for _, secret := range o.secrets {
		flags = append(flags, "--secret", secret)
	}
	return flags
}

// engineDebian are the packages that bring the engines.
var engineDebian = map[string]string{enginePodman: "podman", engineBuildah: "buildah", engineDocker: "docker.io"}

// newEngine is the engine of a definition.
func newEngine(c config, req *builder.BuildRequest) (containerEngine, error) {
	program, err := exec.LookPath(c.Engine)
	if err != nil {
		return nil, fmt.Errorf("engine = %q: %w", c.Engine, err)
	}
	if c.Engine == engineDocker {
		return newDocker(program, req), nil
	}
	return &podman{name: c.Engine, program: program, arch: req.Definition.Arch, offline: req.Offline, dir: filepath.Join(req.Work, "engine")}, nil
}

// podman is podman or buildah, which take the same flags but for few: a program
// without a daemon. Its storage is below the step's work directory.
type podman struct {
	name, program string
	arch          string
	offline       bool
	dir           string
	run           string    // its run directory, as it is named to it
	driver        []string  // --storage-driver, where the usual one does not work
	isolation     isolation // that works here
}

func (p *podman) prefix() string { return ourImages }

// isolation is a way to run a RUN.
type isolation struct {
	name  string
	flags []string // of build
	run   string   // --runtime, which is podman's flag and of buildah's build
}

// isolations, in the order in which they are tried. crun fails on hosts with
// cgroups of both versions; without a runtime a RUN is a chroot in namespaces;
// runc, without a network of its own, works in many containers.
var isolations = []isolation{
	{name: "the default isolation"},
	{name: "--isolation chroot", flags: []string{"--isolation", "chroot"}},
	{name: "--runtime runc --network host", flags: []string{"--network", "host"}, run: "runc"},
}

// command runs the engine. As root it gets mounts and processes of its own, which
// are gone with it however it ends; without root it makes a user namespace that
// has the same effect.
func (p *podman) command(args ...string) *exec.Cmd {
	global := []string{"--root", filepath.Join(p.dir, "storage"), "--runroot", p.run}
	global = append(global, p.driver...)
	if p.name == enginePodman {
		// systemd would be told process numbers of another namespace.
		global = append(global, "--cgroup-manager", "cgroupfs", "--events-backend", "none", "--tmpdir", filepath.Join(p.dir, "tmp"))
		if p.isolation.run != "" {
			global = append(global, "--runtime", p.isolation.run)
		}
	}
	words := append([]string{p.program}, append(global, args...)...)
	if asRoot() {
		words = slices.Concat([]string{"unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"}, p.ownNetwork(),
			[]string{"--", "sh", "-c", enter, filepath.Join(p.dir, "run")}, words)
	}
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir = p.dir
	// Images are unpacked by way of TMPDIR, which is /var/tmp otherwise.
	cmd.Env = append(os.Environ(), "TMPDIR="+filepath.Join(p.dir, "tmp"))
	return cmd
}

// shortRun is where root's engine has its run directory, which podman takes with a
// path of 50 characters at most: a mount over an empty directory, which nobody else
// sees.
const shortRun = "/run/leanlab-engine"

// enter prepares what unshare has made, and runs the engine. Without a network
// there is still a loopback interface, by which mix locks its builds.
const enter = `mount --bind "$0" ` + shortRun + ` && { ip link set lo up 2>/dev/null; exec "$@"; }`

func asRoot() bool { return os.Geteuid() == 0 }

// ownNetwork keeps all of the engine from the network, as root: no isolation has
// to do it then.
func (p *podman) ownNetwork() []string {
	if p.offline {
		return []string{"--net"}
	}
	return nil
}

// buildCommand builds with the isolation that was found.
func (p *podman) buildCommand(args ...string) *exec.Cmd {
	// No layer is kept for a next build: the storage goes with this one.
	flags := append([]string{"build", "--pull=never", "--layers=false"}, p.isolation.flags...)
	switch {
	case p.offline && asRoot():
		flags = append(flags, "--network", "host") // which has none
	case p.offline:
		flags = append(flags, "--network", "none")
	}
	if p.arch != cc.HostArch() {
		flags = append(flags, "--platform", platform(p.arch))
	}
	if p.name == engineBuildah && p.isolation.run != "" {
		flags = append(flags, "--runtime", p.isolation.run)
	}
	return p.command(append(flags, args...)...)
}

func (p *podman) prepare(ctx context.Context, ev builder.Events) error {
	if err := p.makeDirs(); err != nil {
		return err
	}
	if err := p.chooseDriver(ctx); err != nil {
		return err
	}
	return p.probe(ctx, ev)
}

// makeDirs makes the engine's directories.
func (p *podman) makeDirs() error {
	for _, dir := range []string{"tmp", "run"} {
		if err := os.MkdirAll(filepath.Join(p.dir, dir), 0o755); err != nil {
			return err
		}
	}
	if asRoot() {
		p.run = shortRun
		return os.MkdirAll(shortRun, 0o700)
	}
	var err error
	p.run, err = os.MkdirTemp(os.Getenv("XDG_RUNTIME_DIR"), "leanlab-")
	return err
}

// chooseDriver takes the storage driver that is configured, or what works on any
// file system.
func (p *podman) chooseDriver(ctx context.Context) error {
	var said []string
	for _, driver := range [][]string{nil, {"--storage-driver", "vfs"}} {
		p.driver = driver
		var out lastLine
		err := builder.Run(ctx, &out, p.command("images", "--quiet"))
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		said = append(said, strings.Join(driver, " ")+" "+out.text)
		p.close()
		if err := p.makeDirs(); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s cannot keep images in %s:\n  %s", p.name, p.dir, strings.Join(said, "\n  "))
}

// probe runs a program in each isolation until one works.
func (p *podman) probe(ctx context.Context, ev builder.Events) error {
	dir := filepath.Join(p.dir, "probe")
	if err := writeProbe(dir, p.arch); err != nil {
		return err
	}
	var said []string
	for _, p.isolation = range isolations {
		var out lastLine
		err := builder.Run(ctx, &out, p.buildCommand(dir))
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			said = append(said, p.isolation.name+": "+out.text)
			continue
		}
		ev.Emit(builder.Log{Line: fmt.Sprintf("%s works with %s", p.name, p.isolation.name)})
		if len(said) > 0 {
			ev.Emit(builder.Notice{Diagnostic: builder.Diagnostic{Severity: builder.Warning,
				Summary: p.name + " builds with " + p.isolation.name, Detail: "On this machine, " + strings.Join(said, "; ") + "."}})
		}
		return nil
	}
	hint := ""
	if p.arch != cc.HostArch() {
		hint = fmt.Sprintf("\nThis machine is %s: it runs programs for %s with QEMU's (Debian: qemu-user-static).", cc.HostArch(), p.arch)
	}
	return fmt.Errorf("%s cannot run a program in a container on this machine:\n  %s%s", p.program, strings.Join(said, "\n  "), hint)
}

func (p *podman) load(ctx context.Context, archive string, ev builder.Events) error {
	if p.name == engineBuildah {
		return builder.Run(ctx, ev, p.command("pull", "--quiet", "docker-archive:"+archive))
	}
	return builder.Run(ctx, ev, p.command("load", "--quiet", "--input", archive))
}

func (p *podman) build(ctx context.Context, o buildOptions, ev builder.Events) error {
	if asRoot() {
		return builder.Run(ctx, ev, p.buildCommand(append(o.flags(), "--output", "type=tar,dest="+o.tar, o.context)...))
	}
	// Without root the exporter takes set-user-ID and sticky bits away (seen with
	// buildah 1.28); an image in an archive keeps them.
	const result = ourImages + "result:1"
	if err := builder.Run(ctx, ev, p.buildCommand(append(o.flags(), "--tag", result, o.context)...)); err != nil {
		return err
	}
	save := p.command("push", "--quiet", result, "oci-archive:"+o.tar)
	return builder.Run(ctx, ev, save)
}

// close removes the storage. Files in it belong to other users; without root they
// can be removed in the engine's user namespace only.
func (p *podman) close() {
	if !asRoot() {
		cmd := p.command("unshare", "sh", "-c", `rm -rf "$0"/storage "$0"/tmp/buildah* "$1"/*`, p.dir, p.run)
		_ = builder.Run(context.Background(), &lastLine{}, cmd)
		p.endPause()
		_ = os.RemoveAll(p.run)
	}
	_ = os.RemoveAll(p.dir)
}

// endPause ends the process that podman leaves to hold its user namespace open
// (rootless podman's pause process, whose number it writes down).
func (p *podman) endPause() {
	for _, file := range []string{filepath.Join(p.dir, "tmp", "pause.pid"), filepath.Join(p.dir, "tmp", "libpod", "tmp", "pause.pid")} {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// lastLine is the last line that a command printed, without what every line of
// the engine begins with.
type lastLine struct{ text string }

func (l *lastLine) Emit(e builder.Event) {
	if log, ok := e.(builder.Log); ok && strings.TrimSpace(log.Line) != "" {
		l.text = strings.TrimPrefix(strings.TrimSpace(log.Line), "Error: ")
	}
}

// writeProbe writes a Dockerfile that runs a program which ends with status 0.
func writeProbe(dir, arch string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "probe"), exitProgram(arch), 0o755),
		os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\nCOPY probe /probe\nRUN [\"/probe\"]\n"), 0o644))
}

// exitProgram is a whole program for an architecture: _exit(0).
func exitProgram(arch string) []byte {
	const base, headers = 0x400000, 64 + 56
	machine, code := elf.EM_X86_64, []byte{0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05} // xor edi, edi; mov eax, 60; syscall
	if arch == "aarch64" {
		machine = elf.EM_AARCH64
		code = []byte{0, 0, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 1, 0, 0, 0xd4} // mov x0, 0; mov x8, 93; svc 0
	}
	size := uint64(headers + len(code))
	header := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: 1, Entry: base + headers, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1}
	copy(header.Ident[:], elf.ELFMAG)
	header.Ident[elf.EI_CLASS], header.Ident[elf.EI_DATA], header.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	var out bytes.Buffer
	_ = binary.Write(&out, binary.LittleEndian, header)
	_ = binary.Write(&out, binary.LittleEndian, elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: base, Paddr: base, Filesz: size, Memsz: size, Align: 0x1000})
	return slices.Concat(out.Bytes(), code)
}
