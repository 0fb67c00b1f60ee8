package store

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Entry is a published result.
type Entry struct {
	Key     string
	Kind    string
	Dir     string // the result; others read it too, so nobody writes
	Inputs  Inputs
	Created time.Time
	LastUse time.Time
	Bytes   int64   // of its files
	Files   int     // paths of any type
	Seconds float64 // wall time it took to build
	CPU     float64 // processor seconds it took, as credited with AddCPU
	Digest  string  // of the result, as by DigestTree: equal for equal results of different builds
}

// record is entry.json. Its modification time is the entry's last use.
type record struct {
	Key     string
	Kind    string
	Inputs  Inputs
	Created time.Time
	Bytes   int64
	Files   int
	Seconds float64
	CPU     float64
	Digest  string
	Stat    string // what the tree looks like from outside; see statDigest
}

// pin is this process's claim on an entry: a shared flock(2) on its directory,
// which Prune respects.
type pin struct {
	entry Entry
	dir   *os.File
}

func (s *Store) entryPath(key string) string {
	return filepath.Join(s.dir, "entries", key[:2], key)
}

const shortKey = 16 // digits; enough to tell keys apart, and paths stay short

func (s *Store) tmpPath(key string) string { return filepath.Join(s.dir, "tmp", key[:shortKey]) }

func (s *Store) lockPath(name string) string { return filepath.Join(s.dir, "locks", name) }

func validKey(key string) bool {
	b, err := hex.DecodeString(key)
	return err == nil && len(b) == sha256.Size
}

// Lookup finds the result published under key, if it is still as it was
// published. It counts as used now, and Prune leaves it alone until Close.
func (s *Store) Lookup(key string) (*Entry, bool) {
	e, err := s.lookup(key)
	return e, err == nil
}

// errDamaged says that an entry is there but must not be used.
var errDamaged = errors.New("damaged")

// lookup returns an error of fs.ErrNotExist or errDamaged where there is no
// usable entry.
func (s *Store) lookup(key string) (*Entry, error) {
	if !validKey(key) {
		return nil, fs.ErrNotExist
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	path := s.entryPath(key)
	if p := s.pins[key]; p != nil {
		if sameFile(p.dir, path) {
			e := p.entry
			return &e, nil
		}
		p.dir.Close() // removed by hand, or set aside and built anew, under our claim
		delete(s.pins, key)
	}
	dir, got, err := claimDir(path, unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	if !got { // not there, or about to be pruned
		return nil, fs.ErrNotExist
	}
	rec, err := s.verify(path, key)
	if err != nil {
		dir.Close()
		return nil, err
	}
	now := time.Now()
	os.Chtimes(recordPath(path), time.Time{}, now) // an entry that cannot be touched is only pruned earlier
	e := s.entry(rec, now)
	s.pins[key] = &pin{entry: e, dir: dir}
	return &e, nil
}

func recordPath(entryDir string) string { return filepath.Join(entryDir, "entry.json") }

func readRecord(entryDir string) (*record, error) {
	b, err := os.ReadFile(recordPath(entryDir))
	if err != nil {
		return nil, err
	}
	rec := new(record)
	if err := json.Unmarshal(b, rec); err != nil {
		return nil, fmt.Errorf("%s: %w", recordPath(entryDir), err)
	}
	return rec, nil
}

func writeRecord(entryDir string, rec *record) error {
	b, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(recordPath(entryDir), append(b, '\n'))
}

// verify checks that the entry is what was published.
func (s *Store) verify(path, key string) (*record, error) {
	rec, err := readRecord(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	if rec.Key != key {
		return nil, fmt.Errorf("%w: %s is the record of %s", errDamaged, recordPath(path), rec.Key)
	}
	out := filepath.Join(path, "out")
	nodes, err := scan(out, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	stat := statDigest(nodes)
	if stat == rec.Stat {
		return rec, nil
	}
	digest, err := digestNodes(out, nodes, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	if digest != rec.Digest {
		return nil, fmt.Errorf("%w: the contents of %s are no longer those published", errDamaged, out)
	}
	rec.Stat = stat
	return rec, writeRecord(path, rec)
}

// statDigest is a digest of what can be seen of a tree without reading its
// files. The times of directories are left out: whatever changes them shows in
// the names.
func statDigest(nodes []node) string {
	h := sha256.New()
	for _, n := range nodes {
		fmt.Fprintf(h, "%q %v", n.rel, n.info.Mode())
		switch n.info.Mode().Type() {
		case 0:
			fmt.Fprintf(h, " %d %d\n", n.info.Size(), n.info.ModTime().UnixNano())
		case fs.ModeSymlink:
			fmt.Fprintf(h, " %q\n", n.link)
		default:
			fmt.Fprintln(h)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (s *Store) entry(rec *record, lastUse time.Time) Entry {
	return Entry{
		Key:     rec.Key,
		Kind:    rec.Kind,
		Dir:     filepath.Join(s.entryPath(rec.Key), "out"),
		Inputs:  rec.Inputs,
		Created: rec.Created,
		LastUse: lastUse,
		Bytes:   rec.Bytes,
		Files:   rec.Files,
		Seconds: rec.Seconds,
		CPU:     rec.CPU,
		Digest:  rec.Digest,
	}
}

// List is every entry, last used first. It does not verify them, and does not
// count as a use. An entry whose record cannot be read is left out; Build
// replaces it when it is next asked for.
func (s *Store) List() ([]Entry, error) {
	paths, err := filepath.Glob(filepath.Join(globEscape(s.dir), "entries", "??", "*"))
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, path := range paths {
		rec, err := readRecord(path)
		if err != nil || rec.Key != filepath.Base(path) || !validKey(rec.Key) {
			continue
		}
		fi, err := os.Stat(recordPath(path))
		if err != nil {
			continue // pruned meanwhile
		}
		entries = append(entries, s.entry(rec, fi.ModTime()))
	}
	slices.SortFunc(entries, func(a, b Entry) int {
		return cmp.Or(b.LastUse.Compare(a.LastUse), cmp.Compare(a.Key, b.Key))
	})
	return entries, nil
}
