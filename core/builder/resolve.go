package builder

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
)

// Resolver is implemented by a builder with sources that are files of a
// repository: which ones is known when the repository's index has been read.
// Its Description lists CapabilityResolve, and its Plan gives such a source a
// Selection.
//
// The host fetches and the builder decides, in turns: Resolve answers with the
// files to fetch next, and is asked again with those and all before. It has no
// memory and no network; equal requests have equal answers. What it answers as
// Done it has verified, each file, against keys or digests that the definition
// or the builder itself gives. The host writes the answer to the lock file with
// the SHA-256 of each file, and as long as the source stays the same, Resolve is
// not asked again.
type Resolver interface {
	Resolve(ctx context.Context, req *ResolveRequest) (*Resolution, error)
}

// CapabilityResolve says that the builder implements Resolver.
const CapabilityResolve = "resolve"

// ResolveRequest asks for the files of one source.
type ResolveRequest struct {
	Definition *Definition
	Source     Source
	Fetched    map[string]string // name of a RemoteFile → where it is now; read-only
	Work       string            // absolute; scratch space, empty at each call
}

// Resolution is an answer of Resolve. With an error among Diagnostics, the rest
// has no meaning.
type Resolution struct {
	Files       []RemoteFile
	Done        bool // Files are the source: all of them fetched and verified
	Diagnostics Diagnostics
}

// RemoteFile is a file that the host fetches.
type RemoteFile struct {
	// Name is unique among the files of a source, and a plain file name.
	Name    string
	Version string // for people: of a package "1.2.5-r10"
	// URL is absolute: http, https, or oci://REGISTRY/REPOSITORY/manifests/TAG and
	// …/blobs/sha256:… for what a registry of container images has; or a path below each of Plan.Mirrors in
	// turn, so that a lock file does not depend on the mirror at hand.
	URL string
	// SHA256 is given where it is known beforehand. The host takes no other file.
	SHA256 string
	// Identity stands in for an unknown SHA256: a text out of a verified index,
	// such as a checksum, that the file's contents follow from. With it a file
	// that was fetched before is not fetched again. Without both, the file is a
	// list that changes in its place, and is fetched anew.
	Identity string
	Bytes    int64 // 0: not known
}

// FetchedFile is a verified file of a source, on disk.
type FetchedFile struct {
	Name    string
	Version string
	Path    string
	SHA256  string
}

// Check holds an answer to the contract. The host and buildertest call it.
func (r *Resolution) Check(req *ResolveRequest) error {
	if r.Diagnostics.HasErrors() {
		return nil
	}
	if len(r.Files) == 0 {
		return errors.New("Resolve names no file")
	}
	seen := map[string]bool{}
	missing := false
	for _, f := range r.Files {
		switch {
		case f.Name == "" || f.Name != filepath.Base(f.Name) || f.Name[0] == '.':
			return fmt.Errorf("Resolve names a file %q, which is no plain file name", f.Name)
		case seen[f.Name]:
			return fmt.Errorf("Resolve names file %q twice", f.Name)
		case f.URL == "":
			return fmt.Errorf("Resolve gives file %q no URL", f.Name)
		}
		seen[f.Name] = true
		if req.Fetched[f.Name] == "" {
			missing = true
			if r.Done {
				return fmt.Errorf("Resolve is done with file %q, which was not fetched", f.Name)
			}
		}
	}
	if !r.Done && !missing {
		return errors.New("Resolve is not done and wants nothing that was not fetched: it would go on for ever")
	}
	return nil
}
