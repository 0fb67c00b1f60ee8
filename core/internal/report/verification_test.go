package report

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestVerificationsAreAsOnFile(t *testing.T) {
	t.Parallel()
	v := &Verification{Image: "build/shop", Checks: []Check{
		{Name: "gets ready", Seconds: 5.25},
		{Name: `answers 4000/ 200 <ok> & "more"`, Seconds: 0.5, Failure: "the status is 500\nand not 200\x1b[31m"},
		{Name: "evaluates 1 => 1", Skipped: "the VM did not get ready"},
	}, Console: []string{"leanlab: init uptime=1", "\x1b[31mred"}}
	if v.Failed() != 1 {
		t.Errorf("%d failed, want 1", v.Failed())
	}
	const failed = "1 of 3 checks failed\nanswers 4000/ 200 <ok> & \"more\": the status is 500\nand not 200\x1b[31m\n" +
		"the last 2 lines of the VM's console:\n  | leanlab: init uptime=1\n  | [31mred"
	if err := v.Err(); err == nil || err.Error() != failed {
		t.Errorf("the error is %q, want %q", err, failed)
	}
	if err := (&Verification{Checks: v.Checks[:1]}).Err(); err != nil {
		t.Errorf("nothing failed, and yet: %v", err)
	}
	for file, write := range map[string]func(io.Writer, *Verification) error{
		"verification.txt": VerificationText, "verification.xml": VerificationJUnit, "verification.json": VerificationJSON,
	} {
		var got bytes.Buffer
		if err := write(&got, v); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", file)
		if *update {
			if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || got.String() != string(want) {
			t.Errorf("%s differs (%v); go test -update writes it:\n%s", path, err, got.String())
		}
	}
}
