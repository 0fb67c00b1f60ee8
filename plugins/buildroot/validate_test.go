package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/kernel"
)

// found is what Validate says, in one text, with the severity and place of each.
func (s *standin) found() string {
	s.t.Helper()
	ds, err := buildroot{}.Validate(s.t.Context(), s.definition())
	if err != nil {
		s.t.Fatal(err)
	}
	var b strings.Builder
	for _, d := range ds {
		severity := map[builder.Severity]string{builder.Error: "error", builder.Warning: "warning"}[d.Severity]
		b.WriteString(severity + " " + strings.Join(d.Path, ".") + ": " + d.Summary + ": " + d.Detail + "\n")
	}
	return b.String()
}

func TestWhatCanBeKnownWithoutABuildIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(s *standin)
		want   []string
	}{
		"nothing wrong": {func(*standin) {}, nil},
		"no Buildroot there": {
			func(s *standin) { s.config["buildroot_dir"] = "nonesuch" },
			[]string{"error buildroot_dir: No Buildroot", "nonesuch: no such file or directory", "known are 2025.02, 2026.02, 2026.05", "make BUILDROOT_DIR=path/to/buildroot"},
		},
		"something else there": {
			func(s *standin) { s.config["buildroot_dir"] = s.root },
			[]string{"error buildroot_dir: No Buildroot", "is no Buildroot", "Makefile: no such file"},
		},
		"no Buildroot named": {
			func(s *standin) { s.config["buildroot_dir"], s.config["buildroot"] = "", "" },
			[]string{"error buildroot: No Buildroot", "neither buildroot nor buildroot_dir"},
		},
		"a Buildroot that is too old": {
			func(s *standin) { s.edit(filepath.Join(s.buildroot, "Makefile"), ":= 2026.08", ":= 2023.11.1") },
			[]string{"error buildroot_dir: Buildroot is too old: this is 2023.11.1; tested are 2025.02 to 2026.08"},
		},
		"a Buildroot that is newer than what was tested": {
			func(s *standin) { s.edit(filepath.Join(s.buildroot, "Makefile"), ":= 2026.08", ":= 2027.02-git") },
			[]string{"warning buildroot_dir: Buildroot is newer than what was tested: This is 2027.02-git; tested are"},
		},
		"an unknown defconfig": {
			func(s *standin) { s.config["defconfig"] = "leanlab_x86_46" },
			[]string{"error defconfig: Unknown defconfig", `Did you mean "leanlab_x86_64_defconfig"?`, "There are leanlab_aarch64_defconfig, leanlab_x86_64_defconfig"},
		},
		"a defconfig of Buildroot's, for the wrong machine": {
			func(s *standin) {
				s.config["defconfig"] = "other"
				s.edit(filepath.Join(s.buildroot, "configs/other_defconfig"), "x86_64", map[string]string{"x86_64": "aarch64", "aarch64": "x86_64"}[hostArch()])
			},
			[]string{"error defconfig: Defconfig of another architecture"},
		},
		"a line twice": {
			func(s *standin) { s.add("BR2_PACKAGE_ZLIB=y") },
			[]string{"error defconfig: Unusable defconfig", "BR2_PACKAGE_ZLIB is already on line 8"},
		},
		"several lines that do nothing": {
			func(s *standin) { s.add("BR2_PACKAGE_ZLIP=y"); s.add("BR2_PACKAGE_OLD=y") },
			[]string{"_defconfig:9: BR2_PACKAGE_ZLIP=y: this Buildroot has no such symbol; the nearest is BR2_PACKAGE_ZLIB",
				"_defconfig:10: BR2_PACKAGE_OLD=y: Buildroot has removed it: the package old is gone, take zlib (Config.in.legacy:1)"},
		},
		"an OTP that the external tree has not": {
			func(s *standin) {
				s.edit(filepath.Join(s.root, externalDir, "Config.in"), "config BR2_PACKAGE_LEANLAB_OTP_27\n", "config BR2_PACKAGE_LEANLAB_OTP_26\n")
			},
			[]string{"error : Buildroot cannot build what the definition asks for: otp.version: BR2_PACKAGE_LEANLAB_OTP_27=y"},
		},
		"a package that is not there": {
			func(s *standin) { s.config["packages"] = []string{"busybox", "zlip"} },
			[]string{`error packages.1: Unknown package: there is no package "zlip" (BR2_PACKAGE_ZLIP); the nearest symbol is BR2_PACKAGE_ZLIB`},
		},
		"sources for a package that is not there": {
			func(s *standin) { s.config["override_srcdir"] = map[string]string{"zlip": "init"} },
			[]string{`error override_srcdir: Unknown package`, "warning override_srcdir: Sources are taken as they are: From a directory, for zlip"},
		},
		"an external tree of the same name": {
			func(s *standin) { s.external("more", "LEANLAB") },
			[]string{"error externals: External trees do not go together", "are both called LEANLAB"},
		},
		"an external tree with a package of ours": {
			func(s *standin) {
				writeFile(s.t, filepath.Join(s.external("more", "MORE"), "package/leanlab-otp/leanlab-otp.mk"), "")
			},
			[]string{"the package leanlab-otp is in two external trees"},
		},
		"an external tree with a package of Buildroot's": {
			func(s *standin) {
				writeFile(s.t, filepath.Join(s.external("more", "MORE"), "package/zlib/zlib.mk"), "")
			},
			[]string{"the package zlib of", "is one of Buildroot's too"},
		},
		"an external tree that is none": {
			func(s *standin) { s.config["externals"] = []string{"init"} },
			[]string{"error externals.0: Unusable external tree", "is no external tree of Buildroot's"},
		},
		"an external tree whose Config.in is broken": {
			func(s *standin) { writeFile(s.t, filepath.Join(s.external("more", "MORE"), "Config.in"), "if X\n") },
			[]string{"error externals: Unreadable Config.in", "more/Config.in:1"},
		},
		"a toolchain of the host's": {
			func(s *standin) { s.config["toolchain"] = "host" },
			[]string{"warning toolchain: Toolchain made of the host's packages", "not for production"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStandin(t)
			c.change(s)
			got := s.found()
			if len(c.want) == 0 && got != "" {
				t.Errorf("said %s", got)
			}
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("said %s\nwant %s", got, want)
				}
			}
		})
	}
}

