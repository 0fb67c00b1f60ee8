package definition

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// decode evaluates a body that schema describes. Of what is wrong, everything
// is reported; in the result it is unknown. where is what the body is part of,
// and header its place.
//
// The schema must be one that specFor accepts; ours are, and a plugin's is
// checked before it is used.
func (s *scope) decode(body *hclsyntax.Body, header hcl.Range, where string, schema builder.Schema) (cty.Value, hcl.Diagnostics) {
	spec, err := specFor(schema)
	if err != nil {
		return cty.DynamicVal, hcl.Diagnostics{errorAt(header, "Unusable schema", "%v.", err)}
	}
	clean, diags := s.clean(body, header, where, schema)
	value, more := hcldec.Decode(clean, spec, s.context)
	return value, append(diags, more...)
}

// clean returns a copy of body in which hcldec finds nothing to complain about
// but types and repeated blocks: unknown names are gone, what cannot be
// evaluated is an unknown value, and both are reported. hcldec's own complaints
// name only near names, of one kind, and nothing when a plugin nests blocks.
func (s *scope) clean(body *hclsyntax.Body, header hcl.Range, where string, schema builder.Schema) (*hclsyntax.Body, hcl.Diagnostics) {
	known := namesOf(schema)
	diags := known.unknown(body, where)
	clean := &hclsyntax.Body{Attributes: hclsyntax.Attributes{}, SrcRange: body.SrcRange, EndRange: body.EndRange}
	for _, want := range schema.Attributes {
		attr, present := body.Attributes[want.Name]
		if !present {
			if want.Required && !isBlock(body, want.Name) {
				diags = append(diags, errorAt(header, fmt.Sprintf("Missing attribute %q", want.Name),
					"%s needs it: %s = …", capital(where), want.Name))
				clean.Attributes[want.Name] = unknownAttribute(want.Name, header)
			}
			continue
		}
		ok, bad := s.checkAttribute(attr, want)
		diags = append(diags, bad...)
		if !ok {
			attr = unknownAttribute(attr.Name, attr.Expr.Range())
		}
		clean.Attributes[attr.Name] = attr
	}
	first := map[string]hcl.Range{}
	for _, block := range body.Blocks {
		i := slices.IndexFunc(schema.Blocks, func(b builder.Block) bool { return b.Name == block.Type })
		if i < 0 {
			continue
		}
		want := schema.Blocks[i]
		if before, repeated := first[block.Type]; repeated && !want.List {
			diags = append(diags, duplicate(fmt.Sprintf("Second %s block", block.Type), block.DefRange(), before))
			continue
		}
		first[block.Type] = block.DefRange()
		if bad := checkLabels(block, nil); bad != nil {
			diags = append(diags, bad)
		}
		inner, more := s.clean(block.Body, block.DefRange(), article(block.Type)+" block", want.Schema)
		diags = append(diags, more...)
		copied := *block
		copied.Labels, copied.LabelRanges, copied.Body = nil, nil, inner
		clean.Blocks = append(clean.Blocks, &copied)
	}
	return clean, diags
}

// checkAttribute reports what hcldec would not, or not as well. ok says that
// there is a value for hcldec to look at.
func (s *scope) checkAttribute(attr *hclsyntax.Attribute, want builder.Attribute) (ok bool, diags hcl.Diagnostics) {
	value, diags := s.value(attr.Expr)
	switch {
	case diags.HasErrors() || !value.IsKnown():
	case value.IsNull() && want.Required:
		diags = append(diags, errorAt(attr.Expr.Range(), fmt.Sprintf("Attribute %q is null", want.Name), "It must have a value."))
	case want.Type == "string" && !value.IsNull() && value.Type() == cty.Number && !value.AsBigFloat().IsInt():
		// 1.20 is the number 1.2, and nobody who writes it means Elixir 1.2.
		diags = append(diags, errorAt(attr.Expr.Range(), fmt.Sprintf("Attribute %q is text", want.Name),
			"Write it in quotes: a number loses its last zeros, 1.20 is the same as 1.2."))
	}
	for _, diag := range diags {
		diag.Expression, diag.EvalContext = attr.Expr, s.context
	}
	return value.IsKnown() && !diags.HasErrors(), diags
}

