// Package report is what a build says about its result: the manifest, a file
// for programs whose schema is docs/manifest.schema.json, and its summary, for
// people.
//
// A manifest holds what was made and measured, and nothing that differs between
// two builds of the same inputs: no times, no host names, no absolute paths. So
// it can be compared byte by byte, like the artifacts it names.
//
// The package measures nothing itself.
package report
