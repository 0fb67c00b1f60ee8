package cli

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/somebloke1/elixir-lean-lab/core/inspect"
	"github.com/somebloke1/elixir-lean-lab/core/internal/report"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// These tests boot root file systems that leanlab has not made, with the default
// build's kernel and /init.

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// server is a static program, testdata/server.
func server(t *testing.T) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "server")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, "./testdata/server")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=amd64", "GOOS=linux")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	data, err := os.ReadFile(out)
	must(t, err)
	return data
}

// busybox is the default build's.
func (h *host) busybox() []byte {
	h.t.Helper()
	img, err := inspect.Open(h.t.Context(), h.build, inspect.DefaultLimits)
	must(h.t, err)
	defer img.Close()
	e, err := img.Tree.Resolve("/bin/busybox")
	must(h.t, err)
	r, err := e.Open()
	must(h.t, err)
	defer r.Close()
	data, err := io.ReadAll(r)
	must(h.t, err)
	return data
}

// serverRoot is the root of a container image with one program and one user.
func serverRoot(t *testing.T) *rootfs.Tree {
	t.Helper()
	tree := rootfs.New()
	must(t, tree.File("/usr/local/bin/server", 0o755, server(t)))
	must(t, tree.File("/etc/passwd", 0o644, []byte("root:x:0:0::/root:/bin/sh\nweb:x:33:34::/var/www:/bin/sh\n")))
	return tree
}

const serverConfig = `{"architecture":"amd64","os":"linux","config":{"Entrypoint":["server"],"Cmd":["as","configured"],"User":"web","WorkingDir":"/srv","Env":["WORD=its own"]}}`

// tarOf is an archive of files by name, and then of a tree.
func tarOf(t *testing.T, tree *rootfs.Tree, files map[string][]byte) []byte {
	t.Helper()
	var archive bytes.Buffer
	if tree != nil {
		must(t, tree.WriteTar(&archive))
		return archive.Bytes()
	}
	w := tar.NewWriter(&archive)
	for name, data := range files {
		must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(data))}))
		_, err := w.Write(data)
		must(t, err)
	}
	must(t, w.Close())
	return archive.Bytes()
}

