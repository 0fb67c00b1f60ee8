#!/bin/sh
# Regenerates builder.pb.go and builder_grpc.pb.go from builder.proto, into the
# directory given (default: beside the .proto). Needs protoc (Debian:
# protobuf-compiler). protoc-gen-go is the version that go.mod requires;
# protoc-gen-go-grpc is a module of its own, so its version stands here.
set -eu
cd "$(dirname "$0")"
out=${1:-.}
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
GOBIN=$bin go install google.golang.org/protobuf/cmd/protoc-gen-go
GOBIN=$bin go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2
PATH=$bin:$PATH protoc \
	--go_out="$out" --go_opt=paths=source_relative \
	--go-grpc_out="$out" --go-grpc_opt=paths=source_relative \
	builder.proto
