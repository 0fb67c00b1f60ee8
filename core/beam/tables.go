package beam

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// MFA names a function: module, name and arity.
type MFA struct {
	Module, Function string
	Arity            int
}

func (m MFA) String() string {
	return fmt.Sprintf("%s:%s/%d", m.Module, m.Function, m.Arity)
}

// maxArity is MAX_ARG of erts/emulator/beam/erl_vm.h.
const maxArity = 255

// Module returns the module's name: the first atom (beam_file.c,
// parse_atom_chunk).
func (f *File) Module() (string, error) {
	atoms, err := f.Atoms()
	if err != nil {
		return "", err
	}
	return atoms[0], nil
}

// Atoms returns the atom table in UTF-8; there is at least one. In the other
// tables index 1 is the first of them.
//
// Before OTP 28 each atom is preceded by one byte of length. From OTP 28 on the
// count is negated and the length is a compact term of tag u, so that an atom of
// 255 characters may need more than 255 bytes (beam_asm:build_atom_table/2,
// beam_file.c: parse_atom_chunk). The chunk "Atom", Latin-1, is what compilers
// before OTP 20 wrote.
func (f *File) Atoms() ([]string, error) {
	if data, ok := f.Chunk("AtU8"); ok {
		atoms, err := parseAtoms(data, utf8Atom)
		if err != nil {
			return nil, fmt.Errorf("chunk AtU8: %w", err)
		}
		return atoms, nil
	}
	if data, ok := f.Chunk("Atom"); ok {
		atoms, err := parseAtoms(data, latin1Atom)
		if err != nil {
			return nil, fmt.Errorf("chunk Atom: %w", err)
		}
		return atoms, nil
	}
	return nil, errors.New("no atom table: neither chunk AtU8 nor Atom is in the file")
}

func utf8Atom(b []byte) (string, error) {
	if !utf8.Valid(b) {
		return "", fmt.Errorf("atom %q is not UTF-8", b)
	}
	return string(b), nil
}

func latin1Atom(b []byte) (string, error) {
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
	}
	return string(runes), nil
}

func parseAtoms(data []byte, decode func([]byte) (string, error)) ([]string, error) {
	r := reader{data}
	word, err := r.word()
	if err != nil {
		return nil, err
	}
	count, length := int64(int32(word)), r.byteLength
	if count < 0 {
		count, length = -count, r.compactLength
	}
	// Each atom takes a byte at least, so a count beyond that is a lie.
	if count < 1 || count > int64(len(r.data)) {
		return nil, fmt.Errorf("%d atoms in %d bytes", count, len(r.data))
	}
	atoms := make([]string, 0, count)
	for range count {
		n, err := length()
		if err != nil {
			return nil, err
		}
		text, err := r.take(n)
		if err != nil {
			return nil, err
		}
		atom, err := decode(text)
		if err != nil {
			return nil, err
		}
		atoms = append(atoms, atom)
	}
	return atoms, nil
}

// Imports returns the functions of other modules that the module calls by name
// (chunk ImpT). BIFs are among them, as functions of erlang.
func (f *File) Imports() ([]MFA, error) {
	var imports []MFA
	err := f.table("ImpT", func(atom func(uint32) (string, error), row [3]uint32) error {
		module, err := atom(row[0])
		if err != nil {
			return err
		}
		function, err := atom(row[1])
		if err != nil {
			return err
		}
		if row[2] > maxArity {
			return fmt.Errorf("%s:%s has arity %d", module, function, row[2])
		}
		imports = append(imports, MFA{module, function, int(row[2])})
		return nil
	})
	return imports, err
}

// Exports returns the functions that other modules can call (chunk ExpT).
func (f *File) Exports() ([]MFA, error) {
	module, err := f.Module()
	if err != nil {
		return nil, err
	}
	var exports []MFA
	// The third column is the label where the function starts.
	err = f.table("ExpT", func(atom func(uint32) (string, error), row [3]uint32) error {
		function, err := atom(row[0])
		if err != nil {
			return err
		}
		if row[1] > maxArity {
			return fmt.Errorf("%s:%s has arity %d", module, function, row[1])
		}
		exports = append(exports, MFA{module, function, int(row[1])})
		return nil
	})
	return exports, err
}

// table calls each for every row of a chunk that is a count and rows of three
// words, the first of which are atoms.
func (f *File) table(id string, each func(atom func(uint32) (string, error), row [3]uint32) error) error {
	atoms, err := f.Atoms()
	if err != nil {
		return err
	}
	data, ok := f.Chunk(id)
	if !ok {
		return fmt.Errorf("chunk %s is not in the file", id)
	}
	atom := func(i uint32) (string, error) {
		if i < 1 || int64(i) > int64(len(atoms)) {
			return "", fmt.Errorf("atom %d of %d", i, len(atoms))
		}
		return atoms[i-1], nil
	}
	r := reader{data}
	count, err := r.word()
	if err != nil {
		return fmt.Errorf("chunk %s: %w", id, err)
	}
	for i := range count {
		var row [3]uint32
		for c := range row {
			if row[c], err = r.word(); err != nil {
				return fmt.Errorf("chunk %s, row %d of %d: %w", id, i+1, count, err)
			}
		}
		if err := each(atom, row); err != nil {
			return fmt.Errorf("chunk %s, row %d of %d: %w", id, i+1, count, err)
		}
	}
	return nil
}

// reader takes values off the front of data.
type reader struct{ data []byte }

var errEnds = errors.New("the chunk ends too early")

func (r *reader) take(n int) ([]byte, error) {
	if n < 0 || n > len(r.data) {
		return nil, errEnds
	}
	b := r.data[:n]
	r.data = r.data[n:]
	return b, nil
}

func (r *reader) word() (uint32, error) {
	b, err := r.take(4)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(b), nil
}

func (r *reader) byteLength() (int, error) {
	b, err := r.take(1)
	if err != nil {
		return 0, err
	}
	return int(b[0]), nil
}

// compactLength reads a compact term of tag u that fits in eleven bits: one
// byte NNNN 0 000 or two NNN 01 000 NNNNNNNN (beam_asm:encode/2). That is enough
// for an atom, which has at most 255 characters of at most four bytes.
func (r *reader) compactLength() (int, error) {
	b, err := r.take(1)
	if err != nil {
		return 0, err
	}
	switch {
	case b[0]&0x07 != 0:
		return 0, fmt.Errorf("atom length has tag %d, not u (0)", b[0]&0x07)
	case b[0]&0x08 == 0:
		return int(b[0] >> 4), nil
	case b[0]&0x10 == 0:
		low, err := r.take(1)
		if err != nil {
			return 0, err
		}
		return int(b[0]>>5)<<8 | int(low[0]), nil
	}
	return 0, errors.New("atom length above 2047 bytes")
}
