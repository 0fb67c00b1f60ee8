package bench

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/guest"
	"github.com/somebloke1/elixir-lean-lab/core/internal/report"
	"github.com/somebloke1/elixir-lean-lab/core/packed"
	"github.com/somebloke1/elixir-lean-lab/core/vm"
)

// Image is what is measured: a machine that can be booted, whoever built it.
type Image struct {
	Name, Path string
	vm.Config  // its files; MemoryMiB 0: Options.MemoryMiB
	Built      report.Built
	Packages   []report.Package // what it is made of, where somebody else's packages are that
	Note       string           // what is to be said beside its figures

	// Boot is what our /init runs in it; nil: what stands in the initrd.
	Boot *guest.Boot
	// Kill ends it as soon as it is ready: it cannot be asked to go down.
	Kill bool
	// NoBoot is why its boot cannot be counted; empty: our /init counts it.
	NoBoot string
	// Ready is a text on the console, for an image with NoBoot: it is booted for what
	// can be measured from outside. Without it nothing is but its bytes.
	Ready string
	// NoMicro is why BEAM cannot be measured in it; empty: it may be tried.
	NoMicro string
}

// files are the kernel and the root, those of them that there are.
func (img Image) files() (kernel, root string) {
	if img.Initrd != "" {
		return img.Kernel, img.Initrd
	}
	return img.Kernel, img.Disk
}

// root says what the root file system is in, and how that is packed.
func (img Image) root() (string, error) {
	if img.Initrd == "" {
		return "disk", nil
	}
	f, err := os.Open(img.Initrd)
	if err != nil {
		return "", err
	}
	defer f.Close()
	head := make([]byte, 6) // enough for Detect
	if _, err := io.ReadFull(f, head); err != nil {
		return "", fmt.Errorf("%s: too short for an initrd: %w", img.Initrd, err)
	}
	return strings.TrimSpace("initramfs " + packed.Detect(head)), nil
}

// digest names all that is booted, the measuring module too.
func (img Image) digest() (string, error) {
	expression, err := microExpression()
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	fmt.Fprintf(hash, "%s\x00%s\x00%s\x00", expression, img.Cmdline, img.Ready)
	for _, path := range []string{img.Kernel, img.Initrd, img.Disk} {
		n, err := copyTo(hash, path)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(hash, "\x00%d\x00", n)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

func copyTo(w io.Writer, path string) (int64, error) {
	if path == "" {
		return 0, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return io.Copy(w, f)
}

// bytes weighs what a user transfers.
func (img Image) bytes() (report.Bytes, error) {
	var b report.Bytes
	kernel, root := img.files()
	for path, size := range map[string]*int64{kernel: &b.Kernel, root: &b.Root} {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return b, err
		}
		*size = info.Size()
	}
	b.Download = b.Kernel + b.Root
	return b, nil
}
