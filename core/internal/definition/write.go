package definition

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/mattn/go-runewidth"
	"github.com/mitchellh/go-wordwrap"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// Write writes diagnostics for people: what, where as file:line:column, the
// line with the place marked under it, the values that were involved and where
// they came from, and what to do. width 0 does not wrap.
//
// hcl's own writer gives the column only by an escape sequence, which a log and
// an editor that jumps to errors do not have.
func (d *Definitions) Write(w io.Writer, diags hcl.Diagnostics, color bool, width uint) error {
	sorted := append(hcl.Diagnostics(nil), diags...)
	d.sources.sort(sorted)
	var out strings.Builder
	for i, diag := range sorted {
		if i > 0 {
			out.WriteByte('\n')
		}
		d.writeOne(&out, diag, palette(color), width)
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// colors are escape sequences (ECMA-48 SGR), or empty.
type colors struct{ bad, warning, strong, off string }

func palette(color bool) colors {
	if !color {
		return colors{}
	}
	return colors{bad: "\x1b[31m", warning: "\x1b[33m", strong: "\x1b[1m", off: "\x1b[0m"}
}

func (d *Definitions) writeOne(out *strings.Builder, diag *hcl.Diagnostic, c colors, width uint) {
	word, tint := "Error", c.bad
	if diag.Severity == hcl.DiagWarning {
		word, tint = "Warning", c.warning
	}
	fmt.Fprintf(out, "%s%s:%s %s%s%s\n", tint, word, c.off, c.strong, diag.Summary, c.off)
	if diag.Subject != nil {
		d.writeSnippet(out, *diag.Subject, "", tint, c.off)
	}
	for _, line := range d.values(diag) {
		fmt.Fprintf(out, "  %s\n", line)
	}
	if extra, ok := diag.Extra.(seeAlso); ok {
		d.writeSnippet(out, extra.at, extra.what, tint, c.off)
	}
	if diag.Detail != "" {
		detail := diag.Detail
		if width > 0 {
			detail = wordwrap.WrapString(detail, width)
		}
		fmt.Fprintf(out, "\n%s\n", detail)
	}
}

// writeSnippet writes a place and the first line of what is there.
func (d *Definitions) writeSnippet(out *strings.Builder, at hcl.Range, what, tint, off string) {
	fmt.Fprintf(out, "  %s:%d:%d", at.Filename, at.Start.Line, at.Start.Column)
	file := d.sources.files[at.Filename]
	if context := blockAround(file, at); context != "" {
		fmt.Fprintf(out, ", in %s", context)
	}
	if what != "" {
		fmt.Fprintf(out, ": %s", what)
	}
	out.WriteByte('\n')
	if file == nil {
		return
	}
	before, marked, behind := lineAround(file.Bytes, at)
	if strings.TrimSpace(before+marked+behind) == "" {
		return
	}
	number := fmt.Sprintf("%5d", at.Start.Line)
	fmt.Fprintf(out, "%s | %s%s%s\n", number, before, marked, behind)
	fmt.Fprintf(out, "%s | %s%s%s%s\n", strings.Repeat(" ", len(number)), blank(before), tint, strings.Repeat("^", max(1, runewidth.StringWidth(marked))), off)
}

// lineAround returns the line in which a range begins, in three parts.
func lineAround(src []byte, at hcl.Range) (before, marked, behind string) {
	start := min(max(at.Start.Byte, 0), len(src))
	end := min(max(at.End.Byte, start), len(src))
	lineStart := bytes.LastIndexByte(src[:start], '\n') + 1
	lineEnd := len(src)
	if i := bytes.IndexByte(src[start:], '\n'); i >= 0 {
		lineEnd = start + i
	}
	end = min(end, lineEnd)
	text := func(b []byte) string { return strings.TrimSuffix(string(b), "\r") }
	return text(src[lineStart:start]), text(src[start:end]), text(src[end:lineEnd])
}

// blank returns white space as wide as text; a tab stays a tab.
func blank(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r == '\t' {
			b.WriteByte('\t')
		} else {
			b.WriteString(strings.Repeat(" ", runewidth.RuneWidth(r)))
		}
	}
	return b.String()
}

// blockAround names the outermost block around a place, as in vm "custom".
func blockAround(file *hcl.File, at hcl.Range) string {
	if file == nil {
		return ""
	}
	if nav, ok := file.Nav.(interface{ ContextString(offset int) string }); ok {
		return nav.ContextString(at.Start.Byte)
	}
	return ""
}

// values tells the value of everything that the wrong expression refers to:
// the fault is often in the value, not in the line that uses it.
func (d *Definitions) values(diag *hcl.Diagnostic) []string {
	if diag.Expression == nil || diag.EvalContext == nil {
		return nil
	}
	var lines []string
	for _, traversal := range diag.Expression.Variables() {
		value, bad := traversal.TraverseAbs(diag.EvalContext)
		if bad.HasErrors() || !value.IsWhollyKnown() {
			continue
		}
		line := fmt.Sprintf("%s is %s", d.sources.text(traversal.SourceRange()), valueText(value))
		if origin := d.scope.originOf(traversal); origin != "" {
			line += ", from " + origin
		}
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return lines
}

// valueText writes a value on one line, as JSON, which HCL reads alike.
func valueText(value cty.Value) string {
	text, err := ctyjson.Marshal(value, value.Type())
	if err != nil {
		return value.Type().FriendlyName()
	}
	return runewidth.Truncate(string(text), 60, "…")
}
