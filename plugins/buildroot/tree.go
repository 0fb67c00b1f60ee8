package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/somebloke1/elixir-lean-lab/core/source"
)

// Releases that this builder was tried with. Older ones lack what it relies on
// or were not tried; newer ones may have changed it.
const (
	oldestTested = "2025.02"
	newestTested = "2026.08"
)

// tree is a Buildroot source tree. Nothing is written into it.
type tree struct {
	dir     string // absolute, links resolved: make compares it with its own idea
	version string // "2026.08-rc1"
}

// openTree says why dir is no Buildroot, if it is none.
func openTree(dir string) (*tree, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	for _, file := range []string{"Makefile", "Config.in", "support/kconfig/Makefile.br", "package/pkg-generic.mk"} {
		if _, err := os.Stat(filepath.Join(real, file)); err != nil {
			return nil, fmt.Errorf("%s is no Buildroot: %w", dir, err)
		}
	}
	version, err := treeVersion(filepath.Join(real, "Makefile"))
	if err != nil {
		return nil, err
	}
	return &tree{dir: real, version: version}, nil
}

var versionLine = regexp.MustCompile(`^export BR2_VERSION := (\S+)$`)

func treeVersion(makefile string) (string, error) {
	f, err := os.Open(makefile)
	if err != nil {
		return "", err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if m := versionLine.FindStringSubmatch(lines.Text()); m != nil {
			return m[1], nil
		}
	}
	if err := lines.Err(); err != nil {
		return "", fmt.Errorf("%s: %w", makefile, err)
	}
	return "", fmt.Errorf("%s: no line `export BR2_VERSION := …`: this is no Buildroot, or one from before 2012", makefile)
}

// tested tells a version that is too old (-1) or newer than what was tried (1).
func tested(version string) int {
	v, ok := yearMonth(version)
	oldest, _ := yearMonth(oldestTested)
	newest, _ := yearMonth(newestTested)
	switch {
	case !ok || v < oldest:
		return -1
	case v > newest:
		return 1
	}
	return 0
}

// yearMonth reads the start of "2026.08-rc1" as 202608.
func yearMonth(version string) (int, bool) {
	m := regexp.MustCompile(`^([0-9]{4})\.([0-9]{2})\b`).FindStringSubmatch(version)
	if m == nil {
		return 0, false
	}
	year, _ := strconv.Atoi(m[1])
	month, _ := strconv.Atoi(m[2])
	return 100*year + month, true
}

// testedText names the versions for people.
func testedText() string {
	return fmt.Sprintf("%s to %s", oldestTested, newestTested)
}

// noTree says what was tried to find a Buildroot, and how to give one.
func noTree() string {
	return "Give a release in the strategy's block, buildroot = \"SERIES\" (known are " + strings.Join(source.KnownSeries("buildroot"), ", ") +
		"), or a directory: buildroot_dir, which `make BUILDROOT_DIR=path/to/buildroot` sets."
}

// notSources are what make and people leave in a Buildroot tree or beside an
// external one, which no build is made from.
func notSource(rel string, d fs.DirEntry) bool {
	name := d.Name()
	if d.IsDir() {
		return name == ".git" || name == "__pycache__" || rel == "output" || rel == "dl" || rel == "docs"
	}
	return strings.HasSuffix(name, ".pyc") || strings.HasSuffix(name, "~") || strings.HasSuffix(name, ".swp") ||
		!strings.Contains(rel, "/") && (strings.HasPrefix(name, ".config") || strings.HasPrefix(name, "..config") || name == ".git")
}

// treeDigest is a digest of all files below dir that skip does not leave out:
// names, x bits and contents. A file is as good as a directory; what is not
// there has a digest too. A Buildroot has 15 000 files, and each plan reads them:
// on all processors, into one buffer for each.
func treeDigest(dir string, skip func(rel string, d fs.DirEntry) bool) (string, error) {
	var files []treeFile
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if rel != "." && skip != nil && skip(rel, d) {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if !d.IsDir() {
			files = append(files, treeFile{path, rel, d.Type()})
		}
		return nil
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "absent", nil
	case err != nil:
		return "", err
	}
	sums := make([][sha256.Size]byte, len(files))
	err = eachOnAllProcessors(len(files), func(i int, buffer []byte) (err error) {
		sums[i], err = files[i].digest(buffer)
		return err
	})
	h := sha256.New()
	for _, sum := range sums {
		h.Write(sum[:])
	}
	return hex.EncodeToString(h.Sum(nil)), err
}

// eachOnAllProcessors calls do for 0 to n-1, and ends with the first error.
func eachOnAllProcessors(n int, do func(i int, buffer []byte) error) error {
	var next atomic.Int64
	var group errgroup.Group
	for range runtime.NumCPU() {
		group.Go(func() error {
			buffer := make([]byte, 64<<10)
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return nil
				}
				if err := do(i, buffer); err != nil {
					next.Store(int64(n))
					return err
				}
			}
		})
	}
	return group.Wait()
}

// treeFile is what a tree consists of.
type treeFile struct {
	path, rel string
	kind      fs.FileMode
}

func (t treeFile) digest(buffer []byte) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	switch t.kind {
	case fs.ModeSymlink:
		link, err := os.Readlink(t.path)
		fmt.Fprintf(h, "link %q %q\n", t.rel, link)
		return [sha256.Size]byte(h.Sum(nil)), err
	case 0:
		// Not by os.Open, whose preparations for files that may block take longer
		// than reading most of these.
		fd, err := unix.Open(t.path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return sum, &fs.PathError{Op: "open", Path: t.path, Err: err}
		}
		defer unix.Close(fd)
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return sum, &fs.PathError{Op: "fstat", Path: t.path, Err: err}
		}
		fmt.Fprintf(h, "file %q %t %d\n", t.rel, st.Mode&0o100 != 0, st.Size)
		for {
			n, err := unix.Read(fd, buffer)
			switch {
			case err == unix.EINTR:
			case err != nil:
				return sum, &fs.PathError{Op: "read", Path: t.path, Err: err}
			case n == 0:
				return [sha256.Size]byte(h.Sum(nil)), nil
			default:
				h.Write(buffer[:n])
			}
		}
	}
	return sum, fmt.Errorf("%s: is neither a file, a directory nor a symbolic link", t.path)
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
