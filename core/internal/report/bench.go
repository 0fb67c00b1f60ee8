package report

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// BenchSchema is the version of the JSON that WriteBench writes and ReadBench reads.
const BenchSchema = 1

// Bench is what was measured of images, on one machine in one run.
type Bench struct {
	Schema int        `json:"schema"`
	Host   BenchHost  `json:"host"`
	Images []Measured `json:"images"`
}

// BenchHost is the machine that measured. Instructions and bytes do not depend
// on it; wall time does.
type BenchHost struct {
	CPU     string            `json:"cpu"`  // model
	CPUs    int               `json:"cpus"` // logical
	System  string            `json:"system"`
	Leanlab string            `json:"leanlab"` // version
	QEMU    map[string]string `json:"qemu"`    // by the guest's architecture, as it names itself
}

// Measured is one image.
type Measured struct {
	Name         string         `json:"name"`
	Path         string         `json:"path"`
	Arch         string         `json:"arch"`
	Bytes        Bytes          `json:"bytes"`
	Instructions Instructions   `json:"instructions"` // without a network card: the same in every run
	Memory       MeasuredMemory `json:"memory"`
	Wall         *Wall          `json:"wall,omitempty"`
	NoWall       string         `json:"no_wall,omitempty"` // why there is no wall time
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
	LeastMiB int64 `json:"least_mib,omitempty"` // the smallest RAM with which it comes up and goes down; 0: not searched for
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

// benchHead are the columns of a table; all but the first are figures.
var benchHead = []string{"image", "download", "kernel", "to init", "to BEAM", "to ready", "idle memory", "smallest RAM", "wall, median"}

func benchRow(m Measured) []string {
	least, wall := "–", "–"
	if m.Memory.LeastMiB > 0 {
		least = fmt.Sprintf("%d MiB", m.Memory.LeastMiB)
	}
	if m.Wall != nil {
		wall = fmt.Sprintf("%.0f ms (%.0f to %.0f, %d runs)", m.Wall.MedianMS, m.Wall.LeastMS, m.Wall.MostMS, m.Wall.Runs)
	}
	return []string{printable(m.Name), size(m.Bytes.Download), size(m.Bytes.Kernel),
		mega(m.Instructions.Init), mega(m.Instructions.Beam), mega(m.Instructions.Ready),
		kibibytes(m.Memory.IdleKiB), least, wall}
}

func benchRows(b *Bench) [][]string {
	var rows [][]string
	for _, m := range b.Images {
		rows = append(rows, benchRow(m))
	}
	return rows
}

func kibibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/1024) }

func microseconds(n int64) string { return fmt.Sprintf("%.0f ms", float64(n)/1e3) }

// mega is a count of instructions.
func mega(n int64) string { return fmt.Sprintf("%.2f M", float64(n)/1e6) }

// BenchTable prints b for a terminal.
func BenchTable(w io.Writer, b *Bench) error {
	var text strings.Builder
	table(&text, benchHead, benchRows(b), 1)
	text.WriteString("\n" + benchNotes(b))
	_, err := io.WriteString(w, text.String())
	return err
}

// BenchMarkdown prints b as a table of GitHub Flavored Markdown.
func BenchMarkdown(w io.Writer, b *Bench) error {
	var text strings.Builder
	row := func(cells []string) {
		escaped := make([]string, len(cells))
		for i, c := range cells {
			escaped[i] = strings.ReplaceAll(c, "|", "\\|")
		}
		text.WriteString("| " + strings.Join(escaped, " | ") + " |\n")
	}
	row(benchHead)
	text.WriteString("|---" + strings.Repeat("|---:", len(benchHead)-1) + "|\n")
	for _, cells := range benchRows(b) {
		row(cells)
	}
	text.WriteString("\n" + benchNotes(b))
	_, err := io.WriteString(w, text.String())
	return err
}

// benchNotes say what the figures are and where they come from.
func benchNotes(b *Bench) string {
	var text strings.Builder
	text.WriteString("Instructions of the guest since the kernel's entry, counted by QEMU (-icount): every machine with this QEMU gets the same.\n")
	seen := map[string]bool{}
	for _, m := range b.Images {
		if m.NoWall != "" && !seen[m.NoWall] {
			seen[m.NoWall] = true
			fmt.Fprintf(&text, "No wall time: %s.\n", strings.TrimRight(printable(m.NoWall), "."))
		}
	}
	fmt.Fprintf(&text, "Measured by leanlab %s on %s, %d CPUs (%s).\n", printable(b.Host.Leanlab), printable(b.Host.CPU), b.Host.CPUs, printable(b.Host.System))
	for _, arch := range []string{"x86_64", "aarch64"} {
		if v := b.Host.QEMU[arch]; v != "" {
			fmt.Fprintf(&text, "%s: %s.\n", arch, printable(v))
		}
	}
	return text.String()
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
		for _, f := range []struct {
			name        string
			before, now int64
		}{
			{"bytes to download", was.Bytes.Download, m.Bytes.Download},
			{"bytes of kernel", was.Bytes.Kernel, m.Bytes.Kernel},
			{"instructions to init", was.Instructions.Init, m.Instructions.Init},
			{"instructions to ready", was.Instructions.Ready, m.Instructions.Ready},
			{"KiB of idle memory", was.Memory.IdleKiB, m.Memory.IdleKiB},
			{"MiB of smallest RAM", was.Memory.LeastMiB, m.Memory.LeastMiB},
		} {
			if f.before > 0 && f.now > 0 && f.before != f.now {
				changes = append(changes, BenchChange{m.Name, f.name, f.before, f.now})
			}
		}
	}
	return changes
}
