package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/cc"
)

// docker builds in Docker's daemon, with the builder that every docker has, and
// not with BuildKit: that exports from a builder which does not see the daemon's
// images, unless it is set up for it. The daemon's storage is shared, so all that
// a build makes has the build's name in it, and the next build removes what one
// that was killed has left.
type docker struct {
	program string
	arch    string
	offline bool
	dir     string
	run     string   // the build's name
	network string   // of a RUN; empty: the daemon's default
	layers  []string // ids of the images that the builder makes on its way
}

// ourImages begins the names of images in an engine. No registry can answer for
// them (RFC 2606, section 2).
const ourImages = "leanlab.invalid/"

func newDocker(program string, req *builder.BuildRequest) *docker {
	return &docker{program: program, arch: req.Definition.Arch, offline: req.Offline, dir: filepath.Join(req.Work, "engine"), run: thisRun()}
}

// thisRun names this process among all that use the daemon: MACHINE-PID-START.
func thisRun() string { return fmt.Sprintf("%s-%d-%s", machine(), os.Getpid(), startTime(os.Getpid())) }

// machine names the PID namespace that process numbers mean something in.
func machine() string {
	host, _ := os.Hostname()
	pids, _ := os.Readlink("/proc/self/ns/pid")
	sum := sha256.Sum256([]byte(host + " " + pids))
	return hex.EncodeToString(sum[:4])
}

// startTime tells a process from another one that gets its number (proc(5),
// /proc/pid/stat, the 22nd field; the second is in parentheses). It is empty for
// a process that is not there.
func startTime(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 20 {
		return ""
	}
	return fields[19]
}

// abandoned reports whether a build of that name, on this machine, is over.
func abandoned(run string) bool {
	parts := strings.Split(run, "-")
	if len(parts) != 3 || parts[0] != machine() {
		return false
	}
	pid, err := strconv.Atoi(parts[1])
	return err == nil && startTime(pid) != parts[2]
}

func (d *docker) prefix() string { return ourImages + d.run + "/" }

func (d *docker) command(args ...string) *exec.Cmd {
	cmd := exec.Command(d.program, args...)
	cmd.Env = append(os.Environ(), "DOCKER_BUILDKIT=0")
	return cmd
}

func (d *docker) buildCommand(image string, args ...string) *exec.Cmd {
	// Without a cache, what the builder makes is this build's, and can be removed.
	flags := []string{"build", "--pull=false", "--no-cache", "--force-rm", "--tag", image}
	switch {
	case d.offline:
		flags = append(flags, "--network", "none")
	case d.network != "":
		flags = append(flags, "--network", d.network)
	}
	if d.arch != cc.HostArch() {
		flags = append(flags, "--platform", platform(d.arch))
	}
	return d.command(append(flags, args...)...)
}

func (d *docker) prepare(ctx context.Context, ev builder.Events) error {
	d.sweep(ctx, abandoned)
	dir := filepath.Join(d.dir, "probe")
	if err := writeProbe(dir, d.arch); err != nil {
		return err
	}
	var said []string
	for _, network := range []string{"", "host"} {
		d.network = network
		how := map[string]string{"": "the daemon's default network", "host": "--network host"}[network]
		var out lastLine
		err := builder.Run(ctx, d.note(&out), d.buildCommand(d.prefix()+"probe", dir))
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			said = append(said, how+": "+out.text)
			continue
		}
		ev.Emit(builder.Log{Line: "docker works with " + how})
		if len(said) > 0 {
			ev.Emit(builder.Notice{Diagnostic: builder.Diagnostic{Severity: builder.Warning,
				Summary: "docker builds with " + how, Detail: "On this machine, " + strings.Join(said, "; ") + "."}})
		}
		return nil
	}
	return fmt.Errorf("%s cannot run a program in a container:\n  %s", d.program, strings.Join(said, "\n  "))
}

func (d *docker) load(ctx context.Context, archive string, ev builder.Events) error {
	return builder.Run(ctx, ev, d.command("load", "--quiet", "--input", archive))
}

func (d *docker) build(ctx context.Context, o buildOptions, ev builder.Events) error {
	image, container := d.prefix()+"result", "leanlab-"+d.run
	if err := builder.Run(ctx, d.note(ev), d.buildCommand(image, append(o.flags(), o.context)...)); err != nil {
		return err
	}
	// A container that never runs: its command need not be there.
	return errors.Join(
		builder.Run(ctx, ev, d.command("create", "--name", container, image, "none")),
		builder.Run(ctx, ev, d.command("export", "--output", o.tar, container)))
}

// layerLine names an image that the builder has made.
var layerLine = regexp.MustCompile(`^ ---> ([0-9a-f]{12})$`)

// noting keeps the ids of the builder's images.
type noting struct {
	builder.Events
	d *docker
}

func (d *docker) note(ev builder.Events) noting { return noting{ev, d} }

func (n noting) Emit(e builder.Event) {
	if log, ok := e.(builder.Log); ok {
		if m := layerLine.FindStringSubmatch(log.Line); m != nil {
			n.d.layers = append(n.d.layers, m[1])
		}
	}
	n.Events.Emit(e)
}

// close removes what the build has made: names first, then images from the last
// to the first, each of which is needed by the one after. What is somebody else's
// too has a name and stays.
func (d *docker) close() {
	ctx := context.Background()
	d.sweep(ctx, func(run string) bool { return run == d.run })
	slices.Reverse(d.layers)
	for _, id := range d.layers {
		_ = builder.Run(ctx, &lastLine{}, d.command("image", "rm", id))
	}
	_ = os.RemoveAll(d.dir)
}

// sweep removes containers and images of builds. What cannot be removed now is
// the next build's to remove.
func (d *docker) sweep(ctx context.Context, of func(run string) bool) {
	for _, kind := range []struct {
		list, remove []string
		begin        string
	}{
		{[]string{"container", "ls", "--all", "--format", "{{.Names}}"}, []string{"container", "rm", "--force"}, "leanlab-"},
		{[]string{"image", "ls", "--format", "{{.Repository}}:{{.Tag}}"}, []string{"image", "rm"}, ourImages},
	} {
		out, err := d.command(kind.list...).Output()
		if err != nil {
			continue
		}
		for _, name := range strings.Fields(string(out)) {
			rest, ours := strings.CutPrefix(name, kind.begin)
			run, _, _ := strings.Cut(rest, "/")
			if ours && of(run) {
				_ = builder.Run(ctx, &lastLine{}, d.command(append(kind.remove, name)...))
			}
		}
	}
}

// missingDaemon says why the daemon does not answer; empty when it does.
func missingDaemon(ctx context.Context) string {
	cmd := exec.CommandContext(ctx, engineDocker, "version", "--format", "{{.Server.Version}}")
	var errs strings.Builder
	cmd.Stderr = &errs
	if cmd.Run() == nil {
		return ""
	}
	text := strings.TrimSpace(errs.String())
	return text[strings.LastIndexByte(text, '\n')+1:]
}
