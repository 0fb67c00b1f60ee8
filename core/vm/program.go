package vm

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// Program returns the QEMU that runs an architecture, and the Debian package
// that brings it.
func Program(arch string) (program, debian string) {
	return machines[arch].qemu, debianPackage[arch]
}

// Version returns what the QEMU for an architecture says of itself. Another
// version may execute other instructions before the guest's own, so figures are
// kept with it.
func Version(ctx context.Context, arch string) (string, error) {
	program, pkg := Program(arch)
	out, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w; on Debian: apt-get install %s", program, err, pkg)
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return first, nil
}
