package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What the external tree brings besides makefiles, run as Buildroot runs it.
const externalTree = "../../buildroot-external"

func TestALostRequestIsNamedWithItsFileAndLine(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	config := write("config", "CONFIG_NET=y\n# CONFIG_IPV6 is not set\nCONFIG_HZ=100\nCONFIG_NAME=\"a=b\"\n")
	first := write("first", "# CONFIG_HZ is not a request: prose may name symbols\nCONFIG_HZ=250\n# CONFIG_SWAP is not set\nCONFIG_NAME=\"a=b\"\nCONFIG_EMPTY=\"\"\n")
	for _, c := range []struct{ name, second, want string }{
		{"all are honoured, the last one of a symbol counts", "CONFIG_NET=y\nCONFIG_HZ=100\n", ""},
		{"off although asked for", "CONFIG_HZ=100\n\nCONFIG_IPV6=y\n", "second:3: CONFIG_IPV6=y came out as n"},
		{"not there although asked for", "CONFIG_HZ=100\nCONFIG_IPV7=m\n", "second:2: CONFIG_IPV7=m came out as n"},
		{"on although it was to be off", "CONFIG_HZ=100\n# CONFIG_NET is not set\n", "second:2: CONFIG_NET=n came out as y"},
		{"another value", "CONFIG_NET=y\n", "first:2: CONFIG_HZ=250 came out as 100"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command(filepath.Join(externalTree, "utils", "check-requests"), config, first, write("second", c.second))
			out, err := cmd.CombinedOutput()
			if (err == nil) != (c.want == "") {
				t.Fatalf("it ended with %v and said:\n%s", err, out)
			}
			if !strings.Contains(string(out), c.want) {
				t.Errorf("it said:\n%swithout %q", out, c.want)
			}
		})
	}
}

// An OTP of the build host gives its modules to the target.
func TestApplicationsAreInstalledWithWhatTheyDependOn(t *testing.T) {
	erl := os.Getenv("LEANLAB_TEST_ERL")
	if erl == "" {
		t.Skip("LEANLAB_TEST_ERL names no erl (make test-vm gives one)")
	}
	otp := filepath.Dir(filepath.Dir(erl))
	install := func(to string, args ...string) ([]byte, error) {
		script := filepath.Join(externalTree, "package", "leanlab-otp", "install-applications.escript")
		args = append([]string{script, args[0], to, filepath.Join(otp, "lib")}, args[1:]...)
		return exec.Command(filepath.Join(otp, "bin", "escript"), args...).CombinedOutput()
	}

	to := filepath.Join(t.TempDir(), "lib")
	if out, err := install(to, "strip", "ssl"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, app := range []string{"asn1", "crypto", "kernel", "public_key", "ssl", "stdlib"} {
		found, _ := filepath.Glob(filepath.Join(to, app+"-*", "ebin", app+".app"))
		if len(found) != 1 {
			t.Errorf("ssl needs %s; found %v", app, found)
		}
	}
	if other, _ := filepath.Glob(filepath.Join(to, "compiler-*")); len(other) != 0 {
		t.Errorf("nobody asked for %v", other)
	}
	if priv, _ := filepath.Glob(filepath.Join(to, "*", "priv")); len(priv) != 0 {
		t.Errorf("%v are for the build host", priv)
	}
	beams, _ := filepath.Glob(filepath.Join(to, "stdlib-*", "ebin", "lists.beam"))
	if len(beams) != 1 {
		t.Fatalf("lists.beam: found %v", beams)
	}
	beam, err := os.ReadFile(beams[0])
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(beam, []byte("FOR1")) || bytes.Contains(beam, []byte("Dbgi")) || !bytes.Contains(beam, []byte("Attr")) {
		t.Errorf("%s should be neither packed nor carry debug information, and keep its attributes", beams[0])
	}

	out, err := install(filepath.Join(t.TempDir(), "lib"), "keep", "stdlib", "nosuch")
	if err == nil || !strings.Contains(string(out), "no application nosuch; there are") {
		t.Errorf("an unknown application ended with %v and\n%s", err, out)
	}
}
