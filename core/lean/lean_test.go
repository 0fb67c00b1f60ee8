package lean

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/beam"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

var update = flag.Bool("update", false, "write the golden files")

// module makes a BEAM file that calls the modules given and has debug
// information.
func module(name string, calls ...string) []byte {
	atoms := append([]string{name, "f"}, calls...)
	table := binary.BigEndian.AppendUint32(nil, uint32(len(atoms)))
	for _, a := range atoms {
		table = append(append(table, byte(len(a))), a...)
	}
	imports := binary.BigEndian.AppendUint32(nil, uint32(len(calls)))
	for i := range calls {
		for _, word := range []uint32{uint32(i + 3), 2, 0} {
			imports = binary.BigEndian.AppendUint32(imports, word)
		}
	}
	f := beam.File{Chunks: []beam.Chunk{
		{ID: "AtU8", Data: table}, {ID: "Code", Data: make([]byte, 20)}, {ID: "StrT"},
		{ID: "ImpT", Data: imports}, {ID: "ExpT", Data: make([]byte, 4)},
		{ID: "Dbgi", Data: make([]byte, 1000)},
	}}
	return f.Bytes()
}

// elfFile makes an ELF file that is enough to tell its kind; an interpreter
// makes it dynamic.
func elfFile(typ elf.Type, machine elf.Machine, interpreter string, size int) []byte {
	var b bytes.Buffer
	h := elf.Header64{Type: uint16(typ), Machine: uint16(machine), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	if interpreter != "" {
		h.Phnum = 1
	}
	binary.Write(&b, binary.LittleEndian, h)
	if interpreter != "" {
		binary.Write(&b, binary.LittleEndian, elf.Prog64{Type: uint32(elf.PT_INTERP), Off: 120, Filesz: uint64(len(interpreter) + 1)})
		b.WriteString(interpreter + "\x00")
	}
	return append(b.Bytes(), make([]byte, max(0, size-b.Len()))...)
}

// fixture is a tree with the release hello_world, laid out as mix release does:
// the boot script is testdata/start.script.
type fixture struct {
	*testing.T
	*rootfs.Tree
}

func (f fixture) file(name string, data []byte) {
	f.Helper()
	if err := f.File(name, 0o644, data); err != nil {
		f.Fatal(err)
	}
}

// app adds an application; properties are those of its .app file.
func (f fixture) app(lib, name, version, properties string, modules ...string) {
	f.Helper()
	dir := path.Join(lib, name+"-"+version)
	quoted := "'" + strings.Join(modules, "','") + "'"
	if len(modules) == 0 {
		quoted = ""
	}
	f.file(path.Join(dir, "ebin", name+".app"), fmt.Appendf(nil, "{application,%s,[{vsn,%q},{modules,[%s]},%s]}.\n", name, version, quoted, properties))
	for _, m := range modules {
		f.file(path.Join(dir, "ebin", m+".beam"), module(m))
	}
}

const lib = "/srv/hello_world/lib"

func newFixture(t *testing.T) fixture {
	t.Helper()
	f := fixture{t, rootfs.New()}
	f.app(lib, "kernel", "10.2.7", "{applications,[]}", "kernel", "code")
	f.app(lib, "stdlib", "6.2.2", "{applications,[kernel]}", "lists", "gen_server")
	f.app(lib, "compiler", "8.6.1", "{applications,[kernel,stdlib]}", "compile")
	f.app(lib, "elixir", "1.18.3", "{applications,[kernel,stdlib,compiler]}", "elixir", "Elixir.Enum")
	f.app(lib, "logger", "1.18.3", "{applications,[kernel,stdlib,elixir]}", "Elixir.Logger")
	f.app(lib, "iex", "1.18.3", "{applications,[kernel,stdlib,elixir]}", "Elixir.IEx", "Elixir.IEx.Info")
	f.app(lib, "sasl", "4.2.2", "{applications,[kernel,stdlib]}", "sasl", "release_handler")
	f.app(lib, "hello_world", "0.1.0", "{applications,[kernel,stdlib,elixir,logger]}", "Elixir.HelloWorld")
	script, err := os.ReadFile("testdata/start.script")
	if err != nil {
		t.Fatal(err)
	}
	version := "/srv/hello_world/releases/0.1.0/"
	f.file(version+"start.script", script)
	f.file(version+"start.boot", []byte("\x83the boot file that mix wrote"))
	f.file(version+"start_clean.boot", []byte("\x83"))
	f.file(version+"sys.config", []byte("[]."))
	f.file(version+"vm.args", []byte("+sbwt none\n"))
	f.file(version+"env.sh", []byte("#!/bin/sh\n"))
	f.file(version+"hello_world.rel", []byte("{release}."))
	f.file(version+"consolidated/Elixir.IEx.Info.beam", module("Elixir.IEx.Info"))
	f.file(version+"consolidated/Elixir.Enumerable.beam", module("Elixir.Enumerable"))
	f.file("/srv/hello_world/releases/COOKIE", []byte("secret"))
	f.file("/srv/hello_world/releases/start_erl.data", []byte("15.2.7 0.1.0"))
	f.file("/srv/hello_world/bin/hello_world", []byte("#!/bin/sh\n"))
	f.file("/srv/hello_world/bin/helper", elfFile(elf.ET_EXEC, elf.EM_X86_64, "", 100))
	f.file("/srv/hello_world/erts-15.2.7/bin/beam.smp", elfFile(elf.ET_EXEC, elf.EM_X86_64, "/lib64/ld-linux-x86-64.so.2", 5000))
	f.file("/usr/share/man/man1/erl.1", []byte("manual"))
	f.file("/init", elfFile(elf.ET_EXEC, elf.EM_X86_64, "", 100))
	return f
}

func (f fixture) apply(o Options) *Report {
	f.Helper()
	o.Release.Dir = "/srv/hello_world"
	r, err := Apply(context.Background(), f.Tree, o)
	if err != nil {
		f.Fatal(err)
	}
	return r
}

func (f fixture) refused(o Options, want string) {
	f.Helper()
	o.Release.Dir = "/srv/hello_world"
	if _, err := Apply(context.Background(), f.Tree, o); err == nil || !strings.Contains(err.Error(), want) {
		f.Errorf("got %v, want an error with %q", err, want)
	}
}

func (f fixture) has(name string) bool {
	_, ok := f.Get(name)
	return ok
}

func (f fixture) read(name string) []byte {
	f.Helper()
	data, err := readFile(f.Tree, name)
	if err != nil {
		f.Fatal(err)
	}
	return data
}

func keptNames(r *Report) []string {
	var names []string
	for _, d := range r.Kept {
		names = append(names, d.Application)
	}
	return names
}

func chain(r *Report, app string) string {
	for _, d := range r.Kept {
		if d.Application == app {
			return strings.Join(d.Chain, " → ")
		}
	}
	return ""
}

func TestClosureKeepsWhatTheReleaseDependsOnByTheShortestChain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.apply(Options{Level: LevelClosure})
	if got, want := keptNames(r), []string{"compiler", "elixir", "hello_world", "kernel", "logger", "stdlib"}; !slices.Equal(got, want) {
		t.Errorf("kept %v, want %v", got, want)
	}
	for app, want := range map[string]string{
		"compiler": "hello_world → elixir → compiler",
		"logger":   "hello_world → logger",
	} {
		if got := chain(r, app); got != want {
			t.Errorf("chain of %s: %s, want %s", app, got, want)
		}
	}
	for _, gone := range []string{lib + "/sasl-4.2.2", lib + "/iex-1.18.3", "/srv/hello_world/releases/0.1.0/consolidated/Elixir.IEx.Info.beam"} {
		if f.has(gone) {
			t.Errorf("%s is still there", gone)
		}
	}
	if !f.has("/srv/hello_world/releases/0.1.0/consolidated/Elixir.Enumerable.beam") {
		t.Error("a protocol of an application that stays went")
	}
}

