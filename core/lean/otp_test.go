package lean

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// erl finds a real Erlang, or skips.
func erl(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("LEANLAB_TEST_ERL"); path != "" {
		return path
	}
	path, err := exec.LookPath("erl")
	if err != nil {
		t.Skip("no Erlang: erl is not on PATH and LEANLAB_TEST_ERL does not name one")
	}
	return path
}

// run runs erl and returns what it prints.
func run(t *testing.T, env []string, args ...string) string {
	t.Helper()
	cmd := exec.Command(erl(t), append([]string{"-noshell", "-noinput"}, args...)...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(append(os.Environ(), "ERL_CRASH_DUMP_SECONDS=0"), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("erl %q: %v\n%s", args, err, out)
	}
	return string(out)
}

func TestScriptsOfOTPAreEncodedByteForByteAsSystoolsDid(t *testing.T) {
	t.Parallel()
	root := run(t, nil, "-eval", `io:format("~ts", [code:root_dir()]), halt().`)
	var scripts []string
	for _, pattern := range []string{"bin/*.script", "releases/*/*.script"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		scripts = append(scripts, found...)
	}
	compared := 0
	for _, name := range scripts {
		want, err := os.ReadFile(strings.TrimSuffix(name, ".script") + ".boot")
		if err != nil {
			continue // a script that was not made into a boot file
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		s, err := parseScript(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := s.boot(); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: encoding differs (%v)", name, err)
		}
		compared++
	}
	if compared == 0 {
		t.Skipf("no boot script with its text below %s", root)
	}
}

func TestEveryAppFileOfOTPIsUnderstood(t *testing.T) {
	t.Parallel()
	libs := run(t, nil, "-eval", `io:format("~ts", [code:lib_dir()]), halt().`)
	apps, err := filepath.Glob(filepath.Join(libs, "*", "ebin", "*.app"))
	if err != nil || len(apps) == 0 {
		t.Fatalf("no .app below %s (%v)", libs, err)
	}
	for _, name := range apps {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		app, err := parseApp(data)
		if err != nil || app.name+".app" != filepath.Base(name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// makeRelease makes a release of an application that lists compiler and
// public_key, and has sasl beside it, which nothing lists, as mix release does.
// RELEASE_LIB is a variable in the boot script, so that it boots from anywhere.
const makeRelease = `
Dir = os:getenv("DIR"), Lib = code:lib_dir(),
Ebin = filename:join([Dir, "lib", "hello-1.0", "ebin"]),
ok = filelib:ensure_path(Ebin),
App = {application, hello, [{description, "grüße"}, {vsn, "1.0"}, {modules, []}, {registered, []},
        {applications, [kernel, stdlib, compiler, public_key]},
        {env, [{list, [1, 2, 3]}, {text, "déjà €"}, {map, #{a => <<"b">>}}, {rate, -1.5e-3}, {big, 123456789012345678901234567890}, {call, fun lists:map/2}]}]},
ok = file:write_file(filename:join(Ebin, "hello.app"), unicode:characters_to_binary(io_lib:format("~tp.~n", [App]))),
Vsn = fun(A) -> _ = application:load(A), {ok, V} = application:get_key(A, vsn), {A, V} end,
Rel = {release, {"hello", "1.0"}, {erts, erlang:system_info(version)},
        [Vsn(kernel), Vsn(stdlib), Vsn(compiler), Vsn(asn1), Vsn(crypto), Vsn(public_key), Vsn(sasl), {hello, "1.0"}]},
RelDir = filename:join([Dir, "releases", "1.0"]),
ok = filelib:ensure_path(RelDir),
ok = file:write_file(filename:join(RelDir, "start.rel"), io_lib:format("~tp.~n", [Rel])),
{ok, _, _} = systools:make_script(filename:join(RelDir, "start"),
   [silent, no_dot_erlang, {path, [Ebin]}, {variables, [{"RELEASE_LIB", Lib}, {"RELEASE_LIB", filename:join(Dir, "lib")}]}]),
[ok = file:write_file(filename:join(Dir, "apps"), [atom_to_list(A), "-", V, " ", code:lib_dir(A), "\n"], [append]) || {A, V} <- element(4, Rel), A =/= hello],
halt().`

// The report of the system that was booted, one fact a line.
const report = `
io:format("running ~tp~n", [lists:sort([A || {A, _, _} <- application:which_applications()])]),
io:format("env ~tp~n", [lists:sort(application:get_all_env(hello))]),
io:format("lists ~ts~n", [code:which(lists)]),
io:format("asn1ct ~tp~n", [code:which(asn1ct)]),
io:format("modules ~tp~n", [application:get_key(asn1, modules)]),
{ok, foo, _} = compile:forms([{attribute, 1, module, foo}], []),
Params = {'Dss-Parms', 1, 2, 3},
Params = public_key:der_decode('Dss-Parms', public_key:der_encode('Dss-Parms', Params)),
<<129, 181, 52, _/binary>> = crypto:hash(md5, "lean"),
halt().`

func TestRealReleaseBootsWithoutWhatWentFromIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	run(t, []string{"DIR=" + dir}, "-eval", makeRelease)
	tree := realTree(t, dir)
	r, err := Apply(t.Context(), tree, Options{Level: LevelClosure, Release: Release{Dir: "/srv/hello"}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(keptNames(r), " "), "asn1 compiler crypto hello kernel public_key stdlib"; got != want {
		t.Errorf("kept %s, want %s", got, want)
	}
	lean := t.TempDir()
	extract(t, tree, "/srv/hello", lean)

	// embedded: every module in the boot script is loaded, so a missing one stops the boot.
	for _, mode := range []string{"embedded", "interactive"} {
		out := run(t, nil, "-mode", mode, "-boot", filepath.Join(lean, "releases/1.0/start"),
			"-boot_var", "RELEASE_LIB", filepath.Join(lean, "lib"), "-eval", report)
		for _, want := range []string{
			"running [asn1,compiler,crypto,hello,kernel,public_key,stdlib]\n",
			"lists " + filepath.Join(lean, "lib"),
			"asn1ct non_existing\n",
			"modules {ok,[asn1rt_nif]}\n",
			"{text,[100,233,106,224,32,8364]}", "{rate,-0.0015}", "{big,123456789012345678901234567890}", "{call,fun lists:map/2}",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("%s mode: %q is not in\n%s", mode, want, out)
			}
		}
	}
}

// realTree puts the release in dir, and the applications that it names, in a
// tree, as mix release would lay it out.
func realTree(t *testing.T, dir string) *rootfs.Tree {
	t.Helper()
	tree := rootfs.New()
	if err := tree.AddDir(filepath.Join(dir, "lib"), "/srv/hello/lib", rootfs.Owner{}); err != nil {
		t.Fatal(err)
	}
	if err := tree.AddDir(filepath.Join(dir, "releases"), "/srv/hello/releases", rootfs.Owner{}); err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadFile(filepath.Join(dir, "apps"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(list)) {
		name, dir, _ := strings.Cut(strings.TrimSpace(line), " ")
		for _, part := range []string{"ebin", "priv"} {
			if _, err := os.Stat(filepath.Join(dir, part)); err != nil {
				continue
			}
			if err := tree.AddDir(filepath.Join(dir, part), "/srv/hello/lib/"+name+"/"+part, rootfs.Owner{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return tree
}

// extract writes what is below from to a directory.
func extract(t *testing.T, tree *rootfs.Tree, from, to string) {
	t.Helper()
	err := tree.Walk(func(e *rootfs.Entry) error {
		rel, ok := strings.CutPrefix(e.Path, from+"/")
		if !ok {
			return nil
		}
		name := filepath.Join(to, rel)
		if e.Type == rootfs.Directory {
			return os.MkdirAll(name, 0o755)
		}
		data, err := contents(e)
		if err != nil {
			return err
		}
		return os.WriteFile(name, data, e.Mode)
	})
	if err != nil {
		t.Fatal(err)
	}
}
