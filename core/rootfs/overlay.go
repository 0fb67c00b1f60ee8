package rootfs

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/agext/levenshtein"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// OverlayDir is where overlays are found by name, below a definition's root.
const OverlayDir = "overlays"

// tableSuffix makes an overlay's device table of its directory's name. The
// table stands beside the directory and not in it, since all that is in an
// overlay ends up in the image: Buildroot's BR2_ROOTFS_OVERLAY copies it too.
const tableSuffix = ".table"

// AddOverlay puts the directory dir over the tree: its files replace the tree's,
// owned by root, with the modes of AddDir. Then the device table dir.table is
// applied, if there is one: owners, modes that git does not keep, device nodes,
// and empty directories. See ApplyDeviceTable.
func (t *Tree) AddOverlay(dir string) error {
	if err := t.AddDir(dir, "/", Owner{}); err != nil {
		return err
	}
	table := filepath.Clean(dir) + tableSuffix
	f, err := os.Open(table)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return t.ApplyDeviceTable(table, f)
}

// OverlayDigest covers what an overlay puts into a root: the tree that AddOverlay
// makes of it, as a tar.
func OverlayDigest(dir string) (string, error) {
	tree := New()
	if err := tree.AddOverlay(dir); err != nil {
		return "", err
	}
	h := sha256.New()
	if err := tree.WriteTar(h); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// CheckOverlays reports names that have no overlay, at their place in the
// attribute that lists them.
func CheckOverlays(root, attribute string, names []string) builder.Diagnostics {
	_, err := FindOverlays(root, names)
	if err == nil {
		return nil
	}
	d := builder.Diagnostic{Severity: builder.Error, Summary: "Unusable " + attribute, Detail: err.Error(), Path: []string{attribute}}
	var unknown *UnknownOverlayError
	if errors.As(err, &unknown) {
		d.Summary = "Unknown overlay"
		d.Path = append(d.Path, strconv.Itoa(unknown.Index))
	}
	return builder.Diagnostics{d}
}

// OverlayInputs are what a step depends on that adds overlays.
func OverlayInputs(root string, names []string) (map[string]string, error) {
	inputs := map[string]string{"overlays": strings.Join(names, " ")}
	dirs, err := FindOverlays(root, names)
	if err != nil {
		return nil, err
	}
	for i, dir := range dirs {
		if inputs["overlay "+names[i]], err = OverlayDigest(dir); err != nil {
			return nil, err
		}
	}
	return inputs, nil
}

// UnknownOverlayError says that a name in a list of overlays has no directory.
type UnknownOverlayError struct {
	Index   int      // in the list
	Name    string   // as given
	Dir     string   // where it was looked for
	Known   []string // the names that exist there
	Nearest string   // of Known, or ""
}

func (e *UnknownOverlayError) Error() string {
	msg := fmt.Sprintf("there is no overlay %q in %s", e.Name, e.Dir)
	if len(e.Known) > 0 {
		msg += fmt.Sprintf(" (known: %s)", strings.Join(e.Known, ", "))
	}
	if e.Nearest != "" {
		msg += fmt.Sprintf(": did you mean %q?", e.Nearest)
	}
	return msg
}

// FindOverlays returns the directories that names stand for, in order. A name is
// <root>/overlays/<name>; with a slash in it, it is a path, relative to root
// unless absolute.
func FindOverlays(root string, names []string) ([]string, error) {
	var dirs []string
	for i, name := range names {
		parent := filepath.Join(root, OverlayDir)
		dir := filepath.Join(parent, name)
		if strings.ContainsRune(name, '/') {
			dir = name
			if !filepath.IsAbs(name) {
				dir = filepath.Join(root, name)
			}
			parent = filepath.Dir(dir)
		}
		info, err := os.Stat(dir)
		if dir == parent || name == ".." || errors.Is(err, fs.ErrNotExist) {
			return nil, unknownOverlay(i, name, parent)
		}
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			return nil, fmt.Errorf("%s: an overlay is a directory, this is none", dir)
		}
		dirs = append(dirs, dir)
	}
	return dirs, nil
}

func unknownOverlay(index int, name, dir string) error {
	e := &UnknownOverlayError{Index: index, Name: name, Dir: dir}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// A third of the letters may differ: enough for a slip of the fingers.
	least := len(name)/3 + 1
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		e.Known = append(e.Known, entry.Name())
		if d := levenshtein.Distance(filepath.Base(name), entry.Name(), nil); d <= least {
			e.Nearest, least = entry.Name(), d-1
		}
	}
	return e
}
