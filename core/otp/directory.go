package otp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// takeDirectory makes the directory path, empty and this user's alone, and
// locks it (flock(2)) until the file that it returns is closed, here and in
// every process that inherited it. It waits for another build that holds it;
// what a build that was killed left there is removed.
func takeDirectory(ctx context.Context, ev builder.Events, path string) (*os.File, error) {
	waiting := false
	for {
		f, err := tryDirectory(path)
		if err != nil {
			return nil, err
		}
		if f != nil {
			if waiting {
				ev.Emit(builder.StepFinished{Title: waitTitle})
			}
			if err := emptyDirectory(path); err != nil {
				f.Close()
				return nil, err
			}
			return f, nil
		}
		if !waiting {
			waiting = true
			ev.Emit(builder.StepStarted{Title: waitTitle})
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(lockPoll):
		}
	}
}

const (
	waitTitle = "waiting for another build to leave its directory"
	// lockPoll is how often a waiting process asks: flock(2) cannot be both
	// waited for and cancelled.
	lockPoll = 200 * time.Millisecond
)

// tryDirectory returns nil when another process holds the directory.
func tryDirectory(path string) (*os.File, error) {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	// Anyone may write to /tmp: what stands there may be a link, or another's.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // its holder removed it just now
	}
	if err != nil {
		return nil, fmt.Errorf("%w: a directory is wanted there; remove what is in its place", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; int(owner) != os.Geteuid() {
		f.Close()
		return nil, fmt.Errorf("%s: belongs to user %d: remove it, or wait until that user's build has ended", path, owner)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		f.Close()
		return nil, nil
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	if now, err := os.Lstat(path); err != nil || !os.SameFile(info, now) {
		f.Close() // its holder removed it between our open and flock
		return nil, nil
	}
	return f, os.Chmod(path, 0o700)
}

func emptyDirectory(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := os.RemoveAll(filepath.Join(path, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}
