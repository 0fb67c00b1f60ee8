package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/kernel"
)

// outputName stands for the output directory in source statements.
const outputName = "@output"

// readSymbols reads Buildroot's Config.in with those of the external trees.
// Nothing is run and nothing written: a fifth of a second for some 9 000
// symbols.
func readSymbols(br *tree, trees []external) (*kernel.KconfigTree, error) {
	menus := externalMenus(trees)
	env := map[string]string{"BR2_BASE_DIR": outputName}
	for _, e := range trees {
		env[e.pathVariable()] = e.dir
	}
	read := func(name string) ([]byte, error) {
		if item, ok := strings.CutPrefix(name, outputName+"/.br2-external.in."); ok {
			return []byte(menus[item]), nil
		}
		if !filepath.IsAbs(name) {
			name = filepath.Join(br.dir, name)
		}
		return os.ReadFile(name)
	}
	return kernel.ParseKconfig("Config.in", read, env)
}

// gap is a line of a configuration that does not do what it says.
type gap struct {
	symbol kernel.Symbol
	reason string
}

func (g gap) String() string {
	if g.symbol.Line == 0 { // one of ours, which stands in no file
		return fmt.Sprintf("%s: %s: %s", g.symbol.File, g.symbol, g.reason)
	}
	return fmt.Sprintf("%s:%d: %s: %s", g.symbol.File, g.symbol.Line, g.symbol, g.reason)
}

// legacyFile is where Buildroot keeps the symbols that it has removed.
const legacyFile = "Config.in.legacy"

// unknown finds the lines that conf would drop without a word because Buildroot
// has no such symbol, and those of symbols that it has no longer.
func unknown(symbols *kernel.KconfigTree, lines []kernel.Symbol) []gap {
	var gaps []gap
	for _, s := range lines {
		places := symbols.Places(s.Name)
		switch {
		case len(places) == 0:
			reason := "this Buildroot has no such symbol"
			if near := symbols.Nearest(s.Name); near != "" {
				reason += "; the nearest is " + near
			}
			gaps = append(gaps, gap{s, reason})
		case places[0].File == legacyFile && s.Value != "n" && s.Value != `""`:
			gaps = append(gaps, gap{s, fmt.Sprintf("Buildroot has removed it: %s (%s:%d)", places[0].Prompt, places[0].File, places[0].Line)})
		}
	}
	return gaps
}

// dropped compares every line with the .config that conf made of them.
func dropped(config *kernel.Config, symbols *kernel.KconfigTree, requests *kernel.Fragment) []gap {
	var gaps []gap
	for _, d := range kernel.Check(config, []*kernel.Fragment{requests}, symbols) {
		gaps = append(gaps, gap{d.Symbol, "came out as " + d.Got + ": " + d.Reason})
	}
	return gaps
}
