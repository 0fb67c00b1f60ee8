package bench

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/vm"
)

func TestTheRootIsNamedByWhatIsInIt(t *testing.T) {
	t.Parallel()
	initrd := filepath.Join(t.TempDir(), "initrd")
	for head, want := range map[string]string{
		"\x28\xb5\x2f\xfd and more": "initramfs zstd",
		"\xfd7zXZ\x00 and more":     "initramfs xz",
		"070701 and more":           "initramfs",
	} {
		if err := os.WriteFile(initrd, []byte(head), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := (Image{Config: vm.Config{Initrd: initrd}}).root(); got != want || err != nil {
			t.Errorf("%q: %q, %v; want %q", head, got, err, want)
		}
	}
	if got, err := (Image{Config: vm.Config{Disk: "root.squashfs"}}).root(); got != "disk" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if err := os.WriteFile(initrd, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := (Image{Config: vm.Config{Initrd: initrd}}).root(); err == nil || !strings.Contains(err.Error(), initrd+": too short") {
		t.Errorf("an empty file: %v", err)
	}
}
