package definition

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// EnvPrefix is what the name of an environment variable that gives a variable
// its value begins with.
const EnvPrefix = "LEANLAB_VAR_"

// variable is a variable block and the value it has got.
type variable struct {
	name   string
	typ    cty.Type
	block  hcl.Range
	value  cty.Value // cty.NilVal until it has one
	origin string    // where the value came from, for people; "" for the default
}

var variableNames = names{attributes: []string{"type", "default", "description"}}

// declareVariables reads the variable blocks. A variable that is declared badly
// is there with an unknown value, so that its uses are no further errors.
func declareVariables(blocks []*hclsyntax.Block) (map[string]*variable, hcl.Diagnostics) {
	var diags hcl.Diagnostics
	variables := map[string]*variable{}
	for _, block := range blocks {
		name := block.Labels[0]
		if first, again := variables[name]; again {
			diags = append(diags, duplicate(fmt.Sprintf("Variable %q is declared twice", name), block.DefRange(), first.block))
			continue
		}
		if !hclsyntax.ValidIdentifier(name) {
			diags = append(diags, errorAt(block.LabelRanges[0], "Bad variable name",
				"%q cannot be written after \"var.\": use letters, digits, - and _, beginning with a letter.", name))
			continue
		}
		v, more := declareVariable(name, block)
		diags = append(diags, more...)
		variables[name] = v
	}
	return variables, diags
}

func declareVariable(name string, block *hclsyntax.Block) (*variable, hcl.Diagnostics) {
	v := &variable{name: name, typ: cty.DynamicPseudoType, block: block.DefRange()}
	diags := variableNames.unknown(block.Body, "a variable block")
	if attr := block.Body.Attributes["type"]; attr != nil {
		typ, bad := variableType(attr.Expr)
		diags = append(diags, bad...)
		v.typ = typ
	}
	if attr := block.Body.Attributes["default"]; attr != nil {
		value, bad := constant(attr.Expr, v.typ, fmt.Sprintf("The default of variable %q", name))
		diags = append(diags, bad...)
		v.value = value
	}
	if attr := block.Body.Attributes["description"]; attr != nil {
		_, bad := constant(attr.Expr, cty.String, "A description")
		diags = append(diags, bad...)
	}
	if diags.HasErrors() {
		v.value = cty.DynamicVal
	}
	return v, diags
}

// variableType reads a type expression.
func variableType(expr hclsyntax.Expression) (cty.Type, hcl.Diagnostics) {
	typ, diags := typeexpr.TypeConstraint(expr)
	if !diags.HasErrors() {
		return typ, nil
	}
	return cty.DynamicPseudoType, hcl.Diagnostics{errorAt(expr.Range(), "Bad type",
		"A type is string, number, bool or any, or made of them, such as list(string), map(string) and object({ name = string }); without quotes.")}
}

// constant evaluates an expression in which nothing may be referred to, and
// converts it.
func constant(expr hclsyntax.Expression, typ cty.Type, what string) (cty.Value, hcl.Diagnostics) {
	value, diags := expr.Value(nil)
	if diags.HasErrors() {
		return cty.DynamicVal, hcl.Diagnostics{errorAt(expr.Range(), "Not a constant",
			"%s is a constant: it may not refer to anything or call a function, and text is written in quotes.", what)}
	}
	converted, err := convert.Convert(value, typ)
	if err != nil {
		return cty.DynamicVal, hcl.Diagnostics{errorAt(expr.Range(), "Wrong type", "%s must be of another type: %v.", what, err)}
	}
	return converted, nil
}

// assignVariables gives variables their values. Later ones win: default,
// environment, files in order, command line in order.
func (d *Definitions) assignVariables(variables map[string]*variable, o Options) hcl.Diagnostics {
	diags := d.assignEnvironment(variables, o.Environ)
	for _, path := range o.VarFiles {
		diags = append(diags, d.assignFile(variables, path)...)
	}
	diags = append(diags, d.assignCommandLine(variables, o.Vars)...)
	for _, name := range sorted(variables) {
		v := variables[name]
		if v.value != cty.NilVal {
			continue
		}
		v.value = cty.DynamicVal
		diags = append(diags, errorAt(v.block, fmt.Sprintf("Variable %q has no value", name),
			"It has no default. Give it a value with --var %s=…, with %s = … in a file after --var-file, or in the environment as %s%s.", name, name, EnvPrefix, name))
	}
	return diags
}

// assignEnvironment ignores names that are not declared: the environment is
// shared by all definitions.
func (d *Definitions) assignEnvironment(variables map[string]*variable, environ []string) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, entry := range environ {
		key, _, ok := strings.Cut(entry, "=")
		name, ours := strings.CutPrefix(key, EnvPrefix)
		if v := variables[name]; ok && ours && v != nil {
			diags = append(diags, d.assignText(v, "environment "+key, entry, len(key)+1, "the environment")...)
		}
	}
	return diags
}

