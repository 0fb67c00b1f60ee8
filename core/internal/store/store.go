package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// formatVersion is the content of the file "format". It changes whenever an
// older leanlab would misread the layout.
const formatVersion = "leanlab store 1\n"

// cacheTag marks the directory for backup programs (Cache Directory Tagging
// Specification, bford.info/cachedir).
const cacheTag = "Signature: 8a477f597d28d172789f06886806bc55\n# Made by leanlab. It can be removed whenever no build runs.\n"

// staleAfter is how old a half-written file must be before it counts as left
// behind. Such files are not locked, but live for milliseconds.
const staleAfter = time.Hour

// Store is an open store. It is safe for concurrent use, and any number of
// processes may have the same directory open.
type Store struct {
	// OnWait, if set before the first Build, is told when Build has to wait for
	// another build of the same step, and who that is ("pid 4711 since 12:04:11").
	OnWait func(step Step, holder string)

	dir  string
	mu   sync.Mutex
	pins map[string]*pin // entries that this process uses, by key
}

// DefaultDir returns the directory to open: $LEANLAB_CACHE, else
// $XDG_CACHE_HOME/leanlab, else $HOME/.cache/leanlab (XDG Base Directory
// Specification: a relative XDG_CACHE_HOME is ignored).
func DefaultDir(getenv func(string) string) (string, error) {
	if dir := getenv("LEANLAB_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	if dir := getenv("XDG_CACHE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "leanlab"), nil
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".cache", "leanlab"), nil
	}
	return "", errors.New("no place for the cache: neither LEANLAB_CACHE nor HOME is set; set LEANLAB_CACHE to a directory")
}

// Open opens the store in dir, which it creates if need be, and removes what
// processes that died left half-built.
func Open(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, pins: map[string]*pin{}}
	if err := s.create(); err != nil {
		return nil, s.explain(err)
	}
	if err := s.sweep(); err != nil {
		return nil, s.explain(err)
	}
	return s, nil
}

// Close gives up this process's claims on entries, after which Prune may
// remove them.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, p := range s.pins {
		p.dir.Close()
		delete(s.pins, key)
	}
	return nil
}

// Dir is the directory that was opened.
func (s *Store) Dir() string { return s.dir }

// SourcesDir is where fetched sources are kept.
func (s *Store) SourcesDir() string { return filepath.Join(s.dir, "sources") }

// DownloadsDir is where the files lie that a strategy's build system wants, as it
// wants them.
func (s *Store) DownloadsDir(strategy string) string {
	return filepath.Join(s.dir, "downloads", strategy)
}

// LogDir is where full logs of builds are kept; Prune removes old ones.
func (s *Store) LogDir() string { return filepath.Join(s.dir, "logs") }

func (s *Store) create() error {
	if fi, err := os.Stat(s.dir); err == nil && !fi.IsDir() {
		return fmt.Errorf("%s: is not a directory; set LEANLAB_CACHE to one", s.dir)
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	if err := refuseNetworkFS(s.dir); err != nil {
		return err
	}
	if err := s.checkFormat(); err != nil {
		return err
	}
	for _, d := range []string{"entries", "tmp", "locks", "damaged", "history", "digests", "sources", "downloads", "work", "logs"} {
		if err := os.MkdirAll(filepath.Join(s.dir, d), 0o755); err != nil {
			return err
		}
	}
	return s.tryWrite()
}

// checkFormat reads the format file, and writes it into an empty directory.
func (s *Store) checkFormat() error {
	path := filepath.Join(s.dir, "format")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := s.claim(); err != nil {
			return err
		}
		b, err = os.ReadFile(path)
	}
	if err != nil {
		return err
	}
	if string(b) != formatVersion {
		return fmt.Errorf("%s: this is %q and not %q: the cache was made by another version of leanlab; remove %s or set LEANLAB_CACHE to another directory",
			path, strings.TrimSpace(string(b)), strings.TrimSpace(formatVersion), s.dir)
	}
	return nil
}

