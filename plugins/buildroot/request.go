package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/kernel"
)

// requests is a configuration as lines: a defconfig's, then ours.
type requests struct{ *kernel.Fragment }

func readDefconfig(path string) (requests, error) {
	f, err := os.Open(path)
	if err != nil {
		return requests{}, err
	}
	defer f.Close()
	frag, err := kernel.ParseDefconfig(path, f)
	return requests{frag}, err
}

func (r requests) value(name string) string {
	for _, s := range r.Symbols {
		if s.Name == name {
			return s.Value
		}
	}
	return "n"
}

func (r requests) has(name string) bool { return r.value(name) == "y" }

// arch is the definition's word for the architecture that the lines choose, or
// "" when they choose none or one that we do not know.
func (r requests) arch() string {
	for _, arch := range []string{"x86_64", "aarch64"} {
		if r.has("BR2_" + arch) {
			return arch
		}
	}
	return ""
}

// with adds lines. They take the place of what was said of the same symbols,
// and of the other members of a choice, which would be reported as dropped.
func (r requests) with(lines []kernel.Symbol) requests {
	gone := map[string]bool{}
	for _, s := range lines {
		gone[s.Name] = true
	}
	kept := slices.DeleteFunc(slices.Clone(r.Symbols), func(s kernel.Symbol) bool {
		return gone[s.Name] || slices.ContainsFunc(choices, func(c choice) bool {
			return gone[c.when] && c.replaces.MatchString(s.Name)
		})
	})
	return requests{&kernel.Fragment{Path: r.Path, Symbols: append(kept, lines...)}}
}

// choice says what of a defconfig a line of ours replaces.
type choice struct {
	when     string
	replaces *regexp.Regexp
}

var choices = []choice{
	{"BR2_PACKAGE_LEANLAB_OTP", regexp.MustCompile(`^BR2_PACKAGE_LEANLAB_OTP_([0-9]+|INTERPRETER|JIT|STATIC|DYNAMIC)$`)},
	{"BR2_PACKAGE_LEANLAB_ELIXIR", regexp.MustCompile(`^BR2_PACKAGE_LEANLAB_ELIXIR_([0-9]+_[0-9]+|CONSOLE)$`)},
	{"BR2_TARGET_ROOTFS_TAR", regexp.MustCompile(`^BR2_TARGET_ROOTFS_(CPIO|TAR_)`)},
	{"BR2_LINUX_KERNEL_CUSTOM_TARBALL", regexp.MustCompile(`^BR2_LINUX_KERNEL_(LATEST_.*|CUSTOM_(VERSION|TARBALL|GIT|HG|SVN|REPO)(_.*)?)$`)},
	{"BR2_TOOLCHAIN_BUILDROOT", regexp.MustCompile(`^BR2_TOOLCHAIN_EXTERNAL`)},
	{"BR2_TOOLCHAIN_EXTERNAL", regexp.MustCompile(`^BR2_(TOOLCHAIN_(BUILDROOT|EXTERNAL)|KERNEL_HEADERS_|PACKAGE_HOST_LINUX_HEADERS_|PACKAGE_GLIBC|PACKAGE_MUSL|BINUTILS_|GCC_)`)},
}

// text is the configuration as a defconfig.
func (r requests) text() string {
	var b strings.Builder
	for _, s := range r.Symbols {
		fmt.Fprintln(&b, s)
	}
	return b.String()
}

// ownLines is what a definition says in Buildroot's words. Where a line comes
// from stands in its File, for messages.
func ownLines(def *builder.Definition, c config) []kernel.Symbol {
	var lines []kernel.Symbol
	add := func(from, name, value string) {
		lines = append(lines, kernel.Symbol{Name: name, Value: value, File: from, Bare: true})
	}
	add("the definition's strategy", "BR2_PACKAGE_LEANLAB_INIT", "y")
	add("otp.version", "BR2_PACKAGE_LEANLAB_OTP", "y")
	add("otp.version", "BR2_PACKAGE_LEANLAB_OTP_"+def.OTP.Version, "y")
	add("otp.emulator", "BR2_PACKAGE_LEANLAB_OTP_"+strings.ToUpper(def.OTP.Emulator), "y")
	add("otp.link", "BR2_PACKAGE_LEANLAB_OTP_"+strings.ToUpper(def.OTP.Link), "y")
	// The lean step takes the one that serves the release.
	add("the definition's strategy", "BR2_PACKAGE_LEANLAB_OTP_CRYPTO", "y")
	add("the definition's strategy", "BR2_PACKAGE_LEANLAB_OTP_PLAIN_EMULATOR", "y")
	add("elixir", "BR2_PACKAGE_LEANLAB_ELIXIR", "y")
	add("elixir", "BR2_PACKAGE_LEANLAB_ELIXIR_"+strings.ReplaceAll(def.Elixir, ".", "_"), "y")
	// A release brings its own.
	add("the definition's app", "BR2_PACKAGE_LEANLAB_OTP_APPLICATIONS", `""`)
	add("the definition's app", "BR2_PACKAGE_LEANLAB_ELIXIR_APPLICATIONS", `""`)
	// The root goes to the host as a tar; it packs what is left of it.
	add("the definition's output", "BR2_TARGET_ROOTFS_TAR", "y")
	add("the definition's output", "BR2_TARGET_ROOTFS_TAR_NONE", "y")
	add("the definition's output", "BR2_TARGET_ROOTFS_CPIO", "n")
	for i, name := range c.Packages {
		add(fmt.Sprintf("packages[%d]", i), packageSymbol(name), "y")
	}
	if c.Ccache {
		add("ccache", "BR2_CCACHE", "y")
	}
	if c.Toolchain == toolchainInternal {
		add("toolchain", "BR2_TOOLCHAIN_BUILDROOT", "y")
	}
	return lines
}

