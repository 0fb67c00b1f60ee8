package analyze

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/lean"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// Limits of what is read into memory, far above any real file of the kind.
const (
	maxDescription = 4 << 20   // an .app or .rel file, a boot script
	maxDatabase    = 256 << 20 // a package database
	maxProgram     = 64 << 20  // a program that is searched for its version
)

// read returns a file's contents, which may be as long as limit.
func (s *survey) read(name string, limit int64) ([]byte, error) {
	e, err := s.img.Tree.Resolve(name)
	if err != nil {
		return nil, err
	}
	if e.Size() > limit {
		return nil, fmt.Errorf("its %d bytes are more than the %d that such a file may have", e.Size(), limit)
	}
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}

// application is a directory with ebin/NAME.app.
type application struct {
	lean.Description
	dir string
}

// applications finds the applications and whose they are.
func (s *survey) applications() error {
	var others []application // neither OTP's nor Elixir's
	for _, e := range s.files {
		dir, isApp := strings.CutSuffix(path.Dir(e.Path), "/ebin")
		if !isApp || path.Ext(e.Path) != ".app" {
			continue
		}
		if err := s.ctx.Err(); err != nil {
			return err
		}
		app := application{s.description(e), dir}
		by := lean.ShippedBy(app.Name)
		if by == "" && s.otpRoots[path.Dir(path.Dir(dir))] {
			by = "otp"
		}
		if by == "" {
			others = append(others, app)
			continue
		}
		s.own(by, app)
	}
	mine := s.released(others)
	for _, app := range others {
		if slices.Contains(mine, app.Name) {
			s.own("app", app)
		} else {
			s.own("dependency", app)
		}
	}
	return nil
}

func (s *survey) own(group string, app application) {
	s.dirs[app.dir] = claim{componentID{group, app.Name, app.dir}, app.Version, app.dir}
}

// description reads an .app file. Of one that cannot be read, its name and the
// directory's say what application it is.
func (s *survey) description(e *rootfs.Entry) lean.Description {
	name := strings.TrimSuffix(path.Base(e.Path), ".app")
	data, err := s.read(e.Path, maxDescription)
	var d *lean.Description
	if err == nil {
		d, err = lean.ReadDescription(data)
	}
	if err == nil && d.Name != name {
		err = fmt.Errorf("describes %q", d.Name) // kernel's application_controller refuses it
	}
	if err != nil {
		s.warn("%s: %v; its version is taken from its directory's name, and what it depends on is not known", e.Path, err)
		_, version, _ := strings.Cut(path.Base(path.Dir(path.Dir(e.Path))), "-")
		return lean.Description{Name: name, Version: version}
	}
	return *d
}

// below returns the files below a directory: s.files is sorted, and so they
// stand together.
func (s *survey) below(dir string) []*rootfs.Entry {
	dir += "/"
	from, _ := slices.BinarySearchFunc(s.files, dir, func(e *rootfs.Entry, dir string) int { return strings.Compare(e.Path, dir) })
	n := slices.IndexFunc(s.files[from:], func(e *rootfs.Entry) bool { return !strings.HasPrefix(e.Path, dir) })
	if n < 0 {
		return s.files[from:]
	}
	return s.files[from : from+n]
}

// released says which applications a release is made for: the one with the
// release's name, and where there is none, those that no other one needs, which
// in an umbrella project are several.
func (s *survey) released(apps []application) []string {
	var named, needed []string
	names := s.releaseNames()
	for _, app := range apps {
		if slices.Contains(names, app.Name) {
			named = append(named, app.Name)
		}
		needed = append(needed, app.Requires...)
	}
	if len(named) > 0 {
		return named
	}
	isNeeded := map[string]bool{}
	for _, name := range needed {
		isNeeded[name] = true
	}
	var tops []string
	for _, app := range apps {
		if !isNeeded[app.Name] {
			tops = append(tops, app.Name)
		}
	}
	return tops
}

// inRelease matches what a release keeps for each of its versions (sasl's
// rel(4); `mix release`).
var inRelease = regexp.MustCompile(`^(.*)/releases/[^/]+/(?:[^/]+\.rel|[^/]+\.boot|sys\.config|vm\.args)$`)

