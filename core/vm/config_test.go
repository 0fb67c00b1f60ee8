package vm

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/bundle"
)

func TestABundleIsTheMachineThatItsRootAsksFor(t *testing.T) {
	t.Parallel()
	for _, in := range bundle.Roots() {
		dir := t.TempDir()
		for _, name := range bundle.Files(in) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("quiet word\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		b, err := bundle.Find(dir)
		if err != nil {
			t.Fatal(err)
		}
		got, err := OfBundle(b, "x86_64")
		want := Config{Arch: "x86_64", Kernel: filepath.Join(dir, "kernel"), Cmdline: "quiet word"}
		if in == bundle.Disk {
			want.Disk, want.ReadOnly = filepath.Join(dir, "root.squashfs"), true
		} else {
			want.Initrd = filepath.Join(dir, "initrd")
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", in, got, err, want)
		}
	}
}

func TestACountedDiskAnswersAtOnce(t *testing.T) {
	t.Parallel()
	c := Config{Arch: "x86_64", Kernel: "kernel", Disk: "a,b", ReadOnly: true}.withDefaults()
	const drive = "if=none,id=disk,format=raw,readonly=on"
	if args := strings.Join(c.args(), " "); !strings.Contains(args, drive+",file=a,,b -device virtio-blk-pci,drive=disk") || strings.Contains(args, "-icount") {
		t.Errorf("not counted: %s", args)
	}
	c.Count = true
	want := []string{drive + ",aio=io_uring,file=a,,b -device virtio-blk-pci,drive=disk,ioeventfd=off", "sleep=off"}
	if why := CountsDisks(); why != nil {
		t.Logf("here it does not: %v", why)
		want = []string{drive + ",file=a,,b -device virtio-blk-pci,drive=disk", "sleep=on"}
	}
	for _, w := range want {
		if args := strings.Join(c.args(), " "); !strings.Contains(args, w) {
			t.Errorf("counted: no %q in %s", w, args)
		}
	}
}

// The guest's names of disks follow their order on QEMU's command line.
func TestTheHandedDiskIsTheLast(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]Config{
		"/dev/vda": {},
		"/dev/vdb": {Disk: "root"},
		"/dev/vdc": {Disk: "root", Scratch: "scratch"},
	} {
		c.Arch, c.Handed = "x86_64", "boot"
		var drives []string
		for _, arg := range c.withDefaults().args() {
			if id, ok := strings.CutPrefix(arg, "virtio-blk-pci,drive="); ok {
				drives = append(drives, id)
			}
		}
		if i := slices.Index(drives, "handed"); i != len(drives)-1 || c.HandedDevice() != "/dev/vd"+string(rune('a'+i)) || c.HandedDevice() != want {
			t.Errorf("%v: it is %s, want %s", drives, c.HandedDevice(), want)
		}
	}
}
