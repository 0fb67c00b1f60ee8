package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/kernel"
)

// Buildroot rebuilds nothing by itself: what is built stays, whatever changes in
// its configuration (manual, "Understanding when a full rebuild is necessary").
// So the build step remembers what each package was built from, and takes away
// what does not count any more before it runs make. What is left is what a build
// in an empty directory would have come to.

// state is what an output directory was built from. It is written before make
// runs, and says when make had an orderly end.
type state struct {
	Status    string            // see below
	Buildroot string            // digest of all that is no package's
	Toolchain string            // version of the compiler of an external one
	Symbols   map[string]string // .config, with digests of the files that it names
	Packages  map[string]string // package → digest of what it is built from, beside symbols
	Stamps    map[string]string // package → its build directory, below the output
}

// How the last run ended. Anything else: it was cut off.
const (
	statusDone    = "done"
	statusStopped = "stopped" // make failed, or was asked to stop, and tidied up
	statusRunning = "running"
)

const stateFile = "state.json"

func (b *build) statePath() string { return filepath.Join(b.req.Work, stateFile) }

// readState returns nil where nothing was built yet. A state that cannot be read
// is no state: everything is built anew.
func (b *build) readState() *state {
	data, err := os.ReadFile(b.statePath())
	if err != nil {
		return nil
	}
	s := new(state)
	if json.Unmarshal(data, s) != nil {
		return nil
	}
	return s
}

// write replaces the state, whole.
func (b *build) writeState(s *state) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	tmp := b.statePath() + ".tmp"
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, b.statePath())
}

