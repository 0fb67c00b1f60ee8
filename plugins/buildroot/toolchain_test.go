package main

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// The script that the external tree ships, on this host's packages: what it says of
// a toolchain is what its compiler says of itself, and its programs are for the
// architecture and find nothing outside of the toolchain.
func TestAToolchainIsMadeOfTheHostsPackages(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "linux" {
		t.Skip("it is made of Debian's packages")
	}
	for arch, machine := range map[string]elf.Machine{"x86_64": elf.EM_X86_64, "aarch64": elf.EM_AARCH64} {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			if missing := hostToolchainNeeds(t.Context(), arch); len(missing) > 0 {
				t.Skipf("not installed: %v", missing)
			}
			if _, err := hostToolchainInputs(t.Context(), arch); err != nil {
				t.Fatal(err)
			}
			out := t.TempDir()
			req := &builder.BuildRequest{Definition: &builder.Definition{Arch: arch, Root: root}, Out: out}
			if err := buildToolchain(t.Context(), req, discard{}); err != nil {
				t.Fatal(err)
			}
			f, err := probeToolchain(t.Context(), filepath.Join(out, toolchainDir), "")
			if err != nil {
				t.Fatal(err)
			}
			said, err := os.ReadFile(filepath.Join(out, toolchainLines))
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range f.lines("") {
				if line := l.String(); !strings.Contains(string(said), line+"\n") {
					t.Errorf("the script does not say %s:\n%s", line, said)
				}
			}
			// One directory of libraries, by all its names, and one of headers: Buildroot
			// copies libraries from wherever the loader's directory is.
			sysroot := filepath.Join(f.dir, "sysroot")
			for name, want := range map[string]string{"lib64": "lib", "usr/lib": "../lib", "usr/lib64": "../lib"} {
				if got, err := os.Readlink(filepath.Join(sysroot, name)); err != nil || got != want {
					t.Errorf("%s leads to %q, want %q: %v", name, got, want, err)
				}
			}
			top, err := os.ReadDir(sysroot)
			if err != nil || len(top) != 3 {
				t.Errorf("the sysroot has %v, want lib, lib64 and usr: %v", top, err)
			}
			program := filepath.Join(t.TempDir(), "program")
			cmd := exec.CommandContext(t.Context(), f.program("g++"), "-xc++", "-", "-o", program, "-Wl,--trace")
			cmd.Stdin = strings.NewReader("#include <string>\nint main() { return std::string().size(); }\n")
			trace, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, trace)
			}
			for line := range strings.Lines(string(trace)) {
				if line = strings.TrimSpace(line); strings.HasPrefix(line, "/usr/") || strings.HasPrefix(line, "/lib") {
					t.Errorf("it links with the host's %s", line)
				}
			}
			file, err := elf.Open(program)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			if file.Machine != machine {
				t.Errorf("a program is for %v", file.Machine)
			}
		})
	}
}

// A package that is upgraded makes another toolchain: all of them are in its key.
func TestTheHostsToolchainIsKeyedByEveryPackageItTakesFrom(t *testing.T) {
	t.Parallel()
	for _, arch := range []string{"x86_64", "aarch64"} {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			if missing := hostToolchainNeeds(t.Context(), arch); len(missing) > 0 {
				t.Skipf("not installed: %v", missing)
			}
			keyed, err := hostPackages(t.Context(), arch)
			if err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(t.Context(), "sh", "-x", filepath.Join("../..", externalDir, hostScript), filepath.Join(t.TempDir(), "toolchain"), arch).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			taken := regexp.MustCompile(`(?m)^\+ dpkg-query --listfiles (\S+)$`).FindAllSubmatch(out, -1)
			if len(taken) == 0 {
				t.Fatalf("it takes from no package: %s", out)
			}
			for _, m := range taken {
				if !slices.Contains(keyed, string(m[1])) {
					t.Errorf("%s is not in the key", m[1])
				}
			}
		})
	}
}

type discard struct{}

func (discard) Emit(builder.Event) {}
