package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// benchTable is one of a report's tables: a row for each image, its name first.
type benchTable struct {
	Title, Note string
	Head        []string
	Rows        [][]string
	Left        int // so many columns are flush left: words
}

// column makes the cells of a table's column, one for each image; an empty one
// where an image has no such figure.
type column struct {
	head  string
	left  bool
	cells func([]Measured) []string
}

// words is a column of text.
func words(head string, of func(Measured) string) column {
	return column{head, true, func(images []Measured) []string {
		var cells []string
		for _, m := range images {
			cells = append(cells, printable(of(m)))
		}
		return cells
	}}
}

// figures is a column of numbers, 0 for none, each compared with the first
// image's that has one.
func figures(head string, text func(float64) string, of func(Measured) float64) column {
	return column{head, false, func(images []Measured) []string {
		var cells []string
		var first float64
		for _, m := range images {
			n, cell := of(m), ""
			if n > 0 {
				cell = text(n)
			}
			if n > 0 && first > 0 && n != first {
				cell += " " + ratio(n/first)
			}
			first = cmp.Or(first, n)
			cells = append(cells, cell)
		}
		return cells
	}}
}

// newBenchTable leaves out columns that no image has anything for.
func newBenchTable(b *Bench, title, note string, columns ...column) benchTable {
	t := benchTable{Title: title, Note: note, Head: []string{"image"}, Left: 1}
	for _, m := range b.Images {
		t.Rows = append(t.Rows, []string{printable(m.Name)})
	}
	for _, c := range columns {
		cells := c.cells(b.Images)
		if !slices.ContainsFunc(cells, func(cell string) bool { return cell != "" }) {
			continue
		}
		if c.left && t.Left == len(t.Head) {
			t.Left++
		}
		t.Head = append(t.Head, c.head)
		for i, cell := range cells {
			t.Rows[i] = append(t.Rows[i], cmp.Or(cell, "–"))
		}
	}
	return t
}

// benchTables are those that say something.
func benchTables(b *Bench) []benchTable {
	var micro []column
	for _, f := range micros {
		micro = append(micro, figures(f.title, each, func(m Measured) float64 { return m.micro(f.name).Each() }))
	}
	tables := []benchTable{
		newBenchTable(b, "Images", "",
			words("strategy", func(m Measured) string { return m.Built.Strategy }),
			words("arch", func(m Measured) string { return m.Arch }),
			words("root", func(m Measured) string { return m.Built.Root }),
			words("lean", func(m Measured) string { return m.Built.Lean }),
			words("emulator", func(m Measured) string { return m.Built.Emulator }),
			words("OTP", func(m Measured) string { return m.Built.Versions["erlang"] }),
			words("Elixir", func(m Measured) string { return m.Built.Versions["elixir"] }),
			words("Linux", func(m Measured) string { return m.Built.Versions["linux"] })),
		newBenchTable(b, "Size and memory", "",
			figures("download", weight, func(m Measured) float64 { return float64(m.Bytes.Download) }),
			figures("kernel", weight, func(m Measured) float64 { return float64(m.Bytes.Kernel) }),
			figures("root", weight, func(m Measured) float64 { return float64(m.Bytes.Root) }),
			figures("idle memory", kibibytes, func(m Measured) float64 { return float64(m.Memory.IdleKiB) }),
			figures("smallest RAM", mebibytes, func(m Measured) float64 { return float64(m.Memory.LeastMiB) })),
		newBenchTable(b, "Boot", phasesNote,
			figures("kernel", mega, func(m Measured) float64 { return float64(m.Boot.Kernel) }),
			figures("init", mega, func(m Measured) float64 { return float64(m.Boot.Init) }),
			figures("BEAM", mega, func(m Measured) float64 { return float64(m.Boot.Beam) }),
			figures("until ready", mega, func(m Measured) float64 { return float64(m.Boot.Ready) }),
			words("wall time", wallTime)),
		newBenchTable(b, "BEAM at work", microNote, micro...),
	}
	return slices.DeleteFunc(tables, func(t benchTable) bool { return len(t.Head) == 1 })
}

const (
	phasesNote = "Instructions of the guest by phase: the kernel until /init, /init until it starts BEAM, BEAM until every application runs, which is the app's cold start."
	microNote  = "Instructions of the guest for one operation, the loop around it included."
)

func ratio(n float64) string { return fmt.Sprintf("×%.2f", n) }

func weight(n float64) string    { return size(int64(n)) }
func mebibytes(n float64) string { return fmt.Sprintf("%.0f MiB", n) }
func kibibytes(n float64) string { return fmt.Sprintf("%.1f MiB", n/1024) }

// mega is a count of instructions, each one of an operation.
func mega(n float64) string { return fmt.Sprintf("%.2f M", n/1e6) }
func each(n float64) string { return fmt.Sprintf("%.1f", n) }

func milliseconds(n float64) string { return fmt.Sprintf("%.0f ms", n) }

func wallTime(m Measured) string {
	if m.Wall == nil {
		return ""
	}
	return fmt.Sprintf("%.0f ms (%.0f to %.0f, %d runs, %s)", m.Wall.MedianMS, m.Wall.LeastMS, m.Wall.MostMS, m.Wall.Runs, m.Wall.Accelerator)
}

