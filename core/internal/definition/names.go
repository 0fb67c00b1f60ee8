package definition

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// nearest returns the known name that given was probably meant to be, or "".
// Other case, an end too short or too long, and two slips of the keyboard count
// as near.
func nearest(given string, known []string) string {
	best, bestDistance := "", 3
	if len(given) < 4 {
		bestDistance = 2
	}
	for _, name := range known {
		if strings.EqualFold(name, given) {
			return name
		}
		distance := levenshtein.Distance(strings.ToLower(given), name, nil)
		if len(given) >= 3 && strings.HasPrefix(name, strings.ToLower(given)) || len(name) >= 3 && strings.HasPrefix(strings.ToLower(given), name) {
			distance = min(distance, 1)
		}
		if distance < bestDistance {
			best, bestDistance = name, distance
		}
	}
	return best
}

// didYouMean is the sentence that helps with an unknown name: the nearest known
// one, or else all of them.
func didYouMean(given string, known []string) string {
	if name := nearest(given, known); name != "" {
		return fmt.Sprintf("Did you mean %q?", name)
	}
	if len(known) == 0 {
		return "There are none."
	}
	return "Known: " + strings.Join(known, ", ") + "."
}

// errorAt makes an error that points at a range.
func errorAt(at hcl.Range, summary, format string, args ...any) *hcl.Diagnostic {
	return &hcl.Diagnostic{
		Severity: hcl.DiagError,
		Summary:  summary,
		Detail:   fmt.Sprintf(format, args...),
		Subject:  at.Ptr(),
	}
}

// names are those that a body may hold.
type names struct {
	attributes, blocks []string
}

// unknown reports every attribute and block of body that has no business there.
// where is what the body is part of, as in "a vm block".
func (n names) unknown(body *hclsyntax.Body, where string) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for name, attr := range body.Attributes {
		switch {
		case slices.Contains(n.attributes, name):
		case slices.Contains(n.blocks, name):
			diags = append(diags, errorAt(attr.NameRange, fmt.Sprintf("%q is a block", name),
				"Write it without the equals sign: %s { … }.", name))
		default:
			diags = append(diags, errorAt(attr.NameRange, fmt.Sprintf("Unknown attribute %q", name),
				"There is no such attribute in %s. %s", where, n.suggest(name, n.attributes)))
		}
	}
	for _, block := range body.Blocks {
		name := block.Type
		switch {
		case slices.Contains(n.blocks, name):
		case slices.Contains(n.attributes, name):
			diags = append(diags, errorAt(block.TypeRange, fmt.Sprintf("%q is an attribute", name),
				"Write it with an equals sign: %s = …", name))
		default:
			diags = append(diags, errorAt(block.TypeRange, fmt.Sprintf("Unknown block %q", name),
				"There is no such block in %s. %s", where, n.suggest(name, n.blocks)))
		}
	}
	return diags
}

// suggest prefers a near name of either kind to the list of the same kind.
func (n names) suggest(given string, same []string) string {
	all := slices.Concat(n.attributes, n.blocks)
	switch {
	case nearest(given, all) != "":
		return didYouMean(given, all)
	case len(same) > 0:
		return didYouMean(given, same)
	case len(n.blocks) > 0:
		return "It takes only blocks: " + strings.Join(n.blocks, ", ") + "."
	}
	return "It takes only attributes: " + strings.Join(n.attributes, ", ") + "."
}

// article puts "a" or "an" before a name, as it is spoken.
func article(name string) string {
	if strings.ContainsAny(name[:1], "aeiou") || name == "http" {
		return "an " + name
	}
	return "a " + name
}

// capital makes a name the beginning of a sentence.
func capital(text string) string {
	return strings.ToUpper(text[:1]) + text[1:]
}

// seeAlso is a second place that a diagnostic is about, in its Extra.
type seeAlso struct {
	at   hcl.Range
	what string
}

// duplicate reports something that may be there once, with both places.
func duplicate(summary string, second, first hcl.Range) *hcl.Diagnostic {
	diag := errorAt(second, summary, "Only one is allowed: remove or rename one of the two.")
	diag.Extra = seeAlso{at: first, what: "the first is here"}
	return diag
}
