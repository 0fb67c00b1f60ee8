package inspect

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// Open reads a bundle: a directory with a kernel and an initrd that is a cpio
// archive in zstd.
func Open(ctx context.Context, path string, limits Limits) (*Image, error) {
	img := &Image{Path: path, Format: "bundle", Compression: "zstd", Tree: rootfs.New(), Stored: map[string]int64{}, Rest: map[string]int64{}}
	kernel, err := os.ReadFile(filepath.Join(path, "kernel"))
	if err != nil {
		return nil, fmt.Errorf("%s: not a bundle: %w", path, err)
	}
	img.Kernel = &Kernel{Path: filepath.Join(path, "kernel"), Bytes: int64(len(kernel)), Version: version(kernel)}
	initrd, err := os.Stat(filepath.Join(path, "initrd"))
	if err != nil {
		return nil, err
	}
	img.Bytes = img.Kernel.Bytes + initrd.Size()
	for _, name := range []string{"cmdline", "run"} {
		if info, err := os.Stat(filepath.Join(path, name)); err == nil {
			img.Bytes += info.Size()
			img.Rest["bundle's script and command line"] += info.Size()
		}
	}
	archive, blocks, err := unpack(ctx, filepath.Join(path, "initrd"), limits)
	if err != nil {
		return nil, err
	}
	return img, img.read(archive, blocks, initrd.Size(), limits)
}

// Close ends reading.
func (img *Image) Close() error {
	var err error
	for _, c := range img.close {
		err = errors.Join(err, c())
	}
	return err
}

// version is where the boot protocol has it: Documentation/arch/x86/boot.rst,
// kernel_version.
func version(kernel []byte) string {
	if len(kernel) < 0x210 || string(kernel[0x202:0x206]) != "HdrS" {
		return ""
	}
	at := int(binary.LittleEndian.Uint16(kernel[0x20e:])) + 0x200
	if at >= len(kernel) {
		return ""
	}
	text, _, _ := strings.Cut(string(kernel[at:min(len(kernel), at+64)]), " ")
	return text
}

type block struct{ raw, packed int64 }

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func unpack(ctx context.Context, file string, limits Limits) ([]byte, []block, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	in := &counter{r: f}
	d, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, nil, err
	}
	defer d.Close()
	var archive []byte
	var blocks []block
	var seen int64
	buf := make([]byte, 4096)
	for {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		n, err := io.ReadFull(d, buf)
		if in.n != seen || len(blocks) == 0 {
			blocks = append(blocks, block{packed: in.n - seen})
			seen = in.n
		}
		blocks[len(blocks)-1].raw += int64(n)
		archive = append(archive, buf[:n]...)
		switch {
		case int64(len(archive)) > limits.Unpacked:
			return nil, nil, fmt.Errorf("%s: unpacks to more than %d bytes", file, limits.Unpacked)
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return archive, blocks, nil
		case err != nil:
			return nil, nil, fmt.Errorf("%s: %w", file, err)
		}
	}
}

func (img *Image) read(archive []byte, blocks []block, size int64, limits Limits) error {
	var at, used int64
	take := func(n int64) (packed float64) {
		for n > 0 && len(blocks) > 0 {
			step := min(n, blocks[0].raw-used)
			if step > 0 {
				packed += float64(step) * float64(blocks[0].packed) / float64(blocks[0].raw)
			}
			n, used = n-step, used+step
			if used == blocks[0].raw {
				blocks, used = blocks[1:], 0
			}
		}
		return packed
	}
	left := size
	for files := 0; ; files++ {
		field := func(i int64) int64 {
			v, _ := strconv.ParseUint(string(archive[at+6+8*i:at+14+8*i]), 16, 32)
			return int64(v)
		}
		if at+110 > int64(len(archive)) || string(archive[at:at+6]) != "070701" || files > limits.Files {
			return fmt.Errorf("%s: no cpio header at %d", img.Path, at)
		}
		mode, length, names := field(1), field(6), field(11)
		body := (at + 110 + names + 3) &^ 3
		next := (body + length + 3) &^ 3
		if names < 1 || next > int64(len(archive)) {
			return fmt.Errorf("%s: the cpio entry at %d ends beyond the archive", img.Path, at)
		}
		name := string(archive[at+110 : at+109+names])
		if name == "TRAILER!!!" {
			break
		}
		data := archive[body : body+length]
		take(body - at)
		packed := int64(take(next - body))
		at = next
		name = filepath.Join("/", name)
		var err error
		switch mode & 0o170000 {
		case 0o040000:
			err = img.Tree.Dir(name, fs.FileMode(mode&0o7777))
		case 0o100000:
			err = img.Tree.File(name, fs.FileMode(mode&0o7777), data)
			img.Stored[name] += packed
			left -= packed
		case 0o120000:
			err = img.Tree.Symlink(name, string(data))
		}
		if err != nil {
			return err
		}
	}
	img.Rest["headers"] = left
	return nil
}
