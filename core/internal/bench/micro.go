package bench

import (
	"context"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/somebloke1/elixir-lean-lab/core/beam"
	"github.com/somebloke1/elixir-lean-lab/core/guest"
	"github.com/somebloke1/elixir-lean-lab/core/internal/handover"
	"github.com/somebloke1/elixir-lean-lab/core/internal/report"
	"github.com/somebloke1/elixir-lean-lab/core/vm"
)

// microBeams are micro/leanlab_bench.erl as two compilers make it. OTP loads what
// the compilers of its own release and of the two before it made, and promises no
// more ("Support, Compatibility, Deprecations, and Removal", Compiled BEAM Code);
// 29 does refuse what 25 made of a binary's match. So what 25 made is for 25 and
// 26, which know nothing newer, and what 27 made for 27 to 29.
//
//go:embed micro/leanlab_bench.otp25.beam micro/leanlab_bench.otp27.beam
var microBeams embed.FS

// microModule is the module's name.
const microModule = "leanlab_bench"

// microExpression loads the module that the guest's OTP takes and runs it. It holds
// both, so that a changed boot file is all that the guest is given, whatever its root
// is. What is wrong is said on the console: an exception would end BEAM. It has
// neither single quotes nor backslashes, with which erlexec has ways of its own.
func microExpression() (string, error) {
	var beams []any
	for _, compiler := range []string{"otp25", "otp27"} {
		data, err := microBeams.ReadFile("micro/" + microModule + "." + compiler + ".beam")
		if err != nil {
			return "", err
		}
		file, err := beam.Parse(data)
		if err != nil {
			return "", err
		}
		beams = append(beams, base64.StdEncoding.EncodeToString(file.Strip().Bytes()))
	}
	return fmt.Sprintf(`try `+
		`Text = case list_to_integer(erlang:system_info(otp_release)) < 27 of true -> <<"%s">>; false -> <<"%s">> end, `+
		`{module, Module} = code:load_binary(`+microModule+`, "`+microModule+`.beam", base64:decode(Text)), `+
		`Module:run() `+
		`catch _:Reason -> io:format(user, "leanlab: bench failed ~~0p~~nleanlab: bench end~~n", [Reason]) end.`,
		beams...), nil
}

// microEnd is the last line that the guest prints of it.
const microEnd = "leanlab: bench end"

// micro boots once more, with the module in the boot file, and takes what it
// prints. An image that it cannot be put into is left out, with the reason. own is
// the boot file, if that is not the one in the initrd, and took how long the image
// needed until it was ready.
func micro(ctx context.Context, check vm.Check, own *guest.Boot, took time.Duration, m *report.Measured) error {
	if own == nil {
		boot, err := handover.BootOf(ctx, check.Config)
		switch {
		case errors.Is(err, handover.ErrOwnLoader):
			m.NoMicro = "its BEAM cannot be told to start the measuring module: " + err.Error()
			return nil
		case errors.Is(err, guest.ErrNoBoot):
			m.NoMicro = "the image's /init is not leanlab's, which would start the measuring module"
			return nil
		case err != nil:
			return err
		}
		own = &boot
	}
	boot := *own
	expression, err := microExpression()
	if err != nil {
		return err
	}
	with, err := handover.Give(&check.Config, "", withEval(boot, expression))
	if err != nil {
		return err
	}
	defer os.Remove(with)
	check.Expect = []string{microEnd}
	check.Timeout = 10*took + 30*time.Second // ten times is not slow any more: nothing will come
	proof, err := vm.Prove(ctx, check)
	if failure := (*vm.Failure)(nil); errors.As(err, &failure) && failure.Kind == vm.Output {
		m.NoMicro = fmt.Sprintf("%s, which /init starts, did not run the measuring module", boot.Exec)
		return nil
	} else if err != nil {
		return err
	}
	said, err := parseMicro(proof.Console)
	if err != nil {
		return err
	}
	m.Micro, m.NoMicro = said.figures, said.failed
	m.Built.Emulator = said.emulator
	if m.Built.Versions == nil && said.otp != "" { // no manifest has told more exactly
		m.Built.Versions = map[string]string{"erlang": said.otp}
	}
	return nil
}

// withEval has BEAM evaluate the expression: the emulator, which our images start, by
// its arguments, and what a program of the image's starts by ERL_AFLAGS, from which
// erlexec takes flags (erl(1)).
func withEval(boot guest.Boot, expression string) guest.Boot {
	if boot.BEAM() {
		return boot.WithEval(expression)
	}
	flags := strings.TrimSpace(boot.Env["ERL_AFLAGS"] + " -eval '" + expression + "'")
	return boot.With(map[string]string{"ERL_AFLAGS": flags}, nil, false)
}

// microSaid is what the guest said.
type microSaid struct {
	otp, emulator string // "27", "interpreter" or "jit"
	figures       []report.Micro
	failed        string // why there are none
}

// BEAM writes to the same terminal as /init and the kernel, so a line may stand
// behind something else.
var (
	microHead   = regexp.MustCompile(`leanlab: bench otp=(\d+) emulator=(emu|jit)$`)
	microFigure = regexp.MustCompile(`leanlab: bench ([a-z_]+) operations=(\d+) instructions=(\d+)$`)
	microFailed = regexp.MustCompile(`leanlab: bench failed (.*)$`)
)

// parseMicro reads the console of a guest that has printed microEnd.
func parseMicro(console []string) (microSaid, error) {
	var said microSaid
	for _, line := range console {
		if strings.Contains(line, microEnd) {
			break // what starts BEAM may start it again, as for a remote shell
		}
		if m := microHead.FindStringSubmatch(line); m != nil {
			said.otp, said.emulator = m[1], map[string]string{"emu": "interpreter", "jit": "jit"}[m[2]]
		} else if m := microFailed.FindStringSubmatch(line); m != nil {
			said.failed = "the measuring module does not run in this image: " + m[1]
		} else if m := microFigure.FindStringSubmatch(line); m != nil {
			operations, err1 := strconv.ParseInt(m[2], 10, 64)
			instructions, err2 := strconv.ParseInt(m[3], 10, 64)
			if err := errors.Join(err1, err2); err != nil || operations == 0 || instructions == 0 {
				return said, fmt.Errorf("the guest's figure %q is none", m[0])
			}
			said.figures = append(said.figures, report.Micro{Name: m[1], Operations: operations, Instructions: instructions})
		}
	}
	if said.failed != "" {
		said.figures = nil
		return said, nil
	}
	for _, name := range report.MicroNames() {
		if !slices.ContainsFunc(said.figures, func(f report.Micro) bool { return f.Name == name }) {
			return said, fmt.Errorf("the guest's console lacks the figure %q: did the app print so much that it was lost?", name)
		}
	}
	return said, nil
}
