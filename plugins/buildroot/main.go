// Command leanlab-builder-buildroot builds a machine with Buildroot: somebody
// else's make, which takes hours the first time and keeps what it made in a
// directory of its own.
//
// What it adds to `make` is before and after it: it says at once what is missing
// or would be dropped without a word, turns the definition into a configuration,
// lets the host fetch what Buildroot would download, shows how far make is, and
// decides what of an earlier build still counts. The configuration itself is an
// ordinary defconfig in an ordinary external tree (buildroot-external/).
//
// In order of events:
//
//	config.go      the block, and what is wrong with it
//	tree.go        Buildroot itself: where, which version
//	external.go    external trees, and whether they go together
//	symbols.go     Config.in: what is unknown, removed or dropped
//	probe.go       what the host lacks
//	plan.go        steps and their keys
//	toolchain.go   step toolchain: one made from the host's packages; its facts
//	request.go     the configuration that the definition asks for
//	configure.go   step configuration: .config, the graph of packages, downloads
//	change.go      step build: what of an earlier build still counts
//	build.go       step build: make source, the kernel's .config, make
//	progress.go    make's output as events
//	machine.go     step machine: what came out
//	menuconfig.go  menuconfig, linux-menuconfig, busybox-menuconfig, savedefconfig
package main

import "github.com/somebloke1/elixir-lean-lab/core/builder"

func main() { builder.Serve(buildroot{}) }

// buildroot implements builder.Builder.
type buildroot struct{}
