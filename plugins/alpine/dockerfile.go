package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// dockerfile is a Dockerfile up to the stage that is built.
type dockerfile struct {
	path   string // as the definition writes it
	text   []byte
	stages []instructions.Stage
	global int             // how many ARGs stand before the first FROM
	bases  []string        // of each stage what FROM names, after substitution
	args   map[string]bool // all that an ARG declares
	images []baseImage     // that it takes from registries, each once
	// Lines of instructions that cannot be had without a network, or with docker.
	remoteAdds, mounts []int
	secrets            map[string]bool // ids that RUN --mount=type=secret names

	again func(text []byte) (*dockerfile, error) // parses another text in the same way
}

// baseImage is an image that a FROM, COPY --from or RUN --mount=from names.
type baseImage struct {
	ref  string // as it is after substitution
	line int
}

// lineError is what is wrong on a line of a Dockerfile.
type lineError struct {
	path string
	line int // 0: of no line
	text string
}

func (e *lineError) Error() string {
	if e.line == 0 {
		return e.path + ": " + e.text
	}
	return e.path + ":" + strconv.Itoa(e.line) + ": " + e.text
}

// readDockerfile reads the file at file, which messages call path. target is the
// stage to build, empty for the last; args are the values that are given to those
// ARGs that are declared.
func readDockerfile(file, path, target, arch string, args map[string]string) (*dockerfile, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parseDockerfile(text, path, target, arch, args)
}

