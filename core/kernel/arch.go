package kernel

import (
	"fmt"
	"runtime"
)

// Arch is how one architecture is named and built by the kernel's makefiles.
type Arch struct {
	Name   string // as in a definition and in uname -m: "x86_64", "aarch64"
	Kernel string // ARCH= of the kernel's top Makefile
	Target string // the make target that makes the bootable image
	Image  string // the image's path below the output directory
	Cross  string // CROSS_COMPILE prefix when the build host is another architecture, else ""
}

// ArchFor returns the architecture called name on this build host.
func ArchFor(name string) (Arch, error) {
	var a Arch
	var goarch, prefix string
	switch name {
	case "x86_64":
		a = Arch{Name: name, Kernel: "x86_64", Target: "bzImage", Image: "arch/x86/boot/bzImage"}
		goarch, prefix = "amd64", "x86_64-linux-gnu-"
	case "aarch64":
		a = Arch{Name: name, Kernel: "arm64", Target: "Image", Image: "arch/arm64/boot/Image"}
		goarch, prefix = "arm64", "aarch64-linux-gnu-"
	default:
		return Arch{}, fmt.Errorf("architecture %q is not known: use x86_64 or aarch64", name)
	}
	if runtime.GOARCH != goarch {
		a.Cross = prefix
	}
	return a, nil
}

// BusyBox returns how BusyBox is built for the same architecture: its makefiles
// take ARCH only to look for an optional arch/<ARCH>/Makefile, and the program
// is the image.
func (a Arch) BusyBox() Arch {
	a.Target, a.Image = "busybox", "busybox"
	return a
}

// srcarch is the architecture's directory below arch/.
func (a Arch) srcarch() string {
	if a.Kernel == "x86_64" {
		return "x86"
	}
	return a.Kernel
}