func TestBootFileLoadsAndStartsNothingOfWhatWent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.apply(Options{Level: LevelClosure})
	golden, err := os.ReadFile("testdata/start.lean.script")
	if err != nil {
		t.Fatal(err)
	}
	terms, err := Consult(golden)
	if err != nil {
		t.Fatal(err)
	}
	want, err := EncodeTerm(terms[0])
	if err != nil {
		t.Fatal(err)
	}
	if got := f.read("/srv/hello_world/releases/0.1.0/start.boot"); !bytes.Equal(got, want) {
		t.Errorf("start.boot is not testdata/start.lean.script:\n%q", got)
	}
}

func TestReleaseThatLosesNothingKeepsItsBootFile(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.apply(Options{Level: LevelClosure, Keep: []string{"sasl", "iex"}})
	if got := f.read("/srv/hello_world/releases/0.1.0/start.boot"); string(got) != "\x83the boot file that mix wrote" {
		t.Errorf("start.boot was written anew: %q", got)
	}
}

func TestKeptApplicationsAndModulesStay(t *testing.T) {
	t.Parallel()
	for _, level := range Levels {
		f := newFixture(t)
		f.app(lib, "crypto", "5.5.3", "{applications,[kernel,stdlib]}", "crypto")
		f.app(lib, "ssl", "11.2", "{applications,[kernel,stdlib,crypto]}", "tls")
		r := f.apply(Options{Level: level, Keep: []string{"ssl", "IEx.Info"}})
		for _, app := range []string{"ssl", "crypto", "iex"} {
			if !slices.Contains(keptNames(r), app) {
				t.Errorf("%s: %s went", level, app)
			}
		}
		// They were not in the release, so the boot script has to learn where they are.
		for _, dir := range []string{"/ssl-11.2/ebin", "/crypto-5.5.3/ebin"} {
			if boot := f.read("/srv/hello_world/releases/0.1.0/start.boot"); !bytes.Contains(boot, []byte(lib+dir)) {
				t.Errorf("%s: %s is not in the boot file's code path", level, dir)
			}
		}
	}
	newFixture(t).refused(Options{Level: LevelClosure, Keep: []string{"logge"}}, "there is no application or module logge in the tree; did you mean logger?")
}

