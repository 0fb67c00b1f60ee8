package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"chainguard.dev/apko/pkg/apk/apk"
	"github.com/chainguard-dev/clog"
)

// quiet is a context in which apko does not log: what it has to say that matters
// is in its errors.
func quiet(ctx context.Context) context.Context {
	return clog.WithLogger(ctx, clog.New(slog.DiscardHandler))
}

// readIndex verifies and reads a repository's index, a file that was fetched.
//
// The file is linked into a directory of its own, laid out as a repository: apko
// caches what it parsed by path, and does not verify it again with other keys.
func readIndex(ctx context.Context, s origin, file, arch string, keys keyring, work string) (apk.NamedIndex, error) {
	dir, err := os.MkdirTemp(work, "index-")
	if err != nil {
		return nil, err
	}
	repo := filepath.Join(dir, s.name)
	if err := os.MkdirAll(filepath.Join(repo, arch), 0o755); err != nil {
		return nil, err
	}
	if err := os.Symlink(file, filepath.Join(repo, arch, "APKINDEX.tar.gz")); err != nil {
		return nil, err
	}
	indexes, err := apk.GetRepositoryIndexes(quiet(ctx), []string{repo}, keys, arch)
	if err != nil {
		return nil, fmt.Errorf("the index of %s: %w", s.url, explainIndex(file, keys, err))
	}
	if len(indexes) != 1 {
		return nil, fmt.Errorf("the index of %s: it was fetched and is gone", s.url)
	}
	return indexes[0], nil
}

// explainIndex says in other words than apko's what is wrong with a signature.
func explainIndex(file string, keys keyring, err error) error {
	data, readErr := os.ReadFile(file)
	if readErr != nil {
		return readErr
	}
	section, memberErr := firstMember(data)
	if memberErr != nil {
		return memberErr
	}
	if why := verifySignature(section, data[len(section):], keys); why != nil {
		return why
	}
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return fmt.Errorf("it is signed, but cannot be read: %w", err)
}
