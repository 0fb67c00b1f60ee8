package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/somebloke1/elixir-lean-lab/core/guest"
	"github.com/somebloke1/elixir-lean-lab/core/internal/evaluator"
	"github.com/somebloke1/elixir-lean-lab/core/internal/instance"
	"github.com/somebloke1/elixir-lean-lab/core/vm"
)

// runFlags are run's own.
type runFlags struct {
	definitionFlags
	machineFlags
	memory, cpus int
	ports, env   []string
	readOnly     bool
	scratch      string
	detach, exec bool
	wait         time.Duration
	name         string
}

func (a *App) runCommand() *cobra.Command {
	f := &runFlags{}
	cmd := &cobra.Command{
		Use:   "run [IMAGE|VM] [-- ARG...]",
		Short: "Start a VM with this terminal at its console, or in the background",
		Long: `Start a VM: the definition's, or IMAGE, which is build/<vm> or its name, a bundle,
or a raw or qcow2 disk; with --kernel, its kernel. What is after -- goes to the app
(init:get_plain_arguments/0). In the foreground Ctrl-A X ends the VM.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if images(cmd, args) > 1 {
				return usageError{fmt.Errorf("%s: one IMAGE, and arguments of the app after --; run %s --help", cmd.CommandPath(), cmd.CommandPath())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			n := images(cmd, args)
			return a.run(cmd, f, strings.Join(args[:n], ""), args[n:])
		},
	}
	f.definitionFlags.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.kernel, "kernel", "", "kernel to boot, where IMAGE brings none: a bzImage (x86_64) or Image (aarch64)")
	flags.StringVar(&f.initrd, "initrd", "", "initrd for --kernel")
	flags.StringVar(&f.append, "append", "", "kernel command line for --kernel; console= and panic= are added")
	flags.IntVar(&f.memory, "memory", 0, "RAM in MiB (default: what the definition's proof boots with, otherwise 256)")
	flags.IntVar(&f.cpus, "cpus", 1, "number of CPUs")
	flags.StringArrayVarP(&f.ports, "publish", "p", nil, "let a TCP port of this host lead to one of the VM: [ADDR:]HOST:GUEST; ADDR is 127.0.0.1 unless given; may be repeated")
	flags.StringArrayVar(&f.env, "env", nil, "add to BEAM's environment: NAME=VALUE; may be repeated")
	flags.BoolVar(&f.readOnly, "read-only", false, "the VM cannot write to its disk (otherwise it can, and what it wrote is thrown away)")
	flags.StringVar(&f.scratch, "scratch", "", "an empty disk of that size, such as 1GiB, which is thrown away at the end")
	flags.BoolVarP(&f.detach, "detach", "d", false, "run in the background and print the VM's name")
	flags.DurationVar(&f.wait, "wait", 0, "with --detach: wait so long for BEAM to be ready, and end the VM when it is not")
	flags.BoolVar(&f.exec, "exec", false, "let leanlab exec evaluate code in it (default with --detach)")
	flags.StringVar(&f.name, "name", "", "what ps, stop and the others call it (default: after the image)")
	return cmd
}

// images is how many of the arguments stand before --.
func images(cmd *cobra.Command, args []string) int {
	if n := cmd.ArgsLenAtDash(); n >= 0 {
		return n
	}
	return len(args)
}

func (a *App) run(cmd *cobra.Command, f *runFlags, image string, args []string) error {
	ctx := cmd.Context()
	t, err := a.target(f, image)
	if err != nil {
		return err
	}
	if err := a.configure(t, f); err != nil {
		return err
	}
	boot, noExec, err := bootFor(t, f, cmd.Flags().Changed("exec"), args)
	if err != nil {
		return err
	}
	dir, err := instance.Open(a.getenv)
	if err != nil {
		return err
	}
	var why string
	t.Accel, why = dir.Accelerator(ctx, t.Arch)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	record := instance.Record{
		Name: f.name, Image: t.image, Arch: t.Arch, MemoryMiB: t.MemoryMiB, CPUs: t.CPUs, Accel: t.Accel,
		Ports: []string{}, Exec: noExec == "", NoExec: noExec, Detached: f.detach, Started: time.Now(),
	}
	for _, forward := range t.Forwards {
		record.Ports = append(record.Ports, forward.String())
	}
	i, err := dir.Create(record, t.name)
	if err != nil {
		return err
	}
	served, err := start(ctx, i, t, boot, f.scratch)
	if err != nil {
		return errors.Join(err, i.Remove())
	}
	if t.Accel == "tcg" {
		why = "emulated: " + why
	}
	fmt.Fprintf(a.Stderr, "leanlab: %s, %d MiB, %s\n", i.Name, t.MemoryMiB, why)
	if f.detach {
		return a.background(ctx, i, served, f.wait)
	}
	return errors.Join(a.foreground(ctx, i, served), i.Remove())
}

// target is what the command line names: the definition's VM, or an image.
func (a *App) target(f *runFlags, image string) (*target, error) {
	if image != "" || f.kernel != "" {
		return a.findTarget(image, f.machineFlags)
	}
	if f.machineFlags != (machineFlags{}) {
		return nil, usageError{errors.New("--initrd and --append are for a kernel: give it with --kernel")}
	}
	_, def, err := a.load(f.definitionFlags)
	if err != nil {
		return nil, err
	}
	output := filepath.Join(a.Dir, "build", def.Name)
	if _, err := os.Stat(output); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: not built yet; run leanlab build -f %s first: %w", output, f.file, err)
	}
	t, err := bundleTarget(output)
	if err != nil {
		return nil, err
	}
	t.image, t.MemoryMiB = def.Name, int(def.Proof.Memory>>20)
	return t, nil
}

// configure applies the flags.
func (a *App) configure(t *target, f *runFlags) error {
	if f.cpus < 1 || f.memory < 0 {
		return usageError{fmt.Errorf("%d CPUs and %d MiB: a VM needs at least one CPU and some memory", f.cpus, f.memory)}
	}
	if f.wait != 0 && !f.detach {
		return usageError{errors.New("--wait is for --detach: in the foreground the console shows what happens")}
	}
	t.CPUs = f.cpus
	if f.memory > 0 {
		t.MemoryMiB = f.memory
		if err := a.enoughMemory(t); err != nil {
			return err
		}
	}
	if f.readOnly && t.Disk == "" {
		return usageError{fmt.Errorf("--read-only: %s has no disk; its root is in memory, and gone with the VM", t.image)}
	}
	t.ReadOnly = f.readOnly
	t.Net, t.Outside = true, true
	for _, port := range f.ports {
		forward, err := parseForward(port)
		if err != nil {
			return usageError{err}
		}
		t.Forwards = append(t.Forwards, forward)
	}
	return portsFree(t.Forwards)
}

// enoughMemory compares what is asked for with what the image was measured to need.
func (a *App) enoughMemory(t *target) error {
	if t.manifest == nil {
		return nil
	}
	if m := t.manifest.Memory; m != nil && m.MinMiB > int64(t.MemoryMiB) {
		return fmt.Errorf("%s does not run in %d MiB: the least that it was measured to need is %d MiB; give --memory %d or more", t.image, t.MemoryMiB, m.MinMiB, m.MinMiB)
	}
	if proven := t.manifest.Boot.MemoryMiB; proven > int64(t.MemoryMiB) {
		fmt.Fprintf(a.Stderr, "leanlab: %s was proven with %d MiB; with %d it may not come up\n", t.image, proven, t.MemoryMiB)
	}
	return nil
}

// parseForward reads [ADDR:]HOST:GUEST.
func parseForward(s string) (vm.Forward, error) {
	f := vm.Forward{Addr: "127.0.0.1"}
	parts := strings.Split(s, ":")
	wrong := fmt.Errorf("-p %s: want [ADDR:]HOST:GUEST, with an IPv4 address and ports from 1 to 65535, such as 4000:4000", s)
	if len(parts) == 3 {
		if ip := net.ParseIP(parts[0]); ip == nil || ip.To4() == nil {
			return f, wrong
		}
		f.Addr, parts = parts[0], parts[1:]
	}
	if len(parts) != 2 {
		return f, wrong
	}
	for i, port := range []*int{&f.Host, &f.Guest} {
		n, err := strconv.ParseUint(parts[i], 10, 16)
		if err != nil || n == 0 {
			return f, wrong
		}
		*port = int(n)
	}
	return f, nil
}

// portsFree finds out before QEMU does, which says less about it.
func portsFree(forwards []vm.Forward) error {
	for _, f := range forwards {
		l, err := net.Listen("tcp4", net.JoinHostPort(f.Addr, strconv.Itoa(f.Host)))
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("-p %s: port %d of %s is in use; choose another, such as -p %d:%d", f, f.Host, f.Addr, f.Host%65535+1, f.Guest)
		}
		if err != nil {
			return fmt.Errorf("-p %s: %w", f, err)
		}
		defer l.Close() // all at once: the same port twice is in use, too
	}
	return nil
}

// bootFor returns the boot file that the flags ask for, nil for the image's own,
// and why there will be no evaluator, if there will be none.
func bootFor(t *target, f *runFlags, execGiven bool, args []string) (boot *guest.Boot, noExec string, err error) {
	env, err := parseEnv(f.env)
	if err != nil {
		return nil, "", usageError{err}
	}
	exec := f.exec || f.detach && !execGiven
	changes := len(env) > 0 || len(args) > 0
	if !exec && !changes {
		return nil, notAsked, nil
	}
	own, err := ownBoot(t)
	if err != nil && (changes || f.exec) {
		return nil, "", fmt.Errorf("--env, --exec and arguments for the app cannot be passed on: %w", err)
	} else if err != nil {
		return nil, err.Error(), nil
	}
	if !exec {
		noExec = notAsked
	} else if t.Channel, err = evaluator.Channel(own); err != nil {
		noExec = err.Error()
	}
	if noExec != "" && f.exec {
		return nil, "", fmt.Errorf("--exec: %s", noExec)
	}
	with := own.With(env, args, noExec == "")
	if _, err := with.Encode(); err != nil {
		return nil, "", fmt.Errorf("--env, --exec and arguments for the app: %w", err)
	}
	return &with, noExec, nil
}

// notAsked is why a VM has no evaluator.
const notAsked = "it was started without --exec"

func ownBoot(t *target) (guest.Boot, error) {
	if t.Initrd == "" {
		return guest.Boot{}, fmt.Errorf("%s has no initrd, in which they are handed to /init", t.image)
	}
	return guest.BootOf(t.Initrd)
}

func parseEnv(words []string) (map[string]string, error) {
	env := map[string]string{}
	for _, word := range words {
		name, value, ok := strings.Cut(word, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--env %s: want NAME=VALUE", word)
		}
		env[name] = value
	}
	return env, nil
}

// start starts the instance's QEMU, paused. Files that only QEMU needs, and has
// open by then, are gone when it returns.
func start(ctx context.Context, i *instance.Instance, t *target, boot *guest.Boot, scratch string) (*vm.Served, error) {
	config := t.Config
	if boot != nil {
		config.Initrd = filepath.Join(i.Path, "initrd")
		defer os.Remove(config.Initrd)
		if err := guest.WriteInitrd(config.Initrd, t.Initrd, *boot); err != nil {
			return nil, err
		}
	}
	if scratch != "" {
		path, err := emptyDisk(scratch)
		if err != nil {
			return nil, err
		}
		defer os.Remove(path)
		config.Scratch = path
	}
	served, err := vm.Start(ctx, config, i.Path, i.Detached)
	if err != nil {
		return nil, err
	}
	if err := i.Running(served.PID()); err != nil {
		served.Kill()
		return nil, err
	}
	return served, nil
}

// emptyDisk makes a sparse file in the temporary directory.
func emptyDisk(size string) (string, error) {
	bytes, err := humanize.ParseBytes(size)
	if err != nil || bytes < 1<<20 || bytes > 1<<43 {
		return "", usageError{fmt.Errorf("--scratch %s: want a size from 1MiB to 8TiB, such as 1GiB", size)}
	}
	f, err := os.CreateTemp("", "leanlab-scratch-")
	if err != nil {
		return "", err
	}
	return f.Name(), errors.Join(f.Truncate(int64(bytes)&^(sectorBytes-1)), f.Close())
}

// background leaves the VM alone.
func (a *App) background(ctx context.Context, i *instance.Instance, served *vm.Served, wait time.Duration) error {
	defer served.Close()
	err := resumeAndWait(ctx, served, wait)
	if err != nil {
		served.Kill()
		return errors.Join(err, i.Remove())
	}
	fmt.Fprintln(a.Stdout, i.Name)
	return nil
}

func resumeAndWait(ctx context.Context, served *vm.Served, wait time.Duration) error {
	if wait == 0 {
		return served.Resume(ctx)
	}
	watched, err := served.Watch(ctx, vm.Check{Timeout: wait})
	if err != nil {
		return err
	}
	defer watched.Close()
	if err := served.Resume(ctx); err != nil {
		return err
	}
	return watched.Ready(ctx)
}

// patience is how long a VM in the foreground may take to go down, a little more
// than /init gives BEAM.
const patience = 15 * time.Second

// stoppedError says that a VM in the foreground ended because this process was
// asked to end.
type stoppedError struct{ how string }

func (e stoppedError) Error() string { return "interrupted; the VM " + e.how }

// foreground shows the console until the VM has ended.
func (a *App) foreground(ctx context.Context, i *instance.Instance, served *vm.Served) error {
	defer served.Kill()
	console, err := vm.Dial(ctx, i.Path, vm.ConsoleSocket)
	if err != nil {
		return err
	}
	if err := served.Resume(ctx); err != nil {
		console.Close()
		return err
	}
	fmt.Fprintln(a.Stderr, "leanlab: Ctrl-A X ends the VM")
	how := make(chan string, 1)
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-ctx.Done():
			how <- endGracefully(served)
		case <-done:
		}
	}()
	if err := vm.Attach(context.WithoutCancel(ctx), console, a.Stdin, a.Stdout); errors.Is(err, vm.ErrDetached) {
		fmt.Fprintln(a.Stderr)
		return nil
	} else if err != nil {
		return err
	}
	<-served.Ended()
	if ctx.Err() != nil {
		return stoppedError{<-how}
	}
	if !served.PoweredOff() {
		return fmt.Errorf("%s did not power off, but was ended: it panicked or restarted, as its console says, or leanlab stop killed it", i.Name)
	}
	return nil
}

// endGracefully presses the power button, and kills the VM when it does not go
// down or another signal comes.
func endGracefully(served *vm.Served) (how string) {
	again := make(chan os.Signal, 1)
	signal.Notify(again, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(again)
	limited, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := served.Powerdown(limited)
	if err == nil {
		select {
		case <-served.Ended():
			return "was shut down"
		case <-again:
			served.Kill()
			return "was killed, since the signal came again"
		case <-limited.Done():
		}
	}
	served.Kill()
	return fmt.Sprintf("did not shut down in %v and was killed", patience)
}
