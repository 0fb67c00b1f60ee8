package lean

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
)

// RulesDigest is a digest of the data that Apply goes by: with other rules, the
// same tree becomes another.
func RulesDigest() string {
	h := sha256.New()
	names, err := fs.Glob(files, "data/*.hcl")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	for _, name := range names {
		data, err := files.ReadFile(name)
		if err != nil {
			panic(err) // embedded
		}
		h.Write(data)
	}
	return hex.EncodeToString(h.Sum(nil))
}
