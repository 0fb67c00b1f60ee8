package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// lockPoll is how often a waiting process asks again. flock(2) cannot be both
// waited for and given up, so waiting is asking.
const lockPoll = 100 * time.Millisecond

// lock is an exclusive flock(2) on a file that names its holder. The file is
// removed with the lock, so that locks/ does not grow.
type lock struct{ f *os.File }

// tryLock returns nil, nil when another process, or another part of this one,
// holds the lock.
func tryLock(path string) (*lock, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, err
		}
		got, err := flock(f, unix.LOCK_EX)
		if err != nil || !got {
			f.Close()
			return nil, err
		}
		if !sameFile(f, path) { // its holder removed it between our open and flock
			f.Close()
			continue
		}
		l := &lock{f}
		if err := l.sign(); err != nil {
			l.release()
			return nil, err
		}
		return l, nil
	}
}

// waitLock waits for the lock. waiting is called with each new holder.
func waitLock(ctx context.Context, path string, waiting func(holder string)) (*lock, error) {
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	told := ""
	for {
		l, err := tryLock(path)
		if l != nil || err != nil {
			return l, err
		}
		if holder := lockHolder(path); holder != "" && holder != told {
			told = holder
			waiting(holder)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

func (l *lock) sign() error {
	if err := l.f.Truncate(0); err != nil {
		return err
	}
	_, err := l.f.WriteAt(fmt.Appendf(nil, "pid %d since %s\n", os.Getpid(), time.Now().Format(time.TimeOnly)), 0)
	return err
}

// release removes the file while the lock is still held: whoever opened it
// before finds out by sameFile.
func (l *lock) release() {
	os.Remove(l.f.Name())
	l.f.Close()
}

func lockHolder(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, 200))
	return strings.TrimSpace(string(b))
}

// flock takes the lock on f without waiting, and reports whether it got it.
func flock(f *os.File, how int) (bool, error) {
	for {
		switch err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		case errors.Is(err, unix.EINTR):
		default:
			return false, &fs.PathError{Op: "flock", Path: f.Name(), Err: err}
		}
	}
}

// sameFile reports whether path still leads to f.
func sameFile(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(path)
	return err == nil && os.SameFile(a, b)
}
