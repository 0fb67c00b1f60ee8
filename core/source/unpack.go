package source

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// UnpackOptions says what of an archive is wanted.
type UnpackOptions struct {
	Strip int // leading path elements to drop; entries without anything left are skipped
	// Keep says whether to unpack a name, given after Strip and without
	// trailing slash; nil keeps all. Directories above a kept file are made.
	Keep func(name string) bool
	// Data says of a symbolic link that leads out of the tree that it is made all
	// the same: a source tree may hold parts of another root file system, in
	// which it is right. Nil: none is. Nothing is unpacked through a link anyway.
	Data func(name string) bool
}

// limits hold against archives made to fill a disk. The largest archive this
// package is meant for, Linux, has about 90 000 entries and 1.6 GB, and shrinks
// to a tenth.
type limits struct {
	bytes     int64 // of the tar stream, and of all files
	entries   int
	ratio     int64 // unpacked to packed,
	ratioFrom int64 // once more than this is unpacked: small archives may shrink well
}

var unpackLimits = limits{bytes: 16 << 30, entries: 1_000_000, ratio: 100, ratioFrom: 64 << 20}

// UnpackError names the entry that an archive was refused for.
type UnpackError struct {
	Archive, Entry string
	Err            error
}

func (e *UnpackError) Error() string {
	if e.Entry == "" {
		return fmt.Sprintf("unpack %s: %v", e.Archive, e.Err)
	}
	return fmt.Sprintf("unpack %s: entry %q: %v", e.Archive, e.Entry, e.Err)
}

func (e *UnpackError) Unwrap() error { return e.Err }

// Unpack unpacks a .tar, .tar.gz, .tar.bz2 or .tar.xz into dir, which must be
// absent or empty. If it fails, dir is left empty or absent.
//
// Files, directories, symbolic and hard links are made; anything else (devices,
// FIFOs) is refused, as are names and links that lead out of dir (see
// UnpackOptions.Data), entries below
// a symbolic link, a second entry for a path (directories excepted), and
// archives beyond 16 GiB, a million entries or a hundredfold expansion.
//
// Modes become 0755 or 0644, by the owner's execute bit; owners are ignored.
// Modification times are kept, for make(1): release tarballs hold generated
// files that must be newer than what they were generated from.
func Unpack(ctx context.Context, archive, dir string, o UnpackOptions) error {
	return unpack(ctx, archive, dir, o, unpackLimits)
}

func unpack(ctx context.Context, archive, dir string, o UnpackOptions, max limits) (err error) {
	in, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer in.Close()
	existed, err := prepareEmpty(dir)
	if err != nil {
		return &UnpackError{archive, "", err}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, clearDir(dir, existed))
		}
	}()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()

	packed := &countingReader{r: contextReader{ctx, in}}
	stream, err := decompress(packed)
	if err != nil {
		return &UnpackError{archive, "", err}
	}
	u := &unpacker{root: root, o: o, max: max, packed: packed, kind: map[string]byte{".": tar.TypeDir}}
	content := &countingReader{r: stream, check: u.checkExpansion}
	entry, err := u.all(tar.NewReader(content))
	if err == nil {
		// What follows the tar is read as well, so that the decompressor sees
		// its checksum.
		entry = ""
		_, err = io.Copy(io.Discard, content)
	}
	if err != nil {
		return &UnpackError{archive, entry, err}
	}
	return u.setDirTimes()
}

// prepareEmpty makes dir, or checks that it is empty: nothing that was there
// before can then be written through.
func prepareEmpty(dir string) (existed bool, err error) {
	err = os.Mkdir(dir, 0o755)
	if !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return true, err
	}
	if len(entries) > 0 {
		return true, fmt.Errorf("%s is not empty: %s is there", dir, entries[0].Name())
	}
	return true, nil
}

