package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/analyze"
)

// listed is how many unowned files an analysis names unless it is asked for
// files.
const listed = 20

// Analysis prints what an image consists of, as text without escape sequences.
// Depth 1 are groups, 2 their components, 3 the files and modules of these.
func Analysis(w io.Writer, a *analyze.Analysis, depth int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", printable(a.Image), printable(a.Format))
	if a.Compression != "" {
		fmt.Fprintf(&b, ", %s", printable(a.Compression))
	}
	b.WriteString("\n\n")
	rows := append(componentTree(a.Root, a.Root, 1, depth), row("together", a.Root, a.Root))
	table(&b, []string{"component", "version", "files", "unpacked", "packed", "share"}, rows, 2)
	fmt.Fprintf(&b, "\naccounted for  %s of %s (%.2f %%)\n", size(a.AccountedBytes), size(a.Root.PackedBytes), floor(100*a.Accounted()))
	unowned(&b, a, depth)
	for _, warning := range a.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", printable(warning))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// floor cuts a percentage to the two digits that are printed, so that what is
// not whole never looks like it.
func floor(percent float64) float64 { return float64(int(percent*100)) / 100 }

// componentTree are the lines below a component. Files of a group that has no
// components, such as unowned, stand where files do.
func componentTree(whole, c *analyze.Component, level, depth int) [][]string {
	var rows [][]string
	for _, child := range c.Children {
		if level > depth || child.IsLeaf() && depth < 3 {
			continue
		}
		rows = append(rows, row(strings.Repeat("  ", level-1)+child.Name, whole, child))
		rows = append(rows, componentTree(whole, child, level+1, depth)...)
	}
	return rows
}

func row(name string, whole, c *analyze.Component) []string {
	share := "0.0 %"
	if whole.PackedBytes > 0 {
		share = fmt.Sprintf("%.1f %%", 100*float64(c.PackedBytes)/float64(whole.PackedBytes))
	}
	return []string{printable(name), printable(c.Version), strconv.Itoa(c.Files), size(c.Bytes), size(c.PackedBytes), share}
}

// unowned names the files that nobody owns.
func unowned(b *strings.Builder, a *analyze.Analysis, depth int) {
	files := a.Unowned()
	if len(files) == 0 || depth >= 3 {
		return
	}
	fmt.Fprintf(b, "\nunowned:\n")
	var rows [][]string
	for _, f := range files[:min(len(files), listed)] {
		rows = append(rows, []string{"  " + printable(f.Path), size(f.Bytes), size(f.PackedBytes)})
	}
	table(b, []string{"  path", "unpacked", "packed"}, rows, 1)
	if more := len(files) - listed; more > 0 {
		fmt.Fprintf(b, "  and %d more: --depth 3 lists all\n", more)
	}
}
