// Package builderpb is the wire form of the builder contract: the code that
// protoc generates from builder.proto. Plugin authors use core/builder, which
// converts; only a plugin in another language reads builder.proto itself.
package builderpb

//go:generate ./generate.sh
