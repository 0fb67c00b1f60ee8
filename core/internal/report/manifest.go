package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/internal/check"
)

// Schema is the version of the manifest's schema that this package writes and
// reads. Members may be added to a version; a changed meaning makes a new one.
const Schema = 1

// FileName is the manifest's name in a VM's output directory.
const FileName = "manifest.json"

// Manifest is what was made, from what, and what was measured.
type Manifest struct {
	Schema        int         `json:"schema"`
	VM            string      `json:"vm"`
	Strategy      string      `json:"strategy"`
	Arch          string      `json:"arch"`
	Artifacts     []Artifact  `json:"artifacts"`
	DownloadBytes int64       `json:"download_bytes"` // kernel and compressed root: what a user transfers
	Components    []Component `json:"components"`
	Sources       []Source    `json:"sources"`
	Boot          Boot        `json:"boot"`
	Checks        *check.Set  `json:"checks,omitempty"` // what the definition asks of the image; nil: nothing beyond a boot
	Memory        *Memory     `json:"memory,omitempty"` // nil: not measured
	Lean          Lean        `json:"lean"`
	Budget        Budget      `json:"budget"`
	BuiltWith     BuiltWith   `json:"built_with"`
}

// Artifact is a file beside the manifest.
type Artifact struct {
	Format string `json:"format"` // "bundle", "qcow2"
	Path   string `json:"path"`   // relative to the manifest, with slashes
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // lower-case hex
}

// Component is a named part of the image.
type Component struct {
	Name        string `json:"name"`
	Version     string `json:"version,omitempty"`
	Bytes       int64  `json:"bytes"`        // in the running system
	PackedBytes int64  `json:"packed_bytes"` // its share of download_bytes
}

// Source is something fetched that went into the image.
type Source struct {
	Name    string `json:"name"`
	Series  string `json:"series"`        // what the definition asked for: "6.12"
	Version string `json:"version"`       // what that was resolved to: "6.12.107"
	Origin  string `json:"origin"`        // "mirror", "upstream", "debian", "repository"
	URL     string `json:"url,omitempty"` // where anybody finds it; none for mirrors, which differ from host to host
	SHA256  string `json:"sha256"`        // of the archive that was used, lower-case hex
}

// Boot is the proof that the image works.
type Boot struct {
	Verified     bool          `json:"verified"`               // booted, did what Checks ask, and powered off by itself
	MemoryMiB    int64         `json:"memory_mib"`             // the guest's, for the proof; 0 when there was none
	Instructions *Instructions `json:"instructions,omitempty"` // nil: no proof, or a VM that ended by itself before it was ready
}

// Instructions are guest instructions since the kernel's entry, counted under
// emulation (QEMU, -icount). With a network card, as in a build's proof, runs
// differ by some tenths of a percent; see vm.Proof.
type Instructions struct {
	Init  int64 `json:"init"`  // when /init is entered
	Beam  int64 `json:"beam"`  // when BEAM is started
	Ready int64 `json:"ready"` // when every application has started
}

// Memory is the guest's.
type Memory struct {
	TotalMiB int64 `json:"total_mib"`         // MemTotal: what the kernel leaves of what it was given
	IdleMiB  int64 `json:"idle_mib"`          // in use when ready
	MinMiB   int64 `json:"min_mib,omitempty"` // the least with which the proof still succeeds; 0: not searched for
}

// Lean is what was left out of the image.
type Lean struct {
	Level   string   `json:"level"`   // "none", "strip", "closure", "reachable"
	Kept    []string `json:"kept"`    // OTP and Elixir applications in the image
	Dropped []string `json:"dropped"` // those of the toolchain that are not
}

// Budget is what the definition allows. Zero means no limit.
type Budget struct {
	SizeBytes   int64 `json:"size_bytes"`   // of download_bytes
	MemoryBytes int64 `json:"memory_bytes"` // with which the proof must succeed
}

// BuiltWith is what can change the result and is not among the sources.
type BuiltWith struct {
	Leanlab string            `json:"leanlab"`         // version
	Plugin  string            `json:"plugin"`          // version of the strategy's builder
	Tools   map[string]string `json:"tools,omitempty"` // versions of the host's: "gcc": "12.2.0"
}

var digestForm = regexp.MustCompile("^[0-9a-f]{64}$")