func (d *Definitions) assignCommandLine(variables map[string]*variable, vars []string) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, entry := range vars {
		name, _, ok := strings.Cut(entry, "=")
		v := variables[name]
		if ok && v != nil {
			diags = append(diags, d.assignText(v, "--var "+name, entry, len(name)+1, "--var")...)
			continue
		}
		at := hcl.Range{Filename: d.sources.addText("--var "+name, entry), Start: hcl.InitialPos, End: after(name)}
		if !ok {
			diags = append(diags, errorAt(at, "A --var without a value", "Write --var %s=VALUE.", cmp.Or(nearest(name, sorted(variables)), "NAME")))
			continue
		}
		diags = append(diags, errorAt(at, fmt.Sprintf("Unknown variable %q", name),
			"The definition declares no such variable. %s", didYouMean(name, sorted(variables))))
	}
	return diags
}

// after returns the position behind text that begins a source.
func after(text string) hcl.Pos {
	pos := hcl.InitialPos
	scanner := hcl.NewRangeScanner([]byte(text), "", scanAll)
	for scanner.Scan() {
		pos = scanner.Range().End
	}
	return pos
}

func scanAll(data []byte, atEOF bool) (int, []byte, error) {
	return len(data), data, nil
}

// assignText gives v the value in entry[from:], which is literal text where the
// variable is a string, number, bool or of any type, and HCL where it is not.
func (d *Definitions) assignText(v *variable, source, entry string, from int, origin string) hcl.Diagnostics {
	source = d.sources.addText(source, entry)
	text := entry[from:]
	at := hcl.Range{Filename: source, Start: after(entry[:from]), End: after(entry)}
	v.origin = origin
	if v.typ.IsPrimitiveType() || v.typ == cty.DynamicPseudoType {
		value, err := convert.Convert(cty.StringVal(text), v.typ)
		if err != nil {
			v.value = cty.DynamicVal
			return hcl.Diagnostics{errorAt(at, fmt.Sprintf("Wrong type for variable %q", v.name),
				"It is declared at %s as %s: %v.", place(v.block), typeexpr.TypeString(v.typ), err)}
		}
		v.value = value
		return nil
	}
	expr, diags := hclsyntax.ParseExpression([]byte(text), source, at.Start)
	if !diags.HasErrors() {
		v.value, diags = constant(expr, v.typ, "It")
	}
	if !diags.HasErrors() {
		return nil
	}
	v.value = cty.DynamicVal
	return hcl.Diagnostics{errorAt(at, fmt.Sprintf("Wrong value for variable %q", v.name),
		"It is declared at %s as %s, which is written as in HCL, such as '%s=%s'.", place(v.block), typeexpr.TypeString(v.typ), v.name, example(v.typ))}
}

// example returns how a value of a type that is not primitive is written.
func example(typ cty.Type) string {
	if typ.IsMapType() || typ.IsObjectType() {
		return `{ name = "value" }`
	}
	return `["one", "two"]`
}

// assignFile reads a file of name = value. A name that is not declared is only
// a warning, since such a file may serve several definitions.
func (d *Definitions) assignFile(variables map[string]*variable, path string) hcl.Diagnostics {
	body, diags := d.sources.read(path)
	if body == nil {
		return diags
	}
	for _, block := range body.Blocks {
		diags = append(diags, errorAt(block.TypeRange, "Unexpected block", "A file after --var-file holds only NAME = VALUE."))
	}
	for name, attr := range body.Attributes {
		v := variables[name]
		if v == nil {
			warning := errorAt(attr.NameRange, fmt.Sprintf("Unknown variable %q", name),
				"The definition declares no such variable; the value is not used. %s", didYouMean(name, sorted(variables)))
			warning.Severity = hcl.DiagWarning
			diags = append(diags, warning)
			continue
		}
		value, bad := constant(attr.Expr, v.typ, fmt.Sprintf("Variable %q, declared at %s,", name, place(v.block)))
		diags = append(diags, bad...)
		v.value, v.origin = value, place(attr.NameRange)
	}
	return diags
}

// place is a range as people write it: file:line.
func place(r hcl.Range) string {
	return fmt.Sprintf("%s:%d", r.Filename, r.Start.Line)
}

// originOf says where the variable that a traversal refers to got its value.
func (s *scope) originOf(traversal hcl.Traversal) string {
	if s == nil || traversal.RootName() != "var" || len(traversal) < 2 {
		return ""
	}
	step, ok := traversal[1].(hcl.TraverseAttr)
	if !ok || !slices.Contains(sorted(s.variables), step.Name) {
		return ""
	}
	return s.variables[step.Name].origin
}
