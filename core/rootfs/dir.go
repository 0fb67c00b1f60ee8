package rootfs

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
)

// Owner is whom files belong to.
type Owner struct{ UID, GID int }

// AddDir adds what is in the directory hostDir on the build host, below the
// directory at, all owned by owner. Contents stay on the host and must not
// change before the tree is written.
//
// Of a file's mode only the owner's x bit is taken, as git does, so that the
// umask of whoever made it does not matter: files are 0755 or 0644, new
// directories 0755. A directory that the tree has already keeps its mode and
// owner. Hard links stay hard links. Symbolic links are data, and not followed.
// Devices, FIFOs and sockets are errors.
func (t *Tree) AddDir(hostDir, at string, owner Owner) error {
	hostDir, err := filepath.EvalSymlinks(hostDir)
	if err != nil {
		return err
	}
	d := dirAdder{tree: t, owner: owner, seen: map[fileID]*content{}}
	return filepath.WalkDir(hostDir, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(hostDir, file)
		if err != nil {
			return err
		}
		if rel == "." && !entry.IsDir() {
			return fmt.Errorf("%s: not a directory", hostDir)
		}
		if err := d.add(file, path.Join("/", at, filepath.ToSlash(rel)), entry); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		return nil
	})
}

// fileID tells files apart: stat(2), st_dev and st_ino.
type fileID struct{ dev, ino uint64 }

type dirAdder struct {
	tree  *Tree
	owner Owner
	seen  map[fileID]*content // of files with more than one link
}

func (d *dirAdder) add(file, name string, entry fs.DirEntry) error {
	e := &Entry{Path: name, UID: d.owner.UID, GID: d.owner.GID, Mode: 0o755}
	switch entry.Type() {
	case fs.ModeDir:
		if old, err := d.tree.Resolve(name); err == nil && old.Type == Directory {
			return nil
		}
		e.Type = Directory
	case fs.ModeSymlink:
		link, err := os.Readlink(file)
		if err != nil {
			return err
		}
		e.Type, e.Link = Symlink, link
	case 0:
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.Mode()&0o100 == 0 {
			e.Mode = 0o644
		}
		e.Type, e.content = Regular, d.content(file, info)
	default:
		return fmt.Errorf("is neither a file, a directory nor a symbolic link (%v): remove it; device nodes go into a device table", entry.Type())
	}
	return d.tree.add(e)
}

func (d *dirAdder) content(file string, info fs.FileInfo) *content {
	c := &content{host: file, size: info.Size()}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Nlink < 2 {
		return c
	}
	id := fileID{uint64(st.Dev), uint64(st.Ino)}
	if first, ok := d.seen[id]; ok {
		return first
	}
	d.seen[id] = c
	return c
}
