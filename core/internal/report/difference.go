package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/analyze"
)

// Difference prints what changed from one image to another, as text without
// escape sequences: each component with up to files of its files.
func Difference(w io.Writer, d *analyze.Difference, files int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "from %s to %s\n\n", printable(d.A), printable(d.B))
	var rows [][]string
	for _, c := range d.Components {
		rows = append(rows, changeRow(c.Name, versions(c), c.Change))
		for _, f := range c.Files[:min(files, len(c.Files))] {
			rows = append(rows, changeRow("  "+f.Name, "", f.Change))
		}
		if more := len(c.Files) - files; more > 0 {
			rows = append(rows, []string{fmt.Sprintf("  and %d more files: --files", more), "", "", "", "", ""})
		}
	}
	rows = append(rows, changeRow("together", "", d.Change))
	table(&b, []string{"component", "version", "packed", "now", "change", "unpacked"}, rows, 2)
	_, err := io.WriteString(w, b.String())
	return err
}

func changeRow(name, version string, c analyze.Change) []string {
	return []string{printable(name), printable(version), size(c.PackedA), size(c.PackedB), signed(c.Packed()), signed(c.Bytes())}
}

func versions(c analyze.ComponentChange) string {
	switch {
	case c.VersionA == c.VersionB:
		return c.VersionA
	case c.VersionA == "":
		return "new: " + c.VersionB
	case c.VersionB == "":
		return "was " + c.VersionA
	}
	return c.VersionA + " → " + c.VersionB
}

// signed is a change in people's units.
func signed(n int64) string {
	switch {
	case n > 0:
		return "+" + size(n)
	case n < 0:
		return "-" + size(-n)
	}
	return "0"
}
