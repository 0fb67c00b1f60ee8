package definition

import (
	"fmt"
	"math/big"
	"regexp"
	"strings"
)

// units are the multiples of a byte: decimal ones as in IEC 80000-13 and SI,
// binary ones with an i.
var units = []struct {
	name  string
	bytes int64
}{
	{"B", 1},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9},
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
}

var sizeForm = regexp.MustCompile(`^(-?[0-9]+(?:\.[0-9]+)?)([A-Za-z]*)$`)

// parseSize reads a size such as "8MB" (8·10⁶ bytes) or "64MiB" (64·2²⁰). The
// error is a sentence about text.
func parseSize(text string) (int64, error) {
	m := sizeForm.FindStringSubmatch(strings.Join(strings.Fields(text), ""))
	if m == nil {
		return 0, fmt.Errorf(`%q is no size: write a number and a unit, such as "8MB" or "64MiB"`, text)
	}
	number, unit := m[1], m[2]
	for _, u := range units {
		if u.name != unit {
			continue
		}
		if text != number+unit {
			return 0, fmt.Errorf("%q has spaces: write %q", text, number+unit)
		}
		return bytesOf(text, number, u.bytes)
	}
	if unit == "" {
		return 0, fmt.Errorf(`%q has no unit: write it as in "8MB" (8·10⁶ bytes), "64MiB" (64·2²⁰ bytes) or "500B"`, text)
	}
	return 0, fmt.Errorf("%q has an unknown unit: %s", text, suggestUnit(number, unit))
}

// suggestUnit finds what was meant by 8M, 64Mi, 8mb and the like.
func suggestUnit(number, unit string) string {
	var near []string
	for _, u := range units {
		full, short := strings.ToLower(u.name), strings.ToLower(strings.TrimSuffix(u.name, "B"))
		if short != "" && (full == strings.ToLower(unit) || strings.TrimSuffix(short, "i") == strings.ToLower(unit) || short == strings.ToLower(unit)) {
			near = append(near, fmt.Sprintf("%q", number+u.name))
		}
	}
	if len(near) > 0 {
		return "write " + strings.Join(near, " or ")
	}
	var all []string
	for _, u := range units {
		all = append(all, u.name)
	}
	return "known are " + strings.Join(all, ", ")
}

func bytesOf(text, number string, unit int64) (int64, error) {
	value, ok := new(big.Rat).SetString(number)
	if !ok {
		return 0, fmt.Errorf("%q is no size", text)
	}
	value.Mul(value, new(big.Rat).SetInt64(unit))
	switch {
	case !value.IsInt():
		return 0, fmt.Errorf("%q is no whole number of bytes", text)
	case !value.Num().IsInt64():
		return 0, fmt.Errorf("%q is more than 2⁶³ bytes", text)
	}
	return value.Num().Int64(), nil
}

// sizeText writes a size in the largest unit that leaves a whole number.
func sizeText(bytes int64) string {
	best := units[0]
	for _, u := range units {
		if bytes%u.bytes == 0 && u.bytes > best.bytes {
			best = u
		}
	}
	return fmt.Sprintf("%d%s", bytes/best.bytes, best.name)
}
