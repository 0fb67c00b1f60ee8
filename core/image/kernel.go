package image

import (
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
)

// magics is how a bootable kernel is known: Documentation/arch/x86/boot.rst,
// "The Real-Mode Kernel Header"; Documentation/arch/arm64/booting.rst, 4.
var magics = []struct {
	arch, kind, magic string
	offset            int64
}{
	{"x86_64", "bzImage", "HdrS", 0x202},
	{"aarch64", "Image", "ARM\x64", 0x38},
}

// CheckKernel returns an error unless file is a bootable kernel image for arch.
func CheckKernel(file, arch string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("kernel: %w", err)
	}
	defer f.Close()
	want := ""
	found := "no bootable kernel that is known: is it compressed, or a vmlinux?"
	for _, m := range magics {
		if m.arch == arch {
			want = m.kind
		}
		head := make([]byte, len(m.magic))
		if _, err := f.ReadAt(head, m.offset); err != nil && err != io.EOF {
			return fmt.Errorf("kernel: %w", err)
		}
		if string(head) == m.magic {
			if m.arch == arch {
				return nil
			}
			found = "an " + m.arch + " kernel"
		}
	}
	if want == "" {
		return fmt.Errorf("kernel: there is no architecture %q; known are x86_64 and aarch64", arch)
	}
	return fmt.Errorf("kernel: %s is %s; for %s a %s is needed", file, found, arch, want)
}

// writeKernel copies a kernel that unpacks itself, and gzips one that does not: an
// arm64 Image, which whoever starts it unpacks (Documentation/arch/arm64/
// booting.rst, 3; QEMU's hw/arm/boot.c knows gzip and nothing else).
func writeKernel(spec Spec, to string) error {
	if spec.Arch != "aarch64" {
		return copyFile(spec.Kernel, to)
	}
	in, err := os.Open(spec.Kernel)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	z, err := gzip.NewWriterLevel(out, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := io.Copy(z, in); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return out.Close()
}