// claim makes an empty directory a store. It refuses one that holds anything
// else, such as a home directory named by mistake.
func (s *Store) claim() error {
	names, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range names {
		switch name := e.Name(); {
		case name == "format" || name == "CACHEDIR.TAG":
		case name == "lost+found": // the root of a fresh ext4
		case strings.HasPrefix(name, tempPrefix): // another Open, now or killed
		default:
			if _, err := os.Lstat(filepath.Join(s.dir, "format")); err == nil {
				return nil // another Open finished meanwhile
			}
			return fmt.Errorf("%s: is not empty and not a leanlab cache (it holds %s); set LEANLAB_CACHE to an empty or new directory", s.dir, name)
		}
	}
	if err := writeFile(filepath.Join(s.dir, "CACHEDIR.TAG"), []byte(cacheTag)); err != nil {
		return err
	}
	return writeFile(filepath.Join(s.dir, "format"), []byte(formatVersion))
}

// tryWrite finds out now, rather than after an hour of compiling, that the
// store cannot be written.
func (s *Store) tryWrite() error {
	f, err := os.CreateTemp(filepath.Join(s.dir, "tmp"), tempPrefix)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(make([]byte, 4096)); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// sweep removes what dead processes left: a directory under tmp/ whose lock can
// be had belongs to nobody.
func (s *Store) sweep() error {
	tmp := filepath.Join(s.dir, "tmp")
	names, err := os.ReadDir(tmp)
	if err != nil {
		return err
	}
	for _, e := range names {
		if !e.IsDir() {
			continue
		}
		l, err := tryLock(s.lockPath(e.Name()))
		if err != nil {
			return err
		}
		if l == nil {
			continue
		}
		err = removeAll(filepath.Join(tmp, e.Name()))
		l.release()
		if err != nil {
			return err
		}
	}
	for _, d := range []string{".", "tmp", "history", "digests", "work"} {
		if err := removeStale(filepath.Join(s.dir, d)); err != nil {
			return err
		}
	}
	return nil
}

// removeStale removes the half-written files in dir that are old enough to have
// been left behind.
func removeStale(dir string) error {
	paths, err := filepath.Glob(filepath.Join(globEscape(dir), tempPrefix+"*"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		if fi, err := os.Lstat(path); err == nil && fi.Mode().IsRegular() && time.Since(fi.ModTime()) > staleAfter {
			os.Remove(path)
		}
	}
	return nil
}

// explain adds the remedy to errors of the store's disk.
func (s *Store) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return s.noRoom(err)
	case errors.Is(err, unix.ENOTDIR):
		return fmt.Errorf("%w: the cache %s cannot be there; set LEANLAB_CACHE to a directory", err, s.dir)
	case errors.Is(err, unix.EROFS), errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: the cache %s cannot be written; make it writable or set LEANLAB_CACHE to a directory that is", err, s.dir)
	}
	return err
}

func (s *Store) noRoom(err error) error {
	return fmt.Errorf("%w\nthe disk of the cache %s is full; free some space, for example with `leanlab cache prune`, or set LEANLAB_CACHE to a directory on another disk", err, s.dir)
}

// full says that err comes of a store's disk without room, although it reached
// us as somebody else's text. The text is strerror(3)'s; the disk may have room
// again, since whoever failed has cleaned up.
func (s *Store) full(err error) bool {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return false // explain knows
	}
	if strings.Contains(strings.ToLower(err.Error()), unix.ENOSPC.Error()) {
		return true
	}
	var st unix.Statfs_t
	if unix.Statfs(s.dir, &st) != nil {
		return false
	}
	const room = 1 << 20
	return st.Bavail*uint64(st.Bsize) < room || st.Files > 0 && st.Ffree == 0
}

// networkFS names file systems without the semantics needed, by their magic
// number (linux/magic.h).
var networkFS = map[int64]string{
	unix.NFS_SUPER_MAGIC:  "NFS",
	unix.SMB_SUPER_MAGIC:  "SMB",
	unix.CIFS_SUPER_MAGIC: "SMB",
	unix.SMB2_SUPER_MAGIC: "SMB",
	unix.AFS_SUPER_MAGIC:  "AFS",
}

func refuseNetworkFS(dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	// The type is a 32-bit magic; on some architectures the field is signed.
	if name := networkFS[int64(uint32(st.Type))]; name != "" {
		return fmt.Errorf("%s: lies on %s, where the cache's locks cannot be relied on; set LEANLAB_CACHE to a directory on a local disk", dir, name)
	}
	return nil
}
