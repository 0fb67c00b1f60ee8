package lean

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2/hclsimple"
)

//go:embed data/*.hcl
var files embed.FS

// knownApplication is a block of data/applications.hcl.
type knownApplication struct {
	Name   string `hcl:"name,label"`
	Keep   string `hcl:"keep"` // keepAlways, keepConditional or keepNever
	From   string `hcl:"from"` // "otp" or "elixir"
	Mix    string `hcl:"mix,optional"`
	NIF    string `hcl:"nif,optional"`
	Reason string `hcl:"reason"`
}

const (
	keepAlways      = "always"
	keepConditional = "conditional"
	keepNever       = "never"
)

// What a path in data/files.hcl is relative to.
const (
	inApplication = "application"
	inRelease     = "release"
	inOTP         = "otp"
	inRoot        = "root"
)

// fileRule is a block of data/files.hcl.
type fileRule struct {
	Path           string `hcl:"path,label"`
	In             string `hcl:"in"`
	Of             string `hcl:"of,optional"`
	Level          Level  `hcl:"level"`
	Text           string `hcl:"text,optional"`
	Emulator       bool   `hcl:"emulator,optional"`
	Static         bool   `hcl:"static,optional"`
	UnlessImported bool   `hcl:"unless_imported,optional"`
	Reason         string `hcl:"reason"`
}

// matches reports whether the rule means the path, which is relative to what
// In says.
func (r fileRule) matches(name string) bool {
	pattern := r.Path
	if deep, ok := strings.CutPrefix(pattern, "**/"); ok {
		pattern, name = deep, path.Base(name)
	}
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// known is the data, read once. It is compiled in, so an error is a mistake of
// ours that the tests find.
var known = sync.OnceValue(func() (data struct {
	applications map[string]knownApplication
	files        []fileRule
}) {
	var applications struct {
		Blocks []knownApplication `hcl:"application,block"`
	}
	decode("data/applications.hcl", &applications)
	var rules struct {
		Blocks []fileRule `hcl:"file,block"`
	}
	decode("data/files.hcl", &rules)
	data.applications = map[string]knownApplication{}
	for _, a := range applications.Blocks {
		data.applications[a.Name] = a
	}
	data.files = rules.Blocks
	return data
})

func decode(name string, into any) {
	text, err := files.ReadFile(name)
	if err == nil {
		err = hclsimple.Decode(name, text, nil, into)
	}
	if err != nil {
		panic(fmt.Sprintf("package lean was compiled with bad data: %v", err))
	}
}

// Level says how much goes.
type Level string

const (
	LevelNone    Level = "none"    // nothing
	LevelStrip   Level = "strip"   // what running the applications that are there does not need
	LevelClosure Level = "closure" // and the applications that nothing depends on
)

// Levels are all levels, each a superset of the one before.
var Levels = []Level{LevelNone, LevelStrip, LevelClosure}

// includes reports whether l takes what other takes.
func (l Level) includes(other Level) bool {
	return slices.Index(Levels, l) >= slices.Index(Levels, other)
}

func (l Level) check() error {
	if slices.Contains(Levels, l) {
		return nil
	}
	names := make([]string, len(Levels))
	for i, known := range Levels {
		names[i] = string(known)
	}
	return fmt.Errorf("lean level %q is not one of %s", l, strings.Join(names, ", "))
}
