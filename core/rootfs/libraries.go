package rootfs

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// MissingLibraryError says that a file in a tree needs a library that is not to
// be had.
type MissingLibraryError struct {
	File    string // in the tree
	Library string // DT_NEEDED or PT_INTERP
	Dirs    []string
	Other   string // a file of that name that is of no use, and why; or ""
}

func (e *MissingLibraryError) Error() string {
	msg := fmt.Sprintf("%s needs %s, which is neither in the root nor in %v", e.File, e.Library, e.Dirs)
	if e.Other != "" {
		msg += " (" + e.Other + ")"
	}
	return msg + ": install the package it is from on the build host, or link statically"
}

// AddSharedLibraries completes the tree with what its ELF files load: their
// interpreters (PT_INTERP) and, transitively, the libraries they need
// (DT_NEEDED). A library that the tree has in one of dirs stays. The others come
// from the build host, where they are looked for in dirs, in that order. They
// get the path at which they were found, a link replaced by what it points to.
// The machine must be that of the file that needs them.
//
// dirs should be directories that the dynamic linker searches by itself, for
// there is no ld.so.conf and no cache: ld.so(8). RPATH and RUNPATH are not
// considered. It returns the paths that it added, in the order in which they
// were found to be needed.
func (t *Tree) AddSharedLibraries(dirs []string) ([]string, error) {
	queue, err := ELFs(t)
	if err != nil {
		return nil, err
	}
	l := libraries{tree: t, dirs: dirs}
	for len(queue) > 0 {
		f := queue[0]
		queue = queue[1:]
		more, err := l.complete(f)
		if err != nil {
			return nil, err
		}
		queue = append(queue, more...)
	}
	return l.added, nil
}

type libraries struct {
	tree  *Tree
	dirs  []string
	added []string
}

// complete adds what f itself needs, and returns the files it added.
func (l *libraries) complete(f *ELF) ([]*ELF, error) {
	var added []*ELF
	want := f.Needed
	if f.Interpreter != "" {
		want = append([]string{f.Interpreter}, want...)
	}
	for _, name := range want {
		lib, err := l.find(f, name)
		if err != nil {
			return nil, err
		}
		if lib != nil {
			added = append(added, lib)
			l.added = append(l.added, lib.Path)
		}
	}
	return added, nil
}

// find sees to it that the tree has name for f. It returns nil if it had it.
func (l *libraries) find(f *ELF, name string) (*ELF, error) {
	candidates := []string{name}
	if !path.IsAbs(name) {
		candidates = nil
		for _, dir := range l.dirs {
			candidates = append(candidates, path.Join("/", dir, name))
		}
	}
	for _, c := range candidates {
		if _, err := l.tree.Resolve(c); err == nil {
			return nil, nil
		}
	}
	missing := &MissingLibraryError{File: f.Path, Library: name, Dirs: l.dirs}
	for _, c := range candidates {
		lib, err := l.add(c, f.Machine)
		var other wrongMachine
		switch {
		case err == nil:
			return lib, nil
		case errors.As(err, &other):
			missing.Other = other.Error()
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("%s needs %s: %w", f.Path, name, err)
		}
	}
	return nil, missing
}

// wrongMachine says that a file is not for the machine wanted.
type wrongMachine struct {
	file      string
	got, want elf.Machine
}

func (w wrongMachine) Error() string {
	return fmt.Sprintf("%s is for %v, not %v", w.file, w.got, w.want)
}

// add copies name from the host into the tree.
func (l *libraries) add(name string, machine elf.Machine) (*ELF, error) {
	host, err := filepath.EvalSymlinks(name)
	if err != nil {
		return nil, err
	}
	lib, err := readELFFile(host)
	if err != nil {
		return nil, err
	}
	if lib.Machine != machine {
		return nil, wrongMachine{host, lib.Machine, machine}
	}
	if err := l.tree.HostFile(name, 0o755, host); err != nil {
		return nil, err
	}
	lib.Path = name
	return lib, nil
}

func readELFFile(file string) (*ELF, error) {
	r, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return nil, err
	}
	f, err := readELF(r, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if f == nil {
		return nil, fmt.Errorf("%s: not an ELF file", file)
	}
	return f, nil
}
