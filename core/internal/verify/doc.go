// Package verify boots an image and makes the checks that are asked of it
// (core/internal/check), each told by itself. `leanlab verify` and the proof of a
// build are its callers.
//
// The machine is a real one, that runs with the host's clock: nothing is counted,
// since requests of the host come when they come. What is counted is vm.Prove's.
package verify
