// Command leanlab-builder-custom builds the smallest machine: its own kernel
// from tinyconfig and fragments, BusyBox, OTP and Elixir, all from source.
//
// In order of events: config.go (its block), probe.go (what the host lacks),
// plan.go (sources and steps), then a file for each kind of step that is not
// every strategy's: busybox.go, machine.go. configure.go is menuconfig.
package main

import "github.com/somebloke1/elixir-lean-lab/core/builder"

func main() { builder.Serve(custom{}) }

// custom implements builder.Builder.
type custom struct{}
