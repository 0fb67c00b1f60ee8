package rootfs

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// Libc is the C library that a file is linked to.
type Libc string

const (
	NoLibc Libc = ""      // none, or linked in
	Glibc  Libc = "glibc" // GNU
	Musl   Libc = "musl"
)

// ELF is what it takes to run an ELF file.
type ELF struct {
	Path        string // in the tree
	Type        elf.Type
	Machine     elf.Machine
	Interpreter string   // PT_INTERP, "" for none
	Needed      []string // DT_NEEDED, in the file's order
	Soname      string   // DT_SONAME, "" for none
	Libc        Libc
}

// Static reports whether nothing else is loaded to run the file.
func (e *ELF) Static() bool { return e.Interpreter == "" && len(e.Needed) == 0 }

// ELFs returns the ELF files of the tree in Walk's order, hard links each. Files
// that begin like ELF files but are damaged are errors.
//
// Of files that are not 64-bit little-endian, only Type and Machine are read.
func ELFs(t *Tree) ([]*ELF, error) {
	var files []*ELF
	err := t.Walk(func(e *Entry) error {
		if e.Type != Regular {
			return nil
		}
		r, err := e.Open()
		if err != nil {
			return err
		}
		defer r.Close()
		f, err := readELF(r, e.Size())
		if err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
		if f != nil {
			f.Path = e.Path
			files = append(files, f)
		}
		return nil
	})
	return files, err
}

// Bounds on what a damaged file can make us read. PATH_MAX bounds an
// interpreter's name (fs/binfmt_elf.c); the others are far above what linkers
// write.
const (
	maxPhdrs   = 1 << 10
	maxDynamic = 1 << 16 // bytes of .dynamic
	maxString  = maxPath
)

// readELF returns nil if r is no ELF file. It follows program headers, as the
// kernel and the dynamic linker do, since section headers may be stripped.
func readELF(r io.ReaderAt, size int64) (*ELF, error) {
	var ident [20]byte // e_ident, e_type, e_machine: the same in both classes
	if _, err := r.ReadAt(ident[:], 0); err != nil || string(ident[:4]) != elf.ELFMAG {
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		return nil, nil
	}
	var order binary.ByteOrder = binary.LittleEndian
	if elf.Data(ident[elf.EI_DATA]) == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	f := &ELF{Type: elf.Type(order.Uint16(ident[16:])), Machine: elf.Machine(order.Uint16(ident[18:]))}
	if elf.Class(ident[elf.EI_CLASS]) != elf.ELFCLASS64 || order == binary.BigEndian {
		return f, nil
	}
	img := elfImage{r: r, size: size}
	if err := img.readPhdrs(); err != nil {
		return nil, err
	}
	if err := img.describe(f); err != nil {
		return nil, err
	}
	f.Libc = libcOf(f)
	return f, nil
}

// libcOf tells the C library by the names that only one of them has.
func libcOf(f *ELF) Libc {
	for _, name := range append([]string{path.Base(f.Interpreter), f.Soname}, f.Needed...) {
		switch {
		case strings.HasPrefix(name, "ld-musl-"), strings.HasPrefix(name, "libc.musl-"), name == "libc.so":
			return Musl
		case strings.HasPrefix(name, "ld-linux"), name == "libc.so.6":
			return Glibc
		}
	}
	return NoLibc
}

// elfImage reads a 64-bit little-endian ELF file.
type elfImage struct {
	r     io.ReaderAt
	size  int64
	progs []elf.Prog64
}

// at reads n bytes at off, all of which must be in the file.
func (img *elfImage) at(off, n uint64) ([]byte, error) {
	if off > uint64(img.size) || n > uint64(img.size)-off {
		return nil, fmt.Errorf("damaged ELF file: %d bytes at %d are beyond its end", n, off)
	}
	b := make([]byte, n)
	_, err := img.r.ReadAt(b, int64(off))
	if err == io.EOF {
		err = nil // at the very end of the file
	}
	return b, err
}

