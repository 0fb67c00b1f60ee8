package store

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Prune removes the entries that were last used longer ago than olderThan, and
// then those unused for longest until the rest holds at most maxBytes. Zero
// means no limit. Entries in keep (by key), entries that an open Store of any
// process has looked up or built, and steps being built stay. Damaged entries
// that were set aside go, and so do logs and known digests older than olderThan;
// freed counts the entries only. Kept work directories go when they are older
// than olderThan; RemoveKept removes a younger one. Fetched sources and downloads
// are not the store's to remove.
func (s *Store) Prune(olderThan time.Duration, maxBytes int64, keep map[string]bool) (freed int64, removed []Entry, err error) {
	entries, err := s.List()
	if err != nil {
		return 0, nil, err
	}
	var total int64
	for _, e := range entries {
		total += e.Bytes
	}
	for _, e := range slices.Backward(entries) {
		old := olderThan > 0 && time.Since(e.LastUse) > olderThan
		over := maxBytes > 0 && total > maxBytes
		if !old && !over || keep[e.Key] {
			continue
		}
		gone, err := s.remove(e)
		if err != nil {
			return freed, removed, s.explain(err)
		}
		if gone {
			freed += e.Bytes
			total -= e.Bytes
			removed = append(removed, e)
		}
	}
	return freed, removed, s.explain(s.pruneRest(olderThan))
}

// remove removes the entry unless it is in use. It goes by one rename, so that
// it is never half there.
func (s *Store) remove(e Entry) (gone bool, err error) {
	l, err := tryLock(s.lockPath(e.Key[:shortKey]))
	if l == nil {
		return false, err
	}
	defer l.release()
	path := s.entryPath(e.Key)
	dir, got, err := claimDir(path, unix.LOCK_EX)
	if !got {
		return false, err
	}
	defer dir.Close()
	if fi, err := os.Stat(recordPath(path)); err != nil || fi.ModTime().After(e.LastUse) {
		return false, nil // used since it was listed
	}
	tmp := s.tmpPath(e.Key)
	if err := removeAll(tmp); err != nil {
		return false, err
	}
	if err := os.Rename(path, tmp); err != nil {
		return false, err
	}
	crashPoint("unlisted")
	return true, removeAll(tmp)
}

func (s *Store) pruneRest(olderThan time.Duration) error {
	names, err := os.ReadDir(filepath.Join(s.dir, "damaged"))
	if err != nil {
		return err
	}
	for _, e := range names {
		if err := removeAll(filepath.Join(s.dir, "damaged", e.Name())); err != nil {
			return err
		}
	}
	if olderThan == 0 {
		return nil
	}
	if err := s.pruneKept(olderThan); err != nil {
		return err
	}
	for _, d := range []string{"logs", "digests"} {
		paths, err := filepath.Glob(filepath.Join(globEscape(s.dir), d, "*"))
		if err != nil {
			return err
		}
		for _, path := range paths {
			if fi, err := os.Lstat(path); err == nil && fi.Mode().IsRegular() && time.Since(fi.ModTime()) > olderThan {
				if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
					return err
				}
			}
		}
	}
	return nil
}

func (s *Store) pruneKept(olderThan time.Duration) error {
	all, err := s.ListKept()
	if err != nil {
		return err
	}
	for _, k := range all {
		if time.Since(k.LastUse) <= olderThan {
			continue
		}
		if _, err := s.RemoveKept(k.Dir); err != nil {
			return err
		}
	}
	return nil
}

// globEscape makes path match itself only in filepath.Glob.
func globEscape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
