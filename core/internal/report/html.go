package report

import (
	_ "embed"
	"html/template"
	"io"

	"github.com/somebloke1/elixir-lean-lab/core/analyze"
)

//go:embed treemap.html
var treemapPage string

// treemap is the page. html/template writes the analysis as JSON in which no
// "<" is left, so that no name in it ends the script element.
var treemap = template.Must(template.New("treemap").Parse(treemapPage))

// HTML writes a page with a treemap of an image that zooms. It needs nothing
// beside itself, and takes names for text whatever is in them.
func HTML(w io.Writer, a *analyze.Analysis) error {
	var how string
	if a.Marginal != nil {
		how = marginal(a.Marginal)
	}
	return treemap.Execute(w, struct {
		*analyze.Analysis
		Percent  float64
		Marginal string
	}{a, floor(100 * a.Accounted()), how})
}
