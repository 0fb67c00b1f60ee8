package guest

import (
	"bytes"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// compiled returns /init built with the host's cc; extra flags may add checks.
func compiled(tb testing.TB, flags ...string) string {
	tb.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		tb.Skip("no C compiler (cc) to build /init with")
	}
	out := filepath.Join(tb.TempDir(), "init")
	compile(tb, cc, out, flags...)
	return out
}

func compile(tb testing.TB, cc, out string, flags ...string) {
	tb.Helper()
	src := out + ".c"
	if err := os.WriteFile(src, Source(), 0o644); err != nil {
		tb.Fatal(err)
	}
	args := append([]string{"-Os", "-Wall", "-Wextra", "-Werror"}, flags...)
	msg, err := exec.Command(cc, append(args, "-o", out, src)...).CombinedOutput()
	if err != nil {
		tb.Fatalf("%s: %v\n%s", cc, err, msg)
	}
}

var checkedDir string

// checked builds one /init with address and undefined behaviour checks for all parse tests.
var checked = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "leanlab-init-")
	if err != nil {
		return "", err
	}
	checkedDir = dir
	src, out := filepath.Join(dir, "init.c"), filepath.Join(dir, "init")
	if err := os.WriteFile(src, Source(), 0o644); err != nil {
		return "", err
	}
	msg, err := exec.Command("cc", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover",
		"-o", out, src).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, msg)
	}
	return out, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if checkedDir != "" {
		os.RemoveAll(checkedDir)
	}
	os.Exit(code)
}

// check runs `init --check` on text.
func check(tb testing.TB, text []byte) (stdout string, status int) {
	tb.Helper()
	init, err := checked()
	if err != nil {
		tb.Skipf("cc with -fsanitize=address,undefined does not build /init: %v", err)
	}
	file := filepath.Join(tb.TempDir(), "boot")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		tb.Fatal(err)
	}
	var out, errs bytes.Buffer
	cmd := exec.Command(init, "--check", file)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() != 1 {
		tb.Fatalf("init --check: %v\n%s\nboot file:\n%q", err, errs.String(), text)
	}
	return strings.ReplaceAll(out.String(), file, "FILE"), cmd.ProcessState.ExitCode()
}

func TestInitIsSmallAndStatic(t *testing.T) {
	t.Parallel()
	for _, cc := range []string{"cc", "musl-gcc"} {
		t.Run(cc, func(t *testing.T) {
			t.Parallel()
			path, err := exec.LookPath(cc)
			if err != nil {
				t.Skipf("%s is not installed", cc)
			}
			out := filepath.Join(t.TempDir(), "init")
			compile(t, path, out, "-static", "-s")
			info, err := os.Stat(out)
			if err != nil {
				t.Fatal(err)
			}
			if limit := int64(800_000); info.Size() > limit {
				t.Errorf("%d bytes, more than %d", info.Size(), limit)
			}
			msg, err := exec.Command(out).CombinedOutput()
			if err == nil || !strings.Contains(string(msg), "usage: init --check FILE") {
				t.Errorf("run by hand: %v %q, want the usage and a failure", err, msg)
			}
		})
	}
}

func TestInitReadsWhatEncodeWrites(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]Boot{
		"least": {Exec: "/bin/true"},
		"full": {
			Hostname: "hello", UID: 1000, GID: 1001, Chdir: "/srv/app", DHCP: "eth0",
			Address: "eth0 10.0.2.15/24 10.0.2.2", Ready: "listening on port 4000",
			Modules: []string{"/lib/modules/failover.ko", "/lib/modules/virtio net.ko"},
			Env:     map[string]string{"HOME": "/srv", "EMPTY": "", "EQ": "a=b=c", "LANG": "C.UTF-8"},
			Exec:    "/opt/otp/bin/beam.smp", StopTimeout: 3 * time.Second,
			Args: []string{"-root", "/opt/otp", "", " leading", "trailing ", "#no comment", "tab\there", "größe", "\r"},
		},
		"largest ids": {Exec: "/x", UID: maxID, GID: maxID},
		"most words":  {Exec: "/x", Args: make([]string, maxWords)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			roundTrip(t, b)
		})
	}
}

// roundTrip: what init understood, printed in Encode's form, is what was encoded.
func roundTrip(tb testing.TB, b Boot) {
	tb.Helper()
	if b.StopTimeout == 0 {
		b.StopTimeout = 10 * time.Second // init prints its default
	}
	text, err := b.Encode()
	if err != nil {
		tb.Fatal(err)
	}
	got, status := check(tb, text)
	if status != 0 || got != string(text) {
		tb.Errorf("init understood (status %d)\n%s\nof\n%s", status, got, text)
	}
}

func TestBadBootFileIsReportedWithItsLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"", "leanlab: FILE: there is no `exec` line: nothing to run\n"},
		{"# nothing\n\nhostname x\n", "leanlab: FILE: there is no `exec` line: nothing to run\n"},
		{"exec /x\n\nfoo bar\n", "leanlab: FILE:3: foo: unknown directive\n"},
		{"exec x\n", "leanlab: FILE:1: exec: needs an absolute path\n"},
		{"exec\n", "leanlab: FILE:1: exec: needs an absolute path\n"},
		{"exec /x\nexec /y\n", "leanlab: FILE:2: exec: given twice\n"},
		{"hostname \n", "leanlab: FILE:1: hostname: needs a value\n"},
		{"ready \n", "leanlab: FILE:1: ready: needs a value\n"},
		{"ready " + strings.Repeat("x", maxReady+1) + "\n", "leanlab: FILE:1: ready: needs at most 1024 bytes\n"},
		{"address eth0\n", "leanlab: FILE:1: address: needs IFACE ADDRESS/BITS GATEWAY\n"},
		{"address eth0 10.0.2.15 10.0.2.2\n", "leanlab: FILE:1: address: needs IFACE ADDRESS/BITS GATEWAY\n"},
		{"address eth0 10.0.2.15/33 10.0.2.2\n", "leanlab: FILE:1: address: needs IFACE ADDRESS/BITS GATEWAY\n"},
		{"address eth0 10.0.2.15/24 gateway\n", "leanlab: FILE:1: address: needs IFACE ADDRESS/BITS GATEWAY\n"},
		{"address interface-name-long 10.0.2.15/24 10.0.2.2\n", "leanlab: FILE:1: address: needs IFACE ADDRESS/BITS GATEWAY\n"},
		{"chdir tmp\n", "leanlab: FILE:1: chdir: needs an absolute path\n"},
		{"user root root\n", "leanlab: FILE:1: user: needs UID GID, two numbers\n"},
		{"user 0\n", "leanlab: FILE:1: user: needs UID GID, two numbers\n"},
		{"user 0 0 0\n", "leanlab: FILE:1: user: needs UID GID, two numbers\n"},
		{"user 4294967295 0\n", "leanlab: FILE:1: user: needs UID GID, two numbers\n"},
		{"user -1 0\n", "leanlab: FILE:1: user: needs UID GID, two numbers\n"},
		{"user 18446744073709551616 0\n", "leanlab: FILE:1: user: needs UID GID, two numbers\n"},
		{"env X\n", "leanlab: FILE:1: env: needs NAME=VALUE\n"},
		{"env =X\n", "leanlab: FILE:1: env: needs NAME=VALUE\n"},
		{"stop-timeout 1m\n", "leanlab: FILE:1: stop-timeout: needs a number of seconds, at most 86400\n"},
		{"exec /x\x00y\n", "leanlab: FILE:1: exec /x: holds a NUL byte\n"},
		{"exec /x\n" + strings.Repeat("arg\n", maxWords+1), "leanlab: FILE:258: arg: more than 256 arguments\n"},
		{"exec /x\n" + strings.Repeat("env A=\n", maxWords+1), "leanlab: FILE:258: env: more than 256 variables\n"},
		{strings.Repeat("#", maxFile+1), "leanlab: FILE: File too large\n"},
	} {
		got, status := check(t, []byte(c.text))
		if got != c.want || status != 1 {
			t.Errorf("%.40q: status %d, %q; want 1, %q", c.text, status, got, c.want)
		}
	}
}

