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
// Depth 1 are groups, 2 their components, 3 the files and modules of these; with
// only, these components and what is below them.
func Analysis(w io.Writer, a *analyze.Analysis, depth int, only []*analyze.Component) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", printable(a.Image), printable(a.Format))
	if a.Compression != "" {
		fmt.Fprintf(&b, ", %s", printable(a.Compression))
	}
	b.WriteString("\n\n")
	var rows [][]string
	for _, line := range a.Lines(depth, only) {
		rows = append(rows, row(strings.Repeat("  ", line.Level-1)+line.Name, a, line.Component))
	}
	if len(only) == 0 {
		rows = append(rows, row("together", a, a.Root))
	}
	head := []string{"component", "version", "files", "unpacked", "packed", "share"}
	if a.Marginal != nil {
		head = append(head, "marginal")
	}
	table(&b, head, rows, 2)
	fmt.Fprintf(&b, "\naccounted for  %s of %s (%.2f %%)\n", size(a.AccountedBytes), size(a.Root.PackedBytes), floor(100*a.Accounted()))
	if a.Marginal != nil {
		fmt.Fprintf(&b, "marginal       %s\n", printable(marginal(a.Marginal)))
	}
	if len(only) == 0 {
		unowned(&b, a, depth)
	}
	for _, warning := range a.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", printable(warning))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// marginal says how marginal costs were measured.
func marginal(m *analyze.Marginal) string {
	how := fmt.Sprintf("what the image would lose, measured with %s (%s)", m.Command, strings.Trim(m.Version, "* "))
	if m.Same {
		return how + ", which makes its initrd byte for byte"
	}
	return fmt.Sprintf("%s: these are leanlab's settings, which make the root %s where the image has %s", how, size(m.RootBytes), size(m.InitrdBytes))
}

// floor cuts a percentage to the two digits that are printed, so that what is
// not whole never looks like it.
func floor(percent float64) float64 { return float64(int(percent*100)) / 100 }

func row(name string, a *analyze.Analysis, c *analyze.Component) []string {
	share := "0.0 %"
	if whole := a.Root.PackedBytes; whole > 0 {
		share = fmt.Sprintf("%.1f %%", 100*float64(c.PackedBytes)/float64(whole))
	}
	cells := []string{printable(name), printable(c.Version), strconv.Itoa(c.Files), size(c.Bytes), size(c.PackedBytes), share}
	if a.Marginal == nil {
		return cells
	}
	cost := "–"
	if c.MarginalBytes != nil {
		cost = strings.TrimPrefix(signed(*c.MarginalBytes), "+")
	}
	return append(cells, cost)
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
