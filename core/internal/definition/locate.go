package definition

import (
	"fmt"
	"strconv"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// find returns what path leads to from body, as closely as the text says it: an
// element of a list that is written out, the expression of an attribute that
// comes from elsewhere, or the header of the block in which a default holds.
// The expression is nil when the place is a header.
func find(body *hclsyntax.Body, header hcl.Range, path []string) (hcl.Range, hclsyntax.Expression) {
	if len(path) == 0 {
		return header, nil
	}
	if attr := body.Attributes[path[0]]; attr != nil {
		expr := element(attr.Expr, path[1:])
		return expr.Range(), expr
	}
	block, rest := innerBlock(body, path[0], path[1:])
	if block == nil {
		return header, nil
	}
	return find(block.Body, block.DefRange(), rest)
}

// locate is find for those who want only the place.
func locate(body *hclsyntax.Body, header hcl.Range, path ...string) hcl.Range {
	at, _ := find(body, header, path)
	return at
}

// innerBlock returns the block of that type, which path may count.
func innerBlock(body *hclsyntax.Body, name string, path []string) (*hclsyntax.Block, []string) {
	var blocks []*hclsyntax.Block
	for _, b := range body.Blocks {
		if b.Type == name {
			blocks = append(blocks, b)
		}
	}
	if len(blocks) == 0 {
		return nil, nil
	}
	if len(path) > 0 {
		if i, err := strconv.Atoi(path[0]); err == nil && i >= 0 && i < len(blocks) {
			return blocks[i], path[1:]
		}
	}
	return blocks[0], path
}

// element descends into lists and objects that are written out.
func element(expr hclsyntax.Expression, path []string) hclsyntax.Expression {
	if parens, ok := expr.(*hclsyntax.ParenthesesExpr); ok {
		return element(parens.Expression, path)
	}
	if len(path) == 0 {
		return expr
	}
	switch e := expr.(type) {
	case *hclsyntax.TupleConsExpr:
		if i, err := strconv.Atoi(path[0]); err == nil && i >= 0 && i < len(e.Exprs) {
			return element(e.Exprs[i], path[1:])
		}
	case *hclsyntax.ObjectConsExpr:
		for _, item := range e.Items {
			if key, diags := item.KeyExpr.Value(nil); !diags.HasErrors() && key.IsKnown() && !key.IsNull() && isText(key, path[0]) {
				return element(item.ValueExpr, path[1:])
			}
		}
	}
	return expr
}

// At makes an error that points into a vm block: {"budget", "size"} is the
// attribute size of its budget block. Where the block does not set it, the error
// points at the nearest header around it.
func (d *Definitions) At(vm *VM, path []string, summary, detail string) *hcl.Diagnostic {
	at, expr := find(vm.block.Body, vm.block.DefRange(), path)
	diag := errorAt(at, summary, "%s", detail)
	if expr != nil {
		diag.Expression, diag.EvalContext = expr, d.scope.context
	}
	return diag
}

// Locate points a builder's own diagnostic at the attribute or element that it
// is about.
func (d *Definitions) Locate(vm *VM, diag builder.Diagnostic) *hcl.Diagnostic {
	path := append([]string{vm.Strategy}, diag.Path...)
	if vm.strategy == nil {
		path = []string{"strategy"}
	}
	located := d.At(vm, path, diag.Summary, diag.Detail)
	if diag.Severity == builder.Warning {
		located.Severity = hcl.DiagWarning
	}
	return located
}

// UnknownStrategy is the error for a VM of which no builder takes the strategy.
func (d *Definitions) UnknownStrategy(vm *VM, known []string) *hcl.Diagnostic {
	return d.At(vm, []string{"strategy"}, fmt.Sprintf("Unknown strategy %q", vm.Strategy),
		fmt.Sprintf("No builder of that name is installed. %s", didYouMean(vm.Strategy, known)))
}
