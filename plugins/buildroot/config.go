package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/agext/levenshtein"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/kernel"
)

// config is the block `buildroot { … }` of a definition.
type config struct {
	Buildroot      string            `json:"buildroot"`
	BuildrootDir   string            `json:"buildroot_dir"`
	Defconfig      string            `json:"defconfig"`
	Externals      []string          `json:"externals"`
	Toolchain      string            `json:"toolchain"`
	ToolchainPath  string            `json:"toolchain_path"`
	Kernel         string            `json:"kernel"`
	Packages       []string          `json:"packages"`
	DLDir          string            `json:"dl_dir"`
	Mirror         string            `json:"mirror"`
	OverrideSrcdir map[string]string `json:"override_srcdir"`
	ExtraHashes    string            `json:"extra_hashes"`
	Jobs           int               `json:"jobs"`
	Ccache         bool              `json:"ccache"`
	Cmdline        string            `json:"cmdline"`
}

// Values of toolchain.
const (
	toolchainInternal = "internal"
	toolchainExternal = "external"
	toolchainHost     = "host"
)

func (buildroot) Describe() builder.Description {
	return builder.Description{
		Name:         "buildroot",
		Version:      "0.1.0",
		Arches:       []string{"x86_64", "aarch64"},
		Capabilities: []string{builder.CapabilityConfigure},
		Schema: builder.Schema{Attributes: []builder.Attribute{
			{Name: "buildroot", Type: "string", Default: `"2026.05"`,
				Doc: "Release series of Buildroot, fetched as every other source."},
			{Name: "buildroot_dir", Type: "string", Default: `""`,
				Doc: "A Buildroot on this machine instead: a checkout or an unpacked release. Nothing is written there."},
			{Name: "defconfig", Type: "string", Default: `""`,
				Doc: "Its name, in an external tree or in Buildroot, with or without _defconfig; or a path. Default: leanlab_ARCH."},
			{Name: "externals", Type: "list(string)", Default: `[]`,
				Doc: "More external trees (BR2_EXTERNAL), after buildroot-external/."},
			{Name: "toolchain", Type: "string", Default: `""`,
				Doc: `"internal": built by Buildroot; "external": at toolchain_path; "host": made of the host distribution's compiler, or cross compiler, and its C library in seconds, not for production. Default: as the defconfig says.`},
			{Name: "toolchain_path", Type: "string", Default: `""`,
				Doc: `Directory of the external toolchain, whose compiler is bin/PREFIX-gcc.`},
			{Name: "kernel", Type: "string", Default: `""`,
				Doc: "Linux release series, fetched as every other source. Default: the version that the defconfig names."},
			{Name: "packages", Type: "list(string)", Default: `[]`,
				Doc: `Packages to add to the root, by Buildroot's names: "htop".`},
			{Name: "dl_dir", Type: "string", Default: `""`,
				Doc: "Buildroot's download directory (BR2_DL_DIR), where one is shared. Default: leanlab's own."},
			{Name: "mirror", Type: "string", Default: `""`,
				Doc: "URL that Buildroot asks first (BR2_PRIMARY_SITE)."},
			{Name: "override_srcdir", Type: "map(string)", Default: `{}`,
				Doc: "Source directories that packages are built from instead of their archives: { busybox = \"../busybox\" }. Their patches are not applied and no digest is checked."},
			{Name: "extra_hashes", Type: "string", Default: `""`,
				Doc: "Directory of PACKAGE/PACKAGE.hash for archives that Buildroot has no digest of (added to BR2_GLOBAL_PATCH_DIR)."},
			{Name: "jobs", Type: "number", Default: `0`,
				Doc: "Processes that a package's make runs side by side. Default: one for each processor."},
			{Name: "ccache", Type: "bool", Default: `false`,
				Doc: "Let Buildroot compile through ccache (BR2_CCACHE)."},
			{Name: "cmdline", Type: "string", Default: `""`,
				Doc: "Words to add to the kernel command line."},
		}},
	}
}

func decode(def *builder.Definition) (config, error) {
	var c config
	err := builder.DecodeConfig(def.Config, &c)
	if c.Defconfig == "" {
		c.Defconfig = "leanlab_" + def.Arch
	}
	return c, err
}

// under makes a path of the definition absolute.
func under(def *builder.Definition, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(def.Root, path)
}

// externalDir is the project's own external tree, below the definition's root.
const externalDir = "buildroot-external"

// externals opens our external tree and then the user's, which so can override.
func (c config) externals(def *builder.Definition) ([]external, error) {
	own, err := openExternal(filepath.Join(def.Root, externalDir))
	if err != nil {
		return nil, err
	}
	trees := []external{own}
	for i, dir := range c.Externals {
		e, err := openExternal(under(def, dir))
		if err != nil {
			return nil, &elementError{[]string{"externals", strconv.Itoa(i)}, err}
		}
		trees = append(trees, e)
	}
	return trees, nil
}

// elementError is an error about one element of the block.
type elementError struct {
	path []string
	error
}

