package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Summary prints what was made and measured, as text without escape sequences.
func Summary(w io.Writer, m *Manifest) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: strategy %s, %s\n\n", printable(m.VM), printable(m.Strategy), printable(m.Arch))
	var artifacts [][]string
	for _, a := range m.Artifacts {
		artifacts = append(artifacts, []string{printable(a.Path), printable(a.Format), size(a.Bytes)})
	}
	table(&b, []string{"artifact", "format", "size"}, artifacts, 2)
	b.WriteByte('\n')
	if len(m.Components) > 0 {
		table(&b, []string{"component", "version", "unpacked", "packed"}, componentRows(m), 2)
		b.WriteByte('\n')
	}
	for _, fact := range facts(m) {
		fmt.Fprintf(&b, "%-14s%s\n", fact[0], fact[1])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// componentRows are the components, what costs most first, and their sum.
func componentRows(m *Manifest) [][]string {
	parts := slices.Clone(m.Components)
	slices.SortStableFunc(parts, func(a, b Component) int {
		return cmp.Or(cmp.Compare(b.PackedBytes, a.PackedBytes), cmp.Compare(b.Bytes, a.Bytes))
	})
	var rows [][]string
	var bytes, packed int64
	for _, c := range parts {
		rows = append(rows, []string{printable(c.Name), printable(c.Version), size(c.Bytes), size(c.PackedBytes)})
		bytes += c.Bytes
		packed += c.PackedBytes
	}
	return append(rows, []string{"together", "", size(bytes), size(packed)})
}

func facts(m *Manifest) [][2]string {
	download := size(m.DownloadBytes)
	if limit := m.Budget.SizeBytes; limit > 0 {
		download += fmt.Sprintf(" of the %s allowed (%d %%)", size(limit), (100*m.DownloadBytes+limit/2)/limit)
	}
	list := [][2]string{{"download", download}}
	if !m.Boot.Verified {
		return append(list, [2]string{"boot", "not verified"})
	}
	list = append(list, [2]string{"boot", fmt.Sprintf("verified with %d MiB", m.Boot.MemoryMiB)})
	if i := m.Boot.Instructions; i != nil {
		list = append(list, [2]string{"instructions", fmt.Sprintf("%s to init, %s to BEAM, %s to ready", giga(i.Init), giga(i.Beam), giga(i.Ready))})
	}
	if mem := m.Memory; mem != nil {
		text := fmt.Sprintf("%d of %d MiB in use when idle", mem.IdleMiB, mem.TotalMiB)
		if mem.MinMiB > 0 {
			text += fmt.Sprintf("; works with %d MiB", mem.MinMiB)
		}
		list = append(list, [2]string{"memory", text})
	}
	return list
}

// printable is the text without what could do more to a terminal than show:
// names come from plugins.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, text)
}

// table prints rows in columns, the first `left` of them flush left.
func table(b *strings.Builder, head []string, rows [][]string, left int) {
	width := make([]int, len(head))
	all := append([][]string{head}, rows...)
	for _, row := range all {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range all {
		line := ""
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if i < left {
				line += cell + pad + "  "
			} else {
				line += pad + cell + "  "
			}
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

// size is a number of bytes in decimal units, as budgets are written.
func size(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 999_950: // which would be 1000.0 kB
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 999_995_000:
		return fmt.Sprintf("%.2f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.2f GB", float64(n)/1e9)
}

func giga(n int64) string { return fmt.Sprintf("%.2f G", float64(n)/1e9) }
