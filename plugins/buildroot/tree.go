package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

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
// there has a digest too.
func treeDigest(dir string, skip func(rel string, d fs.DirEntry) bool) (string, error) {
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if rel != "." && skip != nil && skip(filepath.ToSlash(rel), d) {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		return digestEntry(h, path, filepath.ToSlash(rel), d)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return "absent", nil
	}
	return hex.EncodeToString(h.Sum(nil)), err
}

func digestEntry(h hash.Hash, path, rel string, d fs.DirEntry) error {
	switch d.Type() {
	case fs.ModeDir:
		return nil
	case fs.ModeSymlink:
		link, err := os.Readlink(path)
		fmt.Fprintf(h, "link %q %q\n", rel, link)
		return err
	case 0:
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "file %q %t %d\n", rel, info.Mode()&0o100 != 0, info.Size())
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(h, f)
		return err
	}
	return fmt.Errorf("%s: is neither a file, a directory nor a symbolic link", path)
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
