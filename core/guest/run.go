package guest

import (
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// With returns the boot file with more environment for BEAM, whose values win,
// more arguments for the app, and, with evaluate, a process that evaluates what
// comes from EvaluatorAddress.
//
// Arguments go behind -extra (erl(1)), where init:get_plain_arguments/0 finds
// them; no emulator flag and no flag of init(3) is taken for one of them, nor
// the other way round.
func (b Boot) With(env map[string]string, args []string, evaluate bool) Boot {
	b.Env = maps.Clone(b.Env)
	if b.Env == nil {
		b.Env = map[string]string{}
	}
	maps.Copy(b.Env, env)
	if evaluate {
		b = b.WithEval(evaluator())
	}
	if len(args) > 0 {
		flags, plain := splitArgs(b.Args)
		b.Args = slices.Concat(flags, []string{"-extra"}, plain, args)
	}
	return b
}

// WithEval returns the boot file with one more expression for init(3) to evaluate,
// after the image's own, so when BEAM is ready. It is one line.
func (b Boot) WithEval(expression string) Boot {
	flags, plain := splitArgs(b.Args)
	flags = slices.Concat(flags, []string{"-eval", expression})
	if plain != nil {
		flags = slices.Concat(flags, []string{"-extra"}, plain)
	}
	b.Args = flags
	return b
}

// splitArgs parts flags from the app's arguments, which are nil without -extra.
func splitArgs(args []string) (flags, plain []string) {
	if i := slices.Index(args, "-extra"); i >= 0 {
		return args[:i], append([]string{}, args[i+1:]...)
	}
	return args, nil
}

// EvaluatorAddress is what the evaluating process connects to: an address on
// QEMU's user network (its default is 10.0.2.0/24 with the host at .2) that is
// nobody's, and which QEMU passes on to a socket of the host.
const (
	EvaluatorAddress = "10.0.2.100"
	EvaluatorPort    = 7090
)

//go:embed evaluator.erl
var evaluatorSource string

// evaluator is the expression on one line, as a boot file wants it.
func evaluator() string {
	var words []string
	for _, line := range strings.Split(evaluatorSource, "\n") {
		if line = strings.TrimSpace(line); line != "" && line[0] != '%' {
			words = append(words, line)
		}
	}
	return strings.NewReplacer(
		"@ADDRESS@", "{"+strings.ReplaceAll(EvaluatorAddress, ".", ",")+"}",
		"@PORT@", fmt.Sprint(EvaluatorPort),
	).Replace(strings.Join(words, " "))
}

// MaxCode bounds the code of one request: a line of the protocol has to fit the
// guest's buffer.
const MaxCode = 64 << 10

// EncodeRequest is a line that asks the evaluator for the value of Elixir code.
// id has no spaces and comes back with the answer. The newline before it ends
// what an earlier client may have left unfinished, which without its last word is
// no request.
func EncodeRequest(id, code string) ([]byte, error) {
	if len(code) > MaxCode {
		return nil, fmt.Errorf("%d bytes of code; at most %d can be sent: put it into the app", len(code), MaxCode)
	}
	return []byte("\n" + id + " " + base64.StdEncoding.EncodeToString([]byte(code)) + " end\n"), nil
}

// Answer is what evaluating gave.
type Answer struct {
	ID     string
	OK     bool   // otherwise Text is the exception
	Text   string // the value as inspect/2 shows it
	Output string // what was printed meanwhile
}

// ParseAnswer reads a line of the evaluator's.
func ParseAnswer(line string) (Answer, error) {
	words := strings.Split(strings.TrimRight(line, "\r\n"), " ")
	if len(words) != 4 || words[1] != "ok" && words[1] != "error" {
		return Answer{}, errors.New("the VM's answer is none of the evaluator's")
	}
	text, err1 := base64.StdEncoding.DecodeString(words[2])
	output, err2 := base64.StdEncoding.DecodeString(words[3])
	if err := errors.Join(err1, err2); err != nil {
		return Answer{}, fmt.Errorf("the VM's answer: %w", err)
	}
	return Answer{ID: words[0], OK: words[1] == "ok", Text: string(text), Output: string(output)}, nil
}
