package otp

import (
	"context"
	"maps"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// HostStep is the step that makes the OTP for the build host, the same for every
// strategy. cc is the version of the build host's own compiler.
func HostStep(id string, def *builder.Definition, cc string) builder.Step {
	inputs := map[string]string{"cc": cc}
	maps.Copy(inputs, HostInputs())
	return builder.Step{ID: id, Kind: "custom/otp", Title: "OTP " + def.OTP.Version + " for the build host", Sources: []string{"erlang"}, Inputs: inputs}
}

// BuildHost runs the step.
func BuildHost(ctx context.Context, req *builder.BuildRequest, ev builder.Events) error {
	return Host{Source: req.Sources["erlang"].Path, Out: req.Out, Work: req.Work, Jobs: req.Jobs}.Build(ctx, ev)
}

// ElixirStep is the step that compiles Elixir with the OTP of step otp, the same
// for every strategy.
func ElixirStep(id, otp string, def *builder.Definition) builder.Step {
	return builder.Step{ID: id, Kind: "custom/elixir", Title: "Elixir " + def.Elixir, Needs: []string{otp}, Sources: []string{"elixir"},
		Inputs: map[string]string{"recipe": "2"}}
}

// BuildElixir runs the step.
func BuildElixir(ctx context.Context, otp string, req *builder.BuildRequest, ev builder.Events) error {
	return Elixir{Source: req.Sources["elixir"].Path, OTP: req.Needs[otp], Out: req.Out, Work: req.Work, Jobs: req.Jobs}.Build(ctx, ev)
}