func clearDir(dir string, keep bool) error {
	if !keep {
		return os.RemoveAll(dir)
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// countingReader counts bytes, and asks after every read whether to go on.
type countingReader struct {
	r     io.Reader
	n     int64
	check func(n int64) error
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.check != nil {
		if refused := c.check(c.n); refused != nil {
			return n, refused
		}
	}
	return n, err
}

// unpacker holds what is known of the tree so far.
type unpacker struct {
	root   *os.Root
	o      UnpackOptions
	max    limits
	packed *countingReader
	count  int
	bytes  int64           // announced by the headers
	kind   map[string]byte // path → tar type of what we made there; "." is the root
	dirs   []dirTime
	buffer []byte
}

type dirTime struct {
	name string
	time time.Time
}

// checkExpansion sees how many bytes came out of the decompressor.
func (u *unpacker) checkExpansion(n int64) error {
	if n > u.max.ratioFrom && n > u.max.ratio*max(u.packed.n, 1) {
		return fmt.Errorf("%d bytes from %d: more than %d times as much, refused", n, u.packed.n, u.max.ratio)
	}
	if n > u.max.bytes {
		return fmt.Errorf("more than %d bytes, refused", u.max.bytes)
	}
	return nil
}

// all unpacks every entry. With an error it returns the name of the entry.
func (u *unpacker) all(t *tar.Reader) (entry string, err error) {
	u.buffer = make([]byte, 256<<10)
	for {
		h, err := t.Next()
		if err == io.EOF {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		if err := u.one(h, t); err != nil {
			return h.Name, err
		}
	}
}

func (u *unpacker) one(h *tar.Header, content io.Reader) error {
	if u.count++; u.count > u.max.entries {
		return fmt.Errorf("more than %d entries, refused", u.max.entries)
	}
	if h.Typeflag == tar.TypeXGlobalHeader { // git-archive's comment with the commit
		return nil
	}
	name, err := u.strip(h.Name)
	if err != nil {
		return err
	}
	if name == "." || u.o.Keep != nil && !u.o.Keep(name) {
		return nil
	}
	if was, twice := u.kind[name]; twice && !(was == tar.TypeDir && h.Typeflag == tar.TypeDir) {
		return errors.New("the path is there already, refused")
	}
	if h.Typeflag == tar.TypeDir {
		if err := u.makeDir(name); err != nil {
			return err
		}
		u.dirs = append(u.dirs, dirTime{name, fileTime(h.ModTime)})
		return nil
	}
	if err := u.makeDir(path.Dir(name)); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeReg:
		err = u.file(name, h, content)
	case tar.TypeSymlink:
		err = u.symlink(name, h.Linkname)
	case tar.TypeLink:
		err = u.hardlink(name, h.Linkname)
	default:
		return fmt.Errorf("tar type %q: only files, directories and links are unpacked", h.Typeflag)
	}
	if err == nil {
		u.kind[name] = h.Typeflag
	}
	return err
}

// strip checks a name and drops leading elements. "." means that nothing is left.
func (u *unpacker) strip(name string) (string, error) {
	if strings.HasPrefix(name, "/") {
		return "", errors.New("absolute path, refused")
	}
	if strings.ContainsRune(name, 0) {
		return "", errors.New("NUL in the path, refused")
	}
	elements := strings.Split(name, "/")
	elements = slices.DeleteFunc(elements, func(e string) bool { return e == "" || e == "." })
	if slices.Contains(elements, "..") {
		return "", errors.New(`".." in the path, refused`)
	}
	if len(elements) <= u.o.Strip {
		return ".", nil
	}
	return strings.Join(elements[u.o.Strip:], "/"), nil
}

// makeDir makes a directory and those above it, none of which may be a link.
func (u *unpacker) makeDir(name string) error {
	switch kind, there := u.kind[name]; {
	case there && kind == tar.TypeDir:
		return nil
	case there:
		return fmt.Errorf("%s is no directory, refused to unpack below it", name)
	}
	if err := u.makeDir(path.Dir(name)); err != nil {
		return err
	}
	if err := u.root.Mkdir(name, 0o755); err != nil {
		return err
	}
	u.kind[name] = tar.TypeDir
	return nil
}

func (u *unpacker) file(name string, h *tar.Header, content io.Reader) error {
	if u.bytes += h.Size; u.bytes > u.max.bytes {
		return fmt.Errorf("more than %d bytes in all, refused", u.max.bytes)
	}
	mode := fs.FileMode(0o644)
	if h.Mode&0o100 != 0 {
		mode = 0o755
	}
	f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	// onlyWriter hides ReadFrom, so that the buffer is used.
	_, err = io.CopyBuffer(onlyWriter{f}, content, u.buffer)
	// The umask may have taken more than we meant.
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err != nil {
		return err
	}
	t := fileTime(h.ModTime)
	return u.root.Chtimes(name, t, t)
}

type onlyWriter struct{ io.Writer }

// symlink makes a link that stays in the tree. ".." may only stand in front:
// the directories that hold the link are real ones, so that such a target can be
// judged by its text; behind another link ("l/..") it could not.
func (u *unpacker) symlink(name, target string) error {
	if target != "" && u.o.Data != nil && u.o.Data(name) {
		return u.root.Symlink(target, name)
	}
	up, forward := 0, false
	for _, e := range strings.Split(target, "/") {
		switch e {
		case "", ".":
		case "..":
			if up++; forward {
				return fmt.Errorf("link to %q: \"..\" behind another element, refused", target)
			}
		default:
			forward = true
		}
	}
	if target == "" || path.IsAbs(target) || up > strings.Count(name, "/") {
		return fmt.Errorf("link to %q, out of the tree, refused", target)
	}
	return u.root.Symlink(target, name)
}

// hardlink links to a file that this archive made before.
func (u *unpacker) hardlink(name, target string) error {
	old, err := u.strip(target)
	if err != nil {
		return fmt.Errorf("link to %q: %w", target, err)
	}
	if kind := u.kind[old]; kind != tar.TypeReg && kind != tar.TypeLink {
		return fmt.Errorf("hard link to %q, which is no file that was unpacked, refused", target)
	}
	return u.root.Link(old, name)
}

// setDirTimes comes last: every entry made in a directory changes its time.
func (u *unpacker) setDirTimes() error {
	for _, d := range slices.Backward(u.dirs) {
		if err := u.root.Chtimes(d.name, d.time, d.time); err != nil {
			return err
		}
	}
	return nil
}

// fileTime keeps times in the range that every file system can hold (ext4 with
// 128-byte inodes ends in 2038).
func fileTime(t time.Time) time.Time {
	if t.Before(time.Unix(0, 0)) {
		return time.Unix(0, 0)
	}
	if end := time.Unix(1<<31-1, 0); t.After(end) {
		return end
	}
	return t
}
