package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

func root(t *testing.T, b built) *rootfs.Tree {
	t.Helper()
	tree := rootfs.New()
	if err := tree.AddTar(filepath.Join(b.results[b.machine.Rootfs.Step], b.machine.Rootfs.Path), "/"); err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestTheMachineIsWhatMakeMade(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	s.config["cmdline"] = "panic=1"
	b := s.mustBuild()
	m := b.machine
	if m.Libc != "static" || m.Cmdline != "quiet panic=1" || len(m.Emulators) != 2 {
		t.Errorf("machine: %+v", m)
	}
	for _, e := range m.Emulators {
		if crypto := strings.HasSuffix(e.Path, "/beam.smp"); crypto != (len(e.NIFs) > 0) {
			t.Errorf("emulator %+v", e)
		}
	}
	tree := root(t, b)
	for path, want := range map[string]bool{
		"/usr/lib/erlang/erts-15.0/bin/beam.smp": true,
		"/etc/passwd":                            true,
		"/usr/lib/libz.so.1":                     false, // nothing loads it
	} {
		if _, ok := tree.Get(path); ok != want {
			t.Errorf("%s is in the root: %v, want %v", path, ok, want)
		}
	}
	// The releases are those that the host fetched and locked.
	erl, err := os.ReadFile(filepath.Join(b.results[m.Toolchain.OTP.Step], m.Toolchain.OTP.Path, "bin/erl"))
	if err != nil || strings.TrimSpace(string(erl)) != "27.3.4" {
		t.Errorf("OTP is %q, %v", erl, err)
	}
	var names []string
	for _, c := range m.Components {
		names = append(names, c.Name)
	}
	if want := []string{"busybox", "leanlab-init", "leanlab-otp", "skeleton"}; !slices.Equal(names, want) {
		t.Errorf("components %v, want %v", names, want)
	}
}

func TestProgressCountsPackages(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	b := s.mustBuild()
	if !slices.Contains(b.events.parts, "zlib 1.0 building") || !slices.Contains(b.events.parts, "finalizing target directory") {
		t.Errorf("parts: %q", b.events.parts)
	}
	if want := (builder.Progress{Done: 7, Total: 7, Unit: "packages"}); b.events.last != want {
		t.Errorf("at the end %+v, want %+v", b.events.last, want)
	}
	// The kernel and BusyBox are configured before anything is built.
	first := slices.IndexFunc(b.events.parts, func(part string) bool { return strings.HasSuffix(part, " building") })
	if part := b.events.parts[first]; b.events.done[part] != 0 {
		t.Errorf("%d packages were installed when the first one was built: %s", b.events.done[part], part)
	}
}

func TestAFailureNamesThePackageAndItsLog(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	s.add("BR2_PACKAGE_TROUBLE=y")
	s.add(`BR2_PACKAGE_TROUBLE_WITH="fail"`)
	_, err := s.build(t.Context())
	if err == nil {
		t.Fatal("the build succeeded")
	}
	log := filepath.Join(s.kept, stepBuild, "logs", "trouble.log")
	for _, want := range []string{"package trouble 0.1 failed (building)", "no such thing as a free lunch", log} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say %q", err, want)
		}
	}
	if text, err := os.ReadFile(log); err != nil || !strings.Contains(string(text), "free lunch") || strings.Contains(string(text), "zlib") {
		t.Errorf("the log holds %q, %v", text, err)
	}
}

func TestAfterAFailureOnlyTheRestIsBuilt(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	s.add("BR2_PACKAGE_TROUBLE=y")
	s.add(`BR2_PACKAGE_TROUBLE_WITH="fail"`)
	if _, err := s.build(t.Context()); err == nil {
		t.Fatal("the build succeeded")
	}
	before := s.compiled()
	s.edit(s.defconfig(), `"fail"`, `""`)
	s.mustBuild()
	for _, name := range s.compiled() {
		if name != "trouble" && slices.Contains(before, name) {
			t.Errorf("%s was built again", name)
		}
	}
}

func TestAStoppedBuildEndsWithAllItsProcessesAndGoesOn(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	s.add("BR2_PACKAGE_TROUBLE=y")
	s.add(`BR2_PACKAGE_TROUBLE_WITH="hang"`)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := s.build(ctx, func(_ *builder.BuildRequest, e *events) error {
		e.onLine = func(line string) {
			if line == "waiting for ever" {
				cancel()
			}
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("Build: %v", err)
	}
	if left := processesIn(s.kept); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	before := s.compiled()
	s.edit(s.defconfig(), `"hang"`, `""`)
	s.mustBuild()
	for _, name := range s.compiled() {
		if name != "trouble" && slices.Contains(before, name) {
			t.Errorf("%s was built again", name)
		}
	}
}

// processesIn lists the command lines of processes that name dir.
func processesIn(dir string) []string {
	var found []string
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(text), dir) {
			found = append(found, strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	return found
}

// childDir makes this test binary run a build that is killed; see
// TestABuildThatWasKilledGoesOn.
const childDir = "BUILDROOT_TEST_CHILD"

func TestMain(m *testing.M) {
	if file := os.Getenv(childDir); file != "" {
		os.Exit(child(file))
	}
	os.Exit(m.Run())
}

func child(file string) int {
	var req builder.BuildRequest
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &req)
	}
	if err == nil {
		_, err = buildroot{}.Build(context.Background(), &req, &events{})
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func TestABuildThatWasKilledGoesOn(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	s.add("BR2_PACKAGE_TROUBLE=y")
	s.add(`BR2_PACKAGE_TROUBLE_WITH="hang"`)
	kill := errors.New("killed")
	_, err := s.build(t.Context(), func(req *builder.BuildRequest, _ *events) error {
		if req.Step != stepBuild {
			return nil
		}
		killBuild(t, req, filepath.Join(req.Work, "output", "hanging"))
		return kill
	})
	if !errors.Is(err, kill) {
		t.Fatal(err)
	}
	before := s.compiled()
	if !slices.Contains(before, "trouble") {
		t.Fatalf("killed before trouble was built: %v", before)
	}
	s.edit(s.defconfig(), `"hang"`, `""`)
	b := s.mustBuild()
	for _, name := range s.compiled() {
		if name != "trouble" && slices.Contains(before, name) {
			t.Errorf("%s was built again", name)
		}
	}
	if _, ok := root(t, b).Get("/etc/passwd"); !ok {
		t.Error("the root is not whole")
	}
	if !strings.Contains(strings.Join(b.events.notices, "\n"), "trouble: was cut off and starts anew") {
		t.Errorf("said %q", b.events.notices)
	}
}

// killBuild runs a step in a process of its own and kills that with SIGKILL when
// file has appeared. Its children notice (PR_SET_PDEATHSIG).
func killBuild(t *testing.T, req *builder.BuildRequest, file string) {
	t.Helper()
	data, err := json.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	request := filepath.Join(t.TempDir(), "request.json")
	if err := os.WriteFile(request, data, 0o644); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childDir+"="+request)
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); cmd.Wait() }()
	for !exists(file) {
		select {
		case <-ended:
			t.Fatalf("the build ended by itself: %s", &said)
		case <-time.After(20 * time.Millisecond):
		}
	}
	syscall.Kill(cmd.Process.Pid, syscall.SIGKILL)
	<-ended
	// Make dies with its parent; what it had started lives on here, where no
	// host ends it, and must not be what keeps the next build from going on.
	for _, pid := range pidsIn(req.Work) {
		syscall.Kill(pid, syscall.SIGKILL)
	}
}

func pidsIn(dir string) []int {
	var pids []int
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(text), dir) {
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(file, "/proc/%d/", &pid); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}
