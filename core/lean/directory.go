package lean

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// ErrNoRelease says that a directory holds no release.
var ErrNoRelease = errors.New("no release (releases/VSN/start.script)")

// Change is what Directory did to the files of a directory.
type Change struct {
	Report    *Report
	Removed   int   // files and links
	Rewritten int   // files
	Bytes     int64 // fewer than before
}

// Directory leans a root file system that lies in a directory of the build host,
// such as another build system's before it packs it. Owners and modes of what
// stays are not touched. It is done when it returns; when it was killed on the
// way it can be done again.
func Directory(ctx context.Context, dir string, o Options) (*Change, error) {
	if err := o.Level.check(); err != nil {
		return nil, err
	}
	tree := rootfs.New()
	if err := tree.AddDir(dir, "/", rootfs.Owner{}); err != nil {
		return nil, err
	}
	if o.Release.Dir == "" {
		if err := findRelease(tree, &o.Release); err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
	}
	before := entries(tree)
	report, err := Apply(ctx, tree, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	c := &Change{Report: report}
	// Files first: a release whose boot file names what is gone does not start,
	// one that holds more than it names does.
	after := entries(tree)
	for _, name := range sortedPaths(after) {
		e := after[name]
		if e.Type != rootfs.Regular || before[name] == e {
			continue
		}
		if err := overwrite(filepath.Join(dir, name), e); err != nil {
			return nil, err
		}
		c.Rewritten++
		c.Bytes -= e.Size()
		if was := before[name]; was != nil {
			c.Bytes += was.Size()
		}
	}
	for _, name := range slices.Backward(sortedPaths(before)) { // what is in a directory comes before it
		if after[name] != nil {
			continue
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if before[name].Type != rootfs.Directory {
			c.Removed++
			c.Bytes += before[name].Size()
		}
	}
	return c, nil
}

// entries are a tree's by path.
func entries(t *rootfs.Tree) map[string]*rootfs.Entry {
	all := map[string]*rootfs.Entry{}
	t.Walk(func(e *rootfs.Entry) error {
		all[e.Path] = e
		return nil
	})
	return all
}

func sortedPaths(m map[string]*rootfs.Entry) []string {
	paths := make([]string, 0, len(m))
	for p := range m {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	return paths
}

// overwrite replaces a file's contents, whole, and keeps its mode.
func overwrite(file string, e *rootfs.Entry) error {
	data, err := contents(e)
	if err != nil {
		return err
	}
	info, err := os.Lstat(file)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no file any more", file)
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".lean-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Chmod(info.Mode().Perm()), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), file)
}

// findRelease finds the one release of a tree. One without a runtime of its own
// runs on the OTP in /usr/lib/erlang.
func findRelease(t *rootfs.Tree, r *Release) error {
	var found []string
	t.Walk(func(e *rootfs.Entry) error {
		if path.Base(e.Path) != "start.script" {
			return nil
		}
		version := path.Dir(e.Path)
		if releases := path.Dir(version); path.Base(releases) == "releases" && !slices.Contains(found, path.Dir(releases)) {
			found = append(found, path.Dir(releases))
		}
		return nil
	})
	switch len(found) {
	case 0:
		return ErrNoRelease
	case 1:
		r.Dir = found[0]
	default:
		return fmt.Errorf("several releases, in %s: say which", strings.Join(found, ", "))
	}
	const systemOTP = "/usr/lib/erlang"
	if _, ok := t.Get(systemOTP + "/lib"); ok && r.OTP == "" && r.Dir != systemOTP && !hasRuntime(t, r.Dir) {
		r.OTP = systemOTP
	}
	return nil
}

func hasRuntime(t *rootfs.Tree, dir string) bool {
	return slices.ContainsFunc(children(t, dir), func(e *rootfs.Entry) bool {
		return strings.HasPrefix(path.Base(e.Path), "erts-")
	})
}
