package rootfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"path"
	"slices"
	"strings"
)

// Type is what an Entry is.
type Type uint8

const (
	Directory Type = iota + 1
	Regular
	Symlink
	CharDevice
	BlockDevice
	FIFO
)

func (t Type) String() string {
	switch t {
	case Directory:
		return "directory"
	case Regular:
		return "file"
	case Symlink:
		return "symbolic link"
	case CharDevice:
		return "character device"
	case BlockDevice:
		return "block device"
	case FIFO:
		return "FIFO"
	}
	return fmt.Sprintf("Type(%d)", uint8(t))
}

// Entry is one name in a Tree. Mode, UID and GID may be changed in place.
//
// Regular entries that share contents (AddTar's and AddDir's hard links) are
// written as links to one inode as long as mode and owner agree too.
type Entry struct {
	Path string // absolute and clean: "/etc/passwd"; the root is "/"
	Type Type
	// Mode has the permission bits, fs.ModeSetuid, fs.ModeSetgid and
	// fs.ModeSticky; never a type. A symbolic link's is 0777.
	Mode         fs.FileMode
	UID, GID     int
	Link         string // a symbolic link's target, as it stands in the link
	Major, Minor uint32 // of a device

	content *content // a regular file's
}

// Limits of Linux: include/uapi/linux/limits.h, init/initramfs.c. The kernel
// skips a longer name in an initramfs without a word.
const (
	maxPath = 4095 // PATH_MAX without the NUL
	maxName = 255  // NAME_MAX
	maxID   = math.MaxUint32 - 1
	// maxHops is MAXSYMLINKS of include/linux/namei.h.
	maxHops = 40
)

// Tree is a root file system. The parent of every entry is a directory in it.
// A Tree is not safe for concurrent use.
type Tree struct {
	entries map[string]*Entry
}

// New returns a tree that has its root, 0755 root:root, only.
func New() *Tree {
	return &Tree{entries: map[string]*Entry{"/": {Path: "/", Type: Directory, Mode: 0o755}}}
}

// Get returns the entry at name as lstat(2) finds it: links in the directories
// above it are followed inside the tree, one at its end is not.
func (t *Tree) Get(name string) (*Entry, bool) {
	e, err := t.lookup(name, false)
	return e, err == nil
}

// Resolve returns the entry at name as stat(2) finds it: every symbolic link is
// followed, inside the tree. The error names what does not exist.
func (t *Tree) Resolve(name string) (*Entry, error) {
	return t.lookup(name, true)
}

func (t *Tree) lookup(name string, follow bool) (*Entry, error) {
	name, err := cleanPath(name)
	if err != nil {
		return nil, err
	}
	for hops := 0; ; hops++ {
		// The parents of an entry are directories, so a hit is final.
		if e, ok := t.entries[name]; ok {
			if e.Type != Symlink || !follow {
				return e, nil
			}
			name = path.Join("/", relativeTo(path.Dir(name), e.Link))
		} else {
			link, rest := t.linkAbove(name)
			if link == nil {
				return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
			}
			name = path.Join("/", relativeTo(path.Dir(link.Path), link.Link), rest)
		}
		if hops == maxHops {
			return nil, fmt.Errorf("%s: more than %d symbolic links on the way", name, maxHops)
		}
	}
}

// linkAbove returns the symbolic link among the directories of name, and what
// of name comes after it.
func (t *Tree) linkAbove(name string) (link *Entry, rest string) {
	for dir := path.Dir(name); dir != "/"; dir = path.Dir(dir) {
		if e, ok := t.entries[dir]; ok {
			if e.Type == Symlink {
				return e, strings.TrimPrefix(name, dir)
			}
			return nil, ""
		}
	}
	return nil, ""
}

func relativeTo(dir, link string) string {
	if path.IsAbs(link) {
		return link
	}
	return path.Join(dir, link)
}

// Dir makes a directory, or sets the mode of the one that exists.
func (t *Tree) Dir(name string, mode fs.FileMode) error {
	return t.add(&Entry{Path: name, Type: Directory, Mode: mode})
}

