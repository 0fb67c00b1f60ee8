package main

import (
	"context"
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
	"github.com/somebloke1/elixir-lean-lab/core/kernel"
)

// hostScript makes a toolchain for an architecture from the packages of a Debian
// host and prints the lines that describe it.
const hostScript = "utils/debian-toolchain"

// Files of the toolchain step.
const (
	toolchainDir   = "toolchain"
	toolchainLines = "toolchain.config"
)

// buildToolchain runs the external tree's script.
func buildToolchain(ctx context.Context, req *builder.BuildRequest, ev builder.Events) error {
	script := filepath.Join(req.Definition.Root, externalDir, hostScript)
	cmd := exec.Command(script, filepath.Join(req.Out, toolchainDir), req.Definition.Arch)
	lines, err := os.Create(filepath.Join(req.Out, toolchainLines))
	if err != nil {
		return err
	}
	defer lines.Close()
	cmd.Stdout = lines
	return builder.Run(ctx, ev, cmd)
}

// hostPackages are those that the script takes files from, for an architecture.
func hostPackages(ctx context.Context, arch string) ([]string, error) {
	out, err := exec.CommandContext(ctx, "gcc", "-dumpversion").Output()
	if err != nil {
		return nil, fmt.Errorf("gcc -dumpversion: %w", err)
	}
	// A release's cross compiler is its own compiler's version.
	v, _, _ := strings.Cut(strings.TrimSpace(string(out)), ".")
	compiler := []string{"gcc-" + v, "g++-" + v, "cpp-" + v, "binutils"}
	libraries := []string{"libgcc-" + v + "-dev", "libstdc++-" + v + "-dev", "libc6", "libc6-dev", "linux-libc-dev", "libgcc-s1", "libstdc++6", "libatomic1"}
	native := []string{"libcrypt1", "libcrypt-dev"} // there are none for cross compilers
	if triplet := cc.CrossTriplet(arch); triplet != "" {
		of := "-" + strings.ReplaceAll(triplet, "_", "-") // Debian has no _ in names
		compiler = append(compiler, "gcc", "g++")         // without a version in their programs' names
		for i := range compiler {
			compiler[i] += of
		}
		for i := range libraries {
			libraries[i] += "-" + map[string]string{"x86_64": "amd64", "aarch64": "arm64"}[arch] + "-cross"
		}
		native = nil
	}
	return slices.Concat(compiler, libraries, native), nil
}

// hostToolchainInputs are the versions of those packages.
func hostToolchainInputs(ctx context.Context, arch string) (map[string]string, error) {
	packages, err := hostPackages(ctx, arch)
	if err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, "dpkg-query", append([]string{"--show", "--showformat", "${Package}=${Version}\n"}, packages...)...).Output()
	if err != nil {
		return nil, fmt.Errorf(`toolchain = "host" takes what this distribution's packages hold, and dpkg-query does not know all of %s: %w`, strings.Join(packages, ", "), err)
	}
	return map[string]string{"packages": strings.Join(strings.Fields(string(out)), " ")}, nil
}

func hostToolchainNeeds(ctx context.Context, arch string) []builder.Missing {
	if _, err := exec.LookPath("dpkg-query"); err != nil {
		return []builder.Missing{{What: "dpkg-query", Why: `toolchain = "host" is made of Debian's packages`, Remedy: `choose another toolchain: "internal"`}}
	}
	packages, err := hostPackages(ctx, arch)
	if err != nil {
		return nil // no gcc: said already
	}
	var missing []builder.Missing
	for _, name := range packages {
		out, err := exec.CommandContext(ctx, "dpkg-query", "--show", "--showformat", "${db:Status-Status}", name).Output()
		if err != nil || !strings.HasPrefix(string(out), "installed") {
			missing = append(missing, builder.Missing{What: name, Why: "the toolchain is made of its files", Debian: name})
		}
	}
	return missing
}

// facts are what a toolchain's compiler says of itself.
type facts struct {
	dir, prefix string
	gcc         int    // major version
	headers     [2]int // of Linux
	libc        string // "GLIBC" or "MUSL", as in Buildroot's symbols
	cxx, ssp    bool
	openmp, rpc bool
}

