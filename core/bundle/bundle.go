package bundle

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Format is the name of the format, and of the directory below a VM's output.
const Format = "bundle"

// The files of every bundle.
const (
	Kernel  = "kernel"  // bzImage; on aarch64 an Image in gzip
	Cmdline = "cmdline" // one line: the kernel's command line, without the console
	Run     = "run"     // starts the bundle in QEMU
)

// What a root file system may be in, as a definition's output.root says it.
const (
	Initramfs = "initramfs"
	Disk      = "disk"
)

// roots are the files of a root, by what it is in.
var roots = map[string]string{Initramfs: "initrd", Disk: "root.squashfs"}

// Roots are what a root file system may be in.
func Roots() []string { return []string{Initramfs, Disk} }

// RootFile is the name of the file of such a root.
func RootFile(root string) string { return roots[root] }

// Files are the names of the files of a bundle with such a root, in the order in
// which people want to see them.
func Files(root string) []string { return []string{Kernel, RootFile(root), Cmdline, Run} }

// Transferred are those of Files that whoever runs the VM elsewhere has to
// transfer: the others say only how it is started.
func Transferred(root string) []string { return []string{Kernel, RootFile(root)} }

// Bundle is a bundle's directory.
type Bundle struct {
	Dir  string
	Root string // Initramfs or Disk
}

// ErrNone is what the error of Find wraps when there is no bundle.
var ErrNone = errors.New("no bundle")

// Find finds the bundle that path is, or has as bundle/: the output of a build.
func Find(path string) (Bundle, error) {
	if _, err := os.Stat(path); err != nil {
		return Bundle{}, err
	}
	dir := path
	if inner := filepath.Join(path, Format); exists(inner) {
		dir = inner
	}
	var found []string
	for _, root := range Roots() {
		if exists(filepath.Join(dir, RootFile(root))) {
			found = append(found, root)
		}
	}
	switch {
	case len(found) > 1:
		return Bundle{}, fmt.Errorf("%s: has %s and %s: which of them is the root? Remove the other", dir, RootFile(found[0]), RootFile(found[1]))
	case len(found) == 0:
		return Bundle{}, fmt.Errorf("%s: %w: there is neither %s nor %s in it", dir, ErrNone, RootFile(Initramfs), RootFile(Disk))
	case !exists(filepath.Join(dir, Kernel)):
		return Bundle{}, fmt.Errorf("%s: %w: there is a root, %s, and no %s in it", dir, ErrNone, RootFile(found[0]), Kernel)
	}
	return Bundle{Dir: dir, Root: found[0]}, nil
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// Path is where a file of the bundle is.
func (b Bundle) Path(name string) string { return filepath.Join(b.Dir, name) }

// RootPath is where the root file system is.
func (b Bundle) RootPath() string { return b.Path(RootFile(b.Root)) }

// Cmdline is the kernel's command line.
func (b Bundle) Cmdline() (string, error) {
	text, err := os.ReadFile(b.Path(Cmdline))
	return strings.TrimSpace(string(text)), err
}
