package report

import (
	"encoding/json"
	"fmt"
	"os"
)

// BenchSchema is the version of the JSON that WriteBench writes and ReadBench reads.
const BenchSchema = 2

// Bench is what was measured of images, on one machine in one run.
type Bench struct {
	Schema int        `json:"schema"`
	Host   BenchHost  `json:"host"`
	Images []Measured `json:"images"`
}

// BenchHost is the machine that measured. Instructions and bytes do not depend
// on it; wall time does.
type BenchHost struct {
	Accelerator string            `json:"accelerator"` // of the boots whose instructions were counted
	CPU         string            `json:"cpu"`         // model
	CPUs        int               `json:"cpus"`        // logical
	System      string            `json:"system"`
	Leanlab     string            `json:"leanlab"` // version
	QEMU        map[string]string `json:"qemu"`    // by the guest's architecture, as it names itself
}

// Measured is one image.
type Measured struct {
	Name    string         `json:"name"`
	Path    string         `json:"path"`
	Arch    string         `json:"arch"`
	Digest  string         `json:"digest"` // SHA-256 of what was measured, lower-case hex
	Built   Built          `json:"built"`
	Bytes   Bytes          `json:"bytes"`
	Boot    Phases         `json:"boot"` // without a network card: the same in every run, with a disk but for some instructions
	Memory  MeasuredMemory `json:"memory"`
	Micro   []Micro        `json:"micro,omitempty"`    // in the order of MicroNames
	NoMicro string         `json:"no_micro,omitempty"` // why there are none
	Wall    *Wall          `json:"wall,omitempty"`
	NoWall  string         `json:"no_wall,omitempty"` // why there is no wall time

	NoBoot   string    `json:"no_boot,omitempty"`  // why there are no instructions of the boot
	Packages []Package `json:"packages,omitempty"` // of a peer
	Note     string    `json:"note,omitempty"`     // what is to be known beside the figures
}

// Package is a package of a distribution's.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
}

// Built is how an image was built, as far as its files, its manifest and its BEAM tell.
type Built struct {
	Strategy string            `json:"strategy,omitempty"`
	Lean     string            `json:"lean,omitempty"`     // level
	Root     string            `json:"root,omitempty"`     // "initramfs zstd", "disk"
	Emulator string            `json:"emulator,omitempty"` // "interpreter" or "jit"
	Versions map[string]string `json:"versions,omitempty"` // "erlang": "27.3.4"; without a manifest "27"
}

// Phases are those of a boot: instructions that the guest executed in each of
// them, and all until BEAM is ready.
type Phases struct {
	Kernel int64 `json:"kernel"` // from the kernel's entry until /init
	Init   int64 `json:"init"`   // from there until BEAM is started
	Beam   int64 `json:"beam"`   // from there until every application runs: the app's cold start
	Ready  int64 `json:"ready"`  // together
}

// Micro is what an elementary operation of BEAM costs.
type Micro struct {
	Name         string `json:"name"`
	Operations   int64  `json:"operations"`
	Instructions int64  `json:"instructions"` // of the guest, for all of them
}

// Each is the cost of one operation; 0: there is no figure.
func (f Micro) Each() float64 {
	if f.Operations == 0 {
		return 0
	}
	return float64(f.Instructions) / float64(f.Operations)
}

// micros are the figures that core/internal/bench's measuring module takes, and
// what one operation is.
var micros = []struct{ name, title, operation string }{
	{"round_trip", "message", "A message to another process, and its answer."},
	{"ets_insert", "ETS insert", "A tuple put into a table under a new key."},
	{"ets_lookup", "ETS lookup", "A tuple looked up by its key."},
	{"binary_append", "binary append", "Four bytes more at the end of a binary."},
	{"binary_match", "binary match", "Four bytes off the front of a binary."},
	{"list_fold", "list fold", "An element of a list, given to a fun."},
	{"map_update", "map update", "A value of a map with a thousand keys, read and replaced."},
	{"call", "call", "A call of the function that adds up Fibonacci numbers."},
}