// probeToolchain asks the compiler in dir/bin. What Buildroot is told of a
// toolchain must be true of it: it checks some of it, after an hour or at once,
// and builds something else where it does not.
func probeToolchain(ctx context.Context, dir, prefix string) (*facts, error) {
	f := &facts{dir: dir, prefix: prefix}
	if prefix == "" {
		var err error
		if f.prefix, err = findPrefix(dir); err != nil {
			return nil, err
		}
	}
	cc := f.program("gcc")
	version, err := ask(ctx, cc, "-dumpversion")
	if err != nil {
		return nil, err
	}
	if f.gcc, err = strconv.Atoi(strings.SplitN(version, ".", 2)[0]); err != nil {
		return nil, fmt.Errorf("%s -dumpversion says %q", cc, version)
	}
	code, err := compile(ctx, cc, "#include <linux/version.h>\nLINUX_VERSION_CODE\n", "-E", "-P")
	if err != nil {
		return nil, fmt.Errorf("the headers of Linux: %w", err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(code))
	if err != nil {
		return nil, fmt.Errorf("%s: linux/version.h says %q", cc, code)
	}
	f.headers = [2]int{n >> 16, n >> 8 & 0xff}
	f.libc = "MUSL"
	if text, err := compile(ctx, cc, "#include <features.h>\n__GLIBC__\n", "-E", "-P"); err == nil && !strings.Contains(text, "__GLIBC__") {
		f.libc = "GLIBC"
	}
	try := func(cc, program string, args ...string) bool {
		_, err := compile(ctx, cc, program, args...)
		return err == nil
	}
	const empty = "int main(void) { return 0; }\n"
	f.cxx = try(f.program("g++"), "#include <string>\nint main() { return std::string(\"x\").size() != 1; }\n", "-xc++")
	f.ssp = try(cc, empty, "-fstack-protector")
	f.openmp = try(cc, empty, "-fopenmp")
	f.rpc = try(cc, "#include <rpc/rpc.h>\n"+empty)
	return f, nil
}

func (f *facts) program(name string) string {
	return filepath.Join(f.dir, "bin", f.prefix+"-"+name)
}

// findPrefix finds the one PREFIX-gcc.
func findPrefix(dir string) (string, error) {
	found, err := filepath.Glob(filepath.Join(dir, "bin", "*-gcc"))
	if err != nil {
		return "", err
	}
	if len(found) != 1 {
		return "", fmt.Errorf("%s/bin: found %d programs PREFIX-gcc, want one: this is no toolchain, or several", dir, len(found))
	}
	return strings.TrimSuffix(filepath.Base(found[0]), "-gcc"), nil
}

func ask(ctx context.Context, program string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, program, args...).Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", program, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// compile feeds a program to the compiler; what is made of it is thrown away
// unless it goes to standard output.
func compile(ctx context.Context, cc, program string, args ...string) (string, error) {
	if !strings.Contains(strings.Join(args, " "), "-E") {
		args = append(args, "-o", os.DevNull)
	}
	if !strings.Contains(strings.Join(args, " "), "-x") {
		args = append([]string{"-xc"}, args...)
	}
	cmd := exec.CommandContext(ctx, cc, append(args, "-")...)
	cmd.Stdin = strings.NewReader(program)
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return "", fmt.Errorf("%s %s: %w: %s", cc, strings.Join(args, " "), err, strings.TrimSpace(string(exit.Stderr)))
	}
	return string(out), err
}

// lines describe the toolchain to Buildroot.
func (f *facts) lines(from string) []kernel.Symbol {
	yes := func(b bool) string {
		if b {
			return "y"
		}
		return "n"
	}
	var lines []kernel.Symbol
	for _, l := range [][2]string{
		{"BR2_TOOLCHAIN_EXTERNAL", "y"},
		{"BR2_TOOLCHAIN_EXTERNAL_CUSTOM", "y"},
		{"BR2_TOOLCHAIN_EXTERNAL_PREINSTALLED", "y"},
		{"BR2_TOOLCHAIN_EXTERNAL_PATH", quote(f.dir)},
		{"BR2_TOOLCHAIN_EXTERNAL_CUSTOM_PREFIX", quote(f.prefix)},
		{fmt.Sprintf("BR2_TOOLCHAIN_EXTERNAL_GCC_%d", f.gcc), "y"},
		{fmt.Sprintf("BR2_TOOLCHAIN_EXTERNAL_HEADERS_%d_%d", f.headers[0], f.headers[1]), "y"},
		{"BR2_TOOLCHAIN_EXTERNAL_CUSTOM_" + f.libc, "y"},
		{"BR2_TOOLCHAIN_EXTERNAL_CXX", yes(f.cxx)},
		{"BR2_TOOLCHAIN_EXTERNAL_HAS_SSP", yes(f.ssp)},
		{"BR2_TOOLCHAIN_EXTERNAL_OPENMP", yes(f.openmp)},
	} {
		lines = append(lines, kernel.Symbol{Name: l[0], Value: l[1], File: from, Bare: true})
	}
	if f.libc == "GLIBC" {
		lines = append(lines, kernel.Symbol{Name: "BR2_TOOLCHAIN_EXTERNAL_INET_RPC", Value: yes(f.rpc), File: from, Bare: true})
	}
	return lines
}