func isBlock(body *hclsyntax.Body, name string) bool {
	return slices.ContainsFunc(body.Blocks, func(b *hclsyntax.Block) bool { return b.Type == name })
}

func unknownAttribute(name string, at hcl.Range) *hclsyntax.Attribute {
	return &hclsyntax.Attribute{
		Name: name, SrcRange: at, NameRange: at, EqualsRange: at,
		Expr: &hclsyntax.LiteralValueExpr{Val: cty.DynamicVal, SrcRange: at},
	}
}

func namesOf(schema builder.Schema) names {
	var n names
	for _, a := range schema.Attributes {
		n.attributes = append(n.attributes, a.Name)
	}
	for _, b := range schema.Blocks {
		n.blocks = append(n.blocks, b.Name)
	}
	return n
}

// specFor translates a schema for hcldec.
func specFor(schema builder.Schema) (hcldec.ObjectSpec, error) {
	spec := hcldec.ObjectSpec{}
	for _, a := range schema.Attributes {
		attr, err := attrSpec(a)
		if err != nil {
			return nil, fmt.Errorf("attribute %s: %w", a.Name, err)
		}
		if err := claim(spec, a.Name); err != nil {
			return nil, err
		}
		spec[a.Name] = attr
	}
	for _, b := range schema.Blocks {
		nested, err := specFor(b.Schema)
		if err != nil {
			return nil, fmt.Errorf("block %s: %w", b.Name, err)
		}
		if err := claim(spec, b.Name); err != nil {
			return nil, err
		}
		if b.List {
			// A tuple, since a list would need all its blocks to be of one type
			// even where an attribute's type is any.
			spec[b.Name] = &hcldec.BlockTupleSpec{TypeName: b.Name, Nested: nested}
		} else {
			spec[b.Name] = &hcldec.BlockSpec{TypeName: b.Name, Nested: nested}
		}
	}
	return spec, nil
}

// claim refuses a name that cannot be written in HCL or that is taken.
func claim(spec hcldec.ObjectSpec, name string) error {
	if !hclsyntax.ValidIdentifier(name) {
		return fmt.Errorf("%q is no HCL identifier", name)
	}
	if _, taken := spec[name]; taken {
		return fmt.Errorf("%s is there twice", name)
	}
	return nil
}

func attrSpec(a builder.Attribute) (hcldec.Spec, error) {
	typ, err := parseType(a.Type)
	if err != nil {
		return nil, err
	}
	spec := &hcldec.AttrSpec{Name: a.Name, Type: typ}
	if a.Default == "" {
		return spec, nil
	}
	value, err := ctyjson.Unmarshal([]byte(a.Default), typ)
	if err != nil {
		return nil, fmt.Errorf("default %s is no %s: %w", a.Default, a.Type, err)
	}
	return &hcldec.DefaultSpec{Primary: spec, Default: &hcldec.LiteralSpec{Value: value}}, nil
}

func parseType(text string) (cty.Type, error) {
	expr, diags := hclsyntax.ParseExpression([]byte(text), "type", hcl.InitialPos)
	if diags.HasErrors() {
		return cty.NilType, fmt.Errorf("type %q is no HCL type expression", text)
	}
	typ, diags := typeexpr.TypeConstraint(expr)
	if diags.HasErrors() {
		return cty.NilType, fmt.Errorf("type %q is no HCL type expression", text)
	}
	return typ, nil
}

// withDefaultBlocks returns body with an empty block for each of schema that
// is not in it, except the optional ones: their attributes get their defaults.
func withDefaultBlocks(body *hclsyntax.Body, header hcl.Range, schema builder.Schema, optional ...string) *hclsyntax.Body {
	full := &hclsyntax.Body{Attributes: maps.Clone(body.Attributes), SrcRange: body.SrcRange, EndRange: body.EndRange}
	full.Blocks = append(full.Blocks, body.Blocks...)
	for _, want := range schema.Blocks {
		if isBlock(body, want.Name) || slices.Contains(optional, want.Name) {
			continue
		}
		full.Blocks = append(full.Blocks, &hclsyntax.Block{
			Type: want.Name, Body: &hclsyntax.Body{SrcRange: header, EndRange: header},
			TypeRange: header, OpenBraceRange: header, CloseBraceRange: header,
		})
	}
	return full
}