// File adds a regular file, owned by root. It keeps data.
func (t *Tree) File(name string, mode fs.FileMode, data []byte) error {
	return t.add(&Entry{Path: name, Type: Regular, Mode: mode, content: bytesContent(data)})
}

// HostFile adds a regular file, owned by root, with the contents of a file on
// the build host, which must not change before the tree is written.
func (t *Tree) HostFile(name string, mode fs.FileMode, hostPath string) error {
	c, err := hostContent(hostPath)
	if err != nil {
		return err
	}
	return t.add(&Entry{Path: name, Type: Regular, Mode: mode, content: c})
}

// Add puts an entry of any type in the tree, whose Path need not be clean, and
// sets its Path to where it came to stand: missing parents are made, 0755
// root:root, and links above it followed inside the tree. An existing entry is
// replaced, but a directory only by a directory. Contents are a regular file's,
// nil for all else; they are read when the file is, and not closed.
func (t *Tree) Add(e *Entry, contents *io.SectionReader) error {
	e.content = nil
	if e.Type == Regular {
		if contents == nil {
			return fmt.Errorf("%s: a file needs contents", e.Path)
		}
		e.content = &content{reader: contents, size: contents.Size()}
	}
	return t.add(e)
}

// HardLink adds name as one more name of the file, link or device target.
func (t *Tree) HardLink(name, target string) error {
	return t.addHardLink(&Entry{Path: name}, target)
}

// Symlink adds a symbolic link.
func (t *Tree) Symlink(name, target string) error {
	return t.add(&Entry{Path: name, Type: Symlink, Link: target})
}

// Device adds a CharDevice or BlockDevice node.
func (t *Tree) Device(name string, typ Type, mode fs.FileMode, major, minor uint32) error {
	if typ != CharDevice && typ != BlockDevice {
		return fmt.Errorf("%s: a %v is no device", name, typ)
	}
	return t.add(&Entry{Path: name, Type: typ, Mode: mode, Major: major, Minor: minor})
}

// Remove removes name and all below it. A name that does not exist is no error.
func (t *Tree) Remove(name string) error {
	e, ok := t.Get(name)
	if !ok {
		_, err := cleanPath(name)
		return err
	}
	if e.Path == "/" {
		return errors.New("/: the root cannot be removed")
	}
	below := e.Path + "/"
	maps.DeleteFunc(t.entries, func(p string, _ *Entry) bool {
		return p == e.Path || strings.HasPrefix(p, below)
	})
	return nil
}

// RemoveFunc removes every entry but the root that del says, and all below it.
// del is not asked about what is below a removed directory.
func (t *Tree) RemoveFunc(del func(*Entry) bool) {
	removed := map[string]bool{} // directories
	t.Walk(func(e *Entry) error {
		if e.Path != "/" && (removed[path.Dir(e.Path)] || del(e)) {
			removed[e.Path] = e.Type == Directory
			delete(t.entries, e.Path)
		}
		return nil
	})
}

// Without returns a tree of the entries that drop does not say, which are not
// copied: neither tree may be changed while the other is used. Drop is asked
// about what is no directory.
func (t *Tree) Without(drop func(*Entry) bool) *Tree {
	kept := &Tree{entries: map[string]*Entry{}}
	for name, e := range t.entries {
		if e.Type == Directory || !drop(e) {
			kept.entries[name] = e
		}
	}
	return kept
}

