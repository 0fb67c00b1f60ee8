package guest

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Parse reads a boot file as /init does; `init --check` prints what it finds.
func Parse(text []byte) (Boot, error) {
	var b Boot
	if len(text) > maxFile {
		return b, fmt.Errorf("boot file %s: %d bytes; /init reads at most %d", BootPath, len(text), maxFile)
	}
	for i, line := range bytes.Split(text, []byte("\n")) {
		if err := b.directive(string(line)); err != nil {
			return b, fmt.Errorf("boot file %s:%d: %w", BootPath, i+1, err)
		}
	}
	if err := b.check(); err != nil {
		return b, fmt.Errorf("boot file %s: %w", BootPath, err)
	}
	return b, nil
}

func (b *Boot) directive(line string) error {
	if line == "" || line[0] == '#' {
		return nil
	}
	name, value, _ := strings.Cut(line, " ")
	once := map[string]*string{"hostname": &b.Hostname, "chdir": &b.Chdir, "address": &b.Address, "dhcp": &b.DHCP,
		"ready": &b.Ready, "exec": &b.Exec}[name]
	switch {
	case once != nil && *once != "":
		return fmt.Errorf("%s: given twice", name)
	case once != nil && value == "":
		return fmt.Errorf("%s: needs a value", name)
	case once != nil:
		*once = value
	case name == "arg":
		b.Args = append(b.Args, value)
	case name == "module":
		b.Modules = append(b.Modules, value)
	case name == "env":
		variable, text, ok := strings.Cut(value, "=")
		if !ok {
			return fmt.Errorf("env: needs NAME=VALUE")
		}
		if b.Env == nil {
			b.Env = map[string]string{}
		}
		b.Env[variable] = text
	case name == "user":
		uid, gid, _ := strings.Cut(value, " ")
		var errs [2]error
		b.UID, errs[0] = parseID(uid)
		b.GID, errs[1] = parseID(gid)
		if errs[0] != nil || errs[1] != nil {
			return fmt.Errorf("user: needs UID GID, two numbers")
		}
	case name == "stop-timeout":
		seconds, err := strconv.ParseUint(value, 10, 32)
		if err != nil || time.Duration(seconds)*time.Second > maxStop {
			return fmt.Errorf("stop-timeout: needs a number of seconds, at most %d", maxStop/time.Second)
		}
		b.StopTimeout = time.Duration(seconds) * time.Second
	default:
		return fmt.Errorf("%s: unknown directive", name)
	}
	return nil
}

func parseID(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	return int(n), err
}