// packageSymbol is the symbol of a package: BR2_PACKAGE_HTOP for "htop", and
// for itself.
func packageSymbol(name string) string {
	if strings.HasPrefix(name, "BR2_") {
		return name
	}
	return "BR2_PACKAGE_" + strings.NewReplacer("-", "_", ".", "_", "+", "X").Replace(strings.ToUpper(name))
}

// archives are lines for the source archives that the host has fetched, and the
// files beside the configuration that go with them.
type archives struct {
	lines  []kernel.Symbol
	hashes map[string]string // PACKAGE/PACKAGE.hash → its text
}

// useArchives has Buildroot build the releases that the lock file names, from
// the archives that were verified against it.
func useArchives(def *builder.Definition, c config, fetched map[string]builder.FetchedSource) archives {
	a := archives{hashes: map[string]string{}}
	add := func(from, name, value string) {
		a.lines = append(a.lines, kernel.Symbol{Name: name, Value: value, File: from, Bare: true})
	}
	for _, p := range []struct{ source, from, name, symbol string }{
		{"erlang", "otp.version", "leanlab-otp", "BR2_PACKAGE_LEANLAB_OTP"},
		{"elixir", "elixir", "leanlab-elixir", "BR2_PACKAGE_LEANLAB_ELIXIR"},
	} {
		f := fetched[p.source]
		add(p.from, p.symbol+"_VERSION", quote(f.Version))
		add(p.from, p.symbol+"_TARBALL", quote("file://"+f.Path))
		a.hash(p.name, f)
	}
	if f, ok := fetched["linux"]; ok && c.Kernel != "" {
		add("kernel", "BR2_LINUX_KERNEL_CUSTOM_TARBALL", "y")
		add("kernel", "BR2_LINUX_KERNEL_CUSTOM_TARBALL_LOCATION", quote("file://"+f.Path))
		a.hash("linux", f)
	}
	return a
}

func (a archives) hash(pkg string, f builder.FetchedSource) {
	a.hashes[pkg+"/"+pkg+".hash"] = fmt.Sprintf("# Locked by leanlab.\nsha256  %s  %s\n", f.SHA256, filepath.Base(f.Path))
}

func quote(text string) string { return `"` + text + `"` }

func unquote(value string) string { return strings.Trim(value, `"`) }

// conf is a directory with what make is given beside its configuration.
type conf struct{ dir string }

func (c conf) defconfig() string { return filepath.Join(c.dir, "leanlab_defconfig") }
func (c conf) patches() string   { return filepath.Join(c.dir, "patches") }
func (c conf) overrides() string { return filepath.Join(c.dir, "local.mk") }

// request is the whole configuration of one build.
type request struct {
	requests
	conf      conf
	overrides map[string]string // package → directory
}

// compose puts the configuration together and writes it, with what it refers
// to, into dir.
func compose(def *builder.Definition, c config, defconfig string, fetched map[string]builder.FetchedSource, toolchain []kernel.Symbol, dir string) (request, error) {
	base, err := readDefconfig(defconfig)
	if err != nil {
		return request{}, err
	}
	r := request{conf: conf{dir}, overrides: map[string]string{}}
	archives := useArchives(def, c, fetched)
	lines := slices.Concat(ownLines(def, c), archives.lines, toolchain)
	patchDirs := strings.Fields(unquote(base.value("BR2_GLOBAL_PATCH_DIR")))
	if base.value("BR2_GLOBAL_PATCH_DIR") == "n" {
		patchDirs = nil
	}
	if c.ExtraHashes != "" {
		patchDirs = append(patchDirs, under(def, c.ExtraHashes))
	}
	patchDirs = append(patchDirs, r.conf.patches())
	lines = append(lines, kernel.Symbol{Name: "BR2_GLOBAL_PATCH_DIR", Value: quote(strings.Join(patchDirs, " ")), File: "extra_hashes", Bare: true})
	r.requests = base.with(lines)

	var mk strings.Builder
	if own := unquote(base.value("BR2_PACKAGE_OVERRIDE_FILE")); own != "n" {
		fmt.Fprintf(&mk, "-include %s\n", own)
	}
	for name, path := range c.OverrideSrcdir {
		r.overrides[name] = under(def, path)
	}
	for _, name := range sortedKeys(r.overrides) {
		fmt.Fprintf(&mk, "%s_OVERRIDE_SRCDIR = %s\n", upper(name), r.overrides[name])
	}
	files := map[string]string{r.conf.defconfig(): r.text(), r.conf.overrides(): mk.String()}
	for name, text := range archives.hashes {
		files[filepath.Join(r.conf.patches(), name)] = text
	}
	if err := os.RemoveAll(r.conf.patches()); err != nil {
		return request{}, err
	}
	for path, text := range files {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return request{}, err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return request{}, err
		}
	}
	return r, nil
}

// upper is a package's name as its makefile's variables begin.
func upper(name string) string {
	return strings.NewReplacer("-", "_", ".", "_").Replace(strings.ToUpper(name))
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
