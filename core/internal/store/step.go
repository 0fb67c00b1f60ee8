package store

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Inputs is everything that can change a step's result: a name, such as
// "source linux", and a value or a digest.
type Inputs map[string]string

// Step names a result.
type Step struct {
	Kind   string // what is done: "custom/kernel", "app", "lean"
	Scope  string // for whom, usually the VM: whose history Why compares with; no part of the key
	Inputs Inputs
	// Keep names who gets the work directory back as the last build of this kind
	// left it. Empty: the step works in an empty directory, which is removed. No
	// part of the key.
	Keep string
}

// Key is the SHA-256 of kind and inputs, in hex. Steps of different scopes
// with the same kind and inputs share their result.
func (s Step) Key() string {
	h := sha256.New()
	field(h, "leanlab step 1")
	field(h, s.Kind)
	for _, name := range slices.Sorted(maps.Keys(s.Inputs)) {
		field(h, name)
		field(h, s.Inputs[name])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Change is an input that differs from the step's earlier run.
type Change struct {
	Name     string
	Old, New *string // nil where the input did not exist
}

// String is the change in one line, with digests cut short.
func (c Change) String() string {
	switch {
	case c.Old == nil:
		return fmt.Sprintf("%s: new, %s", c.Name, short(*c.New))
	case c.New == nil:
		return fmt.Sprintf("%s: gone, was %s", c.Name, short(*c.Old))
	}
	if words := changedWords(*c.Old, *c.New); words != "" {
		return fmt.Sprintf("%s: %s", c.Name, words)
	}
	return fmt.Sprintf("%s: %s → %s", c.Name, short(*c.Old), short(*c.New))
}

// changedWords lists the words that went and came: what flags are read for. It
// is empty for single words, and when only the order changed.
func changedWords(before, after string) string {
	old, new := strings.Fields(before), strings.Fields(after)
	if len(old) < 2 && len(new) < 2 {
		return ""
	}
	var changed []string
	for _, w := range old {
		if !slices.Contains(new, w) {
			changed = append(changed, "without "+short(w))
		}
	}
	for _, w := range new {
		if !slices.Contains(old, w) {
			changed = append(changed, "with "+short(w))
		}
	}
	return strings.Join(changed, ", ")
}

// short makes a value fit for a line: a digest keeps twelve digits.
func short(v string) string {
	const digits, long = 12, 60
	if len(v) == 2*sha256.Size && strings.Trim(v, "0123456789abcdef") == "" {
		return v[:digits]
	}
	if len(v) > long {
		v = v[:long] + "…"
	}
	return strconv.Quote(v)
}

// history is the last two different things that a kind of step was made from
// in a scope.
type history struct {
	Kind, Scope       string
	Current, Previous *run `json:",omitempty"`
}

type run struct {
	Key    string
	Inputs Inputs
}

// Why says what differs between step and the last run of the same kind in the
// same scope; if that last run was of this very step, then between it and the
// one before. So it tells, before a build, why a step will run, and after it,
// why it did. It is nil when there was no earlier run, and empty when step is
// to be built again although nothing changed: its result was pruned or damaged.
func (s *Store) Why(step Step) []Change {
	h, err := s.readHistory(step)
	if err != nil || h.Current == nil {
		return nil
	}
	before := h.Current
	if key := step.Key(); before.Key == key {
		if _, ok := s.Lookup(key); !ok {
			return []Change{}
		}
		if before = h.Previous; before == nil {
			return nil
		}
	}
	return diff(before.Inputs, step.Inputs)
}

func diff(before, after Inputs) []Change {
	changes := []Change{}
	for name, v := range before {
		if w, ok := after[name]; !ok {
			changes = append(changes, Change{Name: name, Old: &v})
		} else if w != v {
			changes = append(changes, Change{Name: name, Old: &v, New: &w})
		}
	}
	for name, v := range after {
		if _, ok := before[name]; !ok {
			changes = append(changes, Change{Name: name, New: &v})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.Name, b.Name) })
	return changes
}

func (s *Store) historyPath(step Step) string {
	id := Step{Kind: step.Kind, Inputs: Inputs{"scope": step.Scope}}.Key()
	return filepath.Join(s.dir, "history", id+".json")
}

func (s *Store) readHistory(step Step) (history, error) {
	var h history
	b, err := os.ReadFile(s.historyPath(step))
	if err == nil {
		err = json.Unmarshal(b, &h)
	}
	return h, err
}

// remember makes step the last run of its kind and scope. A history that
// cannot be read is started anew: it explains, nothing depends on it.
func (s *Store) remember(step Step) error {
	now := &run{Key: step.Key(), Inputs: step.Inputs}
	h, err := s.readHistory(step)
	if err != nil {
		h = history{}
	} else if h.Current != nil && h.Current.Key == now.Key {
		return nil
	}
	b, err := json.Marshal(history{Kind: step.Kind, Scope: step.Scope, Current: now, Previous: h.Current})
	if err != nil {
		return err
	}
	return writeFile(s.historyPath(step), b)
}
