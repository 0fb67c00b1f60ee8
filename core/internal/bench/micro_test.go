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

func TestTheExpressionFitsABootFile(t *testing.T) {
	t.Parallel()
	if _, err := (guest.Boot{Exec: "/beam"}).WithEval(microEval).Encode(); err != nil {
		t.Error(err)
	}
}

// erl runs an expression in a real Erlang, or skips.
func erl(t *testing.T, dir, expression string) string {
	t.Helper()
	path := os.Getenv("LEANLAB_TEST_ERL")
	if path == "" {
		var err error
		if path, err = exec.LookPath("erl"); err != nil {
			t.Skip("no Erlang: erl is not on PATH and LEANLAB_TEST_ERL does not name one")
		}
	}
	cmd := exec.Command(path, "-noshell", "-boot", "start_clean", "-eval", expression, "-s", "init", "stop")
	cmd.Dir = dir
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
	dir, err := filepath.Abs("micro")
	if err != nil {
		t.Fatal(err)
	}
	expression := strings.ReplaceAll(microEval, filepath.Join(filepath.Dir(guest.BootPath), microModule), microModule)
	lines := strings.Split(erl(t, dir, expression), "\n")
	said, err := parseMicro(lines)
	if err != nil || said.failed != "" || !slices.Contains(lines, microEnd) {
		t.Fatalf("%+v, %v:\n%s", said, err, strings.Join(lines, "\n"))
	}
	t.Logf("OTP %s, %s, in nanoseconds of this machine: %+v", said.otp, said.emulator, said.figures)
}