// BenchTable prints b for a terminal.
func BenchTable(w io.Writer, b *Bench) error {
	var text strings.Builder
	for _, t := range benchTables(b) {
		table(&text, append([]string{t.Title}, t.Head[1:]...), t.Rows, t.Left)
		text.WriteByte('\n')
	}
	for _, note := range benchNotes(b) {
		text.WriteString(note + "\n")
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// markdown keeps names from being more than text.
var markdown = strings.NewReplacer("|", `\|`, "<", "&lt;")

// BenchMarkdown prints b as a document in GitHub Flavored Markdown.
func BenchMarkdown(w io.Writer, b *Bench) error {
	var text strings.Builder
	text.WriteString("# Benchmarks\n\nMeasured and written by `leanlab bench --markdown`.\n")
	row := func(cells []string) {
		escaped := make([]string, len(cells))
		for i, c := range cells {
			escaped[i] = markdown.Replace(c)
		}
		text.WriteString("| " + strings.Join(escaped, " | ") + " |\n")
	}
	for _, t := range benchTables(b) {
		text.WriteString("\n## " + t.Title + "\n\n")
		if t.Note != "" {
			text.WriteString(t.Note + "\n\n")
		}
		row(t.Head)
		text.WriteString(strings.Repeat("|---", t.Left) + strings.Repeat("|---:", len(t.Head)-t.Left) + "|\n")
		for _, cells := range t.Rows {
			row(cells)
		}
	}
	text.WriteString("\n## How it was measured\n\n")
	for _, note := range benchNotes(b) {
		text.WriteString("- " + markdown.Replace(note) + "\n")
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// benchNotes say what the figures are and where they come from.
func benchNotes(b *Bench) []string {
	notes := []string{fmt.Sprintf("Instructions are the guest's, counted by QEMU (accelerator %s, -icount shift=0, one CPU): every machine with this QEMU gets the same.", printable(b.Host.Accelerator))}
	if slices.ContainsFunc(b.Images, func(m Measured) bool { return m.Built.Root == "disk" }) {
		notes[0] = strings.TrimSuffix(notes[0], ".") + ", and of a boot from a disk nearly the same: when a disk answers is up to the host."
	}
	if len(b.Images) > 1 {
		notes = append(notes, "×N: N times the figure of the first image that has it.")
	}
	if searched := least(b); searched > 0 && searched < len(b.Images) {
		notes = append(notes, "The smallest RAM takes several boots to find, and was searched for in some of the images only.")
	}
	for _, why := range []struct {
		text string
		of   func(Measured) string
	}{
		{"No instructions of the boot", func(m Measured) string { return m.NoBoot }},
		{"No figures of BEAM at work", func(m Measured) string { return m.NoMicro }},
		{"No wall time", func(m Measured) string { return m.NoWall }},
	} {
		notes = append(notes, reasons(b, why.text, why.of)...)
	}
	notes = append(notes, givenMemory(b)...)
	for _, m := range b.Images {
		if m.Note != "" {
			notes = append(notes, fmt.Sprintf("%s: %s.", printable(m.Name), strings.TrimRight(printable(m.Note), ".")))
		}
	}
	notes = append(notes, fmt.Sprintf("Measured by leanlab %s on %s, %d CPUs (%s).", printable(b.Host.Leanlab), printable(b.Host.CPU), b.Host.CPUs, printable(b.Host.System)))
	for _, arch := range []string{"x86_64", "aarch64"} {
		if v := b.Host.QEMU[arch]; v != "" {
			notes = append(notes, fmt.Sprintf("%s: %s.", arch, printable(v)))
		}
	}
	return notes
}

// least is for how many images the smallest RAM is known.
func least(b *Bench) (n int) {
	for _, m := range b.Images {
		if m.Memory.LeastMiB > 0 {
			n++
		}
	}
	return n
}

// givenMemory says with how much memory images were measured where that is not one
// figure for all: one whose root lives in memory may need more.
func givenMemory(b *Bench) []string {
	var order []int64
	images := map[int64][]string{}
	for _, m := range b.Images {
		if n := m.Memory.GivenMiB; m.Memory.TotalKiB+m.Memory.LeastMiB > 0 {
			if images[n] == nil {
				order = append(order, n)
			}
			images[n] = append(images[n], printable(m.Name))
		}
	}
	if len(order) < 2 {
		return nil
	}
	var with []string
	for _, n := range order {
		with = append(with, fmt.Sprintf("%d MiB for %s", n, strings.Join(images[n], ", ")))
	}
	return []string{"RAM of the machines: " + strings.Join(with, "; ") + "."}
}

// reasons are why images lack something, with the images that each is true of.
func reasons(b *Bench, text string, of func(Measured) string) []string {
	var order []string
	lacking := map[string][]string{}
	for _, m := range b.Images {
		why := strings.TrimRight(printable(of(m)), ".")
		if why == "" {
			continue
		}
		if lacking[why] == nil {
			order = append(order, why)
		}
		lacking[why] = append(lacking[why], printable(m.Name))
	}
	var notes []string
	for _, why := range order {
		images := ""
		if len(lacking[why]) < len(b.Images) {
			images = " of " + strings.Join(lacking[why], ", ")
		}
		notes = append(notes, fmt.Sprintf("%s%s: %s.", text, images, why))
	}
	return notes
}
