package definition

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// sources holds every text that a diagnostic may point into, by the name it is
// shown under: the user's own words for a file, or where a value came from.
type sources struct {
	dir   string
	files map[string]*hcl.File
	order map[string]int // in order of reading, for sorting
	paths []string       // what was asked for
}

func newSources(dir string) sources {
	return sources{dir: dir, files: map[string]*hcl.File{}, order: map[string]int{}}
}

// add makes a text known under a name.
func (s *sources) add(name string, file *hcl.File) {
	if _, known := s.order[name]; !known {
		s.order[name] = len(s.order)
	}
	s.files[name] = file
}

// addText makes a value that stands in no file known, and returns the name it
// got: with the same name given twice, both stay quotable.
func (s *sources) addText(name, text string) string {
	unique := name
	for n := 2; s.files[unique] != nil; n++ {
		unique = fmt.Sprintf("%s #%d", name, n)
	}
	s.add(unique, &hcl.File{Bytes: []byte(text)})
	return unique
}

// abs returns where a path lies.
func (s *sources) abs(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(s.dir, path)
}

// text returns what stands in a range.
func (s *sources) text(at hcl.Range) string {
	file := s.files[at.Filename]
	if file == nil || !at.CanSliceBytes(file.Bytes) {
		return ""
	}
	return string(at.SliceBytes(file.Bytes))
}

// list names what was read, for a sentence.
func (s *sources) list() string {
	return strings.Join(s.paths, ", ")
}

// readAll reads and parses every file that paths stand for, each once.
func (s *sources) readAll(paths []string) ([]*hclsyntax.Body, hcl.Diagnostics) {
	var bodies []*hclsyntax.Body
	var diags hcl.Diagnostics
	s.paths = paths
	seen := map[string]bool{}
	for _, path := range paths {
		files, problem := s.expand(path)
		if problem != nil {
			diags = append(diags, problem)
			continue
		}
		for _, file := range files {
			if seen[s.abs(file)] {
				continue
			}
			seen[s.abs(file)] = true
			body, more := s.read(file)
			diags = append(diags, more...)
			if body != nil {
				bodies = append(bodies, body)
			}
		}
	}
	if len(paths) == 0 {
		diags = append(diags, unreadable("No definition is given", "Name a file, such as hcl/custom.hcl, or a directory of *.hcl files."))
	}
	return bodies, diags
}

// expand returns the definition files of a directory, or the path itself.
func (s *sources) expand(path string) ([]string, *hcl.Diagnostic) {
	info, err := os.Stat(s.abs(path))
	if err != nil {
		return nil, readFailure(path, err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(s.abs(path)) // sorted by name
	if err != nil {
		return nil, readFailure(path, err)
	}
	var files []string
	for _, entry := range entries {
		if !entry.IsDir() && filepath.Ext(entry.Name()) == ".hcl" {
			files = append(files, filepath.Join(path, entry.Name()))
		}
	}
	if len(files) == 0 {
		return nil, unreadable("No definition in "+path, "The directory has no file whose name ends in .hcl.")
	}
	return files, nil
}

// read parses one file. The body is nil when there is nothing to go on with.
func (s *sources) read(path string) (*hclsyntax.Body, hcl.Diagnostics) {
	src, err := os.ReadFile(s.abs(path))
	if err != nil {
		return nil, hcl.Diagnostics{readFailure(path, err)}
	}
	return s.parse(path, src)
}

// parse parses one text. A text with a syntax error is not evaluated: what it
// would say about itself after that is mostly wrong.
func (s *sources) parse(name string, src []byte) (*hclsyntax.Body, hcl.Diagnostics) {
	file, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	s.add(name, &hcl.File{Bytes: src})
	if file == nil || diags.HasErrors() {
		return nil, diags
	}
	s.add(name, file)
	return file.Body.(*hclsyntax.Body), diags
}

func readFailure(path string, err error) *hcl.Diagnostic {
	return unreadable("Cannot read "+path, fmt.Sprintf("%s: %v.", path, pathReason(err)))
}

// pathReason is an error of the file system without the path.
func pathReason(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

// unreadable is a diagnostic about a file that has no contents to point at.
func unreadable(summary, detail string) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail}
}

// sort orders diagnostics as their subjects stand in the files, in the order in
// which the files were read.
func (s *sources) sort(diags hcl.Diagnostics) {
	slices.SortStableFunc(diags, func(a, b *hcl.Diagnostic) int {
		switch {
		case a.Subject == nil && b.Subject == nil:
			return 0
		case a.Subject == nil:
			return -1
		case b.Subject == nil:
			return 1
		}
		return cmp.Or(
			cmp.Compare(s.order[a.Subject.Filename], s.order[b.Subject.Filename]),
			cmp.Compare(a.Subject.Start.Byte, b.Subject.Start.Byte),
			cmp.Compare(a.Summary, b.Summary),
			cmp.Compare(a.Detail, b.Detail),
		)
	})
}

// lookFor returns which of the paths is not there, the first.
func (s *sources) lookFor(paths ...string) error {
	for _, path := range paths {
		if _, err := os.Stat(s.abs(path)); err != nil {
			return fmt.Errorf("%s: %w", path, pathReason(err))
		}
	}
	return nil
}
