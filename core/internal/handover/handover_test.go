package handover

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/bundle"
	"github.com/somebloke1/elixir-lean-lab/core/guest"
	"github.com/somebloke1/elixir-lean-lab/core/image"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
	"github.com/somebloke1/elixir-lean-lab/core/vm"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var own = guest.Boot{Exec: "/own", Args: []string{"a b"}}

// machine is a bundle with such a root, which holds these files.
func machine(t *testing.T, in string, files map[string]string) vm.Config {
	t.Helper()
	packer, err := image.PackerOf(in, "zstd")
	must(t, err)
	if _, err := exec.LookPath(packer.Program); err != nil {
		t.Skipf("%v: install %s (Debian) to run this test", err, packer.Debian)
	}
	tree := rootfs.New()
	for name, text := range files {
		must(t, tree.File(name, 0o644, []byte(text)))
	}
	dir := t.TempDir()
	kernel := make([]byte, 1024)
	copy(kernel[0x202:], "HdrS") // Documentation/arch/x86/boot.rst
	must(t, os.WriteFile(filepath.Join(dir, "bzImage"), kernel, 0o644))
	_, err = image.Write(t.Context(), bundle.Format, image.Spec{Tree: tree, Kernel: filepath.Join(dir, "bzImage"),
		Cmdline: "quiet", Arch: "x86_64", Root: in, Compression: "zstd"}, dir, nil)
	must(t, err)
	b, err := bundle.Find(dir)
	must(t, err)
	cfg, err := vm.OfBundle(b, "x86_64")
	must(t, err)
	return cfg
}

func TestTheBootFileIsReadWhereverTheRootIs(t *testing.T) {
	t.Parallel()
	text, err := own.Encode()
	must(t, err)
	for _, in := range bundle.Roots() {
		got, err := BootOf(t.Context(), machine(t, in, map[string]string{guest.BootPath: string(text)}))
		if got.Env = nil; err != nil || !reflect.DeepEqual(got, own) {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
		if _, err := BootOf(t.Context(), machine(t, in, map[string]string{"/init": "another's"})); !errors.Is(err, guest.ErrNoBoot) {
			t.Errorf("%s without one: %v", in, err)
		}
		if _, err := BootOf(t.Context(), machine(t, in, map[string]string{guest.BootPath: "nonsense"})); err == nil || !strings.Contains(err.Error(), "unknown directive") {
			t.Errorf("%s with nonsense: %v", in, err)
		}
	}
	if _, err := BootOf(t.Context(), vm.Config{Disk: "disk"}); !errors.Is(err, ErrOwnLoader) {
		t.Errorf("of a disk with a boot loader: %v", err)
	}
}

func TestAnotherBootFileIsGivenWithoutTouchingTheImage(t *testing.T) {
	t.Parallel()
	other := guest.Boot{Exec: "/other", Env: map[string]string{"SECRET": "x"}}
	for _, in := range bundle.Roots() {
		cfg := machine(t, in, map[string]string{"/init": "x"})
		cfg.Scratch = "scratch"
		before, dir := cfg, t.TempDir()
		file, err := Give(&cfg, dir, other)
		must(t, err)
		info, err := os.Stat(file)
		must(t, err)
		data, err := os.ReadFile(file)
		must(t, err)
		if filepath.Dir(file) != dir || info.Mode().Perm() != 0o600 || !strings.Contains(string(data), "env SECRET=x\n") {
			t.Errorf("%s: %s, %v, holds %q", in, file, info.Mode(), data)
		}
		want := before
		if in == bundle.Disk {
			want.Handed, want.Cmdline = file, before.Cmdline+" leanlab.boot=/dev/vdc"
		} else {
			want.Initrd = file
			if original, err := os.ReadFile(before.Initrd); err != nil || !strings.HasPrefix(string(data), string(original)) {
				t.Errorf("it does not begin with the image's own, %v", err)
			}
		}
		if !reflect.DeepEqual(cfg, want) {
			t.Errorf("%s: the machine is %+v, want %+v", in, cfg, want)
		}
	}
	dir := t.TempDir()
	if _, err := Give(&vm.Config{Kernel: "kernel", Disk: "disk"}, dir, guest.Boot{}); err == nil {
		t.Error("a boot file that runs nothing was given")
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
