package kernel

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// Build is one configured build of the kernel or of BusyBox. The source tree is
// only read; everything is written below Out.
type Build struct {
	Source    string // the unpacked source tree, never built in before
	Out       string // O=, absolute
	Arch      Arch
	Base      string // make target that gives the first .config: "tinyconfig", or "allnoconfig" for BusyBox
	Fragments []*Fragment
	Jobs      int      // make -j
	Env       []string // NAME=value, added to the environment of make and winning over it
	Vars      []string // NAME=value on make's command line, where it wins over the makefiles: CC, HOSTCC
}

// generated keeps the .config as the fragments gave it, to tell what was edited since.
const generated = ".config.generated"

// Configure makes Out/.config from the base and the fragments and proves that it
// holds every request; otherwise the error is a *DroppedError.
//
// An option that neither mentions is off, whatever its own default: plain
// olddefconfig turns on 212 more for this project's fragments on Linux 6.12,
// since a request makes visible what the base had no answer for.
func (b *Build) Configure(ctx context.Context, ev builder.Events) error {
	if err := os.MkdirAll(b.Out, 0o755); err != nil {
		return err
	}
	cfg, tree, err := b.generate(ctx, ev, b.Fragments)
	if err != nil {
		return err
	}
	if dropped := Check(cfg, b.Fragments, tree); len(dropped) > 0 {
		return &DroppedError{Dropped: dropped}
	}
	return b.accept()
}

// Config reads Out/.config.
func (b *Build) Config() (*Config, error) { return ReadConfig(b.path(".config")) }

// Image builds what Arch.Target stands for and returns its path. Configure must
// have succeeded. Progress counts objects; its total is an estimate.
func (b *Build) Image(ctx context.Context, ev builder.Events) (string, error) {
	cfg, err := b.Config()
	if err != nil {
		return "", fmt.Errorf("%w: the build is not configured", err)
	}
	count := &objectCounter{events: ev, total: b.estimateObjects(cfg)}
	cmd := b.make("-j"+strconv.Itoa(max(b.Jobs, 1)), b.Arch.Target)
	if err := builder.Run(ctx, count, cmd); err != nil {
		return "", err
	}
	count.finish()
	image := b.path(b.Arch.Image)
	if _, err := os.Stat(image); err != nil {
		return "", fmt.Errorf("make %s succeeded without making its image: %w", b.Arch.Target, err)
	}
	return image, nil
}

func (b *Build) path(name string) string { return filepath.Join(b.Out, name) }

// make is a make of the given arguments. Its environment does not depend on the
// caller's: a MAKEFLAGS or ARCH of an outer make, or a KCFLAGS that somebody
// exported, must not change the result.
func (b *Build) make(args ...string) *exec.Cmd {
	args = append([]string{"-C", b.Source, "O=" + b.Out, "ARCH=" + b.Arch.Kernel, "CROSS_COMPILE=" + b.Arch.Cross},
		append(slices.Clone(b.Vars), args...)...)
	cmd := exec.Command("make", args...)
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	cmd.Env = append(cmd.Env,
		"LC_ALL=C", "TZ=UTC",
		// kernel doc kbuild/reproducible-builds.rst
		"KBUILD_BUILD_TIMESTAMP=Thu Jan  1 00:00:00 UTC 1970",
		"KBUILD_BUILD_USER=leanlab", "KBUILD_BUILD_HOST=leanlab",
		"KBUILD_BUILD_VERSION=1",
		"SOURCE_DATE_EPOCH=0",   // BusyBox's banner
		"KCONFIG_NOTIMESTAMP=1", // BusyBox's .config
	)
	cmd.Env = append(cmd.Env, b.Env...)
	return cmd
}

// generate has conf make Out/.config from the base and frags.
func (b *Build) generate(ctx context.Context, ev builder.Events, frags []*Fragment) (*Config, *KconfigTree, error) {
	if err := builder.Run(ctx, ev, b.make(b.Base)); err != nil {
		return nil, nil, err
	}
	base, err := b.Config()
	if err != nil {
		return nil, nil, err
	}
	tree, err := b.kconfig()
	if err != nil {
		return nil, nil, err
	}
	var text bytes.Buffer
	if err := preset(&text, base, tree, requests(frags)); err != nil {
		return nil, nil, err
	}
	if err := replaceFile(b.path(".config"), text.Bytes(), 0o644); err != nil {
		return nil, nil, err
	}
	if err := b.resolve(ctx, ev); err != nil {
		return nil, nil, err
	}
	cfg, err := b.Config()
	return cfg, tree, err
}

// resolve has conf complete Out/.config with defaults.
func (b *Build) resolve(ctx context.Context, ev builder.Events) error {
	modern, err := b.hasTarget("olddefconfig")
	if err != nil {
		return err
	}
	if modern {
		return builder.Run(ctx, ev, b.make("olddefconfig"))
	}
	// BusyBox's conf only knows how to ask; an empty answer is the default.
	cmd := b.make("oldconfig")
	cmd.Stdin = newlines{}
	return builder.Run(ctx, ev, cmd)
}