// currentState is what the output directory is to be built from now.
func (b *build) currentState(ctx context.Context, g graph, config *kernel.Config) (*state, error) {
	s := &state{Symbols: map[string]string{}, Packages: map[string]string{}, Stamps: map[string]string{}}
	var err error
	if s.Toolchain, err = compilerVersion(ctx, config); err != nil {
		return nil, err
	}
	if s.Buildroot, err = b.infrastructure(g); err != nil {
		return nil, err
	}
	for _, name := range config.Names() {
		if noMatter.MatchString(name) {
			continue
		}
		if s.Symbols[name], err = b.symbolValue(name, config.Value(name)); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, name := range g.built() {
		if s.Packages[name], err = b.packageDigest(g[name]); err != nil {
			return nil, fmt.Errorf("package %s: %w", name, err)
		}
		s.Stamps[name] = g[name].StampDir
	}
	return s, nil
}

// compilerVersion is that of an external toolchain: it can be upgraded where it
// lies.
func compilerVersion(ctx context.Context, config *kernel.Config) (string, error) {
	dir := unquote(config.Value("BR2_TOOLCHAIN_EXTERNAL_PATH"))
	if config.Value("BR2_TOOLCHAIN_EXTERNAL") != "y" || !filepath.IsAbs(dir) || !exists(dir) {
		return "", nil
	}
	prefix, err := findPrefix(dir)
	if err != nil {
		return "", err
	}
	return ask(ctx, filepath.Join(dir, "bin", prefix+"-gcc"), "-dumpfullversion")
}

// noMatter are symbols that change nothing in what is built: where things are,
// how they are fetched and how many at a time. Patch and override directories
// are looked at package by package.
var noMatter = regexp.MustCompile(`^BR2_(VERSION|DEFCONFIG|DL_DIR|HOST_DIR|BASE_DIR|EXTERNAL_[A-Z0-9_]+_(PATH|VERSION|DESC)|EXTERNAL_NAMES|` +
	`GLOBAL_PATCH_DIR|PACKAGE_OVERRIDE_FILE|JLEVEL|CCACHE[A-Z_]*|(PRIMARY|BACKUP)_SITE[A-Z_]*|[A-Z]+_MIRROR|DOWNLOAD_FORCE_CHECK_HASHES|` +
	`WGET|CURL|SVN|BZR|GIT|CVS|LOCALFILES|SCP|SFTP|HG|CONFIG|HOST_GCC_[A-Z0-9_]+)$`)

// symbolValue is a value, with the digests of what it names: a fragment of the
// kernel's configuration, an overlay.
func (b *build) symbolValue(name, value string) (string, error) {
	text := value
	for word := range strings.FieldsSeq(unquote(value)) {
		path := b.expand(word)
		if !hostFiles.MatchString(name) || !exists(path) {
			continue
		}
		d, err := treeDigest(path, notSource)
		if err != nil {
			return "", err
		}
		text += " " + d
	}
	return text, nil
}

// packageDigest covers what a package is built from: its recipe and patches, the
// directory that its sources come from, its version, and what it depends on,
// since many packages take a dependency for an option.
func (b *build) packageDigest(p *pkg) (string, error) {
	text := fmt.Sprintln(p.Version, slices.DeleteFunc(slices.Clone(p.Dependencies), func(d string) bool { return d == "host-ccache" }))
	dirs := []string{b.expand(p.PackageDir)}
	for _, dir := range strings.Fields(unquote(b.request.value("BR2_GLOBAL_PATCH_DIR"))) {
		dirs = append(dirs, filepath.Join(b.expand(dir), p.Name))
	}
	if p.Override != "" {
		dirs = append(dirs, b.expand(p.Override))
	}
	if dir, ok := b.request.overrides[p.Name]; ok && p.Override == "" {
		dirs = append(dirs, dir)
	}
	for _, dir := range dirs {
		d, err := treeDigest(dir, notRecipe)
		if err != nil {
			return "", err
		}
		text += d + "\n"
	}
	return digest(text), nil
}

// notRecipe leaves out Config.in, whose outcome is in .config.
func notRecipe(rel string, d fs.DirEntry) bool {
	return notSource(rel, d) || !d.IsDir() && strings.HasPrefix(d.Name(), "Config.")
}

// infrastructure is a digest of Buildroot without its packages, and of the
// external trees' makefiles that belong to no package.
func (b *build) infrastructure(g graph) (string, error) {
	own := map[string]bool{}
	for _, p := range g {
		own[b.expand(p.PackageDir)] = true
	}
	text := ""
	for _, e := range b.trees {
		d, err := treeDigest(filepath.Join(e.dir, "external.mk"), nil)
		if err != nil {
			return "", err
		}
		text += d + "\n"
	}
	// Whatever a package override file says, it says to all makefiles.
	if file := unquote(b.request.value("BR2_PACKAGE_OVERRIDE_FILE")); file != "n" {
		d, err := treeDigest(b.expand(file), nil)
		if err != nil {
			return "", err
		}
		text += d + "\n"
	}
	d, err := treeDigest(b.br.dir, func(rel string, d fs.DirEntry) bool {
		return notSource(rel, d) || notInfrastructure(rel, d)
	})
	return digest(text + d), err
}

// notInfrastructure leaves out what is a package's, only configures, only makes
// images, or is for people.
func notInfrastructure(rel string, d fs.DirEntry) bool {
	if !d.IsDir() {
		return strings.HasPrefix(d.Name(), "Config.") || !strings.Contains(rel, "/") && !strings.HasPrefix(rel, "Makefile")
	}
	switch rel {
	case "configs", "board", "fs", "linux", "utils", "support/kconfig", "support/testing", "support/config-fragments", "support/legal-info", "support/misc/Vagrantfile":
		return true
	}
	// package/, boot/ and toolchain/ have a directory for each package beside
	// files that all packages include.
	top, below, nested := strings.Cut(rel, "/")
	return nested && below != "" && (top == "package" || top == "boot" || top == "toolchain")
}

// decision is what of an earlier build goes before make runs.
type decision struct {
	full        []string          // why nothing counts any more; empty: something does
	rebuild     map[string]string // package → why
	reconfigure map[string]string // package with a .config of its own → why
	removed     []string
	root        bool // the root is assembled anew
}

// decide compares what was built with what is to be.
func (b *build) decide(was, now *state, g graph) (decision, error) {
	d := decision{rebuild: map[string]string{}, reconfigure: map[string]string{}}
	if was == nil {
		return d, nil
	}
	if was.Buildroot != now.Buildroot {
		d.full = append(d.full, "Buildroot itself has changed beyond its packages")
	}
	if was.Toolchain != now.Toolchain {
		d.full = append(d.full, fmt.Sprintf("the external toolchain's compiler was %q and is %q", was.Toolchain, now.Toolchain))
	}
	for _, name := range sortedKeys(was.Packages) {
		if _, still := now.Packages[name]; !still {
			d.removed = append(d.removed, name)
		} else if was.Packages[name] != now.Packages[name] {
			d.rebuild[name] = "its recipe, sources or dependencies have changed"
		}
	}
	if err := b.decideSymbols(&d, was, now, g); err != nil {
		return d, err
	}
	touched := map[string]bool{}
	for name := range d.rebuild {
		touched[name] = true
	}
	all := g.dependents(touched)
	for name := range all {
		if _, said := d.rebuild[name]; !said && g[name].StampDir != "" {
			d.rebuild[name] = "it depends on one of those"
		}
		delete(d.reconfigure, name)
	}
	if len(d.rebuild) > 0 && len(d.rebuild) == len(g.built()) {
		d.full = append(d.full, "every package is, or depends on, one that changed: "+reasons(d.rebuild, "it depends"))
	}
	d.root = len(d.rebuild)+len(d.reconfigure)+len(d.removed) > 0 || len(added(was, now)) > 0 || !sameSymbols(was, now)
	return d, nil
}

// added lists the packages that were not there before.
func added(was, now *state) []string {
	var names []string
	for _, name := range sortedKeys(now.Packages) {
		if _, ok := was.Packages[name]; !ok {
			names = append(names, name)
		}
	}
	return names
}

func sameSymbols(was, now *state) bool { return len(changedSymbols(was, now)) == 0 }

func changedSymbols(was, now *state) []string {
	all := map[string]bool{}
	for name := range was.Symbols {
		all[name] = true
	}
	for name := range now.Symbols {
		all[name] = true
	}
	var changed []string
	for _, name := range sortedKeys(all) {
		if was.Symbols[name] != now.Symbols[name] {
			changed = append(changed, name)
		}
	}
	return changed
}

// ownConfig are symbols that name files of which a package makes a .config of
// its own. Kbuild sees by itself what that changes.
var ownConfig = regexp.MustCompile(`_CONFIG(_FRAGMENT_FILES|_FILE)?$`)

// decideSymbols finds the makefiles that read each changed symbol.
func (b *build) decideSymbols(d *decision, was, now *state, g graph) error {
	changed := changedSymbols(was, now)
	if len(changed) == 0 {
		return nil
	}
	readers, err := b.readers(g)
	if err != nil {
		return err
	}
	inherited, err := inheritedByHost(b.br)
	if err != nil {
		return err
	}
	for _, symbol := range changed {
		word := regexp.MustCompile(`\b` + regexp.QuoteMeta(symbol) + `\b`)
		why := b.explain(symbol)
		for _, r := range readers {
			if !word.Match(r.text) {
				continue
			}
			for _, name := range r.packages {
				if _, before := was.Packages[name]; !before {
					continue // it is built anyway
				}
				if target, host := strings.CutPrefix(name, "host-"); host && r.alone && !touchesHost(string(r.text), symbol, upper(target), inherited) {
					continue
				}
				if ownConfig.MatchString(symbol) && b.hasOwnConfig(g[name]) {
					d.reconfigure[name] = why
				} else if _, said := d.rebuild[name]; !said {
					d.rebuild[name] = why
				}
			}
			if len(r.packages) == 0 && !rootOnly.MatchString(symbol) {
				d.full = append(d.full, fmt.Sprintf("%s, which %s reads for every package", why, r.file))
			}
		}
	}
	for name := range d.rebuild {
		delete(d.reconfigure, name)
	}
	return nil
}

// rootOnly are symbols that Buildroot's common makefiles read to assemble the
// root and the images, after all packages.
var rootOnly = regexp.MustCompile(`^BR2_(ROOTFS_|TARGET_(ROOTFS|GENERIC|ENABLE|TZ|LOCALTIME)_|SYSTEM_|GENERATE_LOCALE|ENABLE_LOCALE_|INIT_|PACKAGE_)`)

// explain names a symbol with the line that sets it.
func (b *build) explain(symbol string) string {
	for _, s := range b.request.Symbols {
		if s.Name != symbol {
			continue
		}
		if s.Line == 0 {
			return fmt.Sprintf("%s changed (%s)", symbol, s.File)
		}
		return fmt.Sprintf("%s changed (%s:%d)", symbol, s.File, s.Line)
	}
	return symbol + " changed"
}

// reader is a makefile and the packages that are made by it; none for one that
// all include.
type reader struct {
	file     string
	text     []byte
	packages []string
	alone    bool // there is no other makefile in the directory that could read its variables
}

// readers reads the makefiles of the packages of the graph, and the common ones.
func (b *build) readers(g graph) ([]reader, error) {
	byDir := map[string][]string{}
	for _, name := range g.built() {
		dir := b.expand(g[name].PackageDir)
		byDir[dir] = append(byDir[dir], name)
	}
	patterns := map[string][]string{}
	for dir, names := range byDir {
		patterns[filepath.Join(dir, "*.mk")] = names
		patterns[filepath.Join(dir, "*.mk.in")] = names
	}
	for _, common := range []string{"Makefile", "package/*.mk", "package/Makefile.in", "arch/*.mk", "toolchain/*.mk", "support/*/*.mk", "system/*.mk", "boot/common.mk", "fs/*.mk"} {
		patterns[filepath.Join(b.br.dir, common)] = nil
	}
	for _, e := range b.trees {
		patterns[filepath.Join(e.dir, "external.mk")] = nil
	}
	var all []reader
	inDir := map[string]int{}
	for _, pattern := range sortedKeys(patterns) {
		files, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			all = append(all, reader{file: file, text: text, packages: patterns[pattern]})
			inDir[filepath.Dir(file)]++
		}
	}
	for i := range all {
		all[i].alone = inDir[filepath.Dir(all[i].file)] == 1
	}
	return all, nil
}