func TestApplicationThatIsNeverOfUseStaysWithAWarningWhenDependedUpon(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.app(lib, "mix", "1.18.3", "{applications,[kernel,stdlib,elixir]}", "Elixir.Mix")
	f.app(lib, "hello_world", "0.1.0", "{applications,[kernel,stdlib,elixir,logger,mix]}", "Elixir.HelloWorld")
	r := f.apply(Options{Level: LevelClosure})
	if !f.has(lib + "/mix-1.18.3") {
		t.Error("mix went though hello_world lists it")
	}
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "mix stays because of hello_world → mix") {
		t.Errorf("warnings %q", r.Warnings)
	}
}

func TestOptionalApplicationsStayOnlyWhenSomethingElseNeedsThem(t *testing.T) {
	t.Parallel()
	hello := "{applications,[kernel,stdlib,elixir,logger,ssl]},{optional_applications,[ssl]}"
	f := newFixture(t)
	f.app(lib, "ssl", "11.2", "{applications,[kernel,stdlib]}", "tls")
	f.app(lib, "hello_world", "0.1.0", hello, "Elixir.HelloWorld")
	f.apply(Options{Level: LevelClosure})
	if f.has(lib + "/ssl-11.2") {
		t.Error("ssl, optional, stayed")
	}
	f = newFixture(t)
	f.app(lib, "ssl", "11.2", "{applications,[kernel,stdlib]}", "tls")
	f.app(lib, "hello_world", "0.1.0", hello, "Elixir.HelloWorld")
	f.app(lib, "logger", "1.18.3", "{applications,[kernel,stdlib,elixir]},{included_applications,[ssl]}", "Elixir.Logger")
	if r := f.apply(Options{Level: LevelClosure}); chain(r, "ssl") != "hello_world → logger → ssl" {
		t.Errorf("chain of ssl: %s", chain(r, "ssl"))
	}
}

func TestReleaseWhoseDependencyIsMissingIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.app(lib, "hello_world", "0.1.0", "{applications,[kernel,jason]}", "Elixir.HelloWorld")
	f.refused(Options{Level: LevelClosure}, "hello_world lists jason among its applications")
}

func TestBrokenInputIsRefusedWithTheFile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ file, text, want string }{
		{lib + "/logger-1.18.3/ebin/logger.app", "{application,", "/srv/hello_world/lib/logger-1.18.3/ebin/logger.app: line 1"},
		{lib + "/logger-1.18.3/ebin/logger.app", "{app,logger,[]}.", "not an {application, Name, Properties}"},
		{lib + "/logger-1.18.3/ebin/Elixir.Logger.beam", "garbage", "/srv/hello_world/lib/logger-1.18.3/ebin/Elixir.Logger.beam: not a BEAM file"},
		{"/srv/hello_world/releases/0.1.0/start.script", "{release}.", "/srv/hello_world/releases/0.1.0/start.script: not a {script"},
		{"/srv/hello_world/releases/0.2.0/start.script", "", "found 2 directories with a start.script"},
	} {
		f := newFixture(t)
		f.file(c.file, []byte(c.text))
		f.refused(Options{Level: LevelStrip}, c.want)
	}
	newFixture(t).refused(Options{Level: "extreme"}, `lean level "extreme" is not one of none, strip, closure`)
}

