// Package builder is the contract between leanlab and the plugins that build
// machines, and all that a plugin author imports.
//
// A plugin is a binary whose main calls Serve with a Builder. The host runs it
// as a child process and speaks gRPC to it through hashicorp/go-plugin. A
// plugin must not write to its standard output: that carries the handshake.
// What people should see goes through Events.
//
// Versioning: the major version is the number in the handshake and the name of
// the protobuf package; a published major version never changes its meaning.
// Additions are capabilities, named in Description; unknown names are ignored.
//
// This package does not know how a host schedules, caches or fetches.
package builder