// external makes one more external tree and names it in the definition.
func (s *standin) external(dir, name string) string {
	s.t.Helper()
	path := filepath.Join(s.root, dir)
	writeFile(s.t, filepath.Join(path, "external.desc"), "name: "+name+"\n")
	writeFile(s.t, filepath.Join(path, "external.mk"), "")
	writeFile(s.t, filepath.Join(path, "Config.in"), "")
	s.config["externals"] = []string{dir}
	return path
}

func TestLinesThatConfWouldDropStopTheBuildBeforeItBegins(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	s.add(`BR2_PACKAGE_TROUBLE_WITH="fail"`)
	s.config["packages"] = []string{"trouble"}
	s.edit(filepath.Join(s.buildroot, "Config.in"), "config BR2_PACKAGE_TROUBLE\n\tbool \"trouble\"\n", "config BR2_PACKAGE_TROUBLE\n\tbool \"trouble\"\n\tdepends on BR2_ENABLE_DEBUG\n")
	_, err := s.build(t.Context())
	if err == nil {
		t.Fatal("the build succeeded")
	}
	for _, want := range []string{
		"step configuration", // nothing was compiled
		"packages[0]: BR2_PACKAGE_TROUBLE=y: came out as n: depends on BR2_ENABLE_DEBUG, which is n",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
	if got := s.compiled(); len(got) > 0 {
		t.Errorf("compiled: %v", got)
	}
}

func TestFragmentsMustSurviveInThePackagesConfigurations(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	s.edit(filepath.Join(s.root, "kernel-configs/base.config"), "CONFIG_NET=y", "CONFIG_INET=y\nCONFIG_NTE=y")
	s.edit(filepath.Join(s.root, "busybox.config"), "CONFIG_ASH=y", "CONFIG_FANCY=y")
	_, err := s.build(t.Context())
	if err == nil {
		t.Fatal("the build succeeded")
	}
	for _, want := range []string{
		"base.config:1: CONFIG_INET=y came out as n: depends on NET, which is n (Kconfig:1)",
		"base.config:2: CONFIG_NTE=y came out as n: unknown symbol",
		"busybox.config:1: CONFIG_FANCY=y came out as n: depends on ASH",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
	if got := s.compiled(); slices.Contains(got, "linux") {
		t.Errorf("compiled: %v", got)
	}
	// What was mended goes on.
	s.edit(filepath.Join(s.root, "kernel-configs/base.config"), "CONFIG_INET=y\nCONFIG_NTE=y", "CONFIG_NET=y\nCONFIG_INET=y")
	s.edit(filepath.Join(s.root, "busybox.config"), "CONFIG_FANCY=y", "CONFIG_ASH=y\nCONFIG_FANCY=y")
	b := s.mustBuild()
	image, err := os.ReadFile(filepath.Join(b.results[stepBuild], kernelFile))
	if err != nil || !strings.Contains(string(image), "CONFIG_INET=y") {
		t.Errorf("the kernel was made from %q, %v", image, err)
	}
}

// Before a kernel is compiled, and also when one is there that was compiled for
// another root.
func TestAKernelMustGetAtItsRoot(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	base := filepath.Join(s.root, "kernel-configs/base.config")
	s.edit(base, "CONFIG_RD_ZSTD=y", "# CONFIG_RD_ZSTD is not set")
	want := "linux: for output { root = \"initramfs\", compression = \"zstd\" } the kernel needs CONFIG_RD_ZSTD=y; the fragments base"
	if _, err := s.build(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v\nwant %s", err, want)
	}
	if got := s.compiled(); slices.Contains(got, "linux") {
		t.Errorf("compiled: %v", got)
	}
	s.edit(base, "# CONFIG_RD_ZSTD is not set", "CONFIG_RD_ZSTD=y")
	b := s.mustBuild()
	// The host has the build's result in its store, and runs the machine alone.
	s.compression = "xz"
	_, err := machine(&builder.BuildRequest{Definition: s.definition(), Step: stepMachine, Out: t.TempDir(), Needs: b.results})
	if err == nil || !strings.Contains(err.Error(), "CONFIG_RD_XZ=y") {
		t.Errorf("%v", err)
	}
}

func TestADownloadThatBuildrootCannotHaveFailsFirst(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	if err := os.RemoveAll(filepath.Join(s.buildroot, "upstream")); err != nil {
		t.Fatal(err)
	}
	_, err := s.build(t.Context())
	if err == nil || !strings.Contains(err.Error(), "package zlib 1.0 failed (downloading)") {
		t.Errorf("%v", err)
	}
	if got := s.compiled(); len(got) > 0 {
		t.Errorf("compiled: %v", got)
	}
}

func TestOfflineBuildrootIsGivenNoOtherPlaceToAsk(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	offline := func(req *builder.BuildRequest, _ *events) error {
		req.Offline = true
		if req.Step == stepBuild {
			os.RemoveAll(req.Downloads)
		}
		return nil
	}
	b, err := s.build(t.Context(), offline)
	if list, err := builder.ReadDownloads(b.results[stepConfiguration]); err != nil || len(list.Files) != 1 || !strings.HasSuffix(list.Files[0].URLs[0], "/upstream/zlib-1.0.tar") {
		t.Errorf("the list of downloads depends on being offline: %+v, %v", list, err)
	}
	if err == nil || !strings.Contains(err.Error(), "package zlib 1.0 failed (downloading)") {
		t.Errorf("%v", err)
	}
}

func TestASharedDownloadDirectoryIsUsedAsItIs(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	archive, err := os.ReadFile(filepath.Join(s.buildroot, "upstream/zlib-1.0.tar"))
	if err != nil {
		t.Fatal(err)
	}
	dl := filepath.Join(t.TempDir(), "dl")
	writeFile(t, filepath.Join(dl, "zlib/zlib-1.0.tar"), string(archive))
	if err := os.RemoveAll(filepath.Join(s.buildroot, "upstream")); err != nil {
		t.Fatal(err)
	}
	s.config["dl_dir"] = dl
	b := s.mustBuild()
	list, err := builder.ReadDownloads(b.results[stepConfiguration])
	if err != nil || !slices.Equal(list.Look, []string{dl}) {
		t.Errorf("the host is told to look in %v, %v", list.Look, err)
	}
}

func TestThePathsThatBuildrootRefuses(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"/usr/bin:/bin":      "",
		"/usr/bin::/bin":     "current directory",
		"/usr/bin:.":         "current directory",
		"/opt/my tools:/bin": "spaces",
	} {
		var got string
		for _, m := range pathProblems(func(name string) string {
			if name == "PATH" {
				return value
			}
			return ""
		}) {
			got += m.Remedy
		}
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("PATH=%s: %q, want %q", value, got, want)
		}
	}
	for dir, ok := range map[string]bool{"/var/cache/leanlab": true, "/home/me@work/x": false, "/home/m e": false} {
		if err := pathProblem(dir); (err == nil) != ok {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if err := roomProblem(t.TempDir(), 1<<62); err == nil || !strings.Contains(err.Error(), "LEANLAB_CACHE") {
		t.Errorf("%v", err)
	}
}

func TestVersionsAreRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]int{
		"GNU Make 4.3\nBuilt for x86_64": {4, 3}, "GNU patch 2.7.6\n": {2, 7}, "gcc (Debian 12.2.0-14+deb12u1) 12.2.0": {12, 2},
	} {
		if major, minor, ok := firstVersion(text); !ok || [2]int{major, minor} != want {
			t.Errorf("%q: %d.%d", text, major, minor)
		}
	}
	for version, want := range map[string]int{"2024.11": -1, "2025.02": 0, "2025.02.16": 0, "2026.08-rc1": 0, "2026.11": 1, "master": -1} {
		if got := tested(version); got != want {
			t.Errorf("%s: %d, want %d", version, got, want)
		}
	}
}

