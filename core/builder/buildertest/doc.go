// Package buildertest is the contract of package builder as a test suite, for
// authors of plugins:
//
//	func TestContract(t *testing.T) {
//		c := buildertest.Case{Definition: …, BadConfigs: …, Changes: …, Build: true}
//		for name, start := range map[string]buildertest.Start{
//			"in-process": buildertest.InProcess(mine{}),
//			"over gRPC":  buildertest.OverGRPC(mine{}),
//			"binary":     buildertest.Binary(buildertest.Compile(t, ".", "mine")),
//		} {
//			t.Run(name, func(t *testing.T) { buildertest.Suite(t, start, c) })
//		}
//	}
//
// It does not know what a strategy's machine is good for: that the machine
// boots is for the author's own tests, or the host's proof.
package buildertest
