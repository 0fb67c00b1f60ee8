package kernel

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// Fragment is a file of requested symbols in the format of a .config.
type Fragment struct {
	Path    string
	Symbols []Symbol // in the order of the file
}

// Symbol is one request: CONFIG_<Name>=<Value>.
type Symbol struct {
	Name  string // without CONFIG_
	Value string // as written: y, m, n (also for "is not set"), 42, 0x2a, or a quoted string
	File  string
	Line  int  // from 1
	Bare  bool // written without CONFIG_, as Buildroot does: BR2_ is part of its names
}

// String is the symbol's line in a .config.
func (s Symbol) String() string {
	if s.Value == "n" {
		return "# " + s.label() + " is not set"
	}
	return s.label() + "=" + s.Value
}

// label is the symbol's name as it is written in a .config.
func (s Symbol) label() string {
	if s.Bare {
		return s.Name
	}
	return "CONFIG_" + s.Name
}

// notation is how the lines of a .config look.
type notation struct {
	bare                         bool
	setLine, unsetLine, nearMiss *regexp.Regexp
}

func newNotation(prefix string, bare bool) notation {
	return notation{
		bare:      bare,
		setLine:   regexp.MustCompile(`^` + prefix + `([A-Za-z0-9_]+)=(y|m|n|-?[0-9]+|0[xX][0-9a-fA-F]+|"(?:[^"\\]|\\.)*")$`),
		unsetLine: regexp.MustCompile(`^# ` + prefix + `([A-Za-z0-9_]+) is not set$`),
		nearMiss:  regexp.MustCompile(`^#+\s*(CONFIG|BR2)_[A-Za-z0-9_]+\s+is\s+not\s+set`),
	}
}

var (
	prefixed = newNotation("CONFIG_", false)
	bare     = newNotation("", true)
)

// parseLine reads one line of a .config. ok is false for a comment or an empty line.
func (n notation) parseLine(line string) (sym Symbol, ok bool, err error) {
	line = strings.TrimRight(line, " \t\r")
	if m := n.setLine.FindStringSubmatch(line); m != nil {
		return Symbol{Name: m[1], Value: m[2], Bare: n.bare}, true, nil
	}
	if m := n.unsetLine.FindStringSubmatch(line); m != nil {
		return Symbol{Name: m[1], Value: "n", Bare: n.bare}, true, nil
	}
	name := Symbol{Name: "NAME", Bare: n.bare}.label()
	if n.nearMiss.MatchString(line) {
		return Symbol{}, false, fmt.Errorf("%q would be read as a comment: write it as \"# %s is not set\", with nothing after it", line, name)
	}
	if line == "" || strings.HasPrefix(line, "#") {
		return Symbol{}, false, nil
	}
	return Symbol{}, false, fmt.Errorf("%q is not of the form %s=value, \"# %s is not set\" or a comment on a line of its own", line, name, name)
}

// ParseFragment reads a fragment. Path is for its messages only. A line that is
// no request and no comment is an error, since conf would skip it with a warning
// that nobody sees; so is a symbol that occurs twice.
func ParseFragment(path string, r io.Reader) (*Fragment, error) {
	return prefixed.parse(path, r)
}

// ParseDefconfig is ParseFragment for Buildroot, whose names have no CONFIG_.
func ParseDefconfig(path string, r io.Reader) (*Fragment, error) {
	return bare.parse(path, r)
}

func (n notation) parse(path string, r io.Reader) (*Fragment, error) {
	f := &Fragment{Path: path}
	first := map[string]int{}
	sc := bufio.NewScanner(r)
	for line := 1; sc.Scan(); line++ {
		sym, ok, err := n.parseLine(sc.Text())
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, line, err)
		}
		if !ok {
			continue
		}
		if at, dup := first[sym.Name]; dup {
			return nil, fmt.Errorf("%s:%d: %s is already on line %d: keep one of them", path, line, sym.label(), at)
		}
		first[sym.Name] = line
		sym.File, sym.Line = path, line
		f.Symbols = append(f.Symbols, sym)
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// ReadFragment parses the file at path.
func ReadFragment(path string) (*Fragment, error) {
	r, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return ParseFragment(path, r)
}

// FragmentDir is where fragments are found by name, below a definition's root.
const FragmentDir = "kernel-configs"

// UnknownFragmentError says that a name in a list of fragments has no file.
type UnknownFragmentError struct {
	Index   int      // in the list
	Name    string   // as given
	Dir     string   // where it was looked for
	Known   []string // the names that exist there
	Nearest string   // of Known, or ""
}

func (e *UnknownFragmentError) Error() string {
	msg := fmt.Sprintf("there is no kernel fragment %q in %s", e.Name, e.Dir)
	if e.Nearest != "" {
		msg += fmt.Sprintf(": did you mean %q?", e.Nearest)
	}
	if len(e.Known) > 0 {
		msg += " Known are " + strings.Join(e.Known, ", ") + "."
	}
	return msg
}

// FindFragments reads the fragments that names stand for, in order. A name is
// looked for as <root>/kernel-configs/<name>.config and, right after it, its
// lines for one architecture in <name>.<arch>.config; either may be missing,
// not both. A name with a slash is a path, relative to root unless absolute.
func FindFragments(root string, arch Arch, names []string) ([]*Fragment, error) {
	dir := filepath.Join(root, FragmentDir)
	var frags []*Fragment
	for i, name := range names {
		paths := []string{filepath.Join(dir, name+".config"), filepath.Join(dir, name+"."+arch.Name+".config")}
		if strings.ContainsRune(name, '/') {
			paths = []string{name}
			if !filepath.IsAbs(name) {
				paths = []string{filepath.Join(root, name)}
			}
		}
		found := false
		for _, path := range paths {
			f, err := ReadFragment(path)
			if os.IsNotExist(err) {
				continue
			}
			if err != nil {
				return nil, err
			}
			frags, found = append(frags, f), true
		}
		if !found {
			return nil, unknownFragment(i, name, filepath.Dir(paths[0]), arch)
		}
	}
	return frags, nil
}

func unknownFragment(index int, name, dir string, arch Arch) error {
	e := &UnknownFragmentError{Index: index, Name: name, Dir: dir}
	files, err := filepath.Glob(filepath.Join(dir, "*.config"))
	if err != nil {
		return err
	}
	for _, file := range files {
		known, suffix, specific := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".config"), ".")
		if !specific || suffix == arch.Name {
			e.Known = append(e.Known, known)
		}
	}
	slices.Sort(e.Known)
	e.Known = slices.Compact(e.Known)
	e.Nearest = nearest(name, slices.Values(e.Known))
	return e
}

// requests returns the request for each symbol that counts, in the order in
// which they are made: a later fragment overrides an earlier one.
func requests(frags []*Fragment) []Symbol {
	last := map[string]Symbol{}
	for _, f := range frags {
		for _, s := range f.Symbols {
			last[s.Name] = s
		}
	}
	var out []Symbol
	for _, f := range frags {
		for _, s := range f.Symbols {
			if last[s.Name] == s {
				out = append(out, s)
			}
		}
	}
	return out
}

// nearest returns the candidate that is most likely meant by name, or "".
func nearest(name string, candidates func(yield func(string) bool)) string {
	best, bestDistance := "", len(name)/3+1
	for c := range candidates {
		// The length difference is a lower bound, and cheap.
		if d := len(c) - len(name); d >= bestDistance || -d >= bestDistance {
			continue
		}
		if d := levenshtein.Distance(name, c, nil); d < bestDistance || d == bestDistance && c < best {
			best, bestDistance = c, d
		}
	}
	return best
}
