package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// tempPrefix begins the names of what is being written beside its target.
const tempPrefix = ".leanlab-tmp-"

// PublishFile writes the file so that a reader sees the old contents or the
// new, never a part, also after a power cut.
func PublishFile(path string, perm fs.FileMode, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), tempPrefix)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := f.Chmod(perm); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func writeFile(path string, b []byte) error {
	return PublishFile(path, 0o644, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// Publish makes tmpDir the directory dst in one step: a reader finds the old
// directory or the new one, whole, also after a power cut. The old one is
// removed. tmpDir must be on dst's file system; see NewOutput.
//
// Where the file system cannot exchange two names (renameat2(2),
// RENAME_EXCHANGE; ext4, xfs, btrfs, f2fs, tmpfs and overlayfs can) there is a
// moment without dst.
func Publish(tmpDir, dst string) error {
	if err := syncTree(tmpDir); err != nil {
		return err
	}
	switch fi, err := os.Lstat(dst); {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.Rename(tmpDir, dst); err != nil {
			return err
		}
		return syncDir(filepath.Dir(dst))
	case err != nil:
		return err
	case !fi.IsDir():
		return fmt.Errorf("%s: is in the way and not a directory; move it elsewhere", dst)
	}
	err := unix.Renameat2(unix.AT_FDCWD, tmpDir, unix.AT_FDCWD, dst, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return publishInTwo(tmpDir, dst)
	}
	if err != nil {
		return &os.LinkError{Op: "exchange", Old: tmpDir, New: dst, Err: err}
	}
	if err := syncDir(filepath.Dir(dst)); err != nil {
		return err
	}
	return removeAll(tmpDir)
}

// publishInTwo moves the old directory aside, beside tmpDir, and the new one
// into its place.
func publishInTwo(tmpDir, dst string) error {
	old := tmpDir + "-old"
	if err := os.Rename(dst, old); err != nil {
		return err
	}
	if err := os.Rename(tmpDir, dst); err != nil {
		return errors.Join(err, os.Rename(old, dst))
	}
	if err := syncDir(filepath.Dir(dst)); err != nil {
		return err
	}
	return removeAll(old)
}

// Output is a directory being filled that will replace another.
type Output struct {
	Dir string // write here

	dst  string
	lock *os.File
}

// NewOutput makes an empty directory beside dst, and removes those of processes
// that died before they published. Its parents are created.
func NewOutput(dst string) (*Output, error) {
	dst, err := filepath.Abs(dst)
	if err != nil {
		return nil, err
	}
	parent := filepath.Dir(dst)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, err
	}
	prefix := tempPrefix + filepath.Base(dst) + "-"
	if err := sweepOutputs(parent, prefix); err != nil {
		return nil, err
	}
	for {
		dir, err := os.MkdirTemp(parent, prefix)
		if err != nil {
			return nil, err
		}
		f, got, err := claimDir(dir, unix.LOCK_EX)
		if err != nil {
			return nil, err
		}
		if !got { // another NewOutput took it for a dead one's before we had the lock
			continue
		}
		if err := f.Chmod(0o755); err != nil {
			f.Close()
			return nil, err
		}
		return &Output{Dir: dir, dst: dst, lock: f}, nil
	}
}

// Publish replaces the destination with what was written. After an error,
// Discard.
func (o *Output) Publish() error {
	if err := Publish(o.Dir, o.dst); err != nil {
		return err
	}
	return o.lock.Close()
}

// Discard removes what was written. After Publish it does nothing.
func (o *Output) Discard() error {
	if !sameFile(o.lock, o.Dir) {
		return nil
	}
	defer o.lock.Close()
	return removeAll(o.Dir)
}

func sweepOutputs(parent, prefix string) error {
	left, err := filepath.Glob(filepath.Join(globEscape(parent), globEscape(prefix)+"*"))
	if err != nil {
		return err
	}
	for _, dir := range left {
		f, got, err := claimDir(dir, unix.LOCK_EX)
		if err != nil {
			return err
		}
		if !got {
			continue
		}
		err = removeAll(dir)
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// claimDir opens the directory and takes the flock on it; false when another
// has it, or when the directory went away meanwhile.
func claimDir(dir string, how int) (*os.File, bool, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	got, err := flock(f, how)
	if err != nil || !got || !sameFile(f, dir) {
		f.Close()
		return nil, false, err
	}
	return f, true, nil
}

// syncTree writes what was written below dir to the disk. It is syncfs(2), of
// the whole file system, since a tree of many small files is slower to sync one
// by one by orders of magnitude.
func syncTree(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return &fs.PathError{Op: "syncfs", Path: dir, Err: err}
	}
	return nil
}

// syncDir makes renames in dir survive a power cut.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// removeAll is os.RemoveAll that gets through directories which their maker
// left without write permission.
func removeAll(dir string) error {
	err := os.RemoveAll(dir)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			os.Chmod(path, 0o700) // before WalkDir reads it
		}
		return nil
	})
	return os.RemoveAll(dir)
}
