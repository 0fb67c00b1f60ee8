package analyze

import (
	"fmt"
	"strings"
)

// Line is a component where it stands in a table: on level 1 are groups, on 2
// their components, on 3 the files and modules of these.
type Line struct {
	*Component
	Level int
}

// Lines are the table's lines down to a level; with only, those of these
// components and what is below them. Files are on level 3 wherever they stand.
func (a *Analysis) Lines(depth int, only []*Component) []Line {
	var lines []Line
	wanted := map[*Component]bool{}
	for _, c := range only {
		wanted[c] = true
	}
	var below func(c *Component, level int, in bool)
	below = func(c *Component, level int, in bool) {
		for _, child := range c.Children {
			shown := level <= depth && (depth >= 3 || !child.IsLeaf())
			if in && shown || wanted[child] {
				lines = append(lines, Line{child, level})
			}
			below(child, level+1, in || wanted[child])
		}
	}
	below(a.Root, 1, len(only) == 0)
	return lines
}

// Find returns the groups and components that names mean, whatever their case; a
// group is also known by its kind.
func (a *Analysis) Find(names []string) ([]*Component, error) {
	var found []*Component
	for _, name := range names {
		before := len(found)
		for _, group := range a.Root.Children {
			if strings.EqualFold(name, group.Name) || strings.EqualFold(name, group.Kind) {
				found = append(found, group)
				continue
			}
			for _, c := range group.Children {
				if !c.IsLeaf() && strings.EqualFold(name, c.Name) {
					found = append(found, c)
				}
			}
		}
		if len(found) == before {
			return nil, fmt.Errorf("%s has no component %q; it has %s", a.Image, name, strings.Join(a.names(), ", "))
		}
	}
	return found, nil
}

// names are those of groups and components, each once.
func (a *Analysis) names() []string {
	var names []string
	seen := map[string]bool{}
	for _, line := range a.Lines(2, nil) {
		if name := strings.ToLower(line.Name); !seen[name] {
			seen[name] = true
			names = append(names, line.Name)
		}
	}
	return names
}
