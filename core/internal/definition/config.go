package definition

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// DecodeConfig evaluates the strategy's block against the schema that its
// builder publishes, and returns it as JSON with the defaults filled in. A
// definition without the block gets the defaults.
func (d *Definitions) DecodeConfig(vm *VM, schema builder.Schema) ([]byte, hcl.Diagnostics) {
	strategyAt := locate(vm.block.Body, vm.block.DefRange(), "strategy")
	if _, err := specFor(schema); err != nil {
		return nil, hcl.Diagnostics{errorAt(strategyAt, fmt.Sprintf("The builder %q publishes an unusable schema", vm.Strategy),
			"%v. This is a fault of the plugin, not of the definition.", err)}
	}
	body, header := &hclsyntax.Body{SrcRange: strategyAt, EndRange: strategyAt}, strategyAt
	if vm.strategy != nil {
		body, header = vm.strategy.Body, vm.strategy.DefRange()
	}
	value, diags := d.scope.decode(body, header, "the "+vm.Strategy+" block", schema)
	if !diags.HasErrors() && value.IsWhollyKnown() {
		config, err := ctyjson.Marshal(value, value.Type())
		if err == nil {
			return config, diags
		}
		diags = append(diags, errorAt(header, "The block cannot be handed to the builder", "%v.", err))
	}
	d.sources.sort(diags)
	return nil, diags
}

// isText reports whether a value is that text, as a key of an object is.
func isText(value cty.Value, text string) bool {
	return value.Type() == cty.String && value.AsString() == text
}
