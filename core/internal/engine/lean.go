package engine

import (
	"context"
	"debug/elf"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/guest"
	"github.com/somebloke1/elixir-lean-lab/core/internal/store"
	"github.com/somebloke1/elixir-lean-lab/core/internal/ui"
	"github.com/somebloke1/elixir-lean-lab/core/lean"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// What the lean step publishes.
const (
	leanTar  = "rootfs.tar"
	leanFile = "lean.json"
)

// leanResult is the tree that goes into the image.
type leanResult struct {
	Report     *lean.Report
	Components map[string][]string // component → paths
	entry      *store.Entry
}

// open reads the tree. Contents stay in the tar until they are read.
func (l *leanResult) open() (*rootfs.Tree, error) {
	tree := rootfs.New()
	return tree, tree.AddTar(filepath.Join(l.entry.Dir, leanTar), "/")
}

// leanTree puts the machine's root and the release together and takes away what
// is not needed.
func (e *Engine) leanTree(ctx context.Context, m *stepResults, r *appResult) (*leanResult, error) {
	entry, err := e.step(ctx, "lean: "+e.VM.Lean.Level, e.leanStep(m, r.key), func(ctx context.Context, out, work string, ev ui.Step) error {
		return e.makeLean(ctx, m, r, out)
	})
	if err != nil {
		return nil, err
	}
	return readLean(entry)
}

// leanStep depends on all that goes into the tree and on what leans it.
func (e *Engine) leanStep(m *stepResults, app string) store.Step {
	return store.Step{Kind: "lean", Scope: e.VM.Name, Inputs: store.Inputs{
		"machine":  m.key(),
		"app":      app,
		"level":    e.VM.Lean.Level,
		"keep":     strings.Join(e.VM.Lean.Keep, " "),
		"user":     e.VM.User,
		"hostname": e.def.Hostname,
		"env":      fmt.Sprint(e.VM.Env), // fmt prints maps in order of their keys
		"emulator": strings.Join(emulatorFlags, " "),
		"rules":    lean.RulesDigest(),
		"recipe":   "3", // raise when makeLean or boot change
	}}
}

func readLean(entry *store.Entry) (*leanResult, error) {
	l := &leanResult{entry: entry}
	data, err := os.ReadFile(filepath.Join(entry.Dir, leanFile))
	if err != nil {
		return nil, err
	}
	return l, json.Unmarshal(data, l)
}

func (e *Engine) makeLean(ctx context.Context, m *stepResults, r *appResult, out string) error {
	tree := rootfs.New()
	if err := tree.AddTar(m.path(m.Rootfs), "/"); err != nil {
		return err
	}
	if err := tree.AddDir(r.dir(), appRoot, rootfs.Owner{}); err != nil {
		return err
	}
	release := lean.Release{Dir: appRoot, Version: r.Version}
	if err := e.addKept(tree, release, m); err != nil {
		return err
	}
	strip, err := stripProgram(e.VM.Arch)
	if err != nil {
		return err
	}
	o := lean.Options{Level: lean.Level(e.VM.Lean.Level), Keep: e.VM.Lean.Keep, Release: release, Strip: strip}
	for _, em := range m.Emulators {
		o.Emulators = append(o.Emulators, lean.Emulator{Path: em.Path, NIFs: em.NIFs})
	}
	l := &leanResult{}
	if l.Report, err = lean.Apply(ctx, tree, o); err != nil {
		return err
	}
	warnings := l.Report.Warnings
	switch w, err := envScript(r); {
	case err != nil:
		return err
	case w != "":
		warnings = append(warnings, w)
	}
	for _, w := range warnings {
		e.UI.Message("warning", w)
	}
	if err := e.checkNative(tree, release, m.Libc); err != nil {
		return err
	}
	if err := e.addBoot(tree, m, r, l.Report); err != nil {
		return err
	}
	if l.Components, err = lean.Components(tree, release); err != nil {
		return err
	}
	for _, c := range m.Components {
		l.Components[c.Name] = append(l.Components[c.Name], c.Paths...)
	}
	if err := tree.WriteTarFile(filepath.Join(out, leanTar)); err != nil {
		return err
	}
	data, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, leanFile), data, 0o644)
}

