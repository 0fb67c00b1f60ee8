package store

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// racyWindow is how long a file must have been left alone before its stat data
// vouches for its contents. A write within the file system's clock tick after
// we read would leave the same times behind (the kernel's coarse clock ticks
// every 1 to 10 ms, FAT's every 2 s); git calls such files racy
// (git/Documentation/technical/racy-git.txt).
const racyWindow = 2 * time.Second

// DigestFile is the SHA-256 of the file's contents, in hex.
func DigestFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// DigestTree is the SHA-256, in hex, over the names, types, executable bits,
// link targets and contents of everything below dir. Links are not followed,
// except dir itself; times and owners do not count. ignore, if not nil, is
// asked about every path, relative to dir and with slashes: true leaves it out,
// and all below it.
func DigestTree(dir string, ignore func(rel string, d fs.DirEntry) bool) (string, error) {
	return digestTree(dir, ignore, nil)
}

// DigestFile is like the function DigestFile, but does not read a file again
// that has not been touched since it was last asked about.
func (s *Store) DigestFile(path string) (string, error) {
	known, err := s.knownDigests(path)
	if err != nil {
		return "", err
	}
	fi, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !fi.Mode().IsRegular() {
		return "", fmt.Errorf("%s: is not a file", path)
	}
	digest, err := known.digest(path, "", fi)
	if err != nil {
		return "", err
	}
	return digest, s.explain(known.save())
}

// DigestTree is like the function DigestTree, but does not read files again
// that have not been touched since they were last asked about.
func (s *Store) DigestTree(dir string, ignore func(rel string, d fs.DirEntry) bool) (string, error) {
	known, err := s.knownDigests(dir)
	if err != nil {
		return "", err
	}
	digest, err := digestTree(dir, ignore, known)
	if err != nil {
		return "", err
	}
	return digest, s.explain(known.save())
}

// node is a path in a tree, "" being its root.
type node struct {
	rel  string
	info fs.FileInfo
	link string // the target of a symbolic link
}

// scan lists the tree in a fixed order, without its root.
func scan(dir string, ignore func(string, fs.DirEntry) bool) ([]node, error) {
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	if fi, err := os.Stat(root); err != nil {
		return nil, err
	} else if !fi.IsDir() {
		return nil, fmt.Errorf("%s: is not a directory", dir)
	}
	var nodes []node
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		rel := filepath.ToSlash(path[len(root)+1:])
		if ignore != nil && ignore(rel, d) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		n := node{rel: rel}
		if n.info, err = d.Info(); err != nil {
			return err
		}
		if d.Type() == fs.ModeSymlink {
			if n.link, err = os.Readlink(path); err != nil {
				return err
			}
		}
		nodes = append(nodes, n)
		return nil
	})
	return nodes, err
}

func digestTree(dir string, ignore func(string, fs.DirEntry) bool, known *digests) (string, error) {
	nodes, err := scan(dir, ignore)
	if err != nil {
		return "", err
	}
	return digestNodes(dir, nodes, known)
}

// digestNodes reads the files side by side, since a cold cache is latency.
func digestNodes(dir string, nodes []node, known *digests) (string, error) {
	contents := make([]string, len(nodes))
	var g errgroup.Group
	g.SetLimit(2 * runtime.GOMAXPROCS(0))
	for i, n := range nodes {
		switch n.info.Mode().Type() {
		case 0:
			g.Go(func() (err error) {
				contents[i], err = known.digest(filepath.Join(dir, n.rel), n.rel, n.info)
				return err
			})
		case fs.ModeSymlink:
			contents[i] = n.link
		}
	}
	if err := g.Wait(); err != nil {
		return "", err
	}
	h := sha256.New()
	field(h, "leanlab tree 1")
	for i, n := range nodes {
		field(h, n.rel)
		field(h, nodeType(n.info.Mode()))
		field(h, contents[i])
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// field writes a text behind its length, so that no two sequences of texts
// have the same encoding.
func field(h hash.Hash, text string) { fmt.Fprintf(h, "%d:%s", len(text), text) }

// nodeType is what DigestTree sees of a mode: the type, and whether a file is
// executable.
func nodeType(m fs.FileMode) string {
	if m.IsRegular() && m&0o111 != 0 {
		return "x"
	}
	return m.Type().String()
}

// digests is what is known of the files below a directory. A nil one knows
// nothing and learns nothing.
type digests struct {
	path  string // where it is kept
	began time.Time
	old   map[string]digestRecord // as loaded, by relative path

	mu  sync.Mutex
	new map[string]digestRecord // what still holds, and what was read now
}

// digestRecord is a digest and the stat data that vouch for it. ctime is among
// them because a program that restores mtime after a write cannot restore it.
type digestRecord struct {
	Size, Mtime, Ctime int64 // bytes, nanoseconds, nanoseconds
	Dev, Ino           uint64
	SHA256             string
}

func statRecord(fi fs.FileInfo) digestRecord {
	st := fi.Sys().(*syscall.Stat_t)
	return digestRecord{
		Size:  st.Size,
		Mtime: syscall.TimespecToNsec(st.Mtim),
		Ctime: syscall.TimespecToNsec(st.Ctim),
		Dev:   st.Dev,
		Ino:   st.Ino,
	}
}

// knownDigests loads what is known below dir. A file that cannot be read as
// such is one that knows nothing.
func (s *Store) knownDigests(dir string) (*digests, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	name := sha256.Sum256([]byte(abs))
	k := &digests{
		path:  filepath.Join(s.dir, "digests", hex.EncodeToString(name[:])+".json"),
		began: time.Now(),
		new:   map[string]digestRecord{},
	}
	if b, err := os.ReadFile(k.path); err == nil && json.Unmarshal(b, &k.old) != nil {
		k.old = nil
	}
	return k, nil
}

// digest is the digest of the file at path, whose stat data were fi when it
// was listed.
func (k *digests) digest(path, rel string, fi fs.FileInfo) (string, error) {
	if k == nil {
		return DigestFile(path)
	}
	rec := statRecord(fi)
	if old, ok := k.old[rel]; ok {
		if rec.SHA256 = old.SHA256; rec == old {
			k.keep(rel, rec)
			return rec.SHA256, nil
		}
	}
	var err error
	if rec.SHA256, err = DigestFile(path); err != nil {
		return "", err
	}
	// Written while we read: whatever the digest is of, these times are not.
	after, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	now := statRecord(after)
	if now.SHA256 = rec.SHA256; now == rec && rec.settled(k.began) {
		k.keep(rel, rec)
	}
	return rec.SHA256, nil
}

// settled reports whether the file had been left alone for a while by then.
func (r digestRecord) settled(then time.Time) bool {
	return max(r.Mtime, r.Ctime) < then.Add(-racyWindow).UnixNano()
}

func (k *digests) keep(rel string, rec digestRecord) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.new[rel] = rec
}

// save writes what is known now, if that differs from what was known before.
func (k *digests) save() error {
	if maps.Equal(k.old, k.new) {
		return nil
	}
	b, err := json.Marshal(k.new)
	if err != nil {
		return err
	}
	return writeFile(k.path, b)
}