func TestStripTakesWhatIsNotReadInAVMAndNoApplication(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	hello := lib + "/hello_world-0.1.0"
	for name, data := range map[string]string{
		"/src/hello.erl": "", "/include/hello.hrl": "", "/c_src/nif.c": "", "/priv/nif.h": "", "/priv/repo/migrations/1.exs": "",
		"/ebin/hello_world.appup": "", "/priv/static/a.css": "", "/priv/data.beam.txt": "",
	} {
		f.file(hello+name, []byte(data))
	}
	f.apply(Options{Level: LevelStrip, Emulators: []Emulator{{Path: "/init"}}})
	for name, want := range map[string]bool{
		hello + "/src": false, hello + "/include": false, hello + "/c_src": false, hello + "/priv/nif.h": false, hello + "/ebin/hello_world.appup": false,
		hello + "/priv/repo/migrations/1.exs": true, hello + "/priv/static/a.css": true, hello + "/ebin/hello_world.app": true,
		lib + "/sasl-4.2.2/ebin/sasl.beam":                 true,
		"/srv/hello_world/bin/hello_world":                 false,
		"/srv/hello_world/bin/helper":                      true, // a program of the user's
		"/srv/hello_world/erts-15.2.7":                     false,
		"/srv/hello_world/releases/COOKIE":                 false,
		"/srv/hello_world/releases/0.1.0/env.sh":           false,
		"/srv/hello_world/releases/0.1.0/hello_world.rel":  false,
		"/srv/hello_world/releases/0.1.0/start.script":     false,
		"/srv/hello_world/releases/0.1.0/start_clean.boot": false,
		"/srv/hello_world/releases/0.1.0/start.boot":       true,
		"/srv/hello_world/releases/0.1.0/sys.config":       true,
		"/srv/hello_world/releases/0.1.0/vm.args":          true,
		"/usr/share/man":                                   false,
		"/init":                                            true,
	} {
		if f.has(name) != want {
			t.Errorf("%s: there %v, want %v", name, f.has(name), want)
		}
	}
	stripped, err := beam.Parse(f.read(lib + "/sasl-4.2.2/ebin/sasl.beam"))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := stripped.Chunk("Dbgi"); ok {
		t.Error("a module still has its debug information")
	}
}

func TestLevelNoneTakesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var before, after bytes.Buffer
	dump := func(w io.Writer) {
		f.Walk(func(e *rootfs.Entry) error {
			fmt.Fprintf(w, "%s %v %o %d:%d\n", e.Path, e.Type, e.Mode, e.UID, e.GID)
			if e.Type == rootfs.Regular {
				w.Write(f.read(e.Path))
			}
			return nil
		})
	}
	dump(&before)
	r := f.apply(Options{Level: LevelNone, Emulators: []Emulator{{Path: "/init"}, {Path: "/srv/hello_world/erts-15.2.7/bin/beam.smp"}}})
	dump(&after)
	if !bytes.Equal(before.Bytes(), after.Bytes()) || len(r.Dropped) != 0 {
		t.Errorf("the tree changed; dropped %v", r.Dropped)
	}
}

func TestProtocolThatIsConsolidatedIsThereOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.file(lib+"/elixir-1.18.3/ebin/Elixir.Enumerable.beam", module("Elixir.Enumerable"))
	f.apply(Options{Level: LevelStrip})
	if f.has(lib+"/elixir-1.18.3/ebin/Elixir.Enumerable.beam") || !f.has("/srv/hello_world/releases/0.1.0/consolidated/Elixir.Enumerable.beam") {
		t.Error("want the consolidated protocol only")
	}
}

