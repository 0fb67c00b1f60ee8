package report

import (
	"cmp"
	_ "embed"
	"html/template"
	"io"
	"slices"
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
	Name, Text, Ratio string
	Segments          []segment
}

type segment struct {
	Class   string
	Title   string
	Percent float64
}

// BenchHTML writes a page with a chart for each figure, complete in itself.
func BenchHTML(w io.Writer, b *Bench) error {
	return benchTemplate.Execute(w, struct {
		Charts    []chart
		Micro     []chart
		MicroNote string
		Tables    []benchTable
		Notes     []string
	}{charts(b), microCharts(b), microNote, benchTables(b), benchNotes(b)})
}

// charts are the figures of whole images. What no image has is left out.
func charts(b *Bench) []chart {
	return slices.DeleteFunc([]chart{
		draw(b, "To download", "What a user transfers.", []string{"kernel", "root file system"}, weight, func(m Measured) []float64 {
			return []float64{float64(m.Bytes.Kernel), float64(m.Bytes.Root)}
		}),
		draw(b, "Instructions until ready", phasesNote, []string{"kernel", "init", "BEAM"}, mega, func(m Measured) []float64 {
			return []float64{float64(m.Boot.Kernel), float64(m.Boot.Init), float64(m.Boot.Beam)}
		}),
		draw(b, "Memory in use when idle", "MemTotal less MemAvailable when BEAM is ready.", nil, kibibytes, func(m Measured) []float64 {
			return []float64{float64(m.Memory.IdleKiB)}
		}),
		draw(b, "Smallest RAM", "With which it comes up and goes down in order; searched for by booting.", nil, mebibytes, func(m Measured) []float64 {
			return []float64{float64(m.Memory.LeastMiB)}
		}),
		draw(b, "Wall time until ready", "Under hardware virtualisation, the median of several boots.", nil, milliseconds, func(m Measured) []float64 {
			if m.Wall == nil {
				return []float64{0}
			}
			return []float64{m.Wall.MedianMS}
		}),
	}, func(c chart) bool { return len(c.Bars) == 0 })
}

// microCharts are small ones, one for each operation.
func microCharts(b *Bench) []chart {
	var some []chart
	for _, f := range micros {
		c := draw(b, f.title, f.operation, nil, each, func(m Measured) []float64 { return []float64{m.micro(f.name).Each()} })
		if len(c.Bars) > 0 {
			some = append(some, c)
		}
	}
	return some
}

// draw makes a chart of figures that add up to an image's bar.
func draw(b *Bench, title, note string, legend []string, text func(float64) string, figures func(Measured) []float64) chart {
	c := chart{Title: title, Note: note, Legend: legend}
	var longest, first float64
	for _, m := range b.Images {
		longest = max(longest, sum(figures(m)))
	}
	for _, m := range b.Images {
		parts := figures(m)
		whole := sum(parts)
		if whole == 0 {
			continue
		}
		one := bar{Name: printable(m.Name), Text: text(whole)}
		if first > 0 {
			one.Ratio = ratio(whole / first)
		}
		first = cmp.Or(first, whole)
		for i, n := range parts {
			s := segment{Class: []string{"a", "b", "c"}[i], Title: text(n), Percent: 100 * n / longest}
			if legend != nil {
				s.Title = legend[i] + ": " + s.Title
			}
			one.Segments = append(one.Segments, s)
		}
		c.Bars = append(c.Bars, one)
	}
	return c
}

func sum(list []float64) (n float64) {
	for _, v := range list {
		n += v
	}
	return n
}
