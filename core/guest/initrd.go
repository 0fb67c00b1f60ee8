package guest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// ErrNoBoot means that an initrd has no boot file, so that /init in it is not ours.
var ErrNoBoot = errors.New("there is no " + BootPath + " in it, so its /init is not leanlab's")

// BootOf reads the boot file out of an initrd: a cpio archive in the "newc"
// format, as it is or in zstd, gzip or xz (xz by the program of that name, for
// its x86 filter). It reads no further than that file.
func BootOf(initrd string) (Boot, error) {
	f, err := os.Open(initrd)
	if err != nil {
		return Boot{}, err
	}
	defer f.Close()
	archive, err := unpacked(f)
	if err != nil {
		return Boot{}, fmt.Errorf("%s: %w", initrd, err)
	}
	defer archive.Close()
	text, err := findBoot(bufio.NewReaderSize(archive, 1<<16))
	if err != nil {
		return Boot{}, fmt.Errorf("%s: %w", initrd, err)
	}
	boot, err := Parse(text)
	if err != nil {
		return Boot{}, fmt.Errorf("%s: %w", initrd, err)
	}
	return boot, nil
}

// unpacked tells the compression by the first bytes, as the kernel does
// (lib/decompress.c).
func unpacked(f *os.File) (io.ReadCloser, error) {
	in := bufio.NewReaderSize(f, 1<<16)
	magic, err := in.Peek(6)
	if err != nil {
		return nil, fmt.Errorf("too short for an initrd: %w", err)
	}
	switch {
	case bytes.HasPrefix(magic, []byte("070701")):
		return io.NopCloser(in), nil
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}): // RFC 8878, 3.1.1
		d, err := zstd.NewReader(in, zstd.WithDecoderMaxMemory(1<<30))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}): // RFC 1952, 2.3.1
		return gzip.NewReader(in)
	case bytes.HasPrefix(magic, []byte{0xfd, '7', 'z', 'X', 'Z', 0}): // .xz file format, 2.1.1.1
		return startXZ(in)
	}
	return nil, errors.New("is no cpio archive, plain or in zstd, gzip or xz")
}

// xzReader is the output of xz, which is ended when no more of it is wanted.
type xzReader struct {
	io.ReadCloser
	cmd *exec.Cmd
}

func startXZ(in io.Reader) (io.ReadCloser, error) {
	cmd := exec.Command("xz", "-dc", "-T1")
	cmd.Stdin = in
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w; on Debian: apt-get install xz-utils", err)
	}
	return xzReader{out, cmd}, nil
}

func (x xzReader) Close() error {
	x.ReadCloser.Close()
	x.cmd.Process.Kill()
	x.cmd.Wait() // it was killed, and says so
	return nil
}

// newcHeader is the magic and thirteen fields of eight hexadecimal digits
// (Documentation/driver-api/early-userspace/buffer-format.rst).
const newcHeader = 6 + 13*8

// maxCPIOName is PATH_MAX: the kernel skips an entry with a longer name.
const maxCPIOName = 4096

// findBoot returns the contents of the boot file in a cpio archive.
func findBoot(r io.Reader) ([]byte, error) {
	header := make([]byte, newcHeader)
	for {
		if _, err := io.ReadFull(r, header); err != nil {
			return nil, fmt.Errorf("cpio: the archive ends without a trailer: %w", err)
		}
		if string(header[:6]) != "070701" {
			return nil, fmt.Errorf("cpio: an entry begins with %q, not 070701", header[:6])
		}
		size, err1 := strconv.ParseUint(string(header[54:62]), 16, 32)
		nameSize, err2 := strconv.ParseUint(string(header[94:102]), 16, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("cpio: %w", err)
		}
		if nameSize == 0 || nameSize > maxCPIOName {
			return nil, fmt.Errorf("cpio: a name of %d bytes", nameSize)
		}
		name := make([]byte, padded(newcHeader+nameSize)-newcHeader)
		if _, err := io.ReadFull(r, name); err != nil {
			return nil, fmt.Errorf("cpio: %w", err)
		}
		switch strings.TrimPrefix(string(name[:nameSize-1]), "./") {
		case "TRAILER!!!":
			return nil, ErrNoBoot
		case BootPath[1:]:
			if size > maxFile {
				return nil, fmt.Errorf("cpio: %s has %d bytes; /init reads at most %d", BootPath, size, maxFile)
			}
			text := make([]byte, size)
			if _, err := io.ReadFull(r, text); err != nil {
				return nil, fmt.Errorf("cpio: %w", err)
			}
			return text, nil
		}
		if _, err := io.CopyN(io.Discard, r, int64(padded(size))); err != nil {
			return nil, fmt.Errorf("cpio: %w", err)
		}
	}
}

func padded(n uint64) uint64 { return (n + 3) &^ 3 }

// WithBoot writes the initrd with another boot file to w: the archive as it is,
// and behind it, 4-byte aligned, a second one that holds only that file. The
// kernel unpacks one over the other (buffer-format.rst).
func WithBoot(w io.Writer, initrd string, boot Boot) error {
	text, err := boot.Encode()
	if err != nil {
		return err
	}
	tree := rootfs.New()
	for _, dir := range []string{"/etc", "/etc/leanlab"} {
		if err := tree.Dir(dir, 0o755); err != nil {
			return err
		}
	}
	if err := tree.File(BootPath, 0o644, text); err != nil {
		return err
	}
	f, err := os.Open(initrd)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.Copy(w, f)
	if err != nil {
		return err
	}
	if _, err := w.Write(make([]byte, padded(uint64(n))-uint64(n))); err != nil {
		return err
	}
	return tree.WriteCPIO(w)
}

// WriteInitrd makes a file of that, for the user only: the boot file may hold
// what others are not to read.
func WriteInitrd(path, initrd string, boot Boot) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(WithBoot(f, initrd, boot), f.Close())
}