// releaseNames reads the names of releases from their .rel files and boot
// scripts.
func (s *survey) releaseNames() []string {
	var names []string
	for _, e := range s.files {
		if !inRelease.MatchString(e.Path) {
			continue
		}
		data, err := s.read(e.Path, maxDescription)
		if err != nil {
			s.warn("%s: %v; it may name the app", e.Path, err)
			continue
		}
		switch path.Ext(e.Path) {
		case ".rel":
			names = append(names, relName(data))
		case ".boot":
			names = append(names, bootName(data))
		}
	}
	return names
}

// relName is the name in {release, {Name, Vsn}, …}, "" for what is none.
func relName(data []byte) string {
	terms, err := lean.Consult(data)
	if err != nil || len(terms) == 0 {
		return ""
	}
	release, _ := terms[0].(lean.Tuple)
	if len(release) < 2 || release[0] != lean.Atom("release") {
		return ""
	}
	id, _ := release[1].(lean.Tuple)
	if len(id) == 0 {
		return ""
	}
	name, _ := id[0].(lean.String)
	return string(name)
}

// bootName is the name in {script, {Name, Vsn}, …} in the External Term Format
// (erts User's Guide): a tuple of 3, an atom of any encoding, a tuple of 2, and a
// string. "" for what is none.
func bootName(data []byte) string {
	rest, ok := bytes.CutPrefix(data, []byte{131, 'h', 3})
	if !ok || len(rest) == 0 {
		return ""
	}
	switch rest[0] {
	case 'd', 'v': // two bytes of length
		rest, ok = bytes.CutPrefix(rest[1:], []byte("\x00\x06script"))
	default: // one
		rest, ok = bytes.CutPrefix(rest[1:], []byte("\x06script"))
	}
	if !ok {
		return ""
	}
	if rest, ok = bytes.CutPrefix(rest, []byte{'h', 2, 'k'}); !ok || len(rest) < 2 {
		return ""
	}
	n := int(binary.BigEndian.Uint16(rest))
	if rest = rest[2:]; n > len(rest) {
		return ""
	}
	return string(rest[:n])
}

// releases gives what a release keeps beside its applications to it: boot
// scripts, configuration, consolidated protocols, start scripts.
func (s *survey) releases() error {
	for _, e := range s.files {
		m := inRelease.FindStringSubmatch(e.Path)
		if m == nil || s.otpRoots[m[1]] {
			continue
		}
		version := path.Dir(e.Path)
		if _, known := s.dirs[version]; known {
			continue
		}
		release := claim{componentID: componentID{"app", "release", m[1]}, base: version}
		s.dirs[version] = release
		release.base = m[1]
		s.dirs[m[1]+"/releases"] = release
		if m[1] != "" && len(s.below(m[1]+"/lib")) > 0 {
			s.dirs[m[1]+"/bin"] = release
		}
	}
	return s.ctx.Err()
}

var (
	// ertsDir matches the emulator in a release or an installation, and its version.
	ertsDir = regexp.MustCompile(`^(.*/erts-([0-9][0-9.]*))/bin/beam`)
	// otpVersionFile is what only an installation of OTP has, which has the layout of
	// a release otherwise: OTP System Principles, "Versions".
	otpVersionFile = regexp.MustCompile(`^(.+)/releases/[^/]+/OTP_VERSION$`)
)

// runtimes gives the directories of emulators and of installations of OTP to
// BEAM.
func (s *survey) runtimes() error {
	for _, e := range s.files {
		if m := ertsDir.FindStringSubmatch(e.Path); m != nil {
			s.dirs[m[1]] = claim{componentID{group: "beam", name: "erts"}, m[2], m[1]}
		}
		if m := otpVersionFile.FindStringSubmatch(e.Path); m != nil {
			s.otpRoots[m[1]] = true
			s.dirs[m[1]] = claim{componentID: componentID{"beam", "installation", m[1]}, base: m[1]}
		}
	}
	return s.ctx.Err()
}