// MicroNames are the names of the figures.
func MicroNames() []string {
	var names []string
	for _, f := range micros {
		names = append(names, f.name)
	}
	return names
}

// micro is the figure of that name, the zero value if there is none.
func (m Measured) micro(name string) Micro {
	for _, f := range m.Micro {
		if f.Name == name {
			return f
		}
	}
	return Micro{}
}

// Bytes is what a user transfers.
type Bytes struct {
	Download int64 `json:"download"` // both together
	Kernel   int64 `json:"kernel"`
	Root     int64 `json:"root"` // compressed
}

// MeasuredMemory is the guest's.
type MeasuredMemory struct {
	GivenMiB int64 `json:"given_mib"`           // the machine's RAM
	TotalKiB int64 `json:"total_kib"`           // of it, MemTotal
	IdleKiB  int64 `json:"idle_kib"`            // of that, in use when ready
	LeastMiB int64 `json:"least_mib,omitempty"` // the smallest RAM with which it comes up and, where it can be asked to, goes down; 0: not searched for
}

// Wall is the time from QEMU's start until ready, under hardware virtualisation.
type Wall struct {
	Accelerator string  `json:"accelerator"`
	Runs        int     `json:"runs"`
	MedianMS    float64 `json:"median_ms"`
	LeastMS     float64 `json:"least_ms"`
	MostMS      float64 `json:"most_ms"`
}

// ReadBench reads what WriteBench wrote.
func ReadBench(path string) (*Bench, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var b Bench
	if err := json.Unmarshal(data, &b); err != nil {
		return nil, fmt.Errorf("%s: not a result of leanlab bench: %w", path, err)
	}
	if b.Schema != BenchSchema {
		return nil, fmt.Errorf("%s: schema %d; this leanlab reads %d: measure again", path, b.Schema, BenchSchema)
	}
	return &b, nil
}

// WriteBench writes b to path, which appears when it is complete.
func WriteBench(path string, b *Bench) error {
	data, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(path, append(data, '\n'))
}

// BenchChange is a figure that differs from an earlier run's.
type BenchChange struct {
	Image, Figure string
	Before, Now   int64
}

// Percent is by how much it grew.
func (c BenchChange) Percent() float64 { return 100 * (float64(c.Now)/float64(c.Before) - 1) }

// BenchChanges compares figures that do not depend on the machine, of images of
// the same name. What only one of them has is not compared.
func BenchChanges(before, now *Bench) []BenchChange {
	old := map[string]Measured{}
	for _, m := range before.Images {
		old[m.Name] = m
	}
	var changes []BenchChange
	for _, m := range now.Images {
		was, ok := old[m.Name]
		if !ok {
			continue
		}
		figures := []BenchChange{
			{m.Name, "bytes to download", was.Bytes.Download, m.Bytes.Download},
			{m.Name, "bytes of kernel", was.Bytes.Kernel, m.Bytes.Kernel},
			{m.Name, "instructions of the kernel", was.Boot.Kernel, m.Boot.Kernel},
			{m.Name, "instructions of BEAM's start", was.Boot.Beam, m.Boot.Beam},
			{m.Name, "instructions until ready", was.Boot.Ready, m.Boot.Ready},
			{m.Name, "KiB of idle memory", was.Memory.IdleKiB, m.Memory.IdleKiB},
			{m.Name, "MiB of smallest RAM", was.Memory.LeastMiB, m.Memory.LeastMiB},
		}
		for _, f := range micros {
			figures = append(figures, BenchChange{m.Name, "instructions of 1000 × " + f.title,
				int64(1000 * was.micro(f.name).Each()), int64(1000 * m.micro(f.name).Each())})
		}
		for _, f := range figures {
			if f.Before > 0 && f.Now > 0 && f.Before != f.Now {
				changes = append(changes, f)
			}
		}
	}
	return changes
}
