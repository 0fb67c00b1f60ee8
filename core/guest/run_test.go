package guest

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

func TestParseReadsWhatEncodeWrites(t *testing.T) {
	t.Parallel()
	b := Boot{
		Hostname: "hello", UID: 1000, GID: 1001, Chdir: "/srv/app", DHCP: "eth0",
		Env:  map[string]string{"EMPTY": "", "EQ": "a=b=c", "SPACE": " a "},
		Exec: "/bin/beam.smp", StopTimeout: 3 * time.Second, Args: []string{"", " leading", "#no comment", "größe"},
	}
	text, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Parse(text); err != nil || !reflect.DeepEqual(got, b) {
		t.Errorf("%v\n%+v, want\n%+v", err, got, b)
	}
	if _, err := Parse([]byte("exec /x\n\nfoo bar\n")); err == nil || !strings.Contains(err.Error(), BootPath+":3: foo: unknown directive") {
		t.Errorf("got %v", err)
	}
}

// FuzzParse: what is parsed can be encoded, and is then parsed to the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte("exec /x\nenv A=b\nuser 1 2\narg \nstop-timeout 3\n# c\n"))
	f.Add([]byte("exec /x\x00\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := Parse(text)
		if err != nil {
			return
		}
		again, err := b.Encode()
		if err != nil {
			if len(text) < maxFile/2 {
				t.Fatal(err)
			}
			return // `user 0 0` is written where it was left out
		}
		if c, err := Parse(again); err != nil || !reflect.DeepEqual(b, c) {
			t.Fatalf("%v: %+v became %+v", err, b, c)
		}
	})
}

func TestWithAddsBehindTheEmulatorsFlags(t *testing.T) {
	t.Parallel()
	plain := Boot{Exec: "/x", Args: []string{"-noshell"}, Env: map[string]string{"A": "1", "B": "2"}}
	got := plain.With(map[string]string{"B": "3"}, []string{"-s", "+S"}, false)
	if want := []string{"-noshell", "-extra", "-s", "+S"}; !slices.Equal(got.Args, want) {
		t.Errorf("%q, want %q", got.Args, want)
	}
	if got.Env["A"] != "1" || got.Env["B"] != "3" || plain.Env["B"] != "2" {
		t.Errorf("environment %v, of the image's %v", got.Env, plain.Env)
	}
	console := Boot{Exec: "/x", Args: []string{"-user", "elixir", "-extra", "+iex"}}
	got = console.With(nil, []string{"a"}, true)
	if want := []string{"-user", "elixir", "-eval", evaluator(), "-extra", "+iex", "a"}; !slices.Equal(got.Args, want) {
		t.Errorf("%q, want %q", got.Args, want)
	}
	if _, err := got.Encode(); err != nil {
		t.Errorf("the evaluator does not fit a boot file: %v", err)
	}
}

func TestWithEvalIsEvaluatedLast(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"-eval a. -eval b.":              {"-eval", "a."},
		"-eval a. -eval b. -extra +iex":  {"-eval", "a.", "-extra", "+iex"},
		"-noshell -eval b. -extra -eval": {"-noshell", "-extra", "-eval"},
	} {
		was := slices.Clone(args)
		if got := strings.Join(Boot{Args: args}.WithEval("b.").Args, " "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if !slices.Equal(args, was) {
			t.Errorf("%q became %q", was, args)
		}
	}
}

func TestBootIsReplacedInAnInitrd(t *testing.T) {
	t.Parallel()
	tree := rootfs.New()
	text, err := Boot{Exec: "/old"}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{tree.Dir("/etc", 0o755), tree.Dir("/etc/leanlab", 0o755), tree.File("/a", 0o644, []byte("odd")), tree.File(BootPath, 0o644, text)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	initrd := filepath.Join(dir, "initrd")
	var archive bytes.Buffer
	if err := tree.WriteCPIO(&archive); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(initrd, archive.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, compress := range [][]string{{"cat"}, {"zstd", "-c"}, {"gzip", "-c"}, {"xz", "-c", "--check=crc32", "--x86", "--lzma2"}} {
		if _, err := exec.LookPath(compress[0]); err != nil {
			t.Logf("%s is not installed: not tried", compress[0])
			continue
		}
		packed, err := exec.Command(compress[0], append(compress[1:], initrd)...).Output()
		if err != nil {
			t.Fatalf("%s: %v", compress[0], err)
		}
		file := initrd + "." + compress[0]
		if err := os.WriteFile(file, packed, 0o644); err != nil {
			t.Fatal(err)
		}
		if boot, err := BootOf(file); err != nil || boot.Exec != "/old" {
			t.Errorf("%s: %+v, %v", compress[0], boot, err)
		}
		var out bytes.Buffer
		if err := WithBoot(&out, file, Boot{Exec: "/new"}); err != nil {
			t.Fatal(err)
		}
		second, ok := bytes.CutPrefix(out.Bytes(), packed)
		if start := bytes.Index(second, []byte("070701")); !ok || (len(packed)+start)%4 != 0 || len(bytes.Trim(second[:start], "\x00")) > 0 {
			t.Errorf("%s: the second archive does not follow the first, 4-byte aligned after zeros", compress[0])
		} else if text, err := findBoot(bytes.NewReader(second[start:])); err != nil || !strings.Contains(string(text), "exec /new\n") {
			t.Errorf("%s: the second archive has the boot file %q, %v", compress[0], text, err)
		}
	}
}

func TestInitrdThatIsNotOursIsRefused(t *testing.T) {
	t.Parallel()
	var foreign bytes.Buffer
	if err := rootfs.New().WriteCPIO(&foreign); err != nil {
		t.Fatal(err)
	}
	if _, err := findBoot(&foreign); !errors.Is(err, ErrNoBoot) {
		t.Errorf("got %v", err)
	}
	path := filepath.Join(t.TempDir(), "initrd")
	if err := os.WriteFile(path, []byte("neither cpio nor packed"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := BootOf(path); err == nil || !strings.Contains(err.Error(), "is no cpio archive") {
		t.Errorf("got %v", err)
	}
}

// FuzzFindBoot: whatever the archive, an answer within bounds.
func FuzzFindBoot(f *testing.F) {
	tree := rootfs.New()
	tree.Dir("/etc", 0o755)
	tree.Dir("/etc/leanlab", 0o755)
	tree.File(BootPath, 0o644, []byte("exec /x\n"))
	var archive bytes.Buffer
	tree.WriteCPIO(&archive)
	f.Add(archive.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		if text, err := findBoot(bytes.NewReader(data)); err == nil && len(text) > len(data) {
			t.Fatalf("%d bytes out of %d", len(text), len(data))
		}
	})
}

func TestRequestAndAnswer(t *testing.T) {
	t.Parallel()
	request, err := EncodeRequest("id", "1 + 1\n")
	if want := "\nid " + base64.StdEncoding.EncodeToString([]byte("1 + 1\n")) + " end\n"; err != nil || string(request) != want {
		t.Errorf("%q, %v; want %q", request, err, want)
	}
	if _, err := EncodeRequest("id", strings.Repeat("x", MaxCode+1)); err == nil {
		t.Error("code that does not fit the guest's buffer was taken")
	}
	if got, err := ParseAnswer("id ok Mg== \r\n"); err != nil || got != (Answer{ID: "id", OK: true, Text: "2"}) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, line := range []string{"", "id ok Mg==", "id yes Mg== ", "id ok M ", "id ok Mg== Mg== x"} {
		if got, err := ParseAnswer(line); err == nil {
			t.Errorf("%q: %+v", line, got)
		}
	}
}
