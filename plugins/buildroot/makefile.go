package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// A package for the target and one of the same name for the build host share a
// makefile. Variables of the first begin with NAME_, of the second with HOST_NAME_,
// and of NAME_'s the package infrastructure hands some down (manual, "generic-package
// reference"). So which emulator a target gets need not build the host's anew.

// inheritedByHost are the ends of the variables that the package infrastructure
// takes from a target's package for the host's: it writes $(3)_VERSION where
// $(2)_VERSION is not set (package/pkg-generic.mk, inner-generic-package).
func inheritedByHost(br *tree) (map[string]bool, error) {
	files, err := filepath.Glob(filepath.Join(br.dir, "package", "pkg-*.mk"))
	if err != nil {
		return nil, err
	}
	ends := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, m := range inheritance.FindAllSubmatch(text, -1) {
			ends[string(m[1])] = true
		}
	}
	return ends, nil
}

var inheritance = regexp.MustCompile(`\$\(3\)_([A-Z0-9_]+)`)

// touchesHost reports whether a symbol can change what the host's package of a
// makefile is made from; target is how the variables of the target's begin,
// without the underscore. What it does not understand, it takes for a yes.
func touchesHost(makefile, symbol, target string, inherited map[string]bool) bool {
	// With $($(PKG)_X) anything may be meant. Without infrastructure nothing is known.
	if strings.Contains(makefile, "$($(") || len(inherited) == 0 {
		return true
	}
	variables, rest := variablesOf(makefile)
	// What is made of the symbol, of what is made of it, and so on.
	touched := map[string]bool{symbol: true}
	touches := func(text string) bool {
		for _, w := range makeWord.FindAllString(text, -1) {
			if touched[w] {
				return true
			}
		}
		return false
	}
	for grown := true; grown; {
		grown = false
		for name, text := range variables {
			if touched[name] || !touches(text) {
				continue
			}
			end, own := strings.CutPrefix(name, target+"_")
			if !own || inherited[end] || makeWord.FindString(name) != name {
				return true
			}
			touched[name], grown = true, true
		}
	}
	return touches(rest)
}

var (
	makeWord   = regexp.MustCompile(`[A-Za-z0-9_]+`)
	assignment = regexp.MustCompile(`^(?:override\s+|export\s+)*([^\s:+?!=#]+)\s*(?:::?:?|\+|\?|!)?=`)
	definition = regexp.MustCompile(`^(?:override\s+)?define\s+(\S+)`)
	condition  = regexp.MustCompile(`^(?:ifeq|ifneq|ifdef|ifndef)\b`)
)

// variablesOf returns all that a makefile assigns to each variable, with the
// conditions under which it does, and the lines that assign nothing.
func variablesOf(makefile string) (variables map[string]string, rest string) {
	variables = map[string]string{}
	var conditions []string
	defined := "" // the variable whose define is open
	for line := range strings.Lines(strings.ReplaceAll(makefile, "\\\n", " ")) {
		text := strings.TrimSpace(line)
		under := strings.Join(conditions, "\n") + "\n"
		switch {
		case defined != "" && text == "endef":
			defined = ""
		case defined != "":
			variables[defined] += line
		case text == "" || strings.HasPrefix(text, "#"):
		case condition.MatchString(text):
			conditions = append(conditions, text)
		case strings.HasPrefix(text, "else") && len(conditions) > 0:
			conditions[len(conditions)-1] += "\n" + text
		case strings.HasPrefix(text, "endif") && len(conditions) > 0:
			conditions = conditions[:len(conditions)-1]
		default:
			if m := definition.FindStringSubmatch(text); m != nil {
				defined = m[1]
				variables[defined] += under
			} else if m := assignment.FindStringSubmatch(text); m != nil && !strings.HasPrefix(line, "\t") {
				variables[m[1]] += under + text[len(m[0]):] + "\n"
			} else {
				rest += under + line
			}
		}
	}
	return variables, rest
}
