package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// fetchUnknown fetches a file whose digest is not known: whatever comes gets
// the name of its own digest. It is the caller's to verify. key names the
// download, which begins at the file's beginning: there would be no telling what
// an earlier part is of.
func (d *downloader) fetchUnknown(ctx context.Context, f found, key string, progress func(done, total int64)) (sum, path string, err error) {
	f.release.SHA256 = key // partial files are named by it
	partial := filepath.Join(d.dir, "partial")
	if err := os.MkdirAll(partial, 0o755); err != nil {
		return "", "", fmt.Errorf("make room for sources: %w", err)
	}
	unlock, err := lockFile(ctx, filepath.Join(partial, key+".lock"), func() {
		d.logf("%s: it is being fetched already: waiting for that", f.release.File)
	})
	if err != nil {
		return "", "", err
	}
	defer unlock()
	part, from := filepath.Join(partial, key+".part"), filepath.Join(partial, key+".from")
	for _, old := range []string{part, from} {
		if err := os.Remove(old); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", "", err
		}
	}
	if f.path != "" {
		err = copyOpen(ctx, f.path, part)
	} else {
		_, err = d.downloadAll(ctx, f, part, from, progress)
	}
	if err != nil {
		os.Remove(part)
		os.Remove(from)
		return "", "", err
	}
	if sum, err = sha256File(part); err != nil {
		return "", "", err
	}
	final := d.archive(Release{SHA256: sum, File: f.release.File})
	err = errors.Join(os.MkdirAll(filepath.Dir(final), 0o755), os.Chmod(part, 0o444), os.Chtimes(part, verifiedTime, verifiedTime))
	if err != nil {
		return "", "", err
	}
	os.Remove(from)
	return sum, final, os.Rename(part, final)
}

func copyOpen(ctx context.Context, path, part string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(part)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, contextReader{ctx, in})
	return errors.Join(err, out.Close())
}

// remember256 keeps the digest of what was fetched under a key, for recall256.
func (d *downloader) remember256(key, sum string) error {
	dir := filepath.Join(d.dir, "fetched")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, key), []byte(sum+"\n"))
}

// recall256 is empty where nothing was remembered.
func (d *downloader) recall256(key string) string {
	text, err := os.ReadFile(filepath.Join(d.dir, "fetched", key))
	if err != nil {
		return ""
	}
	if sum := strings.TrimSpace(string(text)); sha256Pattern.MatchString(sum) {
		return sum
	}
	return ""
}
