package lean

import (
	"fmt"
	"path"
	"slices"
)

// script is a boot script: {script, {Name, Vsn}, Instructions} (sasl's
// script(4); what runs it is eval_script in erts/preloaded/src/init.erl).
type script struct {
	id           Term // {Name, Vsn}
	instructions List
}

func parseScript(data []byte) (*script, error) {
	terms, err := Consult(data)
	if err != nil {
		return nil, err
	}
	if len(terms) != 1 {
		return nil, fmt.Errorf("%d terms, not one {script, …}", len(terms))
	}
	body, ok := tagged(terms[0], "script", 3)
	if !ok {
		return nil, fmt.Errorf("not a {script, {Name, Vsn}, Instructions}")
	}
	instructions, ok := body[1].(List)
	if !ok {
		return nil, fmt.Errorf("the script's instructions are not a list")
	}
	return &script{id: body[0], instructions: instructions}, nil
}

// boot returns the script as a .boot file holds it (systools:script2boot/1).
func (s *script) boot() ([]byte, error) {
	return EncodeTerm(Tuple{Atom("script"), s.id, s.instructions})
}

// mode is what a boot script does with an application.
type mode int

const (
	modeNone    mode = iota // it is in the code path
	modeLoaded              // its description is loaded
	modeStarted             // it is started
)

// modes returns the applications that the script mentions: in a code path (dirs
// maps the base name of a directory to its application), to load or to start.
// kernel is among the former only; application_controller starts it.
func (s *script) modes(dirs map[string]string) map[string]mode {
	found := map[string]mode{}
	raise := func(app string, m mode) { found[app] = max(found[app], m) }
	for _, i := range s.instructions {
		if body, ok := tagged(i, "path", 2); ok {
			for _, dir := range codePath(body[0]) {
				if app, ok := dirs[appDir(dir)]; ok {
					raise(app, modeNone)
				}
			}
		}
		if app, _, ok := loadInstruction(i); ok {
			raise(app, modeLoaded)
		}
		if app, ok := startInstruction(i); ok {
			raise(app, modeStarted)
		}
	}
	return found
}

// dirsOf returns the base names of the application directories in the script's
// code paths.
func (s *script) dirsOf() map[string]bool {
	found := map[string]bool{}
	for _, i := range s.instructions {
		if body, ok := tagged(i, "path", 2); ok {
			for _, dir := range codePath(body[0]) {
				found[appDir(dir)] = true
			}
		}
	}
	return found
}

func codePath(t Term) []string {
	list, _ := t.(List)
	var dirs []string
	for _, e := range list {
		if dir, ok := text(e); ok {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// appDir returns kernel-10.2 for $ROOT/lib/kernel-10.2/ebin.
func appDir(codeDir string) string {
	if isEbin(codeDir) {
		return path.Base(path.Dir(codeDir))
	}
	return path.Base(codeDir)
}

func isEbin(codeDir string) bool { return path.Base(codeDir) == "ebin" }

// applied returns the arguments of {apply, {application, Function, Args}}.
func applied(i Term, function Atom) (List, bool) {
	body, ok := tagged(i, "apply", 2)
	if !ok {
		return nil, false
	}
	mfa, ok := tagged(body[0], "application", 3)
	if !ok || mfa[0] != Term(function) {
		return nil, false
	}
	args, ok := mfa[1].(List)
	return args, ok
}

// loadInstruction returns the application that
// {apply,{application,load,[{application,App,Properties}]}} loads.
func loadInstruction(i Term) (app string, properties List, ok bool) {
	args, ok := applied(i, "load")
	if !ok || len(args) != 1 {
		return "", nil, false
	}
	return applicationTerm(args[0])
}

// startInstruction returns the application that
// {apply,{application,start_boot,[App,Type]}} starts.
func startInstruction(i Term) (string, bool) {
	args, ok := applied(i, "start_boot")
	if !ok || len(args) == 0 {
		return "", false
	}
	app, ok := args[0].(Atom)
	return string(app), ok
}

// cut is what goes from a boot script.
type cut struct {
	apps    map[string]bool // application names
	dirs    map[string]bool // base names of application directories
	modules map[string]bool
}

// without returns the script without what was cut, and with dirs added to the
// code path that the system runs with.
func (s *script) without(c cut, add []string) *script {
	out := &script{id: s.id}
	last := s.lastPath()
	for n, i := range s.instructions {
		if app, ok := startInstruction(i); ok && c.apps[app] {
			continue
		}
		if app, properties, ok := loadInstruction(i); ok {
			if !c.apps[app] {
				out.instructions = append(out.instructions, c.load(app, properties))
			}
			continue
		}
		if body, ok := tagged(i, "path", 2); ok {
			dirs := c.path(body[0])
			if n == last {
				dirs = append(dirs, codeDirs(add)...)
			}
			// systools writes a path in front of each application's primLoad, and
			// mix puts that of consolidated protocols into it. It goes with the
			// application; an empty one would be no path at all.
			if slices.ContainsFunc(codePath(dirs), isEbin) || len(dirs) == len(codePath(body[0])) {
				out.instructions = append(out.instructions, Tuple{Atom("path"), dirs})
			}
			continue
		}
		if body, ok := tagged(i, "primLoad", 2); ok {
			if modules := c.atoms(body[0]); len(modules) > 0 {
				out.instructions = append(out.instructions, Tuple{Atom("primLoad"), modules})
			}
			continue
		}
		out.instructions = append(out.instructions, i)
	}
	return out
}

// lastPath is the index of the last {path, …}: the code path at run time.
func (s *script) lastPath() int {
	last := -1
	for n, i := range s.instructions {
		if _, ok := tagged(i, "path", 2); ok {
			last = n
		}
	}
	return last
}

// begins reports whether the code path at run time begins with a directory of
// that name.
func (s *script) begins(name string) bool {
	last := s.lastPath()
	if last < 0 {
		return false
	}
	body, _ := tagged(s.instructions[last], "path", 2)
	dirs := codePath(body[0])
	return len(dirs) > 0 && path.Base(dirs[0]) == name
}

func codeDirs(dirs []string) List {
	var out List
	for _, d := range dirs {
		out = append(out, String(d))
	}
	return out
}

func (c cut) path(t Term) List {
	list, _ := t.(List)
	return slices.DeleteFunc(slices.Clone(list), func(e Term) bool {
		dir, ok := text(e)
		return ok && c.dirs[appDir(dir)]
	})
}

func (c cut) atoms(t Term) List {
	list, _ := t.(List)
	return slices.DeleteFunc(slices.Clone(list), func(e Term) bool {
		module, ok := e.(Atom)
		return ok && c.modules[string(module)]
	})
}

// load is the instruction that loads app, without the modules that went.
func (c cut) load(app string, properties List) Term {
	properties = slices.Clone(properties)
	for n, p := range properties {
		if body, ok := tagged(p, "modules", 2); ok {
			properties[n] = Tuple{Atom("modules"), c.atoms(body[0])}
		}
	}
	description := Tuple{Atom("application"), Atom(app), properties}
	return Tuple{Atom("apply"), Tuple{Atom("application"), Atom("load"), List{description}}}
}
