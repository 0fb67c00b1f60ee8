package image

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// compressor is a program. The ones in Go make the root of a small VM 12 %
// (zstd) and 23 % (xz) larger than these.
type compressor struct {
	program string
	debian  string // the package that brings it
	args    func(arch string) []string
}

// A decompressor's window is RAM that the kernel needs while it unpacks the
// root, beside the root and its compressed form: 16 MiB leaves a VM of 64 MiB
// its boot. Both programs take no more than the root's size.
const windowLog = 24

// compressors run on one thread, so that the bytes do not depend on the number
// of processors, and read a file, so that they know its size.
//
// zstd: levels above 19 gain 0.2 %, for more time; a window of 16 MiB
// gains 4 % over level 19's own 8 MiB.
//
// xz: Linux' decoder knows no check but CRC32 (Documentation/staging/xz.rst).
// The x86 filter gains 2.7 %; it needs CONFIG_XZ_DEC_X86.
var compressors = map[string]compressor{
	"zstd": {"zstd", "zstd", func(string) []string {
		return []string{"-19", fmt.Sprintf("--zstd=wlog=%d", windowLog), "--single-thread", "--quiet", "--stdout", "--"}
	}},
	"xz": {"xz", "xz-utils", func(arch string) []string {
		args := []string{"--format=xz", "--check=crc32", "--threads=1", "--quiet", "--stdout"}
		if arch == "x86_64" {
			args = append(args, "--x86")
		}
		return append(args, fmt.Sprintf("--lzma2=preset=9e,dict=%d", 1<<windowLog), "--")
	}},
}

func compressorFor(compression string) (compressor, error) {
	c, ok := compressors[compression]
	if !ok {
		return c, fmt.Errorf("there is no compression %q; known are xz, zstd", compression)
	}
	if _, err := exec.LookPath(c.program); err != nil {
		return c, fmt.Errorf("%w: install it (Debian: %s)", err, c.debian)
	}
	return c, nil
}

// CompressorVersion is the first line of what the program that compresses says
// of its version: another release may well give other bytes.
func CompressorVersion(compression string) (string, error) {
	c, err := compressorFor(compression)
	if err != nil {
		return "", err
	}
	out, err := exec.Command(c.program, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", c.program, err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line, nil
}

// Command is how the program that compresses is started for an architecture,
// without the file.
func Command(compression, arch string) (string, error) {
	c, err := compressorFor(compression)
	if err != nil {
		return "", err
	}
	words := slices.DeleteFunc(c.args(arch), func(word string) bool {
		return slices.Contains([]string{"--quiet", "--stdout", "--"}, word)
	})
	return strings.Join(append([]string{c.program}, words...), " "), nil
}

// compress writes the compressed file in to out.
func compress(ctx context.Context, compression, arch, in, out string) error {
	c, err := compressorFor(compression)
	if err != nil {
		return err
	}
	to, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer to.Close()
	if err := run(ctx, exec.CommandContext(ctx, c.program, append(c.args(arch), in)...), to); err != nil {
		return err
	}
	return to.Close()
}

// compressOpen writes a compressed file, whose name may be gone, to out. Zstd
// reads what only a link leads to when it is forced.
func compressOpen(ctx context.Context, compression, arch string, in *os.File, out io.Writer) error {
	c, err := compressorFor(compression)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, c.program, append(append([]string{"--force"}, c.args(arch)...), "/dev/fd/3")...)
	cmd.ExtraFiles = []*os.File{in} // the first is 3
	return run(ctx, cmd, out)
}

func run(ctx context.Context, cmd *exec.Cmd, out io.Writer) error {
	// Both read options from the environment, which would change the bytes.
	cmd.Env = append(os.Environ(), "XZ_DEFAULTS=", "XZ_OPT=", "ZSTD_CLEVEL=", "ZSTD_NBTHREADS=")
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = out, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return nil
}
