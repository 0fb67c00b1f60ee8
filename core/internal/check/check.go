package check

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// ExitClean is Set.Exit of a VM that ends by itself.
const ExitClean = "clean"

// Set is what is asked of an image. Without any of it, BEAM must get ready, stay
// until the power button is pressed, and end with status 0.
type Set struct {
	Expect []string `json:"expect,omitempty"` // each must be part of some line on the console, once BEAM was started
	HTTP   []HTTP   `json:"http,omitempty"`
	Eval   []Eval   `json:"eval,omitempty"`
	Exit   string   `json:"exit,omitempty"` // ExitClean: BEAM must end by itself with status 0; empty: it must stay
}

// HTTP is a request to the VM, and how it must be answered.
type HTTP struct {
	Port   int    `json:"port"`
	Path   string `json:"path"` // with the query, if there is one
	Status int    `json:"status"`
	Body   string `json:"body,omitempty"` // text that must be in the body
}

// String is as `leanlab verify --http` takes it.
func (h HTTP) String() string {
	text := fmt.Sprintf("%d%s %d", h.Port, h.Path, h.Status)
	if h.Body != "" {
		text += " " + h.Body
	}
	return text
}

// Eval is Elixir code, and its value as inspect/2 shows it.
type Eval struct {
	Code   string `json:"code"`
	Result string `json:"result"`
}

// String is as `leanlab verify --eval` takes it.
func (e Eval) String() string { return e.Code + " => " + e.Result }

// Fault is something that cannot be asked.
type Fault struct {
	Path    []string // {"http", "1", "port"}: of the second request
	Summary string
	Detail  string // a sentence or more
}

func (f Fault) Error() string { return f.Summary + ": " + f.Detail }

// Empty reports whether nothing is asked.
func (s Set) Empty() bool {
	return len(s.Expect) == 0 && len(s.HTTP) == 0 && len(s.Eval) == 0 && s.Exit == ""
}

// With returns s and what of more is not in it.
func (s Set) With(more Set) Set {
	both := Set{Expect: union(s.Expect, more.Expect), HTTP: union(s.HTTP, more.HTTP), Eval: union(s.Eval, more.Eval), Exit: s.Exit}
	if more.Exit != "" {
		both.Exit = more.Exit
	}
	return both
}

// union of nothing is nil.
func union[T comparable](list, more []T) []T {
	both := append([]T(nil), list...)
	for _, one := range more {
		if !slices.Contains(both, one) {
			both = append(both, one)
		}
	}
	return both
}

// Faults returns all that is wrong with s.
func (s Set) Faults() []Fault {
	var all []Fault
	for i, text := range s.Expect {
		if strings.TrimSpace(text) == "" || strings.ContainsAny(text, "\r\n") {
			all = append(all, Fault{[]string{"expect", strconv.Itoa(i)}, "Nothing that a line can hold",
				"Each element is a part of one line on the console: not empty, and without line breaks."})
		}
	}
	for i, h := range s.HTTP {
		all = append(all, within(h.Faults(), "http", i)...)
	}
	for i, e := range s.Eval {
		all = append(all, within(e.Faults(), "eval", i)...)
	}
	switch {
	case s.Exit != "" && s.Exit != ExitClean:
		all = append(all, Fault{[]string{"exit"}, fmt.Sprintf("Unknown exit %q", s.Exit),
			`It is "clean", for a VM that ends by itself, or not there, for one that stays until its power button is pressed.`})
	case s.Exit == ExitClean && len(s.HTTP)+len(s.Eval) > 0:
		// Whoever asks such a VM races with its end.
		all = append(all, Fault{[]string{"exit"}, "A VM that ends by itself cannot be asked",
			`It may have gone before a request or code reaches it. Leave out exit = "clean", or the http and eval checks; what it prints can be expected.`})
	}
	return all
}

func within(faults []Fault, member string, i int) []Fault {
	for n := range faults {
		faults[n].Path = append([]string{member, strconv.Itoa(i)}, faults[n].Path...)
	}
	return faults
}

// Faults returns all that is wrong with h.
func (h HTTP) Faults() []Fault {
	var all []Fault
	if h.Port < 1 || h.Port > 65535 {
		all = append(all, Fault{[]string{"port"}, "Bad port", fmt.Sprintf("%d is no port of TCP: they go from 1 to 65535.", h.Port)})
	}
	if !goodPath(h.Path) {
		all = append(all, Fault{[]string{"path"}, "Bad path",
			fmt.Sprintf(`%q is no path of a request: it begins with / and has no spaces, no # and nothing but ASCII; write other characters as in "/%%C3%%A4".`, h.Path)})
	}
	if h.Status < 100 || h.Status > 599 {
		all = append(all, Fault{[]string{"status"}, "Bad status",
			fmt.Sprintf("%d is no status of HTTP: they go from 100 to 599, and %d is %q.", h.Status, http.StatusOK, http.StatusText(http.StatusOK))})
	}
	return all
}

// goodPath reports whether path is a request's target in origin form (RFC 9112,
// 3.2.1), which holds a query too.
func goodPath(path string) bool {
	_, err := url.ParseRequestURI(path)
	strange := func(r rune) bool { return r <= ' ' || r > '~' || r == '#' }
	return err == nil && strings.HasPrefix(path, "/") && !strings.ContainsFunc(path, strange)
}

// Faults returns all that is wrong with e.
func (e Eval) Faults() []Fault {
	var all []Fault
	if strings.TrimSpace(e.Code) == "" {
		all = append(all, Fault{[]string{"code"}, "No code", `Give Elixir to evaluate, such as "1 + 1".`})
	}
	if strings.TrimSpace(e.Result) == "" {
		all = append(all, Fault{[]string{"result"}, "No result",
			`Give the value as inspect/1 shows it, such as "2", "nil" or "\"text\"": it is never empty.`})
	}
	return all
}
