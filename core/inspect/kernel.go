package inspect

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/somebloke1/elixir-lean-lab/core/packed"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

var errNoKernel = errors.New("is no Linux kernel that is known: x86's bzImage, arm64's Image, as it is or in gzip")

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
	case packed.Detect(head) == "gzip":
		// An arm64 Image does not unpack itself, so it is passed around in gzip.
		k.Version, err = zippedVersion(s)
		return k, err
	default:
		return nil, errNoKernel
	}
	return k, nil
}

// maxZipped bounds what a kernel in gzip may unpack to: what QEMU takes
// (LOAD_IMAGE_MAX_GUNZIP_BYTES).
const maxZipped = 256 << 20

// zippedVersion is the version of an arm64 Image in gzip.
func zippedVersion(s source) (string, error) {
	z, err := gzip.NewReader(io.NewSectionReader(s, 0, s.Size()))
	if err != nil {
		return "", errNoKernel
	}
	head := make([]byte, 0x40)
	if _, err := io.ReadFull(z, head); err != nil || string(head[0x38:][:4]) != "ARM\x64" {
		return "", errNoKernel
	}
	rest, err := io.ReadAll(io.LimitReader(z, maxZipped+1))
	if err != nil {
		return "", fmt.Errorf("the gzip around the kernel: %w", err)
	}
	if len(rest) > maxZipped {
		return "", fmt.Errorf("the kernel unpacks to more than %d MiB, which no loader takes", maxZipped>>20)
	}
	image := io.NewSectionReader(bytes.NewReader(rest), 0, int64(len(rest)))
	return banner(source{SectionReader: image, on: s.on})
}

// findKernel looks for the kernel in the root itself: what /vmlinuz or
// /boot/vmlinuz lead to, or else the last by name of the kernels in /boot. What
// it takes is not in Stored then, but the Kernel's.
func findKernel(img *Image) error {
	var candidates []string
	for _, name := range []string{"/vmlinuz", "/boot/vmlinuz"} {
		if e, err := img.Tree.Resolve(name); err == nil {
			candidates = append(candidates, e.Path)
		}
	}
	var others []string
	err := img.Tree.Walk(func(e *rootfs.Entry) error {
		if path.Dir(e.Path) == "/boot" {
			others = append(others, e.Path)
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.Reverse(others)
	for _, name := range append(candidates, others...) {
		e, _ := img.Tree.Get(name)
		if e.Type != rootfs.Regular || e.Size() < 0x210 {
			continue
		}
		k, err := kernelIn(e)
		if errors.Is(err, errNoKernel) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		k.Path, k.Bytes = name, img.Stored[name]
		delete(img.Stored, name)
		img.Kernel = k
		return nil
	}
	return nil
}

func kernelIn(e *rootfs.Entry) (*Kernel, error) {
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return kernelOf(source{SectionReader: r.SectionReader, on: func(int64) int64 { return 0 }})
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
