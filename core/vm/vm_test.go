package vm

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/u-root/u-root/pkg/cpio"

	"github.com/somebloke1/elixir-lean-lab/core/guest"
)

// A VM's kernel has to hold: a serial console, initramfs, devtmpfs, procfs, a
// power button (ACPI_BUTTON, INPUT_EVDEV), signalfd and inotify.
const kernelVariable = "LEANLAB_TEST_KERNEL"

func testArch() string {
	if runtime.GOARCH == "arm64" {
		return "aarch64"
	}
	return "x86_64"
}

func requireQEMU(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath(machines[testArch()].qemu); err != nil {
		t.Skipf("%s is not installed", machines[testArch()].qemu)
	}
}

// programs compiles /init and the fake BEAM once.
var programs = sync.OnceValues(func() (files map[string][]byte, err error) {
	dir, err := os.MkdirTemp("", "leanlab-vm-test-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	fake, err := os.ReadFile("testdata/fakebeam.c")
	if err != nil {
		return nil, err
	}
	files = make(map[string][]byte)
	for name, source := range map[string][]byte{"init": guest.Source(), "fakebeam": fake} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path+".c", source, 0o644); err != nil {
			return nil, err
		}
		if msg, err := exec.Command("cc", "-Os", "-static", "-s", "-o", path, path+".c").CombinedOutput(); err != nil {
			return nil, &os.PathError{Op: "cc: " + string(msg), Path: name, Err: err}
		}
		if files[name], err = os.ReadFile(path); err != nil {
			return nil, err
		}
	}
	return files, nil
})

// guestWith is a machine with /init, this boot file and the fake BEAM. The test
// is skipped if there is no kernel to boot.
func guestWith(t *testing.T, boot string, extra ...cpio.Record) Check {
	t.Helper()
	requireQEMU(t)
	kernel := os.Getenv(kernelVariable)
	if kernel == "" {
		t.Skipf("%s does not name a kernel to boot", kernelVariable)
	}
	files, err := programs()
	if err != nil {
		t.Skipf("the guest's programs cannot be compiled: %v", err)
	}
	records := append([]cpio.Record{
		cpio.StaticFile("init", string(files["init"]), 0o755),
		cpio.StaticFile("bin/fakebeam", string(files["fakebeam"]), 0o755),
		cpio.StaticFile("etc/leanlab/boot", boot, 0o644),
	}, extra...)
	return Check{
		Config:  Config{Arch: testArch(), Kernel: kernel, Initrd: initrd(t, records), Cmdline: "quiet", MemoryMiB: 128},
		Timeout: 4 * time.Minute,
	}
}

func initrd(t *testing.T, records []cpio.Record) string {
	t.Helper()
	var out bytes.Buffer
	w := cpio.Newc.Writer(&out)
	if err := cpio.WriteRecordsAndDirs(w, records); err != nil {
		t.Fatal(err)
	}
	if err := cpio.WriteTrailer(w); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "initrd")
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// slots keeps the number of machines that run at once down to the number of CPUs.
var slots = make(chan struct{}, max(1, runtime.NumCPU()-1))

func prove(t *testing.T, check Check) (*Proof, error) {
	t.Helper()
	slots <- struct{}{}
	defer func() { <-slots }()
	return Prove(context.Background(), check)
}

// patience is a timeout for what is expected not to happen: five times what a
// whole run of a working guest takes on this host, as busy as it is.
func patience(t *testing.T) time.Duration {
	t.Helper()
	check := guestWith(t, "exec /bin/fakebeam\narg serve\n")
	ordinary.once.Do(func() {
		var proof *Proof
		if proof, ordinary.err = prove(t, check); ordinary.err == nil {
			ordinary.wall = proof.Wall
		}
	})
	if ordinary.err != nil {
		t.Fatalf("a working guest: %v", ordinary.err)
	}
	return 5*time.Second + 5*ordinary.wall
}

var ordinary struct {
	once sync.Once
	wall time.Duration
	err  error
}

func screenOf(lines []string) string { return strings.Join(lines, "\n") }
