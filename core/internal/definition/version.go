package definition

import (
	goversion "github.com/hashicorp/go-version"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// leanlabSchema is the leanlab block: what the files ask of the program.
var leanlabSchema = builder.Schema{Attributes: []builder.Attribute{{
	Name: "required_version", Type: "string", Required: true,
	Doc: "Version constraint on leanlab itself, such as `\">= 0.1\"` or `\"~> 0.2\"`.",
}}}

// checkVersion reports every leanlab block that have, the host's version, does
// not satisfy.
func checkVersion(blocks []*hclsyntax.Block, have string) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, block := range blocks {
		value, more := newScope(nil).decode(block.Body, block.DefRange(), "the leanlab block", leanlabSchema)
		diags = append(diags, more...)
		required := value.GetAttr("required_version")
		if !required.IsKnown() || required.IsNull() {
			continue
		}
		if bad := unsatisfied(required, locate(block.Body, block.DefRange(), "required_version"), have); bad != nil {
			diags = append(diags, bad)
		}
	}
	return diags
}

func unsatisfied(required cty.Value, at hcl.Range, have string) *hcl.Diagnostic {
	constraints, err := goversion.NewConstraint(required.AsString())
	if err != nil {
		return errorAt(at, "Bad version constraint", "%q cannot be read. Write, for instance, \">= 0.1\" or \">= 0.1, < 1.0\".", required.AsString())
	}
	if have == "" {
		return nil
	}
	version, err := goversion.NewVersion(have)
	if err != nil {
		return errorAt(at, "This leanlab has no version to compare", "It calls itself %q. Install a release.", have)
	}
	if !constraints.Check(version.Core()) { // a pre-release counts as what it becomes
		return errorAt(at, "Another version of leanlab is required",
			"This is leanlab %s; the definition requires %s. Install one that satisfies it, or change the constraint.", have, required.AsString())
	}
	return nil
}
