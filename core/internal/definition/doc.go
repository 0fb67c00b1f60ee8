// Package definition turns HCL files into typed VM definitions, and turns
// whatever is wrong with them into diagnostics that a person can act on.
//
// Evaluation happens here and nowhere else, in passes: the leanlab block's
// required version, variables, locals, vm blocks. A builder plugin gets its own
// block as JSON constants, checked against the schema that it publishes; the
// blocks of the host itself are described by the same kind of schema
// (builder.Schema) and go through the same decoder, so that an unknown name, a
// wrong type or a missing attribute reads the same wherever it stands.
//
// Every diagnostic about the contents of a file has a Subject, and the Subject
// lies in a file that Definitions.Write can quote. Values given on the command
// line and in the environment are files of their own in that respect. Only a
// file that cannot be read has no place to point at.
//
// The package does not know which strategies, fragments or overlays exist, does
// not fetch and does not build. It looks at the disk for the files of the
// definition and, in CheckApp, for the app's mix.exs.
package definition
