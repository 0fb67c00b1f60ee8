package lean

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"slices"
)

// Tags of the External Term Format (erts User's Guide, "External Term Format").
const (
	etfVersion       = 131
	newFloatExt      = 70
	smallIntegerExt  = 97
	integerExt       = 98
	smallTupleExt    = 104
	largeTupleExt    = 105
	nilExt           = 106
	stringExt        = 107
	listExt          = 108
	binaryExt        = 109
	smallBigExt      = 110
	largeBigExt      = 111
	exportExt        = 113
	mapExt           = 116
	atomUTF8Ext      = 118
	smallAtomUTF8Ext = 119
)

// EncodeTerm returns a term as term_to_binary/1 of OTP 26 and later does, which
// writes every atom in UTF-8. Maps keep the order of the text.
func EncodeTerm(t Term) ([]byte, error) {
	return appendTerm([]byte{etfVersion}, t)
}

func appendTerm(out []byte, t Term) ([]byte, error) {
	switch t := t.(type) {
	case Atom:
		return appendAtom(out, t)
	case Int:
		return appendInt(out, t), nil
	case float64:
		return binary.BigEndian.AppendUint64(append(out, newFloatExt), math.Float64bits(t)), nil
	case String:
		list := make(List, 0, len(t))
		for _, r := range string(t) {
			list = append(list, integer(int64(r)))
		}
		return appendList(out, list, nil)
	case Tuple:
		if len(t) < 256 {
			out = append(out, smallTupleExt, byte(len(t)))
		} else {
			out = binary.BigEndian.AppendUint32(append(out, largeTupleExt), uint32(len(t)))
		}
		return appendTerms(out, t)
	case List:
		return appendList(out, t, nil)
	case *Improper:
		return appendList(out, t.Head, t.Tail)
	case Binary:
		out = binary.BigEndian.AppendUint32(append(out, binaryExt), uint32(len(t)))
		return append(out, t...), nil
	case Map:
		out = binary.BigEndian.AppendUint32(append(out, mapExt), uint32(len(t)))
		var err error
		for _, pair := range t {
			if out, err = appendTerms(out, pair[:]); err != nil {
				return nil, err
			}
		}
		return out, nil
	case Fun:
		return appendTerms(append(out, exportExt), []Term{t.Module, t.Function, integer(int64(t.Arity))})
	}
	return nil, fmt.Errorf("%T is not a term", t)
}

func appendTerms(out []byte, terms []Term) ([]byte, error) {
	var err error
	for _, t := range terms {
		if out, err = appendTerm(out, t); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// maxAtom is MAX_ATOM_CHARACTERS of erts/emulator/beam/atom.h.
const maxAtom = 255

func appendAtom(out []byte, a Atom) ([]byte, error) {
	if n := len([]rune(string(a))); n > maxAtom {
		return nil, fmt.Errorf("atom of %d characters; %d are allowed", n, maxAtom)
	}
	if len(a) < 256 {
		out = append(out, smallAtomUTF8Ext, byte(len(a)))
	} else {
		out = binary.BigEndian.AppendUint16(append(out, atomUTF8Ext), uint16(len(a)))
	}
	return append(out, a...), nil
}

func appendInt(out []byte, i Int) []byte {
	if i.IsInt64() {
		switch v := i.Int64(); {
		case v >= 0 && v < 256:
			return append(out, smallIntegerExt, byte(v))
		case v >= math.MinInt32 && v <= math.MaxInt32:
			return binary.BigEndian.AppendUint32(append(out, integerExt), uint32(int32(v)))
		}
	}
	magnitude := new(big.Int).Abs(i.Int).Bytes()
	slices.Reverse(magnitude) // little-endian
	if len(magnitude) < 256 {
		out = append(out, smallBigExt, byte(len(magnitude)))
	} else {
		out = binary.BigEndian.AppendUint32(append(out, largeBigExt), uint32(len(magnitude)))
	}
	negative := byte(0)
	if i.Sign() < 0 {
		negative = 1
	}
	return append(append(out, negative), magnitude...)
}

// appendList writes a list; tail nil stands for []. A proper list of up to
// 65535 bytes is a string, as in term_to_binary/1 (erts/emulator/beam/external.c,
// is_external_string).
func appendList(out []byte, list List, tail Term) ([]byte, error) {
	if len(list) == 0 {
		return append(out, nilExt), nil
	}
	if tail == nil && len(list) <= math.MaxUint16 {
		if chars, ok := byteList(list); ok {
			out = binary.BigEndian.AppendUint16(append(out, stringExt), uint16(len(chars)))
			return append(out, chars...), nil
		}
	}
	out = binary.BigEndian.AppendUint32(append(out, listExt), uint32(len(list)))
	out, err := appendTerms(out, list)
	if err != nil {
		return nil, err
	}
	if tail == nil {
		return append(out, nilExt), nil
	}
	return appendTerm(out, tail)
}

func byteList(list List) ([]byte, bool) {
	chars := make([]byte, 0, len(list))
	for _, e := range list {
		i, ok := e.(Int)
		if !ok || !i.IsInt64() || i.Int64() < 0 || i.Int64() > 255 {
			return nil, false
		}
		chars = append(chars, byte(i.Int64()))
	}
	return chars, true
}
