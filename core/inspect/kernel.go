package inspect

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
)

var errNoKernel = errors.New("is no Linux kernel that is known: x86's bzImage, arm64's Image")

// kernelOf reads a kernel image's header: Documentation/arch/x86/boot.rst, "The
// Real-Mode Kernel Header"; Documentation/arch/arm64/booting.rst, 4.
func kernelOf(s source) (*Kernel, error) {
	head := make([]byte, 0x210)
	n, err := s.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	head = head[:n]
	k := &Kernel{Bytes: s.all()}
	switch {
	case n == 0x210 && string(head[0x202:][:4]) == "HdrS":
		// A pointer less 0x200 to "6.12.107 (who@where) #1 …"; 0 is none.
		if at := int64(binary.LittleEndian.Uint16(head[0x20e:])); at != 0 {
			k.Version = firstWord(s, at+0x200)
		}
	case n > 0x40 && string(head[0x38:][:4]) == "ARM\x64":
		// Its header has no version; the banner of init/version.c has.
		if k.Version, err = banner(s); err != nil {
			return nil, err
		}
	default:
		return nil, errNoKernel
	}
	return k, nil
}

// firstWord returns the word at offset, which ends at a space or NUL.
func firstWord(s source, offset int64) string {
	buf := make([]byte, 64) // __NEW_UTS_LEN
	n, _ := s.ReadAt(buf, offset)
	if end := bytes.IndexAny(buf[:n], " \x00\n"); end >= 0 {
		return string(buf[:end])
	}
	return ""
}

// banner looks for "Linux version 6.12.107 …". The first that has a digit where
// the version is: format strings begin like that too.
func banner(s source) (string, error) {
	const mark = "Linux version "
	buf := make([]byte, 1<<20)
	for offset := int64(0); offset < s.Size(); offset += int64(len(buf) - len(mark)) {
		n, err := s.ReadAt(buf, offset)
		if err != nil && err != io.EOF {
			return "", err
		}
		for at, rest := 0, buf[:n]; ; {
			i := bytes.Index(rest, []byte(mark))
			if i < 0 {
				break
			}
			at += i + len(mark)
			if v := firstWord(s, offset+int64(at)); v != "" && strings.ContainsRune("0123456789", rune(v[0])) {
				return v, nil
			}
			rest = buf[at:n]
		}
	}
	return "", nil
}
