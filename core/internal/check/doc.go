// Package check says what can be asked of an image that is booted, as a
// definition, a manifest and a command line ask it, and what cannot be asked.
//
// It makes no check: core/internal/verify does.
package check
