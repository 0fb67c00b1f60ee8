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
// A step that keeps its work directory is run in it twice, and once more after it
// was cancelled. Downloads are taken from directories and file URLs, so that a
// test needs no network.
//
// It does not know what a strategy's machine is good for: that the machine
// boots is for the author's own tests, or the host's proof.
package buildertest
