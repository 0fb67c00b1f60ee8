package builderpb

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// protocVersion is the line of the header that depends on the protoc at hand.
var protocVersion = regexp.MustCompile(`(?m)^// (-\s+)?\s*protoc\s+v.*$`)

func TestGeneratedCodeIsThatOfTheProto(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("protoc"); err != nil {
		t.Skip("no protoc here (Debian: protobuf-compiler), so the generated code cannot be compared with builder.proto")
	}
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "./generate.sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("generate.sh: %v\n%s", err, out)
	}
	for _, name := range []string{"builder.pb.go", "builder_grpc.pb.go"} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		checkedIn, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(protocVersion.ReplaceAll(got, nil), protocVersion.ReplaceAll(checkedIn, nil)) {
			t.Errorf("%s is not what builder.proto generates: run go generate ./core/builder/builderpb", name)
		}
	}
}