// hasOwnConfig reports whether a package was configured with Kconfig.
func (b *build) hasOwnConfig(p *pkg) bool {
	return exists(filepath.Join(b.out(), p.StampDir, ".stamp_dotconfig"))
}

// say tells what is rebuilt and why.
func (d decision) say(ev builder.Events, total int) {
	warn := func(summary string, lines []string) {
		ev.Emit(builder.Notice{Diagnostic: builder.Diagnostic{Severity: builder.Warning, Summary: summary, Detail: strings.Join(lines, "\n")}})
	}
	if len(d.full) > 0 {
		warn("Everything is built anew", d.full)
		return
	}
	var lines []string
	for _, m := range []map[string]string{d.rebuild, d.reconfigure} {
		for _, name := range sortedKeys(m) {
			lines = append(lines, name+": "+m[name])
		}
	}
	for _, name := range d.removed {
		lines = append(lines, name+": is not asked for any more; it goes")
	}
	if len(lines) > 0 {
		warn(fmt.Sprintf("%d of %d packages are built again", len(d.rebuild)+len(d.reconfigure), total), lines)
	}
}

// reasons lists the packages whose reason does not begin with except.
func reasons(m map[string]string, except string) string {
	var texts []string
	for _, name := range sortedKeys(m) {
		if !strings.HasPrefix(m[name], except) {
			texts = append(texts, name+" ("+m[name]+")")
		}
	}
	return strings.Join(texts, ", ")
}

