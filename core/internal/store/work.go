package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Kept is a work directory that outlives the builds in it.
type Kept struct {
	Kind    string // of the steps that work in it
	Owner   string // Step.Keep
	Dir     string
	LastUse time.Time
	Bytes   int64 // of the files below Dir
}

// keptRecord is work/ID.json. Its modification time is the last use.
type keptRecord struct{ Kind, Owner string }

func (s *Store) keptPath(id string) string { return filepath.Join(s.dir, "work", id) }

// keptID names a work directory: one for each kind and owner.
func keptID(step Step) string {
	return Step{Kind: "work " + step.Kind, Inputs: Inputs{"owner": step.Keep}}.Key()[:shortKey]
}

// keptWork locks and returns the work directory of step, waiting for another
// build in it. It says what is in there belongs to nobody else until release.
func (s *Store) keptWork(ctx context.Context, step Step) (dir string, release func(), err error) {
	id := keptID(step)
	l, err := waitLock(ctx, s.lockPath("work-"+id), func(holder string) {
		if s.OnWait != nil {
			s.OnWait(step, holder)
		}
	})
	if err != nil {
		return "", nil, err
	}
	dir = s.keptPath(id)
	err = os.MkdirAll(dir, 0o755)
	if err == nil {
		var b []byte
		if b, err = json.Marshal(keptRecord{Kind: step.Kind, Owner: step.Keep}); err == nil {
			err = writeFile(dir+".json", append(b, '\n'))
		}
	}
	if err != nil {
		l.release()
		return "", nil, err
	}
	return dir, l.release, nil
}

// ListKept is every kept work directory, last used first.
func (s *Store) ListKept() ([]Kept, error) {
	records, err := filepath.Glob(filepath.Join(globEscape(s.dir), "work", "*.json"))
	if err != nil {
		return nil, err
	}
	var all []Kept
	for _, record := range records {
		fi, err := os.Stat(record)
		if err != nil {
			continue // pruned meanwhile
		}
		var r keptRecord
		if b, err := os.ReadFile(record); err != nil || json.Unmarshal(b, &r) != nil {
			r = keptRecord{Kind: "unknown"} // still there to be pruned
		}
		dir := strings.TrimSuffix(record, ".json")
		all = append(all, Kept{Kind: r.Kind, Owner: r.Owner, Dir: dir, LastUse: fi.ModTime(), Bytes: bytesBelow(dir)})
	}
	slices.SortFunc(all, func(a, b Kept) int {
		return cmp.Or(b.LastUse.Compare(a.LastUse), cmp.Compare(a.Dir, b.Dir))
	})
	return all, nil
}

// bytesBelow is as much as can be counted: a build may be writing there.
func bytesBelow(dir string) int64 {
	var n int64
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if fi, err := d.Info(); err == nil {
			n += fi.Size()
		}
		return nil
	})
	return n
}

// RemoveKept removes the kept work directory at dir, unless a build works in
// it. The next build of its step starts with an empty one.
func (s *Store) RemoveKept(dir string) (gone bool, err error) {
	id := filepath.Base(dir)
	if dir != s.keptPath(id) {
		return false, fmt.Errorf("%s: is no work directory of the cache %s", dir, s.dir)
	}
	l, err := tryLock(s.lockPath("work-" + id))
	if l == nil {
		return false, err
	}
	defer l.release()
	if err := removeAll(dir); err != nil {
		return false, s.explain(err)
	}
	// Last, so that what a killed removal leaves is still listed.
	return true, s.explain(os.Remove(dir + ".json"))
}
