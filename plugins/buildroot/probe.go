package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// programs are those that Buildroot does not build for itself
// (support/dependencies/dependencies.sh), with what lacks them.
var programs = []builder.Missing{
	{What: "make", Debian: "make", Why: "Buildroot is a makefile"},
	{What: "gcc", Debian: "gcc", Why: "tools for the build host are compiled with it"},
	{What: "g++", Debian: "g++", Why: "tools for the build host are compiled with it"},
	{What: "bash", Debian: "bash", Why: "Buildroot's scripts are for it"},
	{What: "which", Debian: "debianutils", Why: "Buildroot finds programs with it"},
	{What: "sed", Debian: "sed", Why: "Buildroot edits files with it"},
	{What: "patch", Debian: "patch", Why: "packages are patched"},
	{What: "perl", Debian: "perl", Why: "packages generate sources with it"},
	{What: "tar", Debian: "tar", Why: "packages are unpacked with it"},
	{What: "gzip", Debian: "gzip", Why: "packages are unpacked with it"},
	{What: "bzip2", Debian: "bzip2", Why: "packages are unpacked with it"},
	{What: "xz", Debian: "xz-utils", Why: "packages are unpacked with it"},
	{What: "cpio", Debian: "cpio", Why: "Buildroot insists on it"},
	{What: "unzip", Debian: "unzip", Why: "Buildroot insists on it"},
	{What: "rsync", Debian: "rsync", Why: "directories and overlays are copied with it"},
	{What: "bc", Debian: "bc", Why: "the kernel's time constants are generated with it"},
	{What: "cmp", Debian: "diffutils", Why: "Buildroot compares files with it"},
	{What: "find", Debian: "findutils", Why: "Buildroot finds files with it"},
	{What: "xargs", Debian: "findutils", Why: "Buildroot finds files with it"},
	{What: "awk", Debian: "mawk", Why: "packages generate sources with it"},
	{What: "wget", Debian: "wget", Why: "Buildroot downloads with it what the host could not fetch"},
	{What: "flock", Debian: "util-linux", Why: "Buildroot guards downloads with it"},
	{What: "strip", Debian: "binutils", Why: "programs are linked with it"},
	// libtool has this very path (dependencies.sh).
	{What: "/usr/bin/file", Debian: "file", Why: "libtool looks at libraries with it"},
}

// perlModules are in Debian's perl and not in its perl-base.
var perlModules = []string{"Data::Dumper", "English", "ExtUtils::MakeMaker", "Thread::Queue", "FindBin", "IPC::Cmd"}

// Probe finds all that Buildroot would stop for, one after the other, in the
// course of a build.
func (buildroot) Probe(ctx context.Context, def *builder.Definition) ([]builder.Missing, error) {
	c, err := decode(def)
	if err != nil {
		return nil, err
	}
	var missing []builder.Missing
	needs := programs
	if def.Arch != hostArch() {
		// Buildroot makes its own; this one is the host's lean step's.
		triplet := def.Arch + "-linux-gnu"
		needs = append(needs[:len(needs):len(needs)], builder.Missing{What: triplet + "-strip",
			Debian: "binutils-" + strings.ReplaceAll(triplet, "_", "-"), Why: "drops the symbols of programs of the VM"})
	}
	for _, m := range needs {
		if _, err := exec.LookPath(m.What); err != nil {
			m.Remedy = "install your distribution's package that holds it"
			missing = append(missing, m)
		}
	}
	missing = append(missing, pathProblems(os.Getenv)...)
	missing = append(missing, versionProblems(ctx)...)
	missing = append(missing, perlProblems(ctx)...)
	if c.Toolchain == toolchainHost {
		missing = append(missing, hostToolchainNeeds(ctx, def.Arch)...)
	}
	return missing, nil
}

