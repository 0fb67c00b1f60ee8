package image

import (
	"bytes"
	"errors"
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
	want := ""
	for _, m := range magics {
		if m.arch == arch {
			want = m.kind
		}
	}
	if want == "" {
		return fmt.Errorf("kernel: there is no architecture %q; known are x86_64 and aarch64", arch)
	}
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("kernel: %w", err)
	}
	defer f.Close()
	found, err := kernelArch(f)
	switch {
	case err != nil:
		return fmt.Errorf("kernel: %s: %w", file, err)
	case found == "":
		return fmt.Errorf("kernel: %s is no bootable kernel that is known: is it compressed, or a vmlinux? For %s a %s is needed", file, arch, want)
	case found != arch:
		return fmt.Errorf("kernel: %s is an %s kernel; for %s a %s is needed", file, found, arch, want)
	}
	return nil
}

// KernelArch returns the architecture of a kernel as a bundle has it: as
// CheckKernel wants it, or that in gzip.
func KernelArch(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("kernel: %w", err)
	}
	defer f.Close()
	arch, err := kernelArch(f)
	if err == nil && arch == "" {
		if z, zerr := gzip.NewReader(f); zerr == nil {
			head := make([]byte, headBytes)
			n, _ := io.ReadFull(z, head) // a short one has no magic
			arch, err = kernelArch(bytes.NewReader(head[:n]))
		}
	}
	if err == nil && arch == "" {
		err = errors.New("no bootable kernel that is known (a bzImage, or an arm64 Image, also in gzip)")
	}
	if err != nil {
		return "", fmt.Errorf("kernel: %s: %w", file, err)
	}
	return arch, nil
}

// headBytes hold every magic.
const headBytes = 0x206

// kernelArch is empty when f is no kernel that is known.
func kernelArch(f io.ReaderAt) (string, error) {
	for _, m := range magics {
		head := make([]byte, len(m.magic))
		if _, err := f.ReadAt(head, m.offset); err != nil && err != io.EOF {
			return "", err
		}
		if string(head) == m.magic {
			return m.arch, nil
		}
	}
	return "", nil
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
