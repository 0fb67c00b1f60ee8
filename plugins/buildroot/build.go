package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/kernel"
)

// buildAll runs make in the directory that it was run in before.
func buildAll(ctx context.Context, req *builder.BuildRequest, ev builder.Events) error {
	b, err := prepare(ctx, req, ev)
	if err != nil {
		return err
	}
	g, err := readGraph(req.Needs[stepConfiguration])
	if err != nil {
		return err
	}
	if err := roomProblem(req.Work, roomToGoOn); err != nil {
		return err
	}
	config, now, err := b.bringUpToDate(ctx, g)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(b.logs()); err != nil {
		return err
	}
	if err := b.run(ctx, g, now, config); err != nil {
		return err
	}
	if err := b.collect(g); err != nil {
		return err
	}
	now.Status = statusDone
	return b.writeState(now)
}

// roomToGoOn is for a build that has its packages already.
const roomToGoOn = 1 << 29

func (b *build) logs() string { return filepath.Join(b.req.Work, "logs") }

// bringUpToDate takes away what of an earlier build does not count, and returns
// the configuration and state of this one.
func (b *build) bringUpToDate(ctx context.Context, g graph) (*kernel.Config, *state, error) {
	config, err := b.configure(ctx)
	if err != nil {
		return nil, nil, err
	}
	now, err := b.currentState(ctx, g, config)
	if err != nil {
		return nil, nil, err
	}
	was := b.readState()
	d, err := b.decide(was, now, g)
	if err != nil {
		return nil, nil, err
	}
	d.say(b.ev, len(g.built()))
	if was == nil && b.hasBuilt() {
		d.full = []string{"nothing says what the output directory was built from"}
	}
	if len(d.full) == 0 {
		if err := b.recover(was); err != nil {
			return nil, nil, err
		}
	}
	if err := b.apply(d, was); err != nil {
		return nil, nil, err
	}
	if len(d.full) > 0 {
		if err := os.MkdirAll(b.out(), 0o755); err != nil {
			return nil, nil, err
		}
		if config, err = b.configure(ctx); err != nil {
			return nil, nil, err
		}
	}
	now.Status = statusRunning
	return config, now, b.writeState(now)
}

// hasBuilt reports whether there are packages in the output directory, beside the
// conf that made its .config.
func (b *build) hasBuilt() bool {
	entries, err := os.ReadDir(filepath.Join(b.out(), "build"))
	return err == nil && slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() != "buildroot-config" })
}

// earlyGoals are what tells soon that a build cannot succeed: the downloads, and
// the configurations of the kernel and BusyBox, for which the toolchain must be
// there. Behind them stands the gate.
func (b *build) earlyGoals(g graph) []string {
	goals := []string{"source"}
	for _, name := range []string{"linux", "busybox"} {
		if p := g[name]; p != nil {
			goals = append(goals, filepath.Join(b.out(), p.StampDir, ".stamp_kconfig_fixup_done"))
		}
	}
	return goals
}

// run runs make, and sees to it that a later build can go on from wherever it
// ends.
func (b *build) run(ctx context.Context, g graph, now *state, config *kernel.Config) error {
	t, err := newTracker(b.ev, b.logs(), g, b.out())
	if err != nil {
		return err
	}
	gate, err := newGate(b.req.Work, b.request.conf.overrides())
	if err != nil {
		return err
	}
	b.make.vars = append(b.make.vars, "BR2_PACKAGE_OVERRIDE_FILE="+gate.makefile) // the last one counts
	answered := gate.answer(func() error { return b.checkOwnConfigs(g, config) })
	err = builder.Run(ctx, t, b.make.command(append(b.earlyGoals(g), gateGoal, "all")...))
	gate.close()
	wrong := <-answered
	t.finish()
	if err == nil {
		return nil
	}
	// On a full disk nobody knows what was written to its end; after SIGKILL
	// neither. Then the status stays "running".
	if !isFull(b.req.Work, err) && (ctx.Err() == nil || endedByItself(err)) {
		now.Status = statusStopped
		err = errors.Join(err, b.writeState(now))
	}
	switch {
	case ctx.Err() != nil:
		return err
	case wrong != nil:
		return wrong
	}
	return t.failure(err, g)
}