// ociArchive is an archive of an OCI layout with one image of one layer.
func ociArchive(t *testing.T, tree *rootfs.Tree, config string) []byte {
	t.Helper()
	files := map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`)}
	blob := func(data []byte) map[string]any {
		sum := sha256.Sum256(data)
		digest := hex.EncodeToString(sum[:])
		files["blobs/sha256/"+digest] = data
		return map[string]any{"digest": "sha256:" + digest, "size": len(data)}
	}
	object := func(v any) []byte {
		data, err := json.Marshal(v)
		must(t, err)
		return data
	}
	layer := exec.Command("gzip", "-c")
	layer.Stdin = bytes.NewReader(tarOf(t, tree, nil))
	packed, err := layer.Output()
	must(t, err)
	manifest := object(map[string]any{"schemaVersion": 2, "config": blob([]byte(config)), "layers": []any{blob(packed)}})
	files["index.json"] = object(map[string]any{"schemaVersion": 2, "manifests": []any{blob(manifest)}})
	return tarOf(t, nil, files)
}

func dockerArchive(t *testing.T, tree *rootfs.Tree, config string) []byte {
	t.Helper()
	return tarOf(t, nil, map[string][]byte{"config.json": []byte(config), "layer.tar": tarOf(t, tree, nil),
		"manifest.json": []byte(`[{"Config":"config.json","RepoTags":["server:1"],"Layers":["layer.tar"]}]`)})
}

// file writes a file that is gone after the test.
func file(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, data, 0o644))
	return path
}

// withOwnStore has a store of its own, so that a root is made and not found.
func (h *host) withOwnStore() *host {
	h.environ = append(h.environ, "LEANLAB_CACHE="+h.t.TempDir())
	return h
}

func TestAnOCIArchiveRuns(t *testing.T) {
	t.Parallel()
	h := newHost(t).withOwnStore()
	image := file(t, "server.oci.tar", ociArchive(t, serverRoot(t), serverConfig))
	port := freePort(t)
	h.must("run", image, "--kernel", h.build, "--detach", "--name", "t", "--wait", "4m", "--ready", "listening on 4000",
		"-p", fmt.Sprintf("%d:4000", port), "--env", "WORD=given")
	defer h.leanlab("stop", "t", "--force")
	answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
	must(t, err)
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	must(t, err)
	if want := "args=[\"as\" \"configured\"] uid=33 gid=34 dir=/srv WORD=given HOME=/var/www nameserver 10.0.2.3 <nil>\n"; string(said) != want {
		t.Errorf("it says %q, want %q", said, want)
	}
	if list := h.ps(); len(list) != 1 || list[0].State != "running" || list[0].Exec || list[0].Image != image {
		t.Errorf("%+v", list)
	}
	h.fails(exitFailed, "it runs /usr/local/bin/server, and the evaluator is an argument of BEAM's", "exec", "t", "1")
	if out := h.must("stop", "t"); out != "t was shut down\n" {
		t.Errorf("stop: %q", out)
	}
}

func TestADockerArchiveRunsWithAnotherCommand(t *testing.T) {
	t.Parallel()
	h := newHost(t).withOwnStore()
	image := file(t, "server.tar", dockerArchive(t, serverRoot(t), serverConfig))
	out := &lines{more: make(chan struct{}, 1)}
	var errs bytes.Buffer
	ended := make(chan int, 1)
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
	defer stop()
	go func() { ended <- h.app(out, &errs, "run", image, "--kernel", h.build, "--", "other", "a b").Run(ctx) }()
	out.wait(t, `args=["other" "a b"] uid=33`)
	out.wait(t, "listening on 4000")
	stop()
	if code := <-ended; code != exitInterrupted || !strings.Contains(errs.String(), "the VM was shut down") {
		t.Errorf("ended with %d:\n%s", code, errs.String())
	}
	out.wait(t, "asked to stop")

	out = &lines{more: make(chan struct{}, 1)}
	if code := h.app(out, &errs, "run", image, "--kernel", h.build, "--entrypoint", "/nowhere").Run(t.Context()); code != exitFailed || !strings.Contains(errs.String(), "/nowhere: there is no such program in the image") {
		t.Errorf("ended with %d:\n%s", code, errs.String())
	}
}

func TestARootInATarArchiveRunsItsOwnInit(t *testing.T) {
	t.Parallel()
	h := newHost(t).withOwnStore()
	tree := rootfs.New()
	must(t, tree.File("/bin/busybox", 0o755, h.busybox()))
	must(t, tree.Symlink("/bin/sh", "busybox"))
	must(t, tree.File("/sbin/init", 0o755, []byte("#!/bin/sh\n/bin/busybox mkdir /proc\n/bin/busybox mount -t proc proc /proc\n"+
		"echo \"process $$, $(/bin/busybox cat /proc/version)\"\n/bin/busybox poweroff -f\n")))
	must(t, tree.Dir("/dev", 0o755))
	zstd := exec.Command("zstd", "-qc")
	zstd.Stdin = bytes.NewReader(tarOf(t, tree, nil))
	packed, err := zstd.Output()
	must(t, err)
	image := file(t, "root.tar.zst", packed)
	if out := h.must("run", image, "--kernel", h.build); !strings.Contains(out, "process 1, Linux ver") {
		t.Errorf("it printed %s", out)
	}
	if out := h.must("run", image, "--kernel", h.build, "--entrypoint", "sh", "--", "-c", "echo process $$ has $0", "x"); !strings.Contains(out, "has x") || strings.Contains(out, "process 1 ") {
		t.Errorf("with a command it printed %s", out)
	}
	h.fails(exitUsage, "nothing is known to say when", "run", image, "--kernel", h.build, "-d", "--wait", "1m")
	h.fails(exitFailed, "runs its own init", "run", image, "--kernel", h.build, "--env", "A=b")
}

func TestAContainerImageIsVerified(t *testing.T) {
	t.Parallel()
	h := newHost(t).withOwnStore()
	image := file(t, "server.oci.tar", ociArchive(t, serverRoot(t), serverConfig))
	out := h.must("verify", image, "--kernel", h.build, "--ready", "listening", "--expect", `args=["as" "configured"]`, "--http", "4000/ 200 uid=33")
	if !strings.Contains(out, "goes down in order") {
		t.Errorf("%s", out)
	}
	code, said, _ := h.leanlab("verify", image, "--kernel", h.build, "--ready", "never printed", "--timeout", "20s")
	if code != exitFailed || !strings.Contains(said, `"never printed" was not on the console in 20s`) || !strings.Contains(said, "| listening on 4000") {
		t.Errorf("ended with %d:\n%s", code, said)
	}
	h.fails(exitUsage, "give a text that it then prints, with --ready", "verify", image, "--kernel", h.build)
}

func TestRootsThatCannotRunAreRefused(t *testing.T) {
	t.Parallel()
	h := newHost(t).withOwnStore()
	server := serverRoot(t)
	image := file(t, "server.tar", dockerArchive(t, server, serverConfig))
	whole := ociArchive(t, server, serverConfig)
	for _, c := range []struct {
		code int
		text string
		args []string
	}{
		{exitFailed, "brings no kernel, and there is no", []string{image}}, // no build in the directory of the test
		{exitFailed, "--kernel: stat", []string{image, "--kernel", "nowhere"}},
		{exitFailed, "no bundle", []string{image, "--kernel", t.TempDir()}},
		{exitUsage, "leave out --initrd", []string{image, "--kernel", h.build, "--initrd", "x"}},
		{exitFailed, "does not run in 16 MiB: its root lives in memory", []string{image, "--kernel", h.build, "--memory", "16"}},
		{exitFailed, "the evaluator is an argument of BEAM's", []string{image, "--kernel", h.build, "--exec"}},
		{exitUsage, "--ready is for --wait", []string{image, "--kernel", h.build, "--ready", "x"}},
		{exitUsage, "--entrypoint is for container images", []string{h.build, "--entrypoint", "x"}},
		{exitFailed, "is for aarch64, and the kernel for x86_64", []string{file(t, "arm.tar", dockerArchive(t, server, strings.Replace(serverConfig, "amd64", "arm64", 1))), "--kernel", h.build}},
		{exitFailed, "cut short", []string{file(t, "cut.tar", whole[:len(whole)-100_000]), "--kernel", h.build}},
		{exitFailed, "is it truncated?", []string{file(t, "cut.tar.gz", []byte("\x1f\x8b\x08\x00\x00"))}},
	} {
		h.fails(c.code, c.text, append([]string{"run"}, c.args...)...)
	}
	for _, command := range []string{"bench", "verify"} {
		h.fails(exitFailed, "does not run in 16 MiB: its root lives in memory", command, image, "--kernel", h.build, "--memory", "16", "--ready", "x")
	}
	if list := h.ps(); len(list) != 0 {
		t.Errorf("a run that was refused is listed: %+v", list)
	}
}

// benchOf runs leanlab bench in the directory of a test and returns its result.
func (h *host) benchOf(args ...string) *report.Bench {
	h.t.Helper()
	result := filepath.Join(h.t.TempDir(), "bench.json")
	out := h.must(append([]string{"bench", "--no-least", "--runs", "1", "--progress", "plain", "--json", result}, args...)...)
	b, err := report.ReadBench(result)
	must(h.t, err)
	if !strings.Contains(out, "Measured by leanlab") {
		h.t.Errorf("it printed\n%s", out)
	}
	return b
}

func TestAContainerImageIsMeasured(t *testing.T) {
	t.Parallel()
	h := newHost(t).withOwnStore()
	image := file(t, "server.oci.tar", ociArchive(t, serverRoot(t), serverConfig))
	first := h.benchOf(image, "--kernel", h.build, "--ready", "listening on 4000").Images[0]
	if first.Boot.Kernel <= 0 || first.Boot.Init <= 0 || first.Boot.Beam <= 0 || first.Boot.Ready != first.Boot.Kernel+first.Boot.Init+first.Boot.Beam ||
		first.Memory.IdleKiB <= 0 || first.NoBoot != "" || first.NoMicro != "there is no BEAM in it" {
		t.Errorf("%+v", first)
	}
	kernel, err := os.Stat(filepath.Join(h.build, "bundle", "kernel"))
	must(t, err)
	if first.Bytes.Kernel != kernel.Size() || first.Bytes.Root < 1<<20 || first.Bytes.Download != first.Bytes.Kernel+first.Bytes.Root {
		t.Errorf("%+v", first.Bytes)
	}
	again := h.benchOf(image, "--kernel", h.build, "--ready", "listening on 4000").Images[0]
	if again.Boot != first.Boot || again.Memory != first.Memory {
		t.Errorf("%+v, then %+v", first, again)
	}
}

func TestWhatCannotBeCountedIsLeftOut(t *testing.T) {
	t.Parallel()
	h := newHost(t).withOwnStore()
	image := file(t, "server.tar", dockerArchive(t, serverRoot(t), serverConfig))
	raw := file(t, "disk.img", disk(2048, 2047))
	b := h.benchOf(image, "--kernel", h.build)
	if m := b.Images[0]; m.Boot.Ready != 0 || m.Bytes.Download == 0 || !strings.Contains(m.NoBoot, "does not say when it is ready: give a text that it then prints with --ready") {
		t.Errorf("%+v", m)
	}
	b = h.benchOf(raw, "--kernel", filepath.Join(h.build, "bundle", "kernel"))
	if m := b.Images[0]; m.Boot.Ready != 0 || m.Bytes.Kernel == 0 || !strings.Contains(m.NoBoot, "its init is not leanlab's") {
		t.Errorf("with a kernel: %+v", m)
	}
	b = h.benchOf(raw)
	if m := b.Images[0]; m.Boot.Ready != 0 || m.Memory.IdleKiB != 0 || m.Bytes != (report.Bytes{Download: 1 << 20, Root: 1 << 20}) ||
		!strings.Contains(m.NoBoot, "its init is not leanlab's, which counts; give a text") {
		t.Errorf("%+v", m)
	}
}

// TestThePeerIsMeasured takes Debian's packages from Debian's archive, and minutes
// where they are not in the store yet.
func TestThePeerIsMeasured(t *testing.T) {
	if os.Getenv("LEANLAB_TEST_PEER") == "" {
		t.Skip("LEANLAB_TEST_PEER is not set; make test-vm sets it")
	}
	h := newHost(t)
	result := filepath.Join(t.TempDir(), "bench.json")
	code, _, said := h.within(time.Hour, "bench", h.build, "--peer", "debian-13", "--no-least", "--progress", "plain", "--json", result)
	if strings.Contains(said, "this is not a Debian host") || strings.Contains(said, "set up with no archive of Debian") {
		t.Skipf("the peer cannot be built here:\n%s", said)
	}
	if code != exitOK {
		t.Fatalf("leanlab bench ended with %d:\n%s", code, said)
	}
	b, err := report.ReadBench(result)
	must(t, err)
	ours, theirs := b.Images[0], b.Images[1]
	if theirs.Name != "debian-13" || len(theirs.Packages) < 80 || theirs.Built.Versions["erlang"] == "" || theirs.Built.Versions["linux"] == "" ||
		theirs.Boot.Ready <= ours.Boot.Ready || theirs.Bytes.Download <= ours.Bytes.Download || len(theirs.Micro) != len(ours.Micro) {
		t.Errorf("%+v", theirs)
	}
}