func TestTracingDriversGoWhenTheEmulatorIsStatic(t *testing.T) {
	t.Parallel()
	const driver = lib + "/runtime_tools-2.1.1/priv/lib/trace_ip_drv.so"
	for interpreter, want := range map[string]bool{"": false, "/lib/ld-musl-x86_64.so.1": true} {
		f := newFixture(t)
		f.app(lib, "runtime_tools", "2.1.1", "{applications,[kernel,stdlib]}", "dbg")
		f.file(driver, elfFile(elf.ET_DYN, elf.EM_X86_64, "", 100))
		f.file("/usr/bin/beam.smp", elfFile(elf.ET_EXEC, elf.EM_X86_64, interpreter, 1000))
		f.apply(Options{Level: LevelClosure, Keep: []string{"runtime_tools"}, Emulators: []Emulator{{Path: "/usr/bin/beam.smp"}}})
		if f.has(driver) != want {
			t.Errorf("interpreter %q: there %v, want %v", interpreter, !want, want)
		}
	}
}

// What a compiler made, so that strip has something to do.
func TestNativeCodeLosesItsSymbolsAndStillRuns(t *testing.T) {
	t.Parallel()
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler (cc) on PATH")
	}
	strip, err := exec.LookPath("strip")
	if err != nil {
		t.Skip("no strip on PATH: install binutils")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	compile := exec.Command(cc, "-g", "-x", "c", "-o", program, "-")
	compile.Stdin = strings.NewReader("int main(void) { return 42; }")
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var results [2][]byte
	for i := range results {
		f := newFixture(t)
		if err := f.HostFile("/usr/bin/program", 0o755, program); err != nil {
			t.Fatal(err)
		}
		f.Remove("/init")
		f.Remove("/srv/hello_world/bin")
		f.Remove("/srv/hello_world/erts-15.2.7")
		f.apply(Options{Level: LevelStrip, Strip: strip})
		results[i] = f.read("/usr/bin/program")
	}
	if !bytes.Equal(results[0], results[1]) {
		t.Error("stripping the same file twice gave two results")
	}
	if hasSymbols(results[0]) {
		t.Error("there are still symbols")
	}
	if err := os.WriteFile(program, results[0], 0o755); err != nil {
		t.Fatal(err)
	}
	err = exec.Command(program).Run()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 42 {
		t.Errorf("the stripped program: %v, want exit status 42", err)
	}
}

func TestOwnerAndModeOfAStrippedModuleStay(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	name := lib + "/hello_world-0.1.0/ebin/Elixir.HelloWorld.beam"
	e, _ := f.Get(name)
	e.UID, e.GID, e.Mode = 7, 8, 0o600
	f.apply(Options{Level: LevelStrip})
	if e, _ := f.Get(name); e.UID != 7 || e.GID != 8 || e.Mode != 0o600 || e.Size() > 500 {
		t.Errorf("uid %d, gid %d, mode %o, %d bytes", e.UID, e.GID, e.Mode, e.Size())
	}
}

// asn1 adds asn1 and crypto, on which the release then depends.
func (f fixture) asn1() {
	f.app(lib, "asn1", "5.3.4", "{applications,[kernel,stdlib]}", "asn1rt_nif", "asn1ct", "asn1ct_gen", "asn1_db")
	f.file(lib+"/asn1-5.3.4/ebin/asn1ct.beam", module("asn1ct", "asn1ct_gen", "asn1_db"))
	f.file(lib+"/asn1-5.3.4/priv/lib/asn1rt_nif.so", elfFile(elf.ET_DYN, elf.EM_X86_64, "", 200))
	f.app(lib, "crypto", "5.5.3", "{applications,[kernel,stdlib]}", "crypto")
	f.file(lib+"/crypto-5.5.3/priv/lib/crypto.so", elfFile(elf.ET_DYN, elf.EM_X86_64, "", 300))
	f.file(lib+"/crypto-5.5.3/priv/lib/otp_test_engine.so", elfFile(elf.ET_DYN, elf.EM_X86_64, "", 300))
	f.app(lib, "hello_world", "0.1.0", "{applications,[kernel,stdlib,elixir,logger,asn1,crypto]}", "Elixir.HelloWorld")
}

