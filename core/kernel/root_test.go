package kernel

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func checkRoot(t *testing.T, arch string, root Root, names ...string) error {
	t.Helper()
	a, err := ArchFor(arch)
	if err != nil {
		t.Fatal(err)
	}
	frags, err := FindFragments("../..", a, names)
	if err != nil {
		t.Fatal(err)
	}
	return requestsRoot(frags, a, root)
}

func TestTheFragmentsForARootBringWhatItNeeds(t *testing.T) {
	t.Parallel()
	for root, need := range rootNeeds {
		for _, arch := range []string{"x86_64", "aarch64"} {
			if err := checkRoot(t, arch, root, need.fragments...); err != nil {
				t.Errorf("%s: %v", arch, err)
			}
		}
	}
}

func TestAKernelThatCannotGetAtItsRootIsRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		arch      string
		root      Root
		fragments []string
		missing   []string
		fragment  string
	}{
		{"x86_64", Root{"disk", "zstd"}, []string{"base", "virtio", "net"}, []string{"SQUASHFS", "SQUASHFS_ZSTD", "OVERLAY_FS"}, "squashfs"},
		{"x86_64", Root{"disk", "xz"}, []string{"base", "virtio", "disk"}, []string{"SQUASHFS_XZ", "XZ_DEC_X86"}, "squashfs"},
		{"aarch64", Root{"disk", "xz"}, []string{"base", "virtio", "disk"}, []string{"SQUASHFS_XZ"}, "squashfs"},
		{"x86_64", Root{"disk", "zstd"}, []string{"base", "squashfs"}, []string{"VIRTIO_BLK"}, "virtio"},
		{"x86_64", Root{"initramfs", "xz"}, []string{"base"}, []string{"RD_XZ", "XZ_DEC_X86"}, "initramfs-xz"},
	} {
		err := checkRoot(t, test.arch, test.root, test.fragments...)
		var e *RootError
		if !errors.As(err, &e) || !slices.Equal(e.Missing, test.missing) {
			t.Errorf("%+v: got %v", test, err)
			continue
		}
		if !strings.Contains(err.Error(), "CONFIG_"+test.missing[0]+"=y") || !strings.Contains(err.Error(), test.fragment) {
			t.Errorf("%+v: got %v", test, err)
		}
	}
	a, err := ArchFor("x86_64")
	if err != nil {
		t.Fatal(err)
	}
	off := []*Fragment{parse(t, "a", "CONFIG_BLK_DEV_INITRD=y\nCONFIG_RD_ZSTD=y\n"), parse(t, "b", "# CONFIG_RD_ZSTD is not set\n")}
	if err := requestsRoot(off, a, Root{"initramfs", "zstd"}); err == nil || !strings.Contains(err.Error(), "RD_ZSTD") {
		t.Errorf("a later fragment turns it off: %v", err)
	}
	if err := requestsRoot(off, a, Root{"tape", "zstd"}); err == nil || !strings.Contains(err.Error(), `"tape"`) {
		t.Errorf("got %v", err)
	}
}
