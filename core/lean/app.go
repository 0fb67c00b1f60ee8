package lean

import (
	"errors"
	"fmt"
)

// application is what an .app file says (kernel's app(4)), and where it lies.
type application struct {
	name     string
	version  string // empty when it does not say
	dir      string // absolute path in the tree
	requires []string
	optional map[string]bool // those of requires that may be absent
	included []string
	modules  []string // by their files in ebin
}

// parseApp reads an .app file.
func parseApp(data []byte) (*application, error) {
	terms, err := Consult(data)
	if err != nil {
		return nil, err
	}
	if len(terms) == 0 {
		return nil, errors.New("no term in it")
	}
	name, properties, ok := applicationTerm(terms[0])
	if !ok {
		return nil, errors.New("not an {application, Name, Properties}")
	}
	app := &application{name: name, optional: map[string]bool{}}
	if vsn, ok := property(properties, "vsn"); ok {
		app.version, _ = text(vsn)
	}
	var optional []string
	for key, into := range map[Atom]*[]string{
		"applications":          &app.requires,
		"included_applications": &app.included,
		"optional_applications": &optional,
	} {
		value, ok := property(properties, key)
		if !ok {
			continue
		}
		if *into, ok = atoms(value); !ok {
			return nil, fmt.Errorf("%s is not a list of atoms", key)
		}
	}
	for _, name := range optional {
		app.optional[name] = true
	}
	return app, nil
}

// applicationTerm takes {application, Name, Properties} apart.
func applicationTerm(t Term) (string, List, bool) {
	body, ok := tagged(t, "application", 3)
	if !ok {
		return "", nil, false
	}
	name, isAtom := body[0].(Atom)
	properties, isList := body[1].(List)
	return string(name), properties, isAtom && isList
}

// Description is what an .app file says of its application (kernel's app(4)).
type Description struct {
	Name     string
	Version  string   // empty when it does not say
	Requires []string // applications that it needs or includes
}

// ReadDescription reads an .app file, anybody's.
func ReadDescription(data []byte) (*Description, error) {
	app, err := parseApp(data)
	if err != nil {
		return nil, err
	}
	return &Description{Name: app.name, Version: app.version, Requires: append(app.requires, app.included...)}, nil
}

// ShippedBy says who ships the application called name: "otp", "elixir", or ""
// for anybody else.
func ShippedBy(name string) string { return known().applications[name].From }