func TestTheASN1CompilerGoesUnlessAModuleCallsIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.asn1()
	f.apply(Options{Level: LevelClosure})
	for name, want := range map[string]bool{"asn1rt_nif": true, "asn1ct": false, "asn1ct_gen": false, "asn1_db": false} {
		if f.has(lib+"/asn1-5.3.4/ebin/"+name+".beam") != want {
			t.Errorf("%s: want there %v", name, want)
		}
	}
	if f.has(lib + "/crypto-5.5.3/priv/lib/otp_test_engine.so") {
		t.Error("crypto's test engine stayed")
	}

	f = newFixture(t)
	f.asn1()
	f.file(lib+"/hello_world-0.1.0/ebin/Elixir.HelloWorld.beam", module("Elixir.HelloWorld", "asn1ct"))
	r := f.apply(Options{Level: LevelClosure})
	if !f.has(lib + "/asn1-5.3.4/ebin/asn1ct.beam") {
		t.Error("asn1ct went though a module calls it")
	}
	if len(r.Warnings) == 0 {
		t.Error("nothing says that the ASN.1 compiler stayed")
	}
}

func TestTheSmallestEmulatorThatServesTheReleaseStays(t *testing.T) {
	t.Parallel()
	const small, large, dynamic = "/usr/lib/erlang/beam.smp", "/usr/lib/erlang/beam.crypto.smp", "/usr/lib/erlang/beam.dyn.smp"
	emulators := []Emulator{{Path: large, NIFs: []string{"asn1", "crypto"}}, {Path: small}, {Path: dynamic}}
	add := func(f fixture) {
		f.file(small, elfFile(elf.ET_EXEC, elf.EM_X86_64, "", 1000))
		f.file(large, elfFile(elf.ET_EXEC, elf.EM_X86_64, "", 3000))
		f.file(dynamic, elfFile(elf.ET_EXEC, elf.EM_X86_64, "/lib/ld-musl-x86_64.so.1", 2000))
	}

	f := newFixture(t)
	add(f)
	if r := f.apply(Options{Level: LevelClosure, Emulators: emulators}); r.Emulator != small || f.has(large) || f.has(dynamic) || !f.has(small) {
		t.Errorf("without crypto: %s", r.Emulator)
	}

	f = newFixture(t)
	add(f)
	f.asn1()
	if r := f.apply(Options{Level: LevelClosure, Emulators: emulators[:2]}); r.Emulator != large {
		t.Errorf("with crypto: %s", r.Emulator)
	}
	if f.has(lib + "/crypto-5.5.3/priv/lib/crypto.so") {
		t.Error("the library of a NIF that is linked in stayed")
	}

	f = newFixture(t)
	add(f)
	f.asn1()
	if r := f.apply(Options{Level: LevelClosure, Emulators: emulators}); r.Emulator != dynamic || !f.has(lib+"/crypto-5.5.3/priv/lib/crypto.so") {
		t.Errorf("with a dynamic emulator and the libraries there: %s", r.Emulator)
	}

	f = newFixture(t)
	add(f)
	f.asn1()
	f.refused(Options{Level: LevelClosure, Emulators: emulators[1:2]}, small+" lacks the NIFs of asn1, crypto, and is static")
}

