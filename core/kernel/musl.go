package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// MuslVars returns the make variables (Build.Vars) that link BusyBox statically
// against the build host's musl instead of its glibc: 0.4 MB instead of 1.4,
// since glibc's resolver and locales come along whole. musl's include directory
// has no kernel headers, so links to the host's are made in dir. The error says
// what is missing.
func MuslVars(dir string, arch Arch) ([]string, error) {
	if arch.Cross != "" {
		return nil, fmt.Errorf("musl-gcc compiles for the build host only, not for %s", arch.Name)
	}
	if _, err := exec.LookPath("musl-gcc"); err != nil {
		return nil, fmt.Errorf("%w (Debian: musl-tools)", err)
	}
	const include = "/usr/include"
	places := map[string][]string{
		"linux":       {include + "/linux"},
		"asm-generic": {include + "/asm-generic"},
		"mtd":         {include + "/mtd"},
		"asm":         {include + "/asm", include + "/" + arch.Name + "-linux-gnu/asm"}, // Debian keeps it under the triplet
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for name, candidates := range places {
		if err := linkFirst(filepath.Join(dir, name), candidates); err != nil {
			return nil, err
		}
	}
	return []string{"CC=musl-gcc -idirafter " + dir}, nil
}

// linkFirst makes link point to the first candidate that exists.
func linkFirst(link string, candidates []string) error {
	for _, dir := range candidates {
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		err := os.Symlink(dir, link)
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	return fmt.Errorf("the kernel's headers for programs are missing: none of %q exists (Debian: linux-libc-dev)", candidates)
}