func (img *elfImage) readPhdrs() error {
	var h elf.Header64
	b, err := img.at(0, uint64(binary.Size(h)))
	if err != nil {
		return err
	}
	if err := binary.Read(bytes.NewReader(b), binary.LittleEndian, &h); err != nil {
		return err
	}
	if h.Phnum == 0 {
		return nil // an object file
	}
	size := uint64(binary.Size(elf.Prog64{}))
	if uint64(h.Phentsize) != size || h.Phnum > maxPhdrs {
		return fmt.Errorf("damaged ELF file: %d program headers of %d bytes", h.Phnum, h.Phentsize)
	}
	if b, err = img.at(h.Phoff, uint64(h.Phnum)*size); err != nil {
		return err
	}
	img.progs = make([]elf.Prog64, h.Phnum)
	return binary.Read(bytes.NewReader(b), binary.LittleEndian, img.progs)
}

func (img *elfImage) describe(f *ELF) error {
	for _, p := range img.progs {
		switch elf.ProgType(p.Type) {
		case elf.PT_INTERP:
			if p.Filesz == 0 {
				continue // debug information kept apart: objcopy --only-keep-debug
			}
			if p.Filesz > maxPath {
				return fmt.Errorf("damaged ELF file: the interpreter's name has %d bytes", p.Filesz)
			}
			b, err := img.at(p.Off, p.Filesz)
			if err != nil {
				return err
			}
			name, _, _ := bytes.Cut(b, []byte{0})
			f.Interpreter = string(name)
		case elf.PT_DYNAMIC:
			if err := img.dynamic(f, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// dynamic reads the entries of the dynamic section that name libraries.
func (img *elfImage) dynamic(f *ELF, p elf.Prog64) error {
	if p.Filesz > maxDynamic {
		return fmt.Errorf("damaged ELF file: a dynamic section of %d bytes", p.Filesz)
	}
	b, err := img.at(p.Off, p.Filesz)
	if err != nil {
		return err
	}
	dyn := make([]elf.Dyn64, len(b)/binary.Size(elf.Dyn64{}))
	if err := binary.Read(bytes.NewReader(b), binary.LittleEndian, dyn); err != nil {
		return err
	}
	var strtab, strsz uint64
	for _, d := range dyn {
		switch elf.DynTag(d.Tag) {
		case elf.DT_STRTAB:
			strtab = d.Val
		case elf.DT_STRSZ:
			strsz = d.Val
		}
	}
	for _, d := range dyn {
		tag := elf.DynTag(d.Tag)
		if tag == elf.DT_NULL {
			return nil
		}
		if tag != elf.DT_NEEDED && tag != elf.DT_SONAME {
			continue
		}
		name, err := img.str(strtab, strsz, d.Val)
		if err != nil {
			return err
		}
		if tag == elf.DT_SONAME {
			f.Soname = name
		} else {
			f.Needed = append(f.Needed, name)
		}
	}
	return nil
}

// str returns the string at index of the string table at the address strtab.
func (img *elfImage) str(strtab, strsz, index uint64) (string, error) {
	for _, p := range img.progs {
		if elf.ProgType(p.Type) != elf.PT_LOAD || strtab < p.Vaddr || strtab-p.Vaddr >= p.Filesz {
			continue
		}
		off := strtab - p.Vaddr // in the segment
		if strsz > p.Filesz-off || index >= strsz {
			break
		}
		if p.Off > uint64(img.size) {
			break
		}
		b, err := img.at(p.Off+off+index, min(strsz-index, maxString))
		if err != nil {
			return "", err
		}
		name, _, terminated := bytes.Cut(b, []byte{0})
		if terminated && len(name) > 0 {
			return string(name), nil
		}
		break
	}
	return "", errors.New("damaged ELF file: a name in its dynamic section is not in its string table")
}
