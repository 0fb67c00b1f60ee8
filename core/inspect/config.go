package inspect

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/somebloke1/elixir-lean-lab/core/packed"
)

// Config is how a container image wants to be run: OCI Image Configuration
// (config.md), which docker save's is a form of.
type Config struct {
	Architecture string // Go's name for it: "amd64"
	OS           string
	Config       struct {
		User       string // name or uid, perhaps with ":" and a group
		Env        []string
		Entrypoint []string
		Cmd        []string
		WorkingDir string
	}
}

// config reads the file that a container image's manifest names. An image that
// has none, such as one made by hand for its layers, has no Config.
func (files containerFiles) config(r *root) error {
	file, ok := files[r.configFile]
	if !ok {
		return nil
	}
	var c Config
	if err := readJSON(file, &c); err != nil {
		return fmt.Errorf("configuration %s: %w", r.configFile, err)
	}
	r.config = &c
	return nil
}

// HasRoot reports whether a file or directory looks like a root file system that
// brings no kernel: a tar archive, which may hold a container image, as it is or
// compressed, or an OCI layout. It reads no more than the beginning.
func HasRoot(ctx context.Context, file string) (bool, error) {
	info, err := os.Stat(file)
	if err != nil {
		return false, err
	}
	if info.IsDir() {
		return isLayout(file), nil
	}
	if !info.Mode().IsRegular() {
		return false, nil
	}
	o := &opener{ctx: ctx, limits: DefaultLimits}
	defer o.closeAll()
	s, err := o.openFile(file)
	if err != nil {
		return false, fmt.Errorf("%s: %w", file, err)
	}
	head := make([]byte, 512)
	n, err := s.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return false, err
	}
	head = head[:n]
	if packed.Detect(head) != "" {
		if head, err = o.unpackedHead(s); err != nil {
			return false, fmt.Errorf("%s: %w", file, err)
		}
	}
	return isTar(head), nil
}
