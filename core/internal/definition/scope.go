package definition

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// functions are those that expressions may call. All are pure: a definition's
// meaning must not depend on the machine on which it is read.
var functions = map[string]function.Function{
	"coalesce":  stdlib.CoalesceFunc,
	"concat":    stdlib.ConcatFunc,
	"contains":  stdlib.ContainsFunc,
	"format":    stdlib.FormatFunc,
	"join":      stdlib.JoinFunc,
	"length":    stdlib.LengthFunc,
	"lookup":    stdlib.LookupFunc,
	"lower":     stdlib.LowerFunc,
	"merge":     stdlib.MergeFunc,
	"replace":   stdlib.ReplaceFunc,
	"split":     stdlib.SplitFunc,
	"trimspace": stdlib.TrimSpaceFunc,
	"upper":     stdlib.UpperFunc,
}

// scope is what expressions can refer to. A name whose value is unknown has
// been reported already; what depends on it is unknown too, and silent.
type scope struct {
	variables map[string]*variable
	locals    map[string]cty.Value
	context   *hcl.EvalContext
}

func newScope(variables map[string]*variable) *scope {
	s := &scope{variables: variables, locals: map[string]cty.Value{}}
	values := map[string]cty.Value{}
	for name, v := range variables {
		values[name] = v.value
	}
	s.context = &hcl.EvalContext{
		Variables: map[string]cty.Value{"var": cty.ObjectVal(values), "local": cty.EmptyObjectVal},
		Functions: functions,
	}
	return s
}

// setLocal makes a local's value known to expressions.
func (s *scope) setLocal(name string, value cty.Value) {
	s.locals[name] = value
	s.context.Variables["local"] = cty.ObjectVal(s.locals)
}

// value evaluates an expression.
func (s *scope) value(expr hclsyntax.Expression) (cty.Value, hcl.Diagnostics) {
	if diags := s.checkReferences(expr, sorted(s.locals)); diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	value, diags := expr.Value(s.context)
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	if !value.IsWhollyKnown() {
		return cty.DynamicVal, nil
	}
	return value, nil
}

// checkReferences reports every name in an expression that means nothing.
// HCL's own words for it, an object without an attribute, mean little to
// someone who forgot to put text in quotes.
func (s *scope) checkReferences(expr hclsyntax.Expression, locals []string) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, traversal := range hclsyntax.Variables(expr) {
		if diag := s.checkReference(traversal, locals); diag != nil {
			diag.Subject = traversal.SourceRange().Ptr()
			diags = append(diags, diag)
		}
	}
	return diags
}

func (s *scope) checkReference(traversal hcl.Traversal, locals []string) *hcl.Diagnostic {
	root := traversal.RootName()
	kinds := map[string]struct {
		what, remedy string
		known        []string
	}{
		"var":   {"variable", "declare it: variable %q { … }", sorted(s.variables)},
		"local": {"local", "define it in a locals block: %s = …", locals},
	}
	kind, ok := kinds[root]
	if !ok {
		detail := fmt.Sprintf("Text is written in quotes: %q.", root)
		if near := nearest(root, sorted(kinds)); near != "" && len(traversal) > 1 {
			detail = didYouMean(root, sorted(kinds))
		}
		return errorAt(hcl.Range{}, fmt.Sprintf("Unknown name %q", root),
			"%s Values are referred to as var.NAME and local.NAME.", detail)
	}
	if len(traversal) < 2 {
		return errorAt(hcl.Range{}, fmt.Sprintf("%q alone is no value", root), "Write %s.NAME. %s", root, didYouMean("", kind.known))
	}
	step, ok := traversal[1].(hcl.TraverseAttr)
	if !ok {
		return errorAt(hcl.Range{}, fmt.Sprintf("%q takes a name", root), "Write %s.NAME. %s", root, didYouMean("", kind.known))
	}
	if slices.Contains(kind.known, step.Name) {
		return nil
	}
	return errorAt(hcl.Range{}, fmt.Sprintf("Unknown %s %q", kind.what, step.Name),
		"%s Or "+kind.remedy, didYouMean(step.Name, kind.known), step.Name)
}

// sorted returns the keys of a map in order.
func sorted[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}

// evaluateLocals evaluates all locals, each after those that it refers to.
func (s *scope) evaluateLocals(blocks []*hclsyntax.Block) hcl.Diagnostics {
	l := localSet{scope: s, attrs: map[string]*hclsyntax.Attribute{}, state: map[string]localState{}}
	for _, block := range blocks {
		l.collect(block)
	}
	l.names = sorted(l.attrs)
	for _, name := range l.names {
		l.evaluate(name, nil)
	}
	return l.diags
}

// localSet is the locals while they are being evaluated.
type localSet struct {
	scope *scope
	attrs map[string]*hclsyntax.Attribute
	names []string
	state map[string]localState
	diags hcl.Diagnostics
}

type localState int

const (
	localUntouched localState = iota
	localBegun
	localDone
)

func (l *localSet) collect(block *hclsyntax.Block) {
	for _, inner := range block.Body.Blocks {
		l.diags = append(l.diags, errorAt(inner.TypeRange, "Unexpected block",
			"A locals block holds only attributes: %s = …", inner.Type))
	}
	for name, attr := range block.Body.Attributes {
		if first, again := l.attrs[name]; again {
			l.diags = append(l.diags, duplicate(fmt.Sprintf("Local %q is defined twice", name), attr.NameRange, first.NameRange))
			continue
		}
		l.attrs[name] = attr
	}
}

// evaluate evaluates one local; path is how it was reached, from the outermost.
func (l *localSet) evaluate(name string, path []string) {
	switch l.state[name] {
	case localDone:
		return
	case localBegun:
		l.cycle(path[slices.Index(path, name):])
		return
	}
	l.state[name] = localBegun
	attr := l.attrs[name]
	l.scope.setLocal(name, cty.DynamicVal) // until known, and for good in a cycle
	bad := l.scope.checkReferences(attr.Expr, l.names)
	for _, needed := range localsIn(attr.Expr) {
		if _, defined := l.attrs[needed]; defined {
			l.evaluate(needed, append(slices.Clone(path), name))
		}
	}
	if !bad.HasErrors() {
		var value cty.Value
		value, bad = l.scope.value(attr.Expr)
		l.scope.setLocal(name, value)
	}
	l.diags = append(l.diags, bad...)
	l.state[name] = localDone
}

// cycle reports that the locals of path refer to each other in a circle.
func (l *localSet) cycle(path []string) {
	var steps []string
	for _, name := range append(slices.Clone(path), path[0]) {
		steps = append(steps, "local."+name)
	}
	l.diags = append(l.diags, errorAt(l.attrs[path[0]].SrcRange, "Locals refer to each other in a circle",
		"%s. One of them must get its value from elsewhere.", strings.Join(steps, " → ")))
}

// localsIn returns the names of the locals that an expression refers to.
func localsIn(expr hclsyntax.Expression) []string {
	var found []string
	for _, traversal := range hclsyntax.Variables(expr) {
		if traversal.RootName() != "local" || len(traversal) < 2 {
			continue
		}
		if step, ok := traversal[1].(hcl.TraverseAttr); ok {
			found = append(found, step.Name)
		}
	}
	return found
}