func parseDockerfile(text []byte, path, target, arch string, args map[string]string) (*dockerfile, error) {
	d := &dockerfile{path: path, text: text, args: map[string]bool{}, secrets: map[string]bool{}}
	d.again = func(text []byte) (*dockerfile, error) { return parseDockerfile(text, path, target, arch, args) }
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, d.locate(err)
	}
	stages, global, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		return nil, d.locate(err)
	}
	if len(stages) == 0 {
		return nil, &lineError{path, 0, "it has no FROM"}
	}
	last := len(stages) - 1
	if target != "" {
		i, ok := instructions.HasStage(stages, target)
		if !ok {
			return nil, &lineError{path, 0, fmt.Sprintf("it has no stage %q; it has %s", target, stageNames(stages))}
		}
		last = i
	}
	d.stages = stages[:last+1]
	lex := shell.NewLex(parsed.EscapeToken)
	env := platformArgs(arch)
	d.global = len(global)
	for _, arg := range global {
		for _, kv := range arg.Args {
			d.args[kv.Key] = true
			value, given := args[kv.Key]
			if !given && kv.Value != nil {
				if value, _, err = lex.ProcessWord(*kv.Value, shell.EnvsFromSlice(env)); err != nil {
					return nil, &lineError{path, line(arg.Location()), err.Error()}
				}
			}
			if given || kv.Value != nil {
				env = append(env, kv.Key+"="+value)
			}
		}
	}
	for i := range d.stages {
		if err := d.readStage(i, lex, env, arch); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// platformArgs are the variables that FROM may use undeclared (Dockerfile
// reference, "Automatic platform ARGs in the global scope").
func platformArgs(arch string) []string {
	target, build := goarch(arch), runtime.GOARCH
	return []string{"TARGETPLATFORM=linux/" + target, "TARGETOS=linux", "TARGETARCH=" + target, "TARGETVARIANT=",
		"BUILDPLATFORM=linux/" + build, "BUILDOS=linux", "BUILDARCH=" + build, "BUILDVARIANT="}
}

// readStage finds the images and arguments of a stage.
func (d *dockerfile) readStage(i int, lex *shell.Lex, env []string, arch string) error {
	stage := d.stages[i]
	at := line(stage.Location)
	expand := func(word string) (string, error) {
		value, _, err := lex.ProcessWord(word, shell.EnvsFromSlice(env))
		if err != nil {
			return "", &lineError{d.path, at, err.Error()}
		}
		return value, nil
	}
	base, err := expand(stage.BaseName)
	if err != nil {
		return err
	}
	if base == "" {
		return &lineError{d.path, at, fmt.Sprintf("FROM %s is empty: no ARG before the first FROM gives it a value", stage.BaseName)}
	}
	want, err := expand(stage.Platform)
	if err != nil {
		return err
	}
	if platform := platform(arch); want != "" && want != platform {
		return &lineError{d.path, at, fmt.Sprintf("--platform=%s is %s, and the VM is %s: every stage is built for the VM here; leave --platform out", stage.Platform, want, platform)}
	}
	d.bases = append(d.bases, base)
	if err := d.addImage(i, base, at); err != nil {
		return err
	}
	for _, command := range stage.Commands {
		at := line(command.Location())
		switch c := command.(type) {
		case *instructions.ArgCommand:
			for _, kv := range c.Args {
				d.args[kv.Key] = true
			}
		case *instructions.AddCommand:
			if slices.ContainsFunc(c.SourcePaths, func(p string) bool { return strings.Contains(p, "://") || strings.HasPrefix(p, "git@") }) {
				d.remoteAdds = append(d.remoteAdds, at)
			}
		case *instructions.CopyCommand:
			if err := d.addFrom(i, c.From, at); err != nil {
				return err
			}
		case *instructions.RunCommand:
			// The parser reads mounts whole when it is to substitute in them.
			if err := c.Expand(func(word string) (string, error) { return word, nil }); err != nil {
				return &lineError{d.path, at, err.Error()}
			}
			for _, m := range instructions.GetMounts(c) {
				d.mounts = append(d.mounts, at)
				if m.Type == instructions.MountTypeSecret {
					d.secrets[secretID(m)] = true
				}
				if err := d.addFrom(i, m.From, at); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// secretID is a mount's id, or else the last part of its target (Dockerfile
// reference, "RUN --mount=type=secret").
func secretID(m *instructions.Mount) string {
	if m.CacheID != "" {
		return m.CacheID
	}
	if m.Source != "" {
		return m.Source
	}
	return m.Target[strings.LastIndex(m.Target, "/")+1:]
}

// addFrom adds what --from names, when that is an image: a stage goes by its name
// or number.
func (d *dockerfile) addFrom(stage int, from string, at int) error {
	if from == "" {
		return nil
	}
	if strings.Contains(from, "$") {
		return &lineError{d.path, at, fmt.Sprintf("--from=%s is not substituted everywhere: name a stage, with FROM %s AS NAME", from, from)}
	}
	if n, err := strconv.Atoi(from); err == nil {
		if n < 0 || n >= stage {
			return &lineError{d.path, at, fmt.Sprintf("--from=%d is no stage before this one", n)}
		}
		return nil
	}
	return d.addImage(stage, from, at)
}

// addImage adds an image, unless it is the name of a stage before.
func (d *dockerfile) addImage(stage int, ref string, at int) error {
	if ref == "scratch" {
		return nil
	}
	if i, ok := instructions.HasStage(d.stages[:stage], ref); ok && i < stage {
		return nil
	}
	if _, err := parseReference(ref); err != nil {
		return &lineError{d.path, at, err.Error()}
	}
	if !slices.ContainsFunc(d.images, func(b baseImage) bool { return b.ref == ref }) {
		d.images = append(d.images, baseImage{ref, at})
	}
	return nil
}

// parserPrefix begins the parser's messages, which name the line in words.
var parserPrefix = regexp.MustCompile(`^dockerfile parse error( on line \d+)?: `)

// locate puts an error of the parser's at its line.
func (d *dockerfile) locate(err error) error {
	at := 0
	var located *parser.ErrorLocation
	if errors.As(err, &located) && len(located.Locations) > 0 {
		at = line(located.Locations[0])
	}
	text, _, _ := strings.Cut(parserPrefix.ReplaceAllString(err.Error(), ""), "\n")
	return &lineError{d.path, at, text}
}

func line(at []parser.Range) int {
	if len(at) == 0 {
		return 0
	}
	return at[0].Start.Line
}

func stageNames(stages []instructions.Stage) string {
	var names []string
	for i, s := range stages {
		if s.Name == "" {
			s.Name = strconv.Itoa(i)
		}
		names = append(names, s.Name)
	}
	return strings.Join(names, ", ")
}

// The parts of an instruction that name an image.
var (
	fromKeyword  = regexp.MustCompile(`(?i)^\s*FROM(\s|$)`)
	platformFlag = regexp.MustCompile(`--platform=\S+[ \t]*`)
	copyFrom     = regexp.MustCompile(`(--from=)(\S+)`)
	mountFlag    = regexp.MustCompile(`--mount=\S+`)
	mountFrom    = regexp.MustCompile(`([=,]from=)([^,\s]+)`)
	syntaxLine   = regexp.MustCompile(`(?i)^#\s*syntax\s*=`)
	escapeLine   = regexp.MustCompile(`(?i)^#\s*escape\s*=`)
)

// rewritten is the text with other names for its images, line by line as it was:
// what an engine says of a line holds for the file too. A syntax directive goes,
// since BuildKit would fetch the frontend that it names.
func (d *dockerfile) rewritten(names map[string]string) ([]byte, error) {
	lines := strings.Split(string(d.text), "\n")
	dropSyntax(lines)
	for i, stage := range d.stages {
		if to, ok := names[d.bases[i]]; ok && !d.isStage(i, d.bases[i]) {
			if err := replaceBase(lines, stage, to); err != nil {
				return nil, &lineError{d.path, line(stage.Location), err.Error()}
			}
		}
		rename := func(text string, part *regexp.Regexp) string {
			return part.ReplaceAllStringFunc(text, func(found string) string {
				m := part.FindStringSubmatch(found)
				if to, ok := names[m[2]]; ok && !d.isStage(i, m[2]) {
					return m[1] + to
				}
				return found
			})
		}
		for _, command := range stage.Commands {
			for _, at := range command.Location() {
				for n := at.Start.Line - 1; n < at.End.Line && n < len(lines); n++ {
					switch command.(type) {
					case *instructions.CopyCommand:
						lines[n] = rename(lines[n], copyFrom)
					case *instructions.RunCommand:
						lines[n] = mountFlag.ReplaceAllStringFunc(lines[n], func(flag string) string { return rename(flag, mountFrom) })
					}
				}
			}
		}
	}
	text := []byte(strings.Join(lines, "\n"))
	// A name may be written so that it is not found in the text, in quotes say.
	after, err := d.again(text)
	if err != nil {
		return nil, err
	}
	for _, image := range after.images {
		if _, ok := names[image.ref]; ok {
			return nil, &lineError{d.path, image.line, fmt.Sprintf("the image %s is written so that it cannot be replaced: write it without quotes and on one line", image.ref)}
		}
	}
	return text, nil
}

// isStage reports whether a stage before this one has the name.
func (d *dockerfile) isStage(stage int, name string) bool {
	_, ok := instructions.HasStage(d.stages[:stage], name)
	return ok
}

// replaceBase puts another image into a FROM, and leaves out its platform.
func replaceBase(lines []string, stage instructions.Stage, to string) error {
	for _, at := range stage.Location {
		for n := at.Start.Line - 1; n < at.End.Line && n < len(lines); n++ {
			text := platformFlag.ReplaceAllString(lines[n], "")
			head := fromKeyword.FindString(text)
			before, after, ok := strings.Cut(text[len(head):], stage.BaseName)
			if !ok {
				lines[n] = text
				continue
			}
			lines[n] = head + before + to + after
			return nil
		}
	}
	return fmt.Errorf("FROM is written so that its image cannot be told: write FROM %s on a line", stage.BaseName)
}

// dropSyntax takes a syntax directive away. Directives stand first, and the first
// comment that is none ends them (Dockerfile reference, "Parser directives"): one
// of the escape character that comes after moves up.
func dropSyntax(lines []string) {
	syntax := -1
	for i, text := range lines {
		switch {
		case syntaxLine.MatchString(text):
			syntax = i
			lines[i] = "#"
		case escapeLine.MatchString(text):
			if syntax >= 0 {
				lines[syntax], lines[i] = text, "#"
			}
			return
		case !strings.HasPrefix(text, "#"):
			return
		}
	}
}