func (e *elementError) Unwrap() error { return e.error }

// findDefconfig finds the file that a name stands for: in the last external tree
// that has it, as `make NAME_defconfig` does, then in Buildroot.
func (c config) findDefconfig(def *builder.Definition, trees []external, br *tree) (string, error) {
	if strings.ContainsRune(c.Defconfig, '/') {
		path := under(def, c.Defconfig)
		_, err := os.Stat(path)
		return path, err
	}
	name := strings.TrimSuffix(c.Defconfig, "_defconfig") + "_defconfig"
	var dirs []string
	for _, e := range slices.Backward(trees) {
		dirs = append(dirs, filepath.Join(e.dir, "configs"))
	}
	if br != nil {
		dirs = append(dirs, filepath.Join(br.dir, "configs"))
	}
	for _, dir := range dirs {
		if path := filepath.Join(dir, name); exists(path) {
			return path, nil
		}
	}
	return "", unknownDefconfig(name, dirs)
}

func unknownDefconfig(name string, dirs []string) error {
	nearest, best := "", len(name)/2
	var ours []string
	for i, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*_defconfig"))
		if err != nil {
			return err
		}
		for _, file := range files {
			known := filepath.Base(file)
			// Buildroot's own are some 300: too many to list.
			if i < len(dirs)-1 || len(dirs) == 1 || len(files) < 20 {
				ours = append(ours, known)
			}
			if d := levenshtein.Distance(name, known, nil); d < best {
				nearest, best = known, d
			}
		}
	}
	slices.Sort(ours)
	text := fmt.Sprintf("there is no %s in %s.", name, strings.Join(dirs, ", "))
	if nearest != "" {
		text += fmt.Sprintf(" Did you mean %q?", nearest)
	}
	if len(ours) > 0 {
		text += " There are " + strings.Join(slices.Compact(ours), ", ") + "."
	}
	return errors.New(text)
}

// Validate finds everything that can be known without running anything, and
// reports all of it.
func (buildroot) Validate(_ context.Context, def *builder.Definition) (builder.Diagnostics, error) {
	c, err := decode(def)
	if err != nil {
		return nil, err
	}
	v := &validation{def: def, c: c}
	v.values()
	br := v.buildroot()
	trees, err := c.externals(def)
	if err != nil {
		v.add(err, "Unusable external tree", "externals")
		return v.found, nil
	}
	if err := clash(trees, br); err != nil {
		v.add(err, "External trees do not go together", "externals")
		return v.found, nil
	}
	path, err := c.findDefconfig(def, trees, br)
	switch {
	case err == nil:
		v.lines(br, trees, path)
	case br != nil || c.BuildrootDir == "" && exists(filepath.Join(def.Root, externalDir)):
		v.add(err, "Unknown defconfig", "defconfig")
	}
	return v.found, nil
}

type validation struct {
	def   *builder.Definition
	c     config
	found builder.Diagnostics
}

// add reports an error at an element of the block.
func (v *validation) add(err error, summary string, path ...string) {
	if e := (*elementError)(nil); errors.As(err, &e) {
		path = e.path
	}
	v.found = append(v.found, builder.Diagnostic{Severity: builder.Error, Summary: summary, Detail: err.Error(), Path: path})
}

func (v *validation) warn(summary, detail string, path ...string) {
	v.found = append(v.found, builder.Diagnostic{Severity: builder.Warning, Summary: summary, Detail: detail, Path: path})
}

// values checks what needs no Buildroot.
func (v *validation) values() {
	c := v.c
	switch c.Toolchain {
	case "", toolchainInternal, toolchainExternal:
	case toolchainHost:
		v.warn("Toolchain made of the host's packages", "It is there in seconds, and holds whatever this distribution has: good for tests, not for production.", "toolchain")
	default:
		v.add(fmt.Errorf("%q is none of \"internal\", \"external\" and \"host\"", c.Toolchain), "Unknown toolchain", "toolchain")
	}
	if c.ToolchainPath != "" && c.Toolchain != toolchainExternal {
		v.add(errors.New(`it is read only with toolchain = "external"`), "toolchain_path without an external toolchain", "toolchain_path")
	}
	if c.Jobs < 0 {
		v.add(fmt.Errorf("%d is no number of processes", c.Jobs), "Bad number of jobs", "jobs")
	}
	if c.Mirror != "" && !regexp.MustCompile(`^(https?|ftps?|file|scp|sftp)://[^\s"$]+$`).MatchString(c.Mirror) {
		v.add(fmt.Errorf("%q is no URL that Buildroot takes: http, https, ftp, file, scp", c.Mirror), "Bad mirror", "mirror")
	}
	if strings.ContainsAny(c.DLDir, " \t\"$") {
		v.add(fmt.Errorf("%q: Buildroot cannot take a path with spaces, quotes or $", c.DLDir), "Bad download directory", "dl_dir")
	}
	if c.ExtraHashes != "" {
		v.directory(c.ExtraHashes, "Unusable directory of hashes", "extra_hashes")
	}
	for _, name := range slices.Sorted(maps.Keys(c.OverrideSrcdir)) {
		v.directory(c.OverrideSrcdir[name], "Unusable source directory", "override_srcdir")
	}
	if len(c.OverrideSrcdir) > 0 {
		v.warn("Sources are taken as they are", "From a directory, for "+strings.Join(slices.Sorted(maps.Keys(c.OverrideSrcdir)), ", ")+": patches are not applied, and no digest is checked.", "override_srcdir")
	}
}