// pathProblems are what Buildroot refuses to be run with.
func pathProblems(getenv func(string) string) []builder.Missing {
	var missing []builder.Missing
	bad := func(variable, text, why string) {
		missing = append(missing, builder.Missing{What: "a usable " + variable, Why: why, Remedy: "take " + text + " out of " + variable})
	}
	for _, variable := range []string{"PATH", "LD_LIBRARY_PATH"} {
		value, ok := getenv(variable), getenv(variable) != ""
		if !ok {
			continue
		}
		for dir := range strings.SplitSeq(value, ":") {
			if dir == "" || dir == "." {
				bad(variable, "the current directory (an empty element, or .)", "packages would find what lies in the directory that they are built in")
				break
			}
		}
		if variable == "PATH" && strings.ContainsAny(value, " \t\n") {
			bad(variable, "directories with spaces in their names", "makefiles take a space for an end")
		}
	}
	return missing
}

// versionProblems are programs that are there and too old.
func versionProblems(ctx context.Context) []builder.Missing {
	var missing []builder.Missing
	for _, p := range []struct {
		program, debian string
		atLeast         [2]int
	}{
		{"make", "make", [2]int{3, 81}},
		{"patch", "patch", [2]int{2, 7}},
		{"gcc", "gcc", [2]int{4, 8}},
	} {
		out, err := exec.CommandContext(ctx, p.program, "--version").Output()
		if err != nil {
			continue // not there: said already
		}
		major, minor, ok := firstVersion(string(out))
		if ok && (major < p.atLeast[0] || major == p.atLeast[0] && minor < p.atLeast[1]) {
			missing = append(missing, builder.Missing{
				What:   fmt.Sprintf("%s %d.%d", p.program, p.atLeast[0], p.atLeast[1]),
				Why:    fmt.Sprintf("Buildroot refuses the %d.%d that is here", major, minor),
				Debian: p.debian,
			})
		}
	}
	return missing
}

func firstVersion(text string) (major, minor int, ok bool) {
	line, _, _ := strings.Cut(text, "\n")
	m := regexp.MustCompile(`([0-9]+)\.([0-9]+)(\.[0-9]+)*$|([0-9]+)\.([0-9]+)`).FindStringSubmatch(strings.TrimSpace(line))
	if m == nil {
		return 0, 0, false
	}
	if m[1] == "" {
		m[1], m[2] = m[4], m[5]
	}
	major, _ = strconv.Atoi(m[1])
	minor, _ = strconv.Atoi(m[2])
	return major, minor, true
}

func perlProblems(ctx context.Context) []builder.Missing {
	if _, err := exec.LookPath("perl"); err != nil {
		return nil
	}
	var lacking []string
	for _, module := range perlModules {
		if exec.CommandContext(ctx, "perl", "-e", "require "+module).Run() != nil {
			lacking = append(lacking, module)
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	return []builder.Missing{{What: "Perl's " + strings.Join(lacking, ", "), Why: "packages generate sources with them", Debian: "perl",
		Remedy: "install the whole of Perl"}}
}

// Room that a build takes, with something to spare: with a toolchain that is
// there, and with one that Buildroot builds.
const (
	roomWithToolchain    = 4 << 30
	roomWithoutToolchain = 12 << 30
)

// roomProblem compares the free space where the output goes.
func roomProblem(dir string, need int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return nil // whoever writes there will say it
	}
	if free := int64(st.Bavail) * st.Bsize; free < need {
		return fmt.Errorf("%s has %.1f GB free, and the build takes up to %.0f: make room (leanlab cache prune), or set LEANLAB_CACHE to a directory on another disk",
			dir, float64(free)/1e9, float64(need)/1e9)
	}
	return nil
}

// pathProblem is what Buildroot cannot have in the path of its output.
func pathProblem(dir string) error {
	if strings.ContainsAny(dir, "@ \t:'\"$%\\") {
		return fmt.Errorf("%s: Buildroot and its packages cannot be built in a path with such characters; set LEANLAB_CACHE to another directory", dir)
	}
	return nil
}

// hostArch is the build host's architecture in the definition's words.
func hostArch() string {
	if runtime.GOARCH == "arm64" {
		return "aarch64"
	}
	return "x86_64"
}

// libraryPath asks the C compiler where a file of its own is: it answers with a
// path when it finds it, and with the bare name when it does not.
func libraryPath(ctx context.Context, cc, name string) string {
	out, err := exec.CommandContext(ctx, cc, "-print-file-name="+name).Output()
	if err != nil {
		return ""
	}
	path := strings.TrimSpace(string(out))
	if !filepath.IsAbs(path) || !exists(path) {
		return ""
	}
	return path
}