// disagreements are lines about a toolchain that are not true of it.
func (f *facts) disagreements(r requests) []gap {
	truth := map[string]string{}
	for _, l := range f.lines("") {
		truth[l.Name] = l.Value
	}
	var gaps []gap
	say := func(s kernel.Symbol, format string, args ...any) {
		gaps = append(gaps, gap{s, fmt.Sprintf("the compiler in %s ", f.dir) + fmt.Sprintf(format, args...)})
	}
	for _, s := range r.Symbols {
		switch {
		case s.Value != "y" && s.Value != "n":
		case strings.HasPrefix(s.Name, "BR2_TOOLCHAIN_EXTERNAL_GCC_") && s.Value == "y" && truth[s.Name] != "y":
			say(s, "is gcc %d", f.gcc)
		case strings.HasPrefix(s.Name, "BR2_TOOLCHAIN_EXTERNAL_HEADERS_") && s.Value == "y" && truth[s.Name] != "y":
			say(s, "has the headers of Linux %d.%d", f.headers[0], f.headers[1])
		case (s.Name == "BR2_TOOLCHAIN_EXTERNAL_CUSTOM_GLIBC" || s.Name == "BR2_TOOLCHAIN_EXTERNAL_CUSTOM_MUSL") && s.Value == "y" && truth[s.Name] != "y":
			say(s, "links to %s", strings.ToLower(f.libc))
		case truthOnly.MatchString(s.Name) && truth[s.Name] != s.Value && truth[s.Name] != "":
			say(s, "says otherwise: %s", kernel.Symbol{Name: s.Name, Value: truth[s.Name], Bare: true})
		}
	}
	return gaps
}

var truthOnly = regexp.MustCompile(`^BR2_TOOLCHAIN_EXTERNAL_(CXX|HAS_SSP|OPENMP|INET_RPC)$`)

// externalLines describe the external toolchain that the definition names; none
// when it leaves the choice to the defconfig.
func externalLines(ctx context.Context, def *builder.Definition, c config, needs map[string]string) ([]kernel.Symbol, error) {
	switch {
	case c.Toolchain == toolchainExternal && c.ToolchainPath != "":
		f, err := probeToolchain(ctx, under(def, c.ToolchainPath), "")
		if err != nil {
			return nil, fmt.Errorf("toolchain_path: %w", err)
		}
		return f.lines("toolchain_path"), nil
	case c.Toolchain == toolchainHost:
		dir := filepath.Join(needs[stepToolchain], toolchainDir)
		file := filepath.Join(needs[stepToolchain], toolchainLines)
		r, err := readDefconfig(file)
		if err != nil {
			return nil, err
		}
		for i := range r.Symbols {
			s := &r.Symbols[i]
			s.File, s.Line = `toolchain = "host"`, 0
			if s.Name == "BR2_TOOLCHAIN_EXTERNAL_PATH" { // it was made in another place
				s.Value = quote(dir)
			}
		}
		return r.Symbols, nil
	}
	return nil, nil
}

// checkToolchain compares what a defconfig says of an external toolchain with
// the toolchain.
func checkToolchain(ctx context.Context, r requests) ([]gap, error) {
	path := unquote(r.value("BR2_TOOLCHAIN_EXTERNAL_PATH"))
	if !r.has("BR2_TOOLCHAIN_EXTERNAL") || !filepath.IsAbs(path) || !exists(path) {
		return nil, nil
	}
	prefix := unquote(r.value("BR2_TOOLCHAIN_EXTERNAL_CUSTOM_PREFIX"))
	if strings.Contains(prefix, "$(") || prefix == "n" {
		prefix = ""
	}
	f, err := probeToolchain(ctx, path, prefix)
	if err != nil {
		return nil, err
	}
	return f.disagreements(r), nil
}
