package report

import (
	_ "embed"
	"html/template"
	"io"
)

//go:embed bench.html
var benchPage string

var benchTemplate = template.Must(template.New("bench").Parse(benchPage))

// chart is one figure of all images.
type chart struct {
	Title, Note string
	Legend      []string // of the segments of a bar, where there are several
	Bars        []bar
}

// bar is one image's. Its segments are percent of the longest bar.
type bar struct {
	Name, Text string
	Segments   []segment
}

type segment struct {
	Class   string
	Title   string
	Percent float64
}

// BenchHTML writes a page with a chart for each figure, complete in itself.
func BenchHTML(w io.Writer, b *Bench) error {
	return benchTemplate.Execute(w, struct {
		Charts []chart
		Head   []string
		Rows   [][]string
		Notes  string
	}{charts(b), benchHead, benchRows(b), benchNotes(b)})
}

// charts leaves out what no image has.
func charts(b *Bench) []chart {
	all := []chart{
		draw(b, "To download", "What a user transfers.", []string{"kernel", "root file system"}, size, func(m Measured) []int64 {
			return []int64{m.Bytes.Kernel, m.Bytes.Root}
		}),
		draw(b, "Instructions until ready", "Executed by the guest since the kernel's entry; every machine with the same QEMU counts the same.",
			[]string{"kernel, until /init", "/init, until BEAM", "BEAM, until every application runs"}, mega, func(m Measured) []int64 {
				return []int64{m.Instructions.Init, m.Instructions.Beam - m.Instructions.Init, m.Instructions.Ready - m.Instructions.Beam}
			}),
		draw(b, "Memory in use when idle", "MemTotal less MemAvailable when BEAM is ready.", nil, kibibytes, func(m Measured) []int64 {
			return []int64{m.Memory.IdleKiB}
		}),
		draw(b, "Smallest RAM", "With which it comes up and goes down in order; searched for by booting.", nil, kibibytes, func(m Measured) []int64 {
			return []int64{m.Memory.LeastMiB << 10}
		}),
		draw(b, "Wall time until ready", "Under hardware virtualisation, the median of several boots.", nil, microseconds, func(m Measured) []int64 {
			if m.Wall == nil {
				return []int64{0}
			}
			return []int64{int64(m.Wall.MedianMS * 1e3)}
		}),
	}
	var some []chart
	for _, c := range all {
		if len(c.Bars) > 0 {
			some = append(some, c)
		}
	}
	return some
}

// draw makes a chart of figures that add up to an image's bar.
func draw(b *Bench, title, note string, legend []string, text func(int64) string, figures func(Measured) []int64) chart {
	c := chart{Title: title, Note: note, Legend: legend}
	var longest int64
	for _, m := range b.Images {
		longest = max(longest, sum(figures(m)))
	}
	for _, m := range b.Images {
		parts := figures(m)
		if sum(parts) == 0 {
			continue
		}
		one := bar{Name: printable(m.Name), Text: text(sum(parts))}
		for i, n := range parts {
			s := segment{Class: []string{"a", "b", "c"}[i], Title: text(n), Percent: 100 * float64(n) / float64(longest)}
			if legend != nil {
				s.Title = legend[i] + ": " + s.Title
			}
			one.Segments = append(one.Segments, s)
		}
		c.Bars = append(c.Bars, one)
	}
	return c
}

func sum(list []int64) (n int64) {
	for _, v := range list {
		n += v
	}
	return n
}