func TestEncodeRefusesWhatInitWould(t *testing.T) {
	t.Parallel()
	many := make(map[string]string)
	for i := range maxWords + 1 {
		many[fmt.Sprint("V", i)] = ""
	}
	for _, c := range []struct {
		boot Boot
		want string
	}{
		{Boot{}, "exec: there is no program"},
		{Boot{Exec: "beam"}, `exec: "beam" is not an absolute path`},
		{Boot{Exec: "/x", Chdir: "y"}, `chdir: "y" is not an absolute path`},
		{Boot{Exec: "/x\ny"}, "exec: "},
		{Boot{Exec: "/x", Hostname: "a\nb"}, "hostname: "},
		{Boot{Exec: "/x", DHCP: "a\x00"}, "dhcp: "},
		{Boot{Exec: "/x", Ready: "a\nb"}, "ready: "},
		{Boot{Exec: "/x", Ready: strings.Repeat("a", maxReady+1)}, "ready: "},
		{Boot{Exec: "/x", Address: "eth0 fe80::1/64 fe80::2"}, "address: "},
		{Boot{Exec: "/x", Address: "eth0 10.0.2.15/24"}, "address: "},
		{Boot{Exec: "/x", Address: "e\n0 10.0.2.15/24 10.0.2.2"}, "address: "},
		{Boot{Exec: "/x", Modules: []string{"/m", "n.ko"}}, `module: "n.ko" is not an absolute path`},
		{Boot{Exec: "/x", Modules: []string{"/m\n"}}, "module: "},
		{Boot{Exec: "/x", Args: []string{"ok", "a\nexec /bin/sh"}}, "arg 2: "},
		{Boot{Exec: "/x", Env: map[string]string{"SECRET": "a\n"}}, "env SECRET: "},
		{Boot{Exec: "/x", Env: map[string]string{"A=B": ""}}, `env: "A=B" cannot name`},
		{Boot{Exec: "/x", Env: map[string]string{"": "x"}}, `env: "" cannot name`},
		{Boot{Exec: "/x", Env: many}, "at most 256"},
		{Boot{Exec: "/x", UID: -1}, "user: -1 0"},
		{Boot{Exec: "/x", GID: maxID + 1}, "user: 0 4294967295"},
		{Boot{Exec: "/x", StopTimeout: time.Millisecond}, "stop-timeout: 1ms"},
		{Boot{Exec: "/x", StopTimeout: 25 * time.Hour}, "stop-timeout: 25h"},
		{Boot{Exec: "/x", Args: []string{strings.Repeat("a", maxFile)}}, "65536"},
	} {
		text, err := c.boot.Encode()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q: got %.60q, error %v; want %q", c.want, text, err, c.want)
		}
	}
}

func TestEncodeIsDeterministic(t *testing.T) {
	t.Parallel()
	b := Boot{Exec: "/x", Env: map[string]string{}}
	for i := range 50 {
		b.Env[fmt.Sprint("V", i)] = "x"
	}
	first, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if again, _ := b.Encode(); !bytes.Equal(first, again) {
			t.Fatal("two encodings of one value differ")
		}
	}
}

// FuzzBoot: whatever Encode accepts, init understands the same way.
func FuzzBoot(f *testing.F) {
	f.Add("host", "/bin/x", "a1", "NAME", "value", "eth0", "", uint32(0), uint8(3))
	f.Add("", "/", "", "_", "", "", "eth0 10.0.2.15/24 10.0.2.2", uint32(maxID), uint8(0))
	f.Add(" ", "/ # x", "#", " ", "=", " ", "e/0 1.2.3.4/0 0.0.0.0", uint32(1), uint8(255))
	f.Fuzz(func(t *testing.T, host, exe, arg, name, value, dhcp, address string, id uint32, n uint8) {
		b := Boot{Hostname: host, Exec: exe, Args: []string{arg, exe, arg}, DHCP: dhcp, Address: address, Ready: arg, UID: int(id), GID: int(n),
			Env: map[string]string{name: value}, StopTimeout: time.Duration(n) * time.Second}
		if _, err := b.Encode(); err != nil {
			t.Skip("refused")
		}
		roundTrip(t, b)
	})
}

// FuzzInitParser: no boot file makes init read or write outside its memory, and
// one that it accepts is printed in a form that it accepts with the same result.
func FuzzInitParser(f *testing.F) {
	full, err := Boot{Hostname: "h", Exec: "/x", Args: []string{"a"}, Env: map[string]string{"A": "b"}}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(full)
	f.Add([]byte("exec /x"))
	f.Add([]byte("exec /x\nmodule /m\nmodule m"))
	f.Add([]byte("exec /x\narg"))
	f.Add([]byte("user 1 2\x00\nexec /"))
	f.Add([]byte("stop-timeout 99999999999999999999\n"))
	rnd := rand.New(rand.NewSource(1))
	for range 20 {
		damaged := bytes.Clone(full)
		damaged[rnd.Intn(len(damaged))] = byte(rnd.Intn(256))
		f.Add(damaged)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		out, status := check(t, text)
		if status != 0 {
			if !strings.HasPrefix(out, "leanlab: FILE") {
				t.Errorf("refused with %q, which names no file", out)
			}
			return
		}
		if again, status := check(t, []byte(out)); status != 0 || again != out {
			t.Errorf("%q was understood as %q, and that as (status %d) %q", text, out, status, again)
		}
	})
}
