package beam

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
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

// eval runs an Erlang expression and returns what it prints.
func eval(t *testing.T, expr string, env ...string) string {
	t.Helper()
	cmd := exec.Command(erl(t), "-noshell", "-boot", "start_clean", "-eval", expr, "-s", "init", "stop")
	cmd.Env = append(append(os.Environ(), "ERL_CRASH_DUMP_SECONDS=0"), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("erl -eval %q: %v\n%s", expr, err, out)
	}
	return string(out)
}

// otpBeams are the modules of the Erlang that runs the test.
func otpBeams(t *testing.T) []string {
	t.Helper()
	dir := eval(t, `io:format("~ts", [code:lib_dir()]).`)
	beams, err := filepath.Glob(filepath.Join(dir, "*", "ebin", "*.beam"))
	if err != nil || len(beams) == 0 {
		t.Fatalf("no beams below %s (%v)", dir, err)
	}
	return beams
}

// Erlang reads the pairs of files, reference and ours, from a list.
const compare = `
{ok, List} = file:read_file(os:getenv("LIST")),
Attr = "Attr",
[begin
   [Original, Ours] = string:split(Line, "\t"),
   {ok, Bin} = file:read_file(Original),
   {ok, {M, Chunks}} = beam_lib:chunks(Bin, [Attr | beam_lib:significant_chunks()], [allow_missing_chunks]),
   {ok, Want} = beam_lib:build_module([C || {_, D} = C <- Chunks, is_binary(D)]),
   {ok, Got} = file:read_file(Ours),
   Got =:= Want orelse io:format("~ts: differs from beam_lib~n", [Original]),
   {ok, {M, A}} = beam_lib:md5(Bin),
   {ok, {M, B}} = beam_lib:md5(Got),
   A =:= B orelse io:format("~ts: other checksum~n", [Original])
 end || Line <- string:split(string:trim(List), "\n", all)].`

func TestStripWritesWhatBeamLibWritesForEveryModuleOfOTP(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var list strings.Builder
	count := 0
	for _, path := range otpBeams(t) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := Parse(data)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if !isGzip(data) && !bytes.Equal(f.Bytes(), data) {
			t.Errorf("%s: Parse and Bytes changed it", path)
		}
		if name, err := f.Module(); err != nil || name != strings.TrimSuffix(filepath.Base(path), ".beam") {
			t.Errorf("%s: module %q, %v", path, name, err)
		}
		for _, err := range []error{second(f.Imports()), second(f.Exports())} {
			if err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
		ours := filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(ours, f.Strip().Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		list.WriteString(path + "\t" + ours + "\n")
		count++
	}
	file := filepath.Join(dir, "list")
	if err := os.WriteFile(file, []byte(list.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := eval(t, compare, "LIST="+file); out != "" {
		t.Error(out)
	}
	t.Logf("%d modules", count)
}

func second[T any](_ T, err error) error { return err }

func TestStrippedModulesLoadAndRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, path := range otpBeams(t) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), f.Strip().Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "greeting.beam"), greeting(t).Strip().Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	// prepare_loading runs the whole loader without replacing a module in use.
	out := eval(t, `
[case file:read_file(F) of
   {ok, Bin} ->
     M = list_to_atom(filename:basename(F, ".beam")),
     case erlang:prepare_loading(M, Bin) of
       {error, Why} -> io:format("~ts: ~tp~n", [F, Why]);
       _ -> ok
     end
 end || F <- filelib:wildcard(os:getenv("DIR") ++ "/*.beam")],
code:add_patha(os:getenv("DIR")),
[{_, world, #{kind := <<"literal">>, list := [one, two, three]}}] = greeting:hello([world]),
[gen_event] = proplists:get_value(behaviour, greeting:module_info(attributes)).`, "DIR="+dir)
	if out != "" {
		t.Error(out)
	}
}