func (v *validation) directory(path, summary string, at ...string) {
	info, err := os.Stat(under(v.def, path))
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is no directory", path)
	}
	if err != nil {
		v.add(err, summary, at...)
	}
}

// buildroot opens the Buildroot that is given as a directory.
func (v *validation) buildroot() *tree {
	if v.c.BuildrootDir == "" {
		if v.c.Buildroot == "" {
			v.add(errors.New("neither buildroot nor buildroot_dir says which. "+noTree()), "No Buildroot", "buildroot")
		} else if tested(v.c.Buildroot) != 0 {
			v.version(v.c.Buildroot, "buildroot")
		}
		return nil
	}
	br, err := openTree(under(v.def, v.c.BuildrootDir))
	if err != nil {
		v.add(fmt.Errorf("%w. %s", err, noTree()), "No Buildroot", "buildroot_dir")
		return nil
	}
	v.version(br.version, "buildroot_dir")
	return br
}

func (v *validation) version(version, at string) {
	switch tested(version) {
	case -1:
		v.add(fmt.Errorf("this is %s; tested are %s", version, testedText()), "Buildroot is too old", at)
	case 1:
		v.warn("Buildroot is newer than what was tested", fmt.Sprintf("This is %s; tested are %s.", version, testedText()), at)
	}
}

// lines checks every line of the defconfig, and what the block adds, against
// Config.in.
func (v *validation) lines(br *tree, trees []external, path string) {
	requests, err := readDefconfig(path)
	if err != nil {
		v.add(err, "Unusable defconfig", "defconfig")
		return
	}
	if arch := requests.arch(); arch != "" && arch != v.def.Arch {
		v.add(fmt.Errorf("%s is for %s, the definition for %s", path, arch, v.def.Arch), "Defconfig of another architecture", "defconfig")
	}
	if v.c.Toolchain == toolchainExternal && v.c.ToolchainPath == "" && !requests.has("BR2_TOOLCHAIN_EXTERNAL") {
		v.add(fmt.Errorf("give toolchain_path, or choose one in %s", path), "No external toolchain", "toolchain")
	}
	if br == nil {
		return // known once the release is unpacked
	}
	symbols, err := readSymbols(br, trees)
	if err != nil {
		v.add(err, "Unreadable Config.in", "externals")
		return
	}
	if gaps := unknown(symbols, requests.Symbols); len(gaps) > 0 {
		v.add(&gapsError{gaps}, "Lines of the defconfig that do nothing", "defconfig")
	}
	v.packages(symbols)
	if gaps := unknown(symbols, ownLines(v.def, v.c)); len(gaps) > 0 {
		v.add(&gapsError{gaps}, "Buildroot cannot build what the definition asks for")
	}
	for _, name := range slices.Sorted(maps.Keys(v.c.OverrideSrcdir)) {
		if !hasPackage(br, trees, name) {
			v.add(fmt.Errorf("neither Buildroot nor an external tree has a package %q", name), "Unknown package", "override_srcdir")
		}
	}
}

func (v *validation) packages(symbols *kernel.KconfigTree) {
	for i, name := range v.c.Packages {
		if symbol := packageSymbol(name); !symbols.Knows(symbol) {
			text := fmt.Sprintf("there is no package %q (%s)", name, symbol)
			if near := symbols.Nearest(symbol); near != "" {
				text += "; the nearest symbol is " + near
			}
			v.add(errors.New(text), "Unknown package", "packages", strconv.Itoa(i))
		}
	}
}

// hasPackage looks for package/…/NAME/NAME.mk and its like.
func hasPackage(br *tree, trees []external, name string) bool {
	dirs := []string{br.dir}
	for _, e := range trees {
		dirs = append(dirs, e.dir)
	}
	for _, dir := range dirs {
		for _, pattern := range []string{"package/*/%s.mk", "package/*/*/%s.mk", "boot/*/%s.mk", "%s/%[1]s.mk", "toolchain/*/%s.mk"} {
			if found, _ := filepath.Glob(filepath.Join(dir, fmt.Sprintf(pattern, name))); len(found) > 0 {
				return true
			}
		}
	}
	return false
}

// gapsError lists lines that do not do what they say.
type gapsError struct{ gaps []gap }

func (e *gapsError) Error() string {
	lines := make([]string, len(e.gaps))
	for i, g := range e.gaps {
		lines[i] = g.String()
	}
	return strings.Join(lines, "\n")
}
