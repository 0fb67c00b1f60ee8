package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/guest"
	"github.com/somebloke1/elixir-lean-lab/core/internal/report"
)

// console is what a guest prints, with what else may stand there.
func console(lines ...string) []string {
	all := []string{"[    0.52] Run /init as init process", "leanlab: ready uptime=1", "iex(1)> leanlab: bench otp=27 emulator=emu"}
	for i, name := range report.MicroNames() {
		all = append(all, fmt.Sprintf("leanlab: bench %s operations=1000 instructions=%d", name, 5000+i))
	}
	return append(append(all, lines...), "leanlab: bench end", "leanlab: down")
}

func TestFiguresAreReadFromTheConsole(t *testing.T) {
	t.Parallel()
	said, err := parseMicro(console("Hello from the app"))
	if err != nil {
		t.Fatal(err)
	}
	if said.otp != "27" || said.emulator != "interpreter" || said.failed != "" || len(said.figures) != len(report.MicroNames()) {
		t.Errorf("%+v", said)
	}
	if f := said.figures[1]; f != (report.Micro{Name: "ets_insert", Operations: 1000, Instructions: 5001}) || f.Each() != 5.001 {
		t.Errorf("%+v, %g each", f, f.Each())
	}
}

func TestAModuleThatDoesNotRunIsAReasonAndNoFigure(t *testing.T) {
	t.Parallel()
	said, err := parseMicro(console("leanlab: bench failed {badmatch,{error,badfile}}"))
	if err != nil || said.figures != nil || !strings.HasSuffix(said.failed, "{badmatch,{error,badfile}}") {
		t.Errorf("%+v, %v", said, err)
	}
}

func TestAFigureThatIsMissingOrNoneIsAnError(t *testing.T) {
	t.Parallel()
	for want, lines := range map[string][]string{
		`lacks the figure "round_trip"`: {"leanlab: bench end"},
		"is none":                       console("leanlab: bench call operations=0 instructions=5"),
		"bench call operations=1 instr": console("leanlab: bench call operations=1 instructions=99999999999999999999"),
	} {
		if said, err := parseMicro(lines); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v, %v; want %q", said, err, want)
		}
	}
}

// FuzzParseMicro: whatever a guest prints, a figure is a positive number.
func FuzzParseMicro(f *testing.F) {
	f.Add(strings.Join(console(), "\n"))
	f.Add("leanlab: bench failed x")
	f.Fuzz(func(t *testing.T, text string) {
		said, err := parseMicro(strings.Split(text, "\n"))
		if err != nil {
			return
		}
		for _, figure := range said.figures {
			if figure.Each() <= 0 {
				t.Fatalf("%+v", figure)
			}
		}
	})
}

func expression(t *testing.T) string {
	t.Helper()
	text, err := microExpression()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTheModuleIsStartedHoweverBEAMIs(t *testing.T) {
	t.Parallel()
	expression := expression(t)
	emulator := guest.Boot{Exec: "/srv/app/erts/bin/beam.smp", Args: []string{"-noshell", "-extra", "x"}}
	for _, name := range []string{"beam.smp", "beam.plain.smp"} { // Buildroot's package of OTP has two
		emulator.Exec = "/srv/app/erts/bin/" + name
		if got := withEval(emulator, expression).Args; !slices.Equal(got, []string{"-noshell", "-eval", expression, "-extra", "x"}) {
			t.Errorf("%s: %q", name, got)
		}
	}
	script := guest.Boot{Exec: "/opt/app/bin/app", Args: []string{"start"}, Env: map[string]string{"ERL_AFLAGS": "-kernel shell_history enabled"}}
	got := withEval(script, expression)
	if !slices.Equal(got.Args, script.Args) || got.Env["ERL_AFLAGS"] != "-kernel shell_history enabled -eval '"+expression+"'" {
		t.Errorf("%+v", got)
	}
	if strings.ContainsAny(expression, "'\\") {
		t.Error("erlexec reads quotes and backslashes in its own way")
	}
	for _, boot := range []guest.Boot{emulator, script} {
		text, err := withEval(boot, expression).Encode()
		if err != nil {
			t.Error(err)
		}
		t.Logf("%s: a boot file of %d bytes", boot.Exec, len(text))
	}
}

// erl runs an expression in a real Erlang, or skips.
func erl(t *testing.T, dir, expression string, env ...string) string {
	t.Helper()
	program := os.Getenv("LEANLAB_TEST_ERL")
	if program == "" {
		var err error
		if program, err = exec.LookPath("erl"); err != nil {
			t.Skip("no Erlang: erl is not on PATH and LEANLAB_TEST_ERL does not name one")
		}
	}
	cmd := exec.Command(program, "-noshell", "-boot", "start_clean", "-eval", expression, "-s", "init", "stop")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("erl -eval %q: %v\n%s", expression, err, out)
	}
	return string(out)
}

// The beams differ from compiler to compiler; the source that they hold does not.
func TestTheBeamsAreOfTheSourceBesideThem(t *testing.T) {
	t.Parallel()
	dir, err := filepath.Abs("micro")
	if err != nil {
		t.Fatal(err)
	}
	out := erl(t, dir, `
		Code = fun(Beam) -> {ok, {_, [{abstract_code, {_, Forms}}]}} = beam_lib:chunks(Beam, [abstract_code]), Forms end,
		{ok, _, Now} = compile:file("`+microModule+`.erl", [deterministic, debug_info, binary]),
		[io:format("~s ~p~n", [File, Code(File) =:= Code(Now)]) || File <- filelib:wildcard("*.beam")].`)
	beams, err := microBeams.ReadDir("micro")
	if err != nil {
		t.Fatal(err)
	}
	for _, beam := range beams {
		if !strings.Contains(out, beam.Name()+" true") {
			t.Errorf("%s is not of %s.erl: compile it again, as micro/README.md says\n%s", beam.Name(), microModule, out)
		}
	}
}

// Outside of a guest that counts, the figures are nanoseconds, and vary; that they
// are there, and that the module runs, is the same.
func TestTheModuleRunsAndPrintsEveryFigure(t *testing.T) {
	t.Parallel()
	expression := expression(t)
	script := withEval(guest.Boot{Exec: "/usr/bin/elixir"}, expression)
	for name, run := range map[string]func() string{
		"as an argument":     func() string { return erl(t, ".", expression) },
		"by its environment": func() string { return erl(t, ".", "ok.", "ERL_AFLAGS="+script.Env["ERL_AFLAGS"]) },
	} {
		lines := strings.Split(run(), "\n")
		said, err := parseMicro(lines)
		if err != nil || said.failed != "" || !slices.Contains(lines, microEnd) {
			t.Fatalf("%s: %+v, %v:\n%s", name, said, err, strings.Join(lines, "\n"))
		}
		t.Logf("%s: OTP %s, %s, in nanoseconds of this machine: %+v", name, said.otp, said.emulator, said.figures)
	}
}
