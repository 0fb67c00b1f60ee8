package cc

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// HostArch is the build host's architecture in a definition's words.
func HostArch() string {
	if runtime.GOARCH == "arm64" {
		return "aarch64"
	}
	return "x86_64"
}

// CrossTriplet is the GNU triplet of the compilers for arch, or empty when the
// host's own compile for it.
func CrossTriplet(arch string) string {
	if arch == HostArch() {
		return ""
	}
	return arch + "-linux-gnu"
}

// Compiler is the C compiler for arch.
func Compiler(arch string) string {
	if t := CrossTriplet(arch); t != "" {
		return t + "-gcc"
	}
	return "gcc"
}

// MuslCompiler links programs against musl where it can, which makes small static
// ones a third as large: musl-gcc compiles for the build host only.
func MuslCompiler(arch string) string {
	if CrossTriplet(arch) == "" {
		return "musl-gcc"
	}
	return Compiler(arch)
}

// LibraryPath asks a C compiler where a library is: it answers with a path when
// it finds the file, and with the bare name when it does not.
func LibraryPath(ctx context.Context, compiler, name string) string {
	out, err := exec.CommandContext(ctx, compiler, "-print-file-name="+name).Output()
	if err != nil {
		return ""
	}
	path := strings.TrimSpace(string(out))
	if !filepath.IsAbs(path) {
		return ""
	}
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// FileIdentity is the size and time of a file of the host's distribution, which
// is enough to see an upgrade and takes no reading.
func FileIdentity(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d bytes of %s", info.Size(), info.ModTime().UTC().Format("2006-01-02T15:04:05Z"))
}