// apply takes away what does not count. It may be killed anywhere: the state
// still says what was built before, so the next run decides the same again; and
// should that be to build what was built before, what is half gone has lost its
// stamps first.
func (b *build) apply(d decision, was *state) error {
	if len(d.full) > 0 {
		// Half removed it is no output of anything.
		if err := os.Remove(b.statePath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return os.RemoveAll(b.out())
	}
	for _, name := range append(sortedKeys(d.rebuild), d.removed...) {
		if err := b.forget(name, was); err != nil {
			return err
		}
	}
	for name := range d.reconfigure {
		if err := b.removeStamps(was.Stamps[name], func(stamp string) bool {
			return !slices.Contains([]string{".stamp_downloaded", ".stamp_extracted", ".stamp_rsynced", ".stamp_patched"}, stamp)
		}); err != nil {
			return err
		}
	}
	if d.root {
		return b.forgetRoot(was)
	}
	return nil
}

// forget removes a package's build directory and what it installed for other
// packages to find. What it installed in the root goes with the root.
func (b *build) forget(name string, was *state) error {
	stamps := was.Stamps[name]
	if stamps == "" || !filepath.IsLocal(stamps) {
		return nil
	}
	if err := b.removeStamps(stamps, func(stamp string) bool { return strings.HasSuffix(stamp, "installed") }); err != nil {
		return err
	}
	for list, root := range map[string]string{".files-list-staging.txt": "staging", ".files-list-host.txt": "host"} {
		own := b.installed(stamps, list)
		for other, dir := range was.Stamps {
			if other != name {
				for path := range b.installed(dir, list) {
					delete(own, path)
				}
			}
		}
		for path := range own {
			if err := os.Remove(filepath.Join(b.out(), root, path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	for _, dir := range []string{filepath.Join("per-package", name), stamps} {
		if err := os.RemoveAll(filepath.Join(b.out(), dir)); err != nil {
			return err
		}
	}
	return nil
}

// installed reads a package's list of the files that it installed: PACKAGE,PATH.
func (b *build) installed(stamps, list string) map[string]bool {
	data, err := os.ReadFile(filepath.Join(b.out(), stamps, list))
	if err != nil {
		return nil
	}
	paths := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		if _, path, ok := strings.Cut(strings.TrimSpace(line), ",./"); ok && filepath.IsLocal(path) {
			paths[path] = true
		}
	}
	return paths
}

// targetList is Buildroot's list of what a package installed in the root. A
// second installation leaves it empty, so the first one's is kept.
const (
	targetList     = ".files-list.txt"
	keptTargetList = ".files-list.leanlab"
)

// forgetRoot has every package install in the root again, which takes seconds:
// what a removed package, or an older version, had put there must not stay.
func (b *build) forgetRoot(was *state) error {
	for _, dir := range was.Stamps {
		list := filepath.Join(b.out(), dir, targetList)
		if info, err := os.Stat(list); err == nil && info.Size() > 0 {
			if err := os.Rename(list, filepath.Join(b.out(), dir, keptTargetList)); err != nil {
				return err
			}
		}
		if err := b.removeStamps(dir, func(stamp string) bool {
			// host-gcc-final installs libraries in the root, too, up to 2025.
			return stamp == ".stamp_target_installed" || stamp == ".stamp_installed" ||
				stamp == ".stamp_host_installed" && strings.HasPrefix(filepath.Base(dir), "host-gcc-final")
		}); err != nil {
			return err
		}
	}
	return os.RemoveAll(filepath.Join(b.out(), "target"))
}

func (b *build) removeStamps(dir string, which func(string) bool) error {
	if dir == "" || !filepath.IsLocal(dir) {
		return nil
	}
	stamps, err := filepath.Glob(filepath.Join(b.out(), dir, ".stamp_*"))
	if err != nil {
		return err
	}
	for _, stamp := range stamps {
		if which(filepath.Base(stamp)) {
			if err := os.Remove(stamp); err != nil {
				return err
			}
		}
	}
	return nil
}

// recover starts packages anew whose build was cut off where it cannot be
// continued, and tells.
func (b *build) recover(was *state) error {
	if was == nil || was.Status == statusDone {
		return nil
	}
	var said []string
	for _, name := range sortedKeys(was.Stamps) {
		dir := filepath.Join(b.out(), was.Stamps[name])
		has := func(stamp string) bool { return exists(filepath.Join(dir, stamp)) }
		if !exists(dir) || has(".stamp_built") {
			continue // what is left is to install, and can be done again
		}
		switch {
		case !has(".stamp_extracted") && !has(".stamp_rsynced"):
			if err := os.RemoveAll(dir); err != nil { // nothing but what was unpacked in part
				return err
			}
			continue
		case !has(".stamp_patched") && !has(".stamp_rsynced"):
			// A patch that was applied in part cannot be applied again.
		case was.Status == statusStopped:
			said = append(said, name+": continued")
			continue // make removed what it was writing
		case has(".stamp_dotconfig"):
			said = append(said, name+": continued")
			continue // Kbuild notes every command that has ended, and runs the others again
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		said = append(said, name+": was cut off and starts anew")
	}
	if len(said) > 0 {
		b.ev.Emit(builder.Notice{Diagnostic: builder.Diagnostic{Severity: builder.Warning,
			Summary: "Going on from a build that did not end", Detail: strings.Join(said, "\n")}})
	}
	return nil
}
