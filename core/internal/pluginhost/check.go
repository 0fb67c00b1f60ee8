package pluginhost

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// machines maps GOARCH to ELF's name for it.
var machines = map[string]elf.Machine{
	"amd64":   elf.EM_X86_64,
	"arm64":   elf.EM_AARCH64,
	"riscv64": elf.EM_RISCV,
}

// check says before a plugin is started why it could not be: from execve(2)
// comes only "exec format error" or, for a missing interpreter, "no such file".
func check(path string) error {
	if _, err := strategyOf(path); err != nil {
		return err
	}
	fault := func(problem, remedy string) error {
		return &Fault{Path: path, Problem: problem, Remedy: remedy}
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return &Fault{Path: path, Problem: "cannot be looked at: " + reason(err), Remedy: "check the path and its permissions", Err: err}
	case !info.Mode().IsRegular():
		return fault("is no regular file", "put the plugin's binary there")
	case unix.Access(path, unix.X_OK) != nil:
		return fault(fmt.Sprintf("is not executable (mode %#o)", info.Mode().Perm()), "make it so: chmod +x "+path)
	}
	f, err := os.Open(path)
	if err != nil {
		return &Fault{Path: path, Problem: "cannot be read: " + reason(err), Remedy: "give yourself the right to read it: chmod u+r " + path, Err: err}
	}
	defer f.Close()
	start := make([]byte, 4)
	n, _ := io.ReadFull(f, start)
	switch {
	case n == 0:
		return fault("is empty", "install it again")
	case bytes.HasPrefix(start[:n], []byte("#!")):
		return nil
	case !bytes.Equal(start[:n], []byte(elf.ELFMAG)):
		return fault(fmt.Sprintf("is neither an ELF binary nor a script: it begins with %q", start[:n]), "install a build of it for linux/"+runtime.GOARCH)
	}
	return checkELF(f, fault)
}

// checkELF compares architecture and interpreter with this machine's.
func checkELF(r io.ReaderAt, fault func(problem, remedy string) error) error {
	install := "install a build of it for linux/" + runtime.GOARCH
	file, err := elf.NewFile(r)
	if err != nil {
		return fault("is a damaged ELF binary: "+err.Error(), install)
	}
	if want, ok := machines[runtime.GOARCH]; ok && file.Machine != want {
		return fault(fmt.Sprintf("is built for another architecture: %s, and this leanlab for %s", file.Machine, want), install)
	}
	for _, p := range file.Progs {
		if p.Type != elf.PT_INTERP || p.Filesz > unix.PathMax {
			continue
		}
		interp := make([]byte, p.Filesz)
		if _, err := p.ReadAt(interp, 0); err != nil {
			return fault("is a damaged ELF binary: "+err.Error(), install)
		}
		name := strings.TrimRight(string(interp), "\x00")
		if _, err := os.Stat(name); err != nil {
			return fault(fmt.Sprintf("needs the dynamic linker %q, which this system lacks", name), "install a static build of it (CGO_ENABLED=0)")
		}
	}
	return nil
}

// checkDigest compares a file with the digest that the user has pinned.
func checkDigest(path, want string) error {
	digest, err := hex.DecodeString(want)
	if err != nil || len(digest) != sha256.Size {
		return fmt.Errorf("the digest pinned for plugin %s, %q, is no SHA-256: give 64 hexadecimal digits", path, want)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := h.Sum(nil); !bytes.Equal(got, digest) {
		return &Fault{
			Path: path, Problem: fmt.Sprintf("is not the one that was pinned: SHA-256 %x, pinned %x", got, digest),
			Remedy: "install the pinned version, or pin this one if you trust it",
		}
	}
	return nil
}

// reason is an error without the path, which stands before it already.
func reason(err error) string {
	if pe := (*os.PathError)(nil); errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}