func TestWhatIsSaidOfAToolchainMustBeTrue(t *testing.T) {
	t.Parallel()
	f := &facts{dir: "/opt/tc", prefix: "x86_64-linux-gnu", gcc: 12, headers: [2]int{6, 1}, libc: "GLIBC", cxx: true}
	text := "BR2_TOOLCHAIN_EXTERNAL_GCC_13=y\nBR2_TOOLCHAIN_EXTERNAL_HEADERS_6_12=y\nBR2_TOOLCHAIN_EXTERNAL_CUSTOM_MUSL=y\n" +
		"BR2_TOOLCHAIN_EXTERNAL_CXX=y\nBR2_TOOLCHAIN_EXTERNAL_INET_RPC=y\nBR2_TOOLCHAIN_EXTERNAL=y\n"
	frag, err := kernel.ParseDefconfig("d", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, g := range f.disagreements(requests{frag}) {
		got = append(got, g.String())
	}
	want := []string{
		"d:1: BR2_TOOLCHAIN_EXTERNAL_GCC_13=y: the compiler in /opt/tc is gcc 12",
		"d:2: BR2_TOOLCHAIN_EXTERNAL_HEADERS_6_12=y: the compiler in /opt/tc has the headers of Linux 6.1",
		"d:3: BR2_TOOLCHAIN_EXTERNAL_CUSTOM_MUSL=y: the compiler in /opt/tc links to glibc",
		"d:5: BR2_TOOLCHAIN_EXTERNAL_INET_RPC=y: the compiler in /opt/tc says otherwise: # BR2_TOOLCHAIN_EXTERNAL_INET_RPC is not set",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// The host's own compiler, under a name that a toolchain has.
func TestAToolchainIsAskedWhatItIs(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("g++"); err != nil {
		t.Skipf("%v: it is asked here what it is", err)
	}
	dir := t.TempDir()
	for _, name := range []string{"gcc", "g++"} {
		writeFile(t, filepath.Join(dir, "bin/x-"+name), "#!/bin/sh\nexec "+name+" \"$@\"\n")
		if err := os.Chmod(filepath.Join(dir, "bin/x-"+name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	f, err := probeToolchain(t.Context(), dir, "")
	if err != nil {
		t.Fatal(err)
	}
	if f.prefix != "x" || f.gcc < 8 || f.headers[0] < 4 || f.libc != "GLIBC" || !f.cxx {
		t.Errorf("%+v", f)
	}
	if _, err := probeToolchain(t.Context(), t.TempDir(), ""); err == nil || !strings.Contains(err.Error(), "found 0 programs PREFIX-gcc") {
		t.Errorf("%v", err)
	}
}