func TestNativeCodeThatCannotRunInTheVMIsRefused(t *testing.T) {
	t.Parallel()
	x86 := Target{Machine: elf.EM_X86_64, Libc: "static"}
	for _, c := range []struct {
		name   string
		file   rootfs.ELF
		target Target
		want   string
	}{
		{"NIF in a static VM", rootfs.ELF{Path: "/priv/nif.so", Type: elf.ET_DYN, Machine: elf.EM_X86_64, Needed: []string{"libc.so.6"}, Libc: rootfs.Glibc}, x86, `set otp { link = "dynamic" }`},
		{"dynamic program in a static VM", rootfs.ELF{Path: "/priv/port", Type: elf.ET_DYN, Machine: elf.EM_X86_64, Interpreter: "/lib64/ld-linux-x86-64.so.2", Libc: rootfs.Glibc}, x86, "needs the dynamic linker /lib64/ld-linux-x86-64.so.2"},
		{"other machine", rootfs.ELF{Path: "/priv/nif.so", Type: elf.ET_DYN, Machine: elf.EM_AARCH64}, x86, "it is for aarch64, the VM is x86_64"},
		{"other C library", rootfs.ELF{Path: "/srv/app/lib/argon2_elixir-4.1.3/priv/argon2_nif.so", Type: elf.ET_DYN, Machine: elf.EM_X86_64, Libc: rootfs.Glibc}, Target{elf.EM_X86_64, "musl"}, "argon2_nif.so: it is linked to glibc, the VM has musl: compile argon2_elixir for musl"},
		{"same C library", rootfs.ELF{Path: "/priv/nif.so", Type: elf.ET_DYN, Machine: elf.EM_X86_64, Libc: rootfs.Musl}, Target{elf.EM_X86_64, "musl"}, ""},
		{"static program", rootfs.ELF{Path: "/priv/port", Type: elf.ET_DYN, Machine: elf.EM_X86_64}, x86, ""},
	} {
		err := CheckNative([]*rootfs.ELF{&c.file}, c.target)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.file.Path)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestNativeFilesAreThoseInPriv(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.file(lib+"/hello_world-0.1.0/priv/native/nif.so", elfFile(elf.ET_DYN, elf.EM_X86_64, "", 100))
	f.file(lib+"/hello_world-0.1.0/priv/data.txt", []byte("text"))
	found, err := NativeFiles(f.Tree, Release{Dir: "/srv/hello_world"})
	if err != nil || len(found) != 1 || found[0].Path != lib+"/hello_world-0.1.0/priv/native/nif.so" {
		t.Errorf("found %v, %v", found, err)
	}
}

func TestOTPBesideTheReleaseIsLeanedWithIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const otp = "/usr/lib/erlang"
	f.Remove(lib + "/stdlib-6.2.2")
	f.app(otp+"/lib", "stdlib", "6.2.2", "{applications,[kernel]}", "lists", "gen_server")
	f.app(otp+"/lib", "stdlib", "6.1.0", "{applications,[kernel]}", "lists")
	f.app(otp+"/lib", "wx", "2.4", "{applications,[kernel,stdlib]}", "wx")
	f.file(otp+"/erts-15.2.7/man/man1/erl.1", []byte("manual"))
	r := f.apply(Options{Level: LevelClosure, Release: Release{OTP: otp}})
	for name, want := range map[string]bool{"/lib/stdlib-6.2.2": true, "/lib/stdlib-6.1.0": false, "/lib/wx-2.4": false, "/erts-15.2.7/man": false} {
		if f.has(otp+name) != want {
			t.Errorf("%s: want there %v", name, want)
		}
	}
	text, err := Explain(r, "wx")
	if err != nil || !strings.Contains(text, "not in the release's boot script") {
		t.Errorf("%s %v", text, err)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.file(lib+"/logger-1.18.3/doc/logger.md", make([]byte, 1234))
	r := f.apply(Options{Level: LevelClosure})
	var b strings.Builder
	for _, name := range []string{"logger", "kernel", "hello_world", "sasl", "iex", "/srv/hello_world/releases/COOKIE"} {
		text, err := Explain(r, name)
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(&b, "$ explain %s\n%s", name, text)
	}
	if _, err := Explain(r, "loger"); err == nil || !strings.Contains(err.Error(), "did you mean logger?") {
		t.Errorf("got %v", err)
	}
	if *update {
		if err := os.WriteFile("testdata/explain.golden", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/explain.golden")
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestComponentsNameWhoShipsAnApplication(t *testing.T) {
	t.Parallel()
	parts, err := Components(newFixture(t).Tree, Release{Dir: "/srv/hello_world"})
	if err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{
		"otp: kernel": lib + "/kernel-10.2.7", "elixir: logger": lib + "/logger-1.18.3",
		"app: hello_world": lib + "/hello_world-0.1.0", "release": "/srv/hello_world/releases",
	} {
		if !slices.Equal(parts[name], []string{dir}) {
			t.Errorf("%s: %q, want %s", name, parts[name], dir)
		}
	}
}

func TestDataIsComplete(t *testing.T) {
	t.Parallel()
	for _, a := range known().applications {
		if !slices.Contains([]string{keepAlways, keepConditional, keepNever}, a.Keep) || !slices.Contains([]string{"otp", "elixir"}, a.From) ||
			!slices.Contains([]string{"", "started", "none"}, a.Mix) || a.Reason == "" {
			t.Errorf("application %+v", a)
		}
	}
	seen := map[string]bool{}
	for _, r := range known().files {
		_, err := path.Match(strings.TrimPrefix(r.Path, "**/"), "x")
		if err != nil || !slices.Contains([]string{inApplication, inRelease, inOTP, inRoot}, r.In) || r.Level.check() != nil || r.Reason == "" || r.UnlessImported && !strings.HasSuffix(r.Path, ".beam") {
			t.Errorf("file %+v: %v", r, err)
		}
		if key := r.In + r.Of + r.Path; seen[key] {
			t.Errorf("file %+v occurs twice", r)
		} else {
			seen[key] = true
		}
	}
}
