package kernel

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
)

// Config is a .config: the value of every symbol that has one.
type Config struct {
	values map[string]string
	names  []string // in the order of the file
}

// ReadConfig reads the .config at path.
func ReadConfig(path string) (*Config, error) { return prefixed.readConfig(path) }

// ReadBuildrootConfig is ReadConfig for Buildroot, whose names have no CONFIG_.
func ReadBuildrootConfig(path string) (*Config, error) { return bare.readConfig(path) }

func (n notation) readConfig(path string) (*Config, error) {
	r, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return n.parseConfig(path, r)
}

func (n notation) parseConfig(path string, r io.Reader) (*Config, error) {
	c := &Config{values: map[string]string{}}
	sc := bufio.NewScanner(r)
	for line := 1; sc.Scan(); line++ {
		sym, ok, err := n.parseLine(sc.Text())
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, line, err)
		}
		if ok {
			c.set(sym.Name, sym.Value)
		}
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func (c *Config) set(name, value string) {
	if _, known := c.values[name]; !known {
		c.names = append(c.names, name)
	}
	c.values[name] = value
}

// Value returns the value of CONFIG_<name> as the file has it, strings in their
// quotes; "n" when it is not set or not there.
func (c *Config) Value(name string) string {
	if v, ok := c.values[name]; ok {
		return v
	}
	return "n"
}

// Names returns the symbols that the file mentions, in its order.
func (c *Config) Names() []string { return slices.Clone(c.names) }

// preset writes the .config that conf starts from: the symbols of base that no
// request overrides, then every other option in tree as off, then the requests.
// The order matters: of several members of a choice that are set to y, conf
// takes the last. Members that nobody mentions are left to the choice's default.
func preset(w io.Writer, base *Config, tree *KconfigTree, reqs []Symbol) error {
	said := map[string]bool{}
	for _, s := range reqs {
		said[s.Name] = true
	}
	bw := bufio.NewWriter(w)
	for _, name := range base.names {
		if said[name] {
			continue
		}
		said[name] = true
		fmt.Fprintln(bw, Symbol{Name: name, Value: base.values[name]})
	}
	for _, name := range tree.options() {
		if !said[name] {
			fmt.Fprintln(bw, Symbol{Name: name, Value: "n"})
		}
	}
	for _, s := range reqs {
		fmt.Fprintln(bw, s)
	}
	return bw.Flush()
}
