// Command leanlab-builder-alpine builds a machine from Alpine Linux: its musl,
// BusyBox and BEAM, as packages, under our own small kernel or Alpine's.
//
// In order of events: config.go (its block), probe.go (what the host lacks),
// plan.go (sources and steps); resolve.go (which packages), with keys.go,
// repository.go, verify.go and solve.go; root.go (packages installed into a
// root), machine.go (the rest of the machine).
package main

import "github.com/somebloke1/elixir-lean-lab/core/builder"

func main() { builder.Serve(alpine{}) }

// alpine implements builder.Builder and builder.Resolver.
type alpine struct{}
