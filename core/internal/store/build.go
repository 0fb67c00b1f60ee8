package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// crashPoint is told how far Build has come; tests die there.
var crashPoint = func(string) {}

// Build returns the result of step, from the store or else from fn, and whether
// fn ran. fn writes the result below out, and whatever else it needs below
// work; both are empty, on the same file system, and gone afterwards: the
// result is published elsewhere, so it must not hold its own path. When fn
// fails nothing is published. With step.Keep, work is the directory that the
// owner's last build left, whichever way it ended, and stays.
//
// While another process or goroutine builds the same step, Build waits for it
// and then uses its result, or ctx ends the wait.
func (s *Store) Build(ctx context.Context, step Step, fn func(ctx context.Context, out, work string) error) (e *Entry, built bool, err error) {
	key := step.Key()
	e, err = s.lookup(key)
	if err != nil {
		e, built, err = s.buildLocked(ctx, step, key, fn)
	}
	if err != nil {
		return nil, false, err
	}
	return e, built, s.explain(s.remember(step))
}

func (s *Store) buildLocked(ctx context.Context, step Step, key string, fn func(context.Context, string, string) error) (*Entry, bool, error) {
	l, err := waitLock(ctx, s.lockPath(key[:shortKey]), func(holder string) {
		if s.OnWait != nil {
			s.OnWait(step, holder)
		}
	})
	if err != nil {
		return nil, false, s.explain(err)
	}
	defer l.release()
	e, err := s.lookup(key)
	switch {
	case err == nil:
		return e, false, nil
	case errors.Is(err, errDamaged):
		if err := s.setAside(key); err != nil {
			return nil, false, s.explain(err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, false, s.explain(err)
	}
	if err := s.make(ctx, step, key, fn); err != nil {
		return nil, false, err
	}
	if e, err = s.lookup(key); err != nil {
		return nil, false, fmt.Errorf("%s: was published and cannot be used: %w", s.entryPath(key), err)
	}
	return e, true, nil
}

// make builds and publishes the entry. The key's lock is held, and waits for
// that of a kept work directory, never the other way round.
func (s *Store) make(ctx context.Context, step Step, key string, fn func(context.Context, string, string) error) (err error) {
	tmp := s.tmpPath(key)
	if err := removeAll(tmp); err != nil { // of a process killed since Open swept
		return s.explain(err)
	}
	defer func() {
		if err != nil && s.full(err) {
			err = s.noRoom(err)
		}
		removeAll(tmp) // also when fn panics; what cannot be removed now is swept by the next Open
	}()
	dir, work := filepath.Join(tmp, "entry"), filepath.Join(tmp, "work")
	out := filepath.Join(dir, "out")
	for _, d := range []string{out, work} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return s.explain(err)
		}
	}
	if step.Keep != "" {
		kept, release, err := s.keptWork(ctx, step)
		if err != nil {
			return s.explain(err)
		}
		defer release()
		work = kept
	}
	crashPoint("begun")
	rec := &record{Key: key, Kind: step.Kind, Inputs: step.Inputs, Created: time.Now().UTC()}
	ctx, cpu := withCPU(ctx)
	if err := fn(ctx, out, work); errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return s.explain(err)
	} else if err != nil {
		return err
	}
	rec.Seconds = time.Since(rec.Created).Seconds()
	rec.CPU = time.Duration(cpu.Load()).Seconds()
	crashPoint("built")
	if step.Keep == "" {
		if err := removeAll(work); err != nil { // before the sync, which would write it out
			return s.explain(err)
		}
	}
	if err := rec.describe(out); err != nil {
		return s.explain(fmt.Errorf("record the result of %s: %w", step.Kind, err))
	}
	return s.explain(s.publish(dir, rec))
}

// describe fills in what the result looks like.
func (rec *record) describe(out string) error {
	nodes, err := scan(out, nil)
	if err != nil {
		return err
	}
	rec.Files = len(nodes)
	for _, n := range nodes {
		if n.info.Mode().IsRegular() {
			rec.Bytes += n.info.Size()
		}
	}
	rec.Stat = statDigest(nodes)
	rec.Digest, err = digestNodes(out, nodes, nil)
	return err
}

func (s *Store) publish(dir string, rec *record) error {
	if err := writeRecord(dir, rec); err != nil {
		return err
	}
	crashPoint("recorded")
	if err := syncTree(dir); err != nil {
		return err
	}
	path := s.entryPath(rec.Key)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	crashPoint("synced")
	if err := os.Rename(dir, path); err != nil {
		return err
	}
	crashPoint("renamed")
	return syncDir(filepath.Dir(path))
}

// setAside moves a damaged entry out of the way, where it can be looked at
// until the next Prune. The key's lock is held.
func (s *Store) setAside(key string) error {
	aside := filepath.Join(s.dir, "damaged", key)
	if err := removeAll(aside); err != nil {
		return err
	}
	return os.Rename(s.entryPath(key), aside)
}

type cpuKey struct{}

func withCPU(ctx context.Context) (context.Context, *atomic.Int64) {
	cpu := new(atomic.Int64)
	return context.WithValue(ctx, cpuKey{}, cpu), cpu
}

// AddCPU credits processor time to the step whose context this is. The store
// cannot measure it: the work is done by processes that it does not know.
func AddCPU(ctx context.Context, d time.Duration) {
	if cpu, ok := ctx.Value(cpuKey{}).(*atomic.Int64); ok {
		cpu.Add(int64(d))
	}
}
