package lean

import (
	"debug/elf"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// Emulator is a beam.smp in the tree.
type Emulator struct {
	Path string   // absolute
	NIFs []string // OTP applications whose NIFs are linked in
}

// candidate is an emulator with what the tree says about it.
type candidate struct {
	Emulator
	size   int64
	static bool
}

// smallestEmulator returns the smallest of the emulators that runs the
// applications: the NIF library that one of them cannot do without must be
// linked in, or be loadable, that is, lie in its priv directory while the
// emulator is not static. dirs maps an application to its directory.
func smallestEmulator(t *rootfs.Tree, emulators []Emulator, dirs map[string]string) (*candidate, error) {
	elves, err := rootfs.ELFs(t)
	if err != nil {
		return nil, err
	}
	static := map[string]bool{}
	libraries := map[string][]string{} // application → shared objects
	for _, f := range elves {
		static[f.Path] = f.Static()
		for app, dir := range dirs {
			if within(f.Path, path.Join(dir, "priv")) && f.Type == elf.ET_DYN {
				libraries[app] = append(libraries[app], path.Base(f.Path))
			}
		}
	}
	var best *candidate
	var failures []error
	for _, e := range emulators {
		entry, err := t.Resolve(e.Path)
		if err != nil {
			return nil, fmt.Errorf("emulator: %w", err)
		}
		isStatic, ok := static[entry.Path]
		if !ok {
			return nil, fmt.Errorf("emulator %s is not an ELF file", e.Path)
		}
		c := &candidate{Emulator: e, size: entry.Size(), static: isStatic}
		if err := c.serves(dirs, libraries); err != nil {
			failures = append(failures, err)
			continue
		}
		if best == nil || c.size < best.size {
			best = c
		}
	}
	if best == nil {
		return nil, fmt.Errorf("no emulator in the machine runs this release:\n%w", errors.Join(failures...))
	}
	return best, nil
}

// serves checks that every NIF that an application cannot do without is there.
func (c *candidate) serves(dirs map[string]string, libraries map[string][]string) error {
	var missing []string
	for app := range dirs {
		nif := known().applications[app].NIF
		if nif == "" || slices.Contains(c.NIFs, app) || !c.static && slices.Contains(libraries[app], nif) {
			continue
		}
		missing = append(missing, app)
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	if c.static {
		return fmt.Errorf("%s lacks the NIFs of %s, and is static, so cannot load them", c.Path, strings.Join(missing, ", "))
	}
	return fmt.Errorf("%s lacks the NIFs of %s, and they are not in their priv directories", c.Path, strings.Join(missing, ", "))
}

// linkedIn reports whether the NIF library at name is in the emulator already:
// load_nif takes the linked one before any file (erl_nif.c,
// is_static_nif_module).
func linkedIn(chosen *candidate, app, name string) bool {
	nif := known().applications[app].NIF
	return chosen != nil && nif != "" && path.Base(name) == nif && slices.Contains(chosen.NIFs, app)
}
