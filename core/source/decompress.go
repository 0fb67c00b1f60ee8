package source

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"github.com/ulikunitz/xz"
)

// decompress tells the format by its first bytes, not by the file's name, and
// returns the tar stream. Close reports a decompressor that failed; what was
// read before is then not to be trusted.
func decompress(ctx context.Context, in io.Reader) (io.ReadCloser, error) {
	buffered := bufio.NewReaderSize(in, 1<<20)
	magic, err := buffered.Peek(6)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}): // RFC 1952
		r, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		return r, nil
	case bytes.HasPrefix(magic, []byte("BZh")):
		return io.NopCloser(bzip2.NewReader(buffered)), nil
	case bytes.HasPrefix(magic, []byte{0xfd, '7', 'z', 'X', 'Z', 0}): // .xz file format, section 2.1.1.1
		return decompressXZ(ctx, buffered)
	}
	return io.NopCloser(buffered), nil
}

// decompressXZ prefers the xz program: XZPACKAGE
func decompressXZ(ctx context.Context, in io.Reader) (io.ReadCloser, error) {
	program, err := exec.LookPath("xz")
	if err != nil {
		r, err := xz.NewReader(in)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(r), nil
	}
	ctx, stop := context.WithCancel(ctx)
	p := &xzProgram{stop: stop}
	p.cmd = exec.CommandContext(ctx, program, "--decompress", "--stdout", "--format=xz", "--memlimit-decompress=1GiB")
	p.cmd.Stdin = in
	p.cmd.Stderr = &p.stderr
	if p.Reader, err = p.cmd.StdoutPipe(); err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		stop()
		return nil, fmt.Errorf("%s: %w", program, err)
	}
	return p, nil
}

// xzProgram is the output of xz(1).
type xzProgram struct {
	io.Reader
	cmd    *exec.Cmd
	stderr bytes.Buffer
	stop   context.CancelFunc
	ended  bool
}

func (p *xzProgram) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.ended = p.ended || errors.Is(err, io.EOF)
	return n, err
}

// Close reports how xz ended if its output was read to the end; otherwise it
// is stopped, and that is no failure.
func (p *xzProgram) Close() error {
	if !p.ended {
		p.stop()
	}
	err := p.cmd.Wait()
	p.stop()
	if err != nil && p.ended {
		return fmt.Errorf("xz: %s", strings.TrimSpace(p.stderr.String()+" ("+err.Error()+")"))
	}
	return nil
}
