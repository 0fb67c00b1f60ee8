package lean

import (
	"debug/elf"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// Target is what native code in a release must fit.
type Target struct {
	Machine elf.Machine
	Libc    string // "static", "glibc" or "musl", as in builder.Machine
}

// NativeFiles returns the ELF files in the priv directories of the release:
// NIFs, drivers and port programs.
func NativeFiles(t *rootfs.Tree, rel Release) ([]*rootfs.ELF, error) {
	elves, err := rootfs.ELFs(t)
	if err != nil {
		return nil, err
	}
	var found []*rootfs.ELF
	for _, f := range elves {
		for _, lib := range rel.libraries() {
			rest, ok := strings.CutPrefix(f.Path, lib+"/")
			if _, below, _ := strings.Cut(rest, "/"); ok && strings.HasPrefix(below, "priv/") {
				found = append(found, f)
			}
		}
	}
	return found, nil
}

// CheckNative refuses native files that cannot run in the VM, all at once: a
// shared object for an emulator that is static and so has no dlopen(3), another
// machine's, or one that is linked to another C library. Check what is left
// after Apply: it takes the libraries that are linked into the emulator.
func CheckNative(files []*rootfs.ELF, target Target) error {
	var wrong []error
	for _, f := range files {
		if err := checkNative(f, target); err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", f.Path, err))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("native code in the release does not run in this VM:\n%w", errors.Join(wrong...))
}

func checkNative(f *rootfs.ELF, target Target) error {
	switch {
	case f.Machine != target.Machine:
		return fmt.Errorf("it is for %s, the VM is %s: set CC for the target when the release is compiled", machineName(f.Machine), machineName(target.Machine))
	case f.Type == elf.ET_DYN && f.Interpreter == "" && target.Libc == "static" && isShared(f):
		return errors.New("a shared object, which a static BEAM cannot load: set otp { link = \"dynamic\" }")
	case target.Libc == "static" && !f.Static():
		return fmt.Errorf("it needs the dynamic linker %s, and the VM has no C library: set otp { link = \"dynamic\" }", f.Interpreter)
	case f.Libc != rootfs.NoLibc && target.Libc != "static" && string(f.Libc) != target.Libc:
		name := owner(f.Path)
		return fmt.Errorf("it is linked to %s, the VM has %s: compile %s for %s (what was compiled before stays: mix deps.clean %s; then its makefile must use the CC that it is given)", f.Libc, target.Libc, name, target.Libc, name)
	}
	return nil
}

// owner is the application whose priv directory a file is in.
func owner(file string) string {
	dir, _, _ := strings.Cut(file, "/priv/")
	name, _, _ := strings.Cut(path.Base(dir), "-")
	return name
}

// isShared tells a shared object from a static position-independent program,
// which is of the same ELF type, by its name.
func isShared(f *rootfs.ELF) bool {
	return strings.Contains(path.Base(f.Path), ".so")
}

func machineName(m elf.Machine) string {
	return strings.ToLower(strings.TrimPrefix(m.String(), "EM_"))
}
