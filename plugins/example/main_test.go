package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/builder/buildertest"
)

// project returns a directory with a kernel and a root filesystem.
func project(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range map[string]string{"bzImage": "a kernel", "root.tar": "a root", "other": "another kernel"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestContract(t *testing.T) {
	c := buildertest.Case{
		Definition: builder.Definition{
			VM: "vm", Arch: "x86_64", Root: project(t),
			Config: []byte(`{"kernel": "bzImage", "rootfs": "root.tar"}`),
		},
		BadConfigs: []buildertest.BadConfig{
			{Config: []byte(`{"kernel": "missing", "rootfs": "root.tar"}`), WantPath: []string{"kernel"}},
			{Config: []byte(`{"kernel": "bzImage", "rootfs": "."}`), WantPath: []string{"rootfs"}},
			{Config: []byte(`{"kernel": "bzImage", "rootfs": "root.tar", "libc": "bsd"}`), WantPath: []string{"libc"}},
		},
		Changes: []buildertest.Change{
			{Config: []byte(`{"kernel": "other", "rootfs": "root.tar"}`), Steps: []string{stepMachine}},
			{Config: []byte(`{"kernel": "bzImage", "rootfs": "other"}`), Steps: []string{stepMachine}},
			{Config: []byte(`{"kernel": "bzImage", "rootfs": "root.tar", "libc": "musl"}`), Steps: []string{stepMachine}},
			{Config: []byte(`{"kernel": "bzImage", "rootfs": "root.tar", "cmdline": "quiet"}`), Steps: []string{stepMachine}},
			{Config: []byte(`{"kernel": "./bzImage", "rootfs": "root.tar"}`)}, // the same file
		},
		Build: true,
	}
	t.Run("in-process", func(t *testing.T) { buildertest.Suite(t, buildertest.InProcess(example{}), c) })
	t.Run("over gRPC", func(t *testing.T) { buildertest.Suite(t, buildertest.OverGRPC(example{}), c) })
	t.Run("binary", func(t *testing.T) {
		buildertest.Suite(t, buildertest.Binary(buildertest.Compile(t, ".", "example")), c)
	})
}

// discard is an Events for what is not looked at.
type discard struct{}

func (discard) Emit(builder.Event) {}

func TestArchiveHoldsKernelAndRoot(t *testing.T) {
	t.Parallel()
	root := project(t)
	pack := func() []byte {
		out := t.TempDir()
		err := example{}.Package(t.Context(), &builder.PackageRequest{
			Definition: &builder.Definition{VM: "vm"}, Out: out,
			Kernel: filepath.Join(root, "bzImage"), Rootfs: filepath.Join(root, "root.tar"),
		}, discard{})
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(out, "vm.tgz"))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	data := pack()
	if !bytes.Equal(data, pack()) {
		t.Error("the same files give another archive")
	}
	zipped, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for archive := tar.NewReader(zipped); ; {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s: %s", h.Name, content))
	}
	if want := "kernel: a kernel, rootfs.tar: a root"; strings.Join(got, ", ") != want {
		t.Errorf("the archive holds %q, want %q", got, want)
	}
}

// A template that imports more than the contract could not be copied.
func TestImportsOnlyTheContract(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", `{{join .Imports "\n"}}`, ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for path := range strings.FieldsSeq(string(out)) {
		if strings.Contains(path, ".") && path != "github.com/somebloke1/elixir-lean-lab/core/builder" {
			t.Errorf("it imports %s", path)
		}
	}
}