// addKept adds the applications that lean.keep names and the release does not
// hold, from the toolchain.
func (e *Engine) addKept(tree *rootfs.Tree, release lean.Release, m *stepResults) error {
	if e.bringsRelease(m) {
		return nil // there is no toolchain to take them from: lean says what is missing
	}
	otp := m.Toolchain.OTP
	if m.Toolchain.Target.Step != "" {
		otp = m.Toolchain.Target
	}
	return lean.AddApplications(tree, release, []string{
		filepath.Join(m.path(otp), "lib"),
		filepath.Join(m.path(m.Toolchain.Elixir), "lib"),
	}, e.VM.Lean.Keep)
}

// checkNative refuses NIFs that cannot be loaded in the VM.
func (e *Engine) checkNative(tree *rootfs.Tree, release lean.Release, libc string) error {
	files, err := lean.NativeFiles(tree, release)
	if err != nil {
		return err
	}
	machine := map[string]elf.Machine{"x86_64": elf.EM_X86_64, "aarch64": elf.EM_AARCH64}[e.VM.Arch]
	return lean.CheckNative(files, lean.Target{Machine: machine, Libc: libc})
}

// addBoot writes the boot file, and gives BEAM's user the one file of the
// release that config/runtime.exs makes Elixir write (Config.Provider).
func (e *Engine) addBoot(tree *rootfs.Tree, m *stepResults, r *appResult, l *lean.Report) error {
	if l.Emulator == "" {
		return fmt.Errorf("the machine of strategy %q lists no emulator", e.VM.Strategy)
	}
	boot, err := e.boot(r, l)
	if err != nil {
		return err
	}
	boot.Modules = m.Modules
	if _, err := tree.Resolve("/sbin/udhcpc"); err != nil {
		boot.DHCP = "" // a machine without a DHCP client: the loopback interface is all it has
	}
	text, err := boot.Encode()
	if err != nil {
		return err
	}
	if err := tree.File(guest.BootPath, 0o644, text); err != nil {
		return err
	}
	if _, ok := tree.Get(e.home()); !ok {
		if err := tree.Dir(e.home(), 0o750); err != nil {
			return err
		}
	}
	if home, err := tree.Resolve(e.home()); err == nil {
		home.UID, home.GID = boot.UID, boot.GID
	}
	if config, ok := tree.Get(path.Join(appRoot, r.Dir(), "sys.config")); ok {
		config.UID, config.GID = boot.UID, boot.GID
	}
	return nil
}

// stripProgram finds binutils' strip for an architecture.
func stripProgram(arch string) (string, error) {
	name := "strip"
	if host := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]; arch != host {
		name = arch + "-linux-gnu-strip"
	}
	return exec.LookPath(name)
}

// LeanReport is what the last build of the definition, as it stands, kept and
// dropped. It builds nothing.
func (e *Engine) LeanReport(ctx context.Context) (*lean.Report, error) {
	if err := e.prepare(ctx); err != nil {
		return nil, err
	}
	defer e.Close()
	notBuilt := fmt.Errorf("vm %q is not built as its definition stands now: run leanlab build first", e.VM.Name)
	m, err := e.machineInStore()
	if err != nil {
		return nil, err
	}
	if m == nil {
		return nil, notBuilt
	}
	app, err := e.appKey(m)
	if err != nil {
		return nil, err
	}
	entry, ok := e.Store.Lookup(e.leanStep(m, app).Key())
	if !ok {
		return nil, notBuilt
	}
	l, err := readLean(entry)
	if err != nil {
		return nil, err
	}
	return l.Report, nil
}