// Validate returns everything about the manifest that cannot be true, each
// with the member's path.
func (m *Manifest) Validate() error {
	var c checker
	c.check(m.Schema == Schema, "schema: is %d, and not %d", m.Schema, Schema)
	for name, value := range map[string]string{"vm": m.VM, "strategy": m.Strategy, "arch": m.Arch, "lean.level": m.Lean.Level,
		"built_with.leanlab": m.BuiltWith.Leanlab, "built_with.plugin": m.BuiltWith.Plugin} {
		c.check(value != "", "%s: is empty", name)
	}
	c.artifacts(m)
	c.components(m.Components)
	c.sources(m.Sources)
	c.boot(m)
	if m.Checks != nil {
		c.check(!m.Checks.Empty(), "checks: are there, but ask nothing")
		for _, f := range m.Checks.Faults() {
			c.check(false, "checks.%s: %v", strings.Join(f.Path, "."), f)
		}
	}
	if mem := m.Memory; mem != nil {
		c.check(mem.TotalMiB > 0, "memory.total_mib: is %d", mem.TotalMiB)
		c.check(mem.IdleMiB > 0 && mem.IdleMiB <= mem.TotalMiB, "memory.idle_mib: is %d of %d", mem.IdleMiB, mem.TotalMiB)
		c.check(mem.MinMiB >= 0, "memory.min_mib: is %d", mem.MinMiB)
	}
	for _, app := range m.Lean.Kept {
		c.check(!slices.Contains(m.Lean.Dropped, app), "lean: %s is kept and dropped", app)
	}
	c.check(m.Budget.SizeBytes >= 0, "budget.size_bytes: is %d", m.Budget.SizeBytes)
	c.check(m.Budget.MemoryBytes >= 0, "budget.memory_bytes: is %d", m.Budget.MemoryBytes)
	c.check(m.Budget.SizeBytes <= 0 || m.DownloadBytes <= m.Budget.SizeBytes, "download_bytes: %d is over the budget of %d", m.DownloadBytes, m.Budget.SizeBytes)
	slices.SortFunc(c.faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(c.faults...)
}

type checker struct{ faults []error }

func (c *checker) check(ok bool, format string, args ...any) {
	if !ok {
		c.faults = append(c.faults, fmt.Errorf(format, args...))
	}
}

func (c *checker) artifacts(m *Manifest) {
	c.check(len(m.Artifacts) > 0, "artifacts: there are none")
	c.check(m.DownloadBytes > 0, "download_bytes: is %d", m.DownloadBytes)
	seen := map[string]bool{}
	for i, a := range m.Artifacts {
		at := fmt.Sprintf("artifacts[%d]", i)
		c.check(a.Format != "", "%s.format: is empty", at)
		c.check(filepath.IsLocal(a.Path), "%s.path: %q does not lie beside the manifest", at, a.Path)
		c.check(!seen[a.Path], "%s.path: %s occurs twice", at, a.Path)
		c.check(a.Bytes > 0, "%s.bytes: is %d", at, a.Bytes)
		c.check(digestForm.MatchString(a.SHA256), "%s.sha256: %q is no SHA-256 in lower-case hex", at, a.SHA256)
		seen[a.Path] = true
	}
}

func (c *checker) components(components []Component) {
	seen := map[string]bool{}
	for i, p := range components {
		at := fmt.Sprintf("components[%d]", i)
		c.check(p.Name != "", "%s.name: is empty", at)
		c.check(!seen[p.Name], "%s.name: %s occurs twice", at, p.Name)
		c.check(p.Bytes >= 0, "%s.bytes: is %d", at, p.Bytes)
		c.check(p.PackedBytes >= 0, "%s.packed_bytes: is %d", at, p.PackedBytes)
		seen[p.Name] = true
	}
}

func (c *checker) sources(sources []Source) {
	for i, s := range sources {
		at := fmt.Sprintf("sources[%d]", i)
		for name, value := range map[string]string{"name": s.Name, "series": s.Series, "version": s.Version, "origin": s.Origin} {
			c.check(value != "", "%s.%s: is empty", at, name)
		}
		c.check(digestForm.MatchString(s.SHA256), "%s.sha256: %q is no SHA-256 in lower-case hex", at, s.SHA256)
	}
}

func (c *checker) boot(m *Manifest) {
	b := m.Boot
	if !b.Verified {
		c.check(b.Instructions == nil, "boot.instructions: were counted in a boot that was not verified")
		return
	}
	c.check(b.MemoryMiB > 0, "boot.memory_mib: is %d", b.MemoryMiB)
	if i := b.Instructions; i == nil {
		c.check(m.Checks != nil && m.Checks.Exit == check.ExitClean, "boot.instructions: are missing from a verified boot")
	} else {
		c.check(0 < i.Init && i.Init <= i.Beam && i.Beam <= i.Ready, "boot.instructions: init %d, beam %d, ready %d are not in order", i.Init, i.Beam, i.Ready)
	}
}

// Read reads and validates a manifest.
func Read(path string) (*Manifest, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	m, err := decode(b)
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w; build the VM again", path, err)
	}
	return m, nil
}

func decode(b []byte) (*Manifest, error) {
	m := new(Manifest)
	if err := json.Unmarshal(b, m); err != nil {
		return nil, err
	}
	if m.Schema != Schema {
		return nil, fmt.Errorf("its schema is version %d, and this leanlab reads %d", m.Schema, Schema)
	}
	return m, m.Validate()
}

// Write validates the manifest and writes it: the old file stays, or the new
// one is there whole. Equal manifests give equal bytes.
func Write(path string, m *Manifest) error {
	b, err := encode(m)
	if err == nil {
		err = replaceFile(path, b)
	}
	if err != nil {
		return fmt.Errorf("manifest %s: %w", path, err)
	}
	return nil
}

func encode(m *Manifest) ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(m.withoutNils(), "", "  ")
	return append(b, '\n'), err
}

func replaceFile(path string, b []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".manifest-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(b); err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// withoutNils is the manifest with empty lists for nil ones, which JSON tells
// apart and the schema does not know.
func (m Manifest) withoutNils() Manifest {
	m.Artifacts = orEmpty(m.Artifacts)
	m.Components = orEmpty(m.Components)
	m.Sources = orEmpty(m.Sources)
	m.Lean.Kept = orEmpty(m.Lean.Kept)
	m.Lean.Dropped = orEmpty(m.Lean.Dropped)
	if m.Checks != nil {
		checks := m.Checks.With(check.Set{}) // of which empty lists are not written
		m.Checks = &checks
	}
	return m
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