// isFull says that a failure comes of a full disk: by make's words, or by what
// is free now.
func isFull(dir string, err error) bool {
	if strings.Contains(strings.ToLower(err.Error()), unix.ENOSPC.Error()) {
		return true
	}
	var st unix.Statfs_t
	const room = 1 << 20
	return unix.Statfs(dir, &st) == nil && st.Bavail*uint64(st.Bsize) < room
}

// endedByItself says that make took SIGTERM as a request: then it has removed
// the file that it was making (GNU make manual, "Interrupting or Killing make").
func endedByItself(err error) bool {
	return !strings.Contains(err.Error(), unix.SIGKILL.String())
}

// checkOwnConfigs proves that the kernel's and BusyBox' .config hold every
// request of the fragments, as conf drops what it cannot have without a word.
func (b *build) checkOwnConfigs(g graph, config *kernel.Config) error {
	arch, err := kernel.ArchFor(b.req.Definition.Arch)
	if err != nil {
		return err
	}
	srcarch := map[string]string{"x86_64": "x86", "aarch64": "arm64"}[arch.Name]
	var problems []string
	for _, c := range []struct {
		name, root string
		symbols    []string
	}{
		{"linux", "Kconfig", []string{"BR2_LINUX_KERNEL_CUSTOM_CONFIG_FILE", "BR2_LINUX_KERNEL_CONFIG_FRAGMENT_FILES"}},
		{"busybox", "Config.in", []string{"BR2_PACKAGE_BUSYBOX_CONFIG", "BR2_PACKAGE_BUSYBOX_CONFIG_FRAGMENT_FILES"}},
	} {
		p := g[c.name]
		if p == nil {
			continue
		}
		frags, err := b.fragments(config, c.symbols)
		if err != nil {
			return err
		}
		dir := filepath.Join(b.out(), p.StampDir)
		made, err := kernel.ReadConfig(filepath.Join(dir, ".config"))
		if err != nil {
			return err
		}
		tree, err := kernel.ReadKconfig([]string{dir}, c.root, map[string]string{"ARCH": arch.Kernel, "SRCARCH": srcarch})
		if err != nil {
			return err
		}
		for _, d := range kernel.Check(made, frags, tree) {
			text := d.String()
			if strings.Contains(d.Reason, "conf did not take it") {
				text += ", and whether Buildroot's own makefile of " + c.name + " sets it"
			}
			problems = append(problems, text)
		}
		if c.name == "linux" {
			if err := checkRoot(b.req.Definition, filepath.Join(dir, ".config")); err != nil {
				problems = append(problems, err.Error())
			}
		}
	}
	if len(problems) > 0 {
		return fmt.Errorf("a package's .config is not as requested; mend the lines that are named:\n  %s", strings.Join(problems, "\n  "))
	}
	return nil
}

// fragments reads the files that symbols name; those that Buildroot brings are
// nobody's request.
func (b *build) fragments(config *kernel.Config, symbols []string) ([]*kernel.Fragment, error) {
	var frags []*kernel.Fragment
	for _, symbol := range symbols {
		value := config.Value(symbol)
		if value == "n" {
			continue
		}
		for word := range strings.FieldsSeq(unquote(value)) {
			path := b.expand(word)
			if rel, err := filepath.Rel(b.br.dir, path); err == nil && filepath.IsLocal(rel) {
				continue
			}
			f, err := kernel.ReadFragment(path)
			if err != nil {
				return nil, err
			}
			frags = append(frags, f)
		}
	}
	return frags, nil
}

// checkRoot says why a kernel could not get at the root that the definition asks
// for. The build asks it before it compiles one, the machine once more: another
// root builds no kernel again.
func checkRoot(def *builder.Definition, path string) error {
	arch, err := kernel.ArchFor(def.Arch)
	if err != nil {
		return err
	}
	config, err := kernel.ReadConfig(path)
	if err != nil {
		return err
	}
	if err := config.CheckRoot(arch, kernel.RootOf(def)); err != nil {
		return fmt.Errorf("linux: %w: name them in BR2_LINUX_KERNEL_CONFIG_FRAGMENT_FILES", err)
	}
	return nil
}
