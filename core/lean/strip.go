package lean

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/beam"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// stripBeams takes debug information from every module below the release's
// libraries and consolidated protocols, and leaves it uncompressed: an image is
// compressed as a whole, which packs modules about a third better than each by
// itself.
func (l *leaning) stripBeams() error {
	saved := map[string]int64{} // directory → bytes
	err := l.tree.Walk(func(e *rootfs.Entry) error {
		if e.Type != rootfs.Regular || !strings.HasSuffix(e.Path, ".beam") || !l.inRelease(e.Path) {
			return nil
		}
		before, err := contents(e)
		if err != nil {
			return err
		}
		f, err := beam.Parse(before)
		if err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
		after := f.Strip().Bytes()
		if bytes.Equal(before, after) {
			return nil
		}
		saved[path.Dir(e.Path)] += int64(len(before) - len(after))
		return rewrite(l.tree, e, after)
	})
	for dir, n := range saved {
		l.taken(dir, n, "debug information, documentation and compiler data of its modules, or their compression")
	}
	return err
}

// inRelease reports whether name is below the release or OTP.
func (l *leaning) inRelease(name string) bool {
	return within(name, l.inv.release.Dir) || within(name, l.inv.release.root())
}

// stripELFs takes symbols and debug information from programs and shared
// objects with binutils' strip. The dynamic symbols, which loading needs, stay.
// Kernel modules and other relocatable objects lose debug information only.
func (l *leaning) stripELFs(ctx context.Context, program string) error {
	elves, err := rootfs.ELFs(l.tree)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "leanlab-strip-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	done := map[string]bool{}
	for _, f := range elves {
		e, ok := l.tree.Get(f.Path)
		if !ok || done[e.Path] {
			continue
		}
		done[e.Path] = true
		before, err := contents(e)
		if err != nil {
			return err
		}
		if !hasSymbols(before) {
			continue
		}
		after, err := stripELF(ctx, program, filepath.Join(dir, "elf"), f.Type, before)
		if err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
		if len(after) >= len(before) {
			continue
		}
		if err := rewrite(l.tree, e, after); err != nil {
			return err
		}
		l.taken(e.Path, int64(len(before)-len(after)), "symbols and debug information of native code")
	}
	return nil
}

// hasSymbols reports whether there is something to strip. What debug/elf cannot
// read is left to strip to judge.
func hasSymbols(data []byte) bool {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return true
	}
	for _, s := range f.Sections {
		if s.Type == elf.SHT_SYMTAB || strings.HasPrefix(s.Name, ".debug") || strings.HasPrefix(s.Name, ".zdebug") || s.Name == ".comment" {
			return true
		}
	}
	return false
}

func stripELF(ctx context.Context, program, scratch string, typ elf.Type, data []byte) ([]byte, error) {
	// .comment names the compilers of the object files; nothing loads it.
	args := []string{"--strip-all", "--remove-section=.comment"}
	if typ == elf.ET_REL {
		args = []string{"--strip-debug"}
	}
	if err := os.WriteFile(scratch, data, 0o600); err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, program, append(args, scratch)...).CombinedOutput()
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%s: %w: %s (it must be the strip of the target's binutils)", program, err, bytes.TrimSpace(out))
	}
	return os.ReadFile(scratch)
}
