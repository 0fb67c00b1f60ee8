package otp

import (
	"fmt"
	"strings"
)

// VMArgs is a vm.args file, taken apart as erlexec does it, because in a VM
// beam.smp is started without erlexec.
type VMArgs struct {
	Emulator []string    // what beam.smp takes before the first "--": its flags begin with "-" there
	Init     []string    // flags for init(3)
	Env      [][2]string // -env NAME VALUE
}

// ParseVMArgs reads an -args_file (erl(1)): words are separated by white space,
// # begins a comment at the start of a word, quotes and backslash quote.
func ParseVMArgs(path string, data []byte) (*VMArgs, error) {
	words, err := splitArgs(path, string(data))
	if err != nil {
		return nil, err
	}
	args := &VMArgs{}
	for i := 0; i < len(words); {
		word := words[i]
		i++
		switch {
		case word == "-extra" || word == "--":
			args.Init = append(args.Init, words[i-1:]...)
			i = len(words)
		case word == "-env":
			if i+2 > len(words) {
				return nil, fmt.Errorf("%s: -env needs a name and a value", path)
			}
			args.Env = append(args.Env, [2]string{words[i], words[i+1]})
			i += 2
		case strings.HasPrefix(word, "+") && len(word) > 1:
			// erlexec hands +flag to beam.smp as -flag. A value is the next word
			// unless that is a flag itself; no emulator flag has a value that
			// begins with + or - (erl(1), "Emulator Flags").
			args.Emulator = append(args.Emulator, "-"+word[1:])
			if i < len(words) && !strings.HasPrefix(words[i], "-") && !strings.HasPrefix(words[i], "+") {
				args.Emulator = append(args.Emulator, words[i])
				i++
			}
		default:
			args.Init = append(args.Init, word)
		}
	}
	return args, nil
}

// splitArgs follows read_args_file in erts/etc/common/erlexec.c.
func splitArgs(path, text string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord := false
	line := 1
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\n' || c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
			if c == '\n' {
				line++
			}
		case c == '#' && !inWord:
			for i+1 < len(text) && text[i+1] != '\n' {
				i++
			}
		case c == '"' || c == '\'':
			inWord = true
			from := line
			for i++; ; i++ {
				if i >= len(text) {
					return nil, fmt.Errorf("%s:%d: a quote that is not closed", path, from)
				}
				if text[i] == c {
					break
				}
				if c == '"' && text[i] == '\\' && i+1 < len(text) {
					i++
				}
				if text[i] == '\n' {
					line++
				}
				word.WriteByte(text[i])
			}
		case c == '\\':
			inWord = true
			if i+1 < len(text) {
				i++
				if text[i] == '\n' {
					line++
				}
				word.WriteByte(text[i])
			}
		case c == 0:
			return nil, fmt.Errorf("%s:%d: a NUL byte; vm.args is a text file", path, line)
		default:
			inWord = true
			word.WriteByte(c)
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}