// Walk calls fn for every entry in byte order of their paths, so that a
// directory comes before what is in it. What fn removes is not visited, what
// it adds may not be. It ends at fn's first error and returns that.
func (t *Tree) Walk(fn func(*Entry) error) error {
	for _, name := range slices.Sorted(maps.Keys(t.entries)) {
		e, ok := t.entries[name]
		if !ok {
			continue
		}
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}

// add puts e in the tree, whose Path need not be clean. Missing parents are
// made, 0755 root:root; a parent that is a link to a directory is followed
// inside the tree, as rsync --keep-dirlinks does. An existing entry is
// replaced, but a directory only by a directory.
func (t *Tree) add(e *Entry) error {
	name, err := cleanPath(e.Path)
	if err != nil {
		return err
	}
	if e.Path, err = t.place(name); err != nil {
		return err
	}
	if err := normalize(e); err != nil {
		return fmt.Errorf("%s: %w", e.Path, err)
	}
	old, exists := t.entries[e.Path]
	if exists && e.Type == Directory && old.Type == Symlink {
		if dir, err := t.Resolve(e.Path); err == nil && dir.Type == Directory {
			old, e.Path = dir, dir.Path
		}
	}
	if exists && old.Type == Directory && e.Type != Directory {
		return fmt.Errorf("%s: a %v cannot replace a directory: remove the directory first", e.Path, e.Type)
	}
	t.entries[e.Path] = e
	return nil
}

// place returns name with the links above it followed, and sees to it that its
// parent is a directory.
func (t *Tree) place(name string) (string, error) {
	if name == "/" {
		return name, nil
	}
	dir, base := path.Split(name)
	parent, err := t.Resolve(dir)
	if errors.Is(err, fs.ErrNotExist) {
		parent = &Entry{Path: path.Clean(dir), Type: Directory, Mode: 0o755}
		if link, ok := t.Get(dir); ok {
			return "", fmt.Errorf("%s: its parent %s is a link to %s, which does not exist", name, link.Path, link.Link)
		}
		err = t.add(parent) // which may move it
	}
	if err != nil {
		return "", err
	}
	if parent.Type != Directory {
		return "", fmt.Errorf("%s: its parent %s is a %v", name, parent.Path, parent.Type)
	}
	return path.Join(parent.Path, base), nil
}

// normalize checks what Linux limits and brings e to its one form.
func normalize(e *Entry) error {
	if e.UID < 0 || e.UID > maxID || e.GID < 0 || e.GID > maxID {
		return fmt.Errorf("owner %d:%d is not between 0 and %d", e.UID, e.GID, maxID)
	}
	if e.Path == "/" && e.Type != Directory {
		return fmt.Errorf("the root cannot be a %v", e.Type)
	}
	if e.Type == Symlink {
		e.Mode = 0o777
		switch {
		case e.Link == "":
			return errors.New("a symbolic link needs a target")
		case len(e.Link) > maxPath:
			return fmt.Errorf("the link's target is longer than %d bytes", maxPath)
		case strings.ContainsRune(e.Link, 0):
			return errors.New("the link's target has a NUL in it")
		}
	}
	e.Mode = fileMode(unixMode(e.Mode))
	return nil
}

// cleanPath returns name as the tree's keys are. It never leads out: ".." is
// refused rather than cut off, since whoever wrote it meant something else.
func cleanPath(name string) (string, error) {
	if !path.IsAbs(name) {
		return "", fmt.Errorf("%q is no absolute path", name)
	}
	if len(name) > maxPath {
		return "", fmt.Errorf("%.60q… is longer than %d bytes", name, maxPath)
	}
	if strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("%q has a NUL in it", name)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", fmt.Errorf("%q has .. in it", name)
		}
		if len(part) > maxName {
			return "", fmt.Errorf("%.60q… has a name of more than %d bytes", name, maxName)
		}
	}
	return path.Clean(name), nil
}

// unixMode returns the low twelve bits as chmod(2) takes them. It also takes
// them as they are in mode, where fs.FileMode has no meaning for bits 9 to 11,
// so that 0o1777 is what it looks like.
func unixMode(mode fs.FileMode) uint32 {
	m := uint32(mode) & 0o7777
	if mode&fs.ModeSetuid != 0 {
		m |= 0o4000
	}
	if mode&fs.ModeSetgid != 0 {
		m |= 0o2000
	}
	if mode&fs.ModeSticky != 0 {
		m |= 0o1000
	}
	return m
}

func fileMode(m uint32) fs.FileMode {
	mode := fs.FileMode(m & 0o777)
	if m&0o4000 != 0 {
		mode |= fs.ModeSetuid
	}
	if m&0o2000 != 0 {
		mode |= fs.ModeSetgid
	}
	if m&0o1000 != 0 {
		mode |= fs.ModeSticky
	}
	return mode
}