// hasTarget reports whether the tree's kconfig has a make target.
func (b *Build) hasTarget(name string) (bool, error) {
	rules, err := os.ReadFile(filepath.Join(b.Source, "scripts", "kconfig", "Makefile"))
	if err != nil {
		return false, fmt.Errorf("%w: %s is no tree of Linux or BusyBox", err, b.Source)
	}
	return bytes.Contains(rules, []byte(name)), nil
}

// newlines is an endless supply of empty lines.
type newlines struct{}

func (newlines) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '\n'
	}
	return len(p), nil
}

// kconfig reads the tree's Kconfig files. BusyBox keeps its own name for them
// and generates some in Out, so Configure's make must have run.
func (b *Build) kconfig() (*KconfigTree, error) {
	root := "Kconfig"
	if _, err := os.Stat(filepath.Join(b.Source, root)); os.IsNotExist(err) {
		root = "Config.in"
	}
	env := map[string]string{"ARCH": b.Arch.Kernel, "SRCARCH": b.Arch.srcarch()}
	return ReadKconfig([]string{b.Out, b.Source}, root, env)
}

// replaceFile writes a file whole or not at all.
func replaceFile(path string, data []byte, mode os.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Chmod(mode)
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// objectCounter passes events on and counts the objects that make announces.
type objectCounter struct {
	events      builder.Events
	done, total int64
}

// Emit is called by one goroutine at a time: builder.Run's reader.
func (c *objectCounter) Emit(e builder.Event) {
	c.events.Emit(e)
	if line, ok := e.(builder.Log); ok && isObjectLine(line.Line) {
		c.done++
		c.total = max(c.total, c.done)
		c.progress()
	}
}

func (c *objectCounter) finish() {
	c.total = c.done
	c.progress()
}

func (c *objectCounter) progress() {
	c.events.Emit(builder.Progress{Done: c.done, Total: c.total, Unit: "objects"})
}

// isObjectLine knows Kbuild's short lines, such as "  CC      init/main.o".
func isObjectLine(line string) bool {
	f := strings.Fields(line)
	return len(f) == 2 && strings.HasPrefix(line, "  ") && (f[0] == "CC" || f[0] == "AS") && strings.HasSuffix(f[1], ".o")
}

// estimateObjects adds up the objects that the makefiles list for cfg. It takes
// both sides of their conditionals and misses what they compute, which is good
// enough for a progress bar: a fifth low for the kernel.
func (b *Build) estimateObjects(cfg *Config) int64 {
	e := &estimator{dirs: []string{b.Out, b.Source}, srcarch: b.Arch.srcarch(), cfg: cfg, seen: map[string]bool{}}
	e.dir(".")
	e.dir(filepath.Join("arch", e.srcarch))
	return e.objects
}

type estimator struct {
	dirs    []string
	srcarch string
	cfg     *Config
	seen    map[string]bool // directories
	objects int64
}

// dir counts the objects of one directory and those below it.
func (e *estimator) dir(name string) {
	if e.seen[name] {
		return
	}
	e.seen[name] = true
	lists := map[string][]string{}
	// A directory is built from its Kbuild file where it has one; the top level
	// and the architecture have both.
	for _, file := range []string{"Kbuild", "Makefile"} {
		for _, root := range e.dirs {
			data, err := os.ReadFile(filepath.Join(root, name, file))
			if err != nil {
				continue
			}
			e.read(data, lists)
			break
		}
	}
	for _, kind := range []string{"obj", "lib", "libs", "core", "drivers", "net", "head"} {
		for _, item := range lists[kind] {
			e.item(name, item, lists)
		}
	}
}

func (e *estimator) item(dir, item string, lists map[string][]string) {
	if sub, ok := strings.CutSuffix(item, "/"); ok {
		if _, err := os.Stat(filepath.Join(e.dirs[len(e.dirs)-1], dir, sub)); err != nil {
			dir = "." // the architecture's makefile names paths from the top
		}
		e.dir(filepath.Join(dir, sub))
		return
	}
	object, ok := strings.CutSuffix(item, ".o")
	if !ok {
		return
	}
	if parts := lists[object]; len(parts) > 0 {
		e.objects += int64(len(parts))
		return
	}
	e.objects++
}

// read collects "NAME-y += ITEMS" and "NAME-$(CONFIG_X) += ITEMS" by NAME.
func (e *estimator) read(data []byte, lists map[string][]string) {
	data = bytes.ReplaceAll(data, []byte("\\\n"), nil)
	sc := bufio.NewScanner(bytes.NewReader(data))
	for sc.Scan() {
		line, _, _ := strings.Cut(sc.Text(), "#")
		left, right, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		name, cond, ok := cutLast(strings.TrimRight(left, " \t:+"), '-')
		if !ok || strings.ContainsAny(name, " \t") || !e.holds(cond) {
			continue
		}
		right = strings.ReplaceAll(right, "$(SRCARCH)", e.srcarch)
		lists[name] = append(lists[name], strings.Fields(right)...)
	}
}

func (e *estimator) holds(cond string) bool {
	if symbol, ok := strings.CutPrefix(cond, "$(CONFIG_"); ok {
		return e.cfg.Value(strings.TrimSuffix(symbol, ")")) == "y"
	}
	return cond == "y" || cond == "objs"
}

func cutLast(s string, sep byte) (before, after string, found bool) {
	if i := strings.LastIndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}
