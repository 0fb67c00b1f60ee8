package definition

import (
	"fmt"
	"regexp"
	"strconv"
)

// elixirs are the known series of Elixir with the OTP majors that each runs on,
// from the table in Elixir's compatibility-and-deprecations.md. OTP 28 needs
// Elixir 1.18.4.
var elixirs = []struct {
	series   string
	min, max int
}{
	{"1.17", 25, 27},
	{"1.18", 25, 28},
	{"1.19", 26, 28},
	{"1.20", 27, 29},
}

func knownElixirs() []string {
	var all []string
	for _, e := range elixirs {
		all = append(all, e.series)
	}
	return all
}

// knownOTPs are all majors that some known Elixir runs on.
func knownOTPs() []string {
	var all []string
	for major := elixirs[0].min; major <= elixirs[len(elixirs)-1].max; major++ {
		all = append(all, strconv.Itoa(major))
	}
	return all
}

var release = regexp.MustCompile(`^v?([0-9]+)(\.[0-9]+)?([.-].*)?$`)

// seriesHint says what is wrong with a series: its form, or that it is not
// known. form describes a right one; parts is how many numbers it has.
func seriesHint(text string, known []string, form string, parts int) string {
	m := release.FindStringSubmatch(text)
	if m != nil {
		series := m[1]
		if parts == 2 {
			series += m[2]
		}
		for _, k := range known {
			if k == series {
				return fmt.Sprintf("Write the series, %s: the exact release is in the lock file.", strconv.Quote(series))
			}
		}
	}
	return form + " " + didYouMean(text, known)
}

// otpRange returns which OTP majors a known series of Elixir runs on.
func otpRange(elixir string) (lowest, highest int) {
	for _, e := range elixirs {
		if e.series == elixir {
			return e.min, e.max
		}
	}
	return 0, 0
}
