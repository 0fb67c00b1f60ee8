package ui

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

func TestElapsed(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second:                    "0.0s",
		0:                               "0.0s",
		4249 * time.Millisecond:         "4.2s",
		9949 * time.Millisecond:         "9.9s",
		9950 * time.Millisecond:         "10s",
		59499 * time.Millisecond:        "59s",
		59500 * time.Millisecond:        "1m00s",
		62 * time.Second:                "1m02s",
		time.Hour + 2*time.Minute + 3e9: "1h02m03s",
	} {
		if got := elapsed(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestScreenLinesAreHarmless(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain":                             "plain",
		"\x1b[1;31mred\x1b[0m":              "red",
		"\x1b]0;title\x07text":              "text",
		"\x1b]8;;http://x\x1b\\link":        "link",
		"\x1bcreset":                        "reset",
		"\x1b[31":                           "",
		"\x1b":                              "",
		"10%\r20%\r100%":                    "100%",
		"dos\r\n":                           "dos",
		"a\tb\x07\x08c":                     "a bc",
		"\xff":                              "\ufffd",
		"größe ✓":                           "größe ✓",
		"\u202egnp.exe":                     "gnp.exe", // a direction override hides what it says
		strings.Repeat("x", longestLine+10): strings.Repeat("x", longestLine),
	} {
		if got := screenLine(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzScreenLine(f *testing.F) {
	f.Add("\x1b[31mred\x1b[0m\r\n\xff\x9b\u009b1m")
	f.Fuzz(func(t *testing.T, in string) {
		out := screenLine(in)
		if len(out) > longestLine+utf8.UTFMax || !utf8.ValidString(out) {
			t.Errorf("%q: %d bytes %q", in, len(out), out)
		}
		for _, r := range out {
			if !unicode.IsPrint(r) {
				t.Errorf("%q: %U in %q", in, r, out)
			}
		}
	})
}

func TestProgressInWords(t *testing.T) {
	t.Parallel()
	for p, want := range map[builder.Progress]string{
		{}: "",
		{Done: 412, Total: 3120, Unit: "objects"}:  "412/3120 objects",
		{Done: 412, Unit: "objects"}:               "412 objects",
		{Done: 1, Total: 2}:                        "1/2",
		{Done: 1500000, Total: 9e7, Unit: "bytes"}: "1.5/90.0 MB",
		{Done: 1500000, Unit: "bytes"}:             "1.5 MB",
		{Total: 7, Unit: "pack\x1b[2Jages"}:        "0/7 packages",
	} {
		if got := progress(p); got != want {
			t.Errorf("%+v: %q, want %q", p, got, want)
		}
	}
}

func TestTheLocaleDecidesAboutUTF8AndTheUserAboutColour(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		env  map[string]string
		want look
	}{
		{map[string]string{"LANG": "C.UTF-8"}, look{color: true, utf8: true}},
		{map[string]string{"LANG": "de_DE.utf8"}, look{color: true, utf8: true}},
		{map[string]string{"LANG": "C.UTF-8", "LC_ALL": "C"}, look{color: true}},
		{map[string]string{"LANG": "C.UTF-8", "LC_CTYPE": "C"}, look{color: true}},
		{map[string]string{"LANG": "C", "LC_ALL": "C.UTF-8", "NO_COLOR": "1"}, look{utf8: true}},
		{map[string]string{"TERM": "dumb"}, look{}},
	} {
		if got := lookOf(func(k string) string { return tt.env[k] }, true); got != tt.want {
			t.Errorf("%v: %+v, want %+v", tt.env, got, tt.want)
		}
	}
}

func TestARunningLineFitsAnyWidth(t *testing.T) {
	t.Parallel()
	st := newStage(t, &plain{out: &counter{}})
	s := st.Start("kernel", "Linux kernel 6.12 größer 漢字").(*step)
	s.Emit(builder.StepStarted{Title: "漢字漢字 compile a rather long part"})
	s.Emit(builder.Progress{Done: 1560, Total: 3120, Unit: "objects"})
	now := st.clock.forward(62 * time.Second)
	for _, l := range []look{{utf8: true}, {}} {
		for width := 1; width < 130; width++ {
			line := l.runningLine(s, now, width)
			if got := runewidth.StringWidth(line); got >= max(width, 1) {
				t.Errorf("width %d: %d columns: %q", width, got, line)
			}
			if !l.utf8 && strings.IndexFunc(line, func(r rune) bool { return r > unicode.MaxASCII }) >= 0 {
				t.Errorf("not ASCII: %q", line)
			}
		}
	}
	want := `\ kernel 1m02s [#########         ] 1560/3120 objects: ???? compile a rather long part`
	if got := (look{}).runningLine(s, st.clock.forward(-80*time.Millisecond), 100); got[1:] != want[1:] {
		t.Errorf("%q, want %q", got, want)
	}
}
