// Package engine plans and runs a build: the one place where the order of a
// build stands. In order of events, and of files: prepare.go (plugin,
// validation, plan), sources.go, steps.go (the builder's graph), app.go (the
// release), lean.go (one tree), image.go (formats), proof.go (boot),
// output.go (build/<vm> and its manifest).
//
// It knows what comes after what and hands every result on through the store.
// How each thing is done is the business of the packages it calls.
package engine
