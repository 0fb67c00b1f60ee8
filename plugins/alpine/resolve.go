package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"

	"chainguard.dev/apko/pkg/apk/apk"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// Resolve answers which packages the definition needs: first the keys and
// indexes, then what the indexes have for it, then that each is what its index
// says and signed by who signs the repository.
func (alpine) Resolve(ctx context.Context, req *builder.ResolveRequest) (*builder.Resolution, error) {
	c, err := decode(req.Definition)
	if err != nil {
		return nil, err
	}
	if req.Source.Name != sourceAlpine {
		image, err := c.wanted(req)
		if err != nil {
			return nil, err
		}
		return resolveImage(req, image)
	}
	origins := c.origins(req.Definition)
	arch := req.Definition.Arch
	lists := alpineKey(origins, arch)
	for _, s := range origins {
		lists = append(lists, s.indexFile(arch))
	}
	if !all(lists, req.Fetched) {
		return &builder.Resolution{Files: lists}, nil
	}
	rings, err := keyrings(origins, req.Fetched, arch)
	if err != nil {
		return nil, err
	}
	var indexes []apk.NamedIndex
	for _, s := range origins {
		index, err := readIndex(ctx, s, req.Fetched[s.indexFile(arch).Name], arch, rings[s.name], req.Work)
		if err != nil {
			return nil, err
		}
		indexes = append(indexes, index)
	}
	packages, diagnostics, err := solve(ctx, req.Definition, c, indexes)
	if err != nil || diagnostics != nil {
		return &builder.Resolution{Diagnostics: diagnostics}, err
	}
	files := alpineKey(origins, arch)
	for _, p := range packages {
		files = append(files, packageFile(p, origins, rings, arch))
	}
	if !all(files, req.Fetched) {
		return &builder.Resolution{Files: files}, nil
	}
	var wrong []error
	for _, p := range packages {
		file := packageFile(p, origins, rings, arch)
		if err := verifyListed(p, req.Fetched[file.Name], rings[originOf(p)]); err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", file.URL, err))
		}
	}
	return &builder.Resolution{Files: files, Done: true}, errors.Join(wrong...)
}

// alpineKey is Alpine's own key, when a repository is signed with it.
func alpineKey(origins []origin, arch string) []builder.RemoteFile {
	if slices.ContainsFunc(origins, func(s origin) bool { return s.keys == nil }) {
		return []builder.RemoteFile{alpineKeys[arch]}
	}
	return nil
}

// keyrings are the keys of each source, by its name.
func keyrings(origins []origin, fetched map[string]string, arch string) (map[string]keyring, error) {
	rings := map[string]keyring{}
	for _, s := range origins {
		if s.keys != nil {
			ring, err := readKeys(s.keys)
			if err != nil {
				return nil, err
			}
			rings[s.name] = ring
			continue
		}
		key := alpineKeys[arch]
		data, err := os.ReadFile(fetched[key.Name])
		if err != nil {
			return nil, err
		}
		rings[s.name] = keyring{key.Name: data}
	}
	return rings, nil
}

func all(files []builder.RemoteFile, fetched map[string]string) bool {
	return !slices.ContainsFunc(files, func(f builder.RemoteFile) bool { return fetched[f.Name] == "" })
}

// packageFile is where a package is fetched. A mirror directory holds packages of
// every architecture side by side, so the name says which. The index's checksum
// does not cover the signature: a package that another key signed is another file.
func packageFile(p *apk.RepositoryPackage, origins []origin, rings map[string]keyring, arch string) builder.RemoteFile {
	i := slices.IndexFunc(origins, func(s origin) bool { return s.name == originOf(p) })
	return builder.RemoteFile{
		Name: p.Name + "-" + p.Version + "." + arch + ".apk", Version: p.Version,
		URL:      origins[i].url + "/" + arch + "/" + p.Filename(),
		Identity: p.ChecksumString() + " " + rings[originOf(p)].digest(), Bytes: int64(p.Size),
	}
}

// verifyListed checks that a file is the package that an index lists.
func verifyListed(p *apk.RepositoryPackage, file string, keys keyring) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	v, err := verifyPackage(file, keys, nil)
	if err != nil {
		return err
	}
	if v.info.Name != p.Name || v.info.Version != p.Version {
		return fmt.Errorf("it is %s-%s, the index lists %s-%s under that name: the mirror is out of step, or somebody offers an older package", v.info.Name, v.info.Version, p.Name, p.Version)
	}
	if sum := "Q1" + base64.StdEncoding.EncodeToString(v.control[:]); sum != p.ChecksumString() {
		return fmt.Errorf("its control section has the checksum %s, the index lists %s: another build of the package", sum, p.ChecksumString())
	}
	if p.Size != 0 && uint64(info.Size()) != p.Size {
		return fmt.Errorf("it has %d bytes, the index lists %d", info.Size(), p.Size)
	}
	return nil
}
