package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto"
	"crypto/sha1" //nolint:gosec // what apk's format has
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"

	"chainguard.dev/apko/pkg/apk/expandapk"
	"chainguard.dev/apko/pkg/apk/signature"
	"chainguard.dev/apko/pkg/apk/types"
)

// signatureName is the entry that holds a signature (apk-package(5)). RSA stands
// for SHA-1, which abuild signs packages with to this day.
var signatureName = regexp.MustCompile(`^\.SIGN\.(RSA|RSA256)\.(.+` + regexp.QuoteMeta(keySuffix) + `)$`)

// maxControl bounds what is unpacked of a signature or control section: real
// ones have some kilobytes, the changelog included.
const maxControl = 4 << 20

// verifiedPackage is what a package's own signature vouches for.
type verifiedPackage struct {
	info     *types.PackageInfo
	sections [2][]byte         // signature and control, as they are in the file
	control  [sha1.Size]byte   // of the control section: what an index knows the package by
	data     [sha256.Size]byte // of the data section
}

// verifyPackage checks a package by itself: a known key signed its control
// section, which has the digest of its data. apko compares the checksums of
// control and data, but checks no package's signature. The data, unpacked, is
// written to tar, if there is one: what is there counts only without an error.
func verifyPackage(file string, keys keyring, tar io.Writer) (*verifiedPackage, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	parts, err := expandapk.Split(bufio.NewReaderSize(f, 1<<16))
	if err != nil {
		return nil, cut(err)
	}
	if len(parts) != 3 {
		return nil, errors.New("it is not signed")
	}
	var v verifiedPackage
	for i := range v.sections {
		if v.sections[i], err = io.ReadAll(parts[i]); err != nil {
			return nil, err
		}
	}
	if err := verifySignature(v.sections[0], v.sections[1], keys); err != nil {
		return nil, err
	}
	if v.info, err = packageInfo(v.sections[1]); err != nil {
		return nil, err
	}
	v.control = sha1.Sum(v.sections[1])
	hash := sha256.New()
	unpackErr := unpackData(io.TeeReader(parts[2], hash), tar)
	if _, err := io.Copy(hash, parts[2]); err != nil {
		return nil, err
	}
	hash.Sum(v.data[:0])
	if sum := hex.EncodeToString(v.data[:]); sum != v.info.DataHash {
		return nil, fmt.Errorf("its data is altered or cut short: sha256 %s, signed is %q", sum, v.info.DataHash)
	}
	return &v, unpackErr
}

// maxData bounds what a package unpacks to: the largest of Alpine's have some
// gigabytes, and none of those belongs in a VM.
const maxData = 4 << 30

func unpackData(packed io.Reader, tar io.Writer) error {
	if tar == nil {
		return nil
	}
	zr, err := gzip.NewReader(packed)
	if err != nil {
		return cut(err)
	}
	defer zr.Close()
	n, err := io.Copy(tar, io.LimitReader(zr, maxData+1))
	if err == nil && n > maxData {
		err = fmt.Errorf("its data unpacks to more than %d bytes", int64(maxData))
	}
	return err
}

// cut names what a truncated archive looks like to a decompressor.
func cut(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return errors.New("it is cut short")
	}
	return fmt.Errorf("it is no package: %w", err)
}

// verifySignature checks that a known key signed what was signed. section is the
// gzip member in front of it.
func verifySignature(section, signed []byte, keys keyring) error {
	signatures, err := readSignatures(section)
	if err != nil {
		return err
	}
	var names []string
	for _, s := range signatures {
		names = append(names, s.key)
		key, ok := keys[s.key]
		if !ok {
			continue
		}
		h := s.hash.New()
		h.Write(signed)
		if err := signature.RSAVerifyDigest(h.Sum(nil), s.hash, s.data, key); err != nil {
			return fmt.Errorf("the signature with %s is not of these contents: they are altered, or that is another key of the same name", s.key)
		}
		return nil
	}
	return unknownKey(names, keys)
}

func unknownKey(names []string, keys keyring) error {
	if len(names) == 0 {
		return errors.New("it is not signed")
	}
	return fmt.Errorf("it is signed with %s, and the known keys are %s: name the key in keys, if it is to be trusted",
		strings.Join(names, ", "), strings.Join(slices.Sorted(maps.Keys(keys)), ", "))
}

// signed is one signature.
type signed struct {
	key  string
	hash crypto.Hash
	data []byte
}

// readSignatures reads a signature section.
func readSignatures(section []byte) ([]signed, error) {
	var all []signed
	err := eachEntry(section, func(h *tar.Header, r io.Reader) error {
		m := signatureName.FindStringSubmatch(h.Name)
		if m == nil {
			return nil
		}
		data, err := io.ReadAll(r)
		all = append(all, signed{key: m[2], hash: map[string]crypto.Hash{"RSA": crypto.SHA1, "RSA256": crypto.SHA256}[m[1]], data: data})
		return err
	})
	return all, err
}

// packageInfo reads .PKGINFO of a control section.
func packageInfo(section []byte) (*types.PackageInfo, error) {
	var info *types.PackageInfo
	err := eachEntry(section, func(h *tar.Header, r io.Reader) (err error) {
		if h.Name == ".PKGINFO" && info == nil {
			info, err = types.ParsePackageInfo(r)
		}
		return err
	})
	if err == nil && info == nil {
		err = errors.New("it has no .PKGINFO")
	}
	return info, err
}

// eachEntry walks a gzip member that holds a tar, perhaps without its end.
func eachEntry(section []byte, do func(h *tar.Header, r io.Reader) error) error {
	zr, err := gzip.NewReader(bytes.NewReader(section))
	if err != nil {
		return cut(err)
	}
	defer zr.Close()
	zr.Multistream(false)
	tr := tar.NewReader(io.LimitReader(zr, maxControl))
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return cut(err)
		}
		if err := do(h, tr); err != nil {
			return err
		}
	}
}

// firstMember returns the first gzip member of data.
func firstMember(data []byte) ([]byte, error) {
	r := bytes.NewReader(data) // an io.ByteReader: gzip reads to the member's end and no further
	zr, err := gzip.NewReader(r)
	if err != nil {
		return nil, cut(err)
	}
	defer zr.Close()
	zr.Multistream(false)
	if _, err := io.Copy(io.Discard, io.LimitReader(zr, maxControl)); err != nil {
		return nil, cut(err)
	}
	return data[:len(data)-r.Len()], nil
}
