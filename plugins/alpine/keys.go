package main

import (
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// alpineKeys are the keys that Alpine has signed packages and indexes of its
// releases with since 2021, by architecture: what the package alpine-keys installs
// in /etc/apk/keys, without the older ones. The digests are of those files, in
// alpine-minirootfs 3.18.9 and 3.20.3.
var alpineKeys = map[string]builder.RemoteFile{
	"x86_64": {
		Name:   "alpine-devel@lists.alpinelinux.org-6165ee59.rsa.pub",
		URL:    "https://alpinelinux.org/keys/alpine-devel%40lists.alpinelinux.org-6165ee59.rsa.pub",
		SHA256: "207e4696d3c05f7cb05966aee557307151f1f00217af4143c1bcaf33b8df733f",
	},
	"aarch64": {
		Name:   "alpine-devel@lists.alpinelinux.org-616ae350.rsa.pub",
		URL:    "https://alpinelinux.org/keys/alpine-devel%40lists.alpinelinux.org-616ae350.rsa.pub",
		SHA256: "d11f6b21c61b4274e182eb888883a8ba8acdbf820dcc7a6d82a7d9fc2fd2836d",
	},
}

// keySuffix ends the names of keys, in signatures and in /etc/apk/keys.
const keySuffix = ".rsa.pub"

// keyring is what may sign: a key's name, as signatures give it, and its PEM.
type keyring map[string][]byte

// digest is the same for the same keys.
func (ring keyring) digest() string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(ring)) {
		fmt.Fprintf(h, "%s\n%s\n", name, ring[name])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// readKeys reads key files.
func readKeys(files []string) (keyring, error) {
	ring := keyring{}
	for _, file := range files {
		data, err := readKey(file)
		if err != nil {
			return nil, err
		}
		ring[filepath.Base(file)] = data
	}
	return ring, nil
}

// readKey reads a public key, and refuses what cannot be one.
func readKey(file string) ([]byte, error) {
	if !strings.HasSuffix(file, keySuffix) {
		return nil, fmt.Errorf("%s: a key's file is named as the signatures name it, NAME%s", file, keySuffix)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if err := checkKey(data); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return data, nil
}

func checkKey(data []byte) error {
	block, _ := pem.Decode(data)
	if block == nil {
		return errors.New("no public key in PEM")
	}
	if strings.Contains(block.Type, "PRIVATE") {
		return errors.New("a private key, which has no place here: name its public half")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return fmt.Errorf("no public key: %w", err)
	}
	if _, ok := key.(*rsa.PublicKey); !ok {
		return fmt.Errorf("a key of type %T: apk signs with RSA", key)
	}
	return nil
}
