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

	"github.com/somebloke1/elixir-lean-lab/core/bundle"
)

// Packer is the program that packs a root.
type Packer struct {
	Program string
	Debian  string // the package that brings it
	version string // its flag that prints it
	args    func(arch, file string) []string
}

// A decompressor's window is RAM that the kernel needs while it unpacks the
// root, beside the root and its compressed form: 16 MiB leaves a VM of 64 MiB
// its boot. Both programs take no more than the root's size.
const windowLog = 24

// packers by what the root is in, and by compression. The compressors in Go make
// the root of a small VM 12 % (zstd) and 23 % (xz) larger than these programs.
var packers = map[string]map[string]Packer{
	// On one thread, so that the bytes do not depend on the number of processors,
	// and of a file, so that they know its size.
	bundle.Initramfs: {
		// Levels above 19 gain 0.2 %, for more time; a window of 16 MiB gains 4 % over
		// level 19's own 8 MiB.
		"zstd": {"zstd", "zstd", "--version", func(_, in string) []string {
			return []string{"-19", fmt.Sprintf("--zstd=wlog=%d", windowLog), "--single-thread", "--quiet", "--stdout", "--", in}
		}},
		// Linux' decoder knows no check but CRC32 (Documentation/staging/xz.rst).
		// The x86 filter gains 2.7 %; it needs CONFIG_XZ_DEC_X86.
		"xz": {"xz", "xz-utils", "--version", func(arch, in string) []string {
			args := []string{"--format=xz", "--check=crc32", "--threads=1", "--quiet", "--stdout"}
			if arch == "x86_64" {
				args = append(args, "--x86")
			}
			return append(args, fmt.Sprintf("--lzma2=preset=9e,dict=%d", 1<<windowLog), "--", in)
		}},
	},
	bundle.Disk: {
		"zstd": {"mksquashfs", "squashfs-tools", "-version", func(_, out string) []string {
			return append(squashfsArgs(out), "-comp", "zstd", "-Xcompression-level", "22")
		}},
		"xz": {"mksquashfs", "squashfs-tools", "-version", func(arch, out string) []string {
			args := append(squashfsArgs(out), "-comp", "xz", "-Xdict-size", "100%")
			if arch == "x86_64" { // for each block whichever is smaller, with the filter or without
				args = append(args, "-Xbcj", "x86")
			}
			return args
		}},
	},
}

// PackerOf is the program that packs such a root, which need not be there.
func PackerOf(root, compression string) (Packer, error) {
	byCompression, ok := packers[root]
	if !ok {
		return Packer{}, fmt.Errorf("there is no root %q; known are %s", root, strings.Join(bundle.Roots(), ", "))
	}
	p, ok := byCompression[compression]
	if !ok {
		return p, fmt.Errorf("there is no compression %q; known are xz, zstd", compression)
	}
	return p, nil
}

// Version is the first line of what the program says of its version: another
// release may well give other bytes.
func (p Packer) Version() (string, error) {
	out, err := exec.Command(p.Program, p.version).Output()
	if err != nil {
		return "", p.missing(fmt.Errorf("%s %s: %w", p.Program, p.version, err))
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line, nil
}

// Command is how the program is started for an architecture, without the file and
// what says where its output goes.
func (p Packer) Command(arch string) string {
	words := slices.DeleteFunc(p.args(arch, ""), func(word string) bool {
		return slices.Contains([]string{"--quiet", "--stdout", "--", ""}, word)
	})
	return strings.Join(append([]string{p.Program}, words...), " ")
}

// missing adds what to do when err is that the program is not there.
func (p Packer) missing(err error) error {
	if _, there := exec.LookPath(p.Program); there == nil {
		return err
	}
	return fmt.Errorf("%w: install it (Debian: %s)", err, p.Debian)
}

// options are variables that the programs read options or times from, which
// would change the bytes.
var options = []string{"XZ_DEFAULTS", "XZ_OPT", "ZSTD_CLEVEL", "ZSTD_NBTHREADS", "SOURCE_DATE_EPOCH"}

// run runs the program on a file, with the input and output that set gives it.
func (p Packer) run(ctx context.Context, arch, file string, set func(*exec.Cmd)) error {
	cmd := exec.CommandContext(ctx, p.Program, p.args(arch, file)...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(nv string) bool {
		name, _, _ := strings.Cut(nv, "=")
		return slices.Contains(options, name)
	})
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	set(cmd)
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return p.missing(fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(stderr.String())))
	}
	return nil
}

// compress writes the compressed file in to out.
func (p Packer) compress(ctx context.Context, arch, in, out string) error {
	to, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer to.Close()
	if err := p.run(ctx, arch, in, func(cmd *exec.Cmd) { cmd.Stdout = to }); err != nil {
		return err
	}
	return to.Close()
}

// compressOpen writes a compressed file, whose name may be gone, to out. Zstd
// reads what only a link leads to when it is forced.
func (p Packer) compressOpen(ctx context.Context, arch string, in *os.File, out io.Writer) error {
	return p.run(ctx, arch, "/dev/fd/3", func(cmd *exec.Cmd) {
		cmd.Args = slices.Insert(cmd.Args, 1, "--force")
		cmd.ExtraFiles, cmd.Stdout = []*os.File{in}, out // the first is 3
	})
}
