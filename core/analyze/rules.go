package analyze

import (
	_ "embed"
	"fmt"
	"path"
	"regexp"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2/hclsimple"
)

//go:embed data/components.hcl
var componentsFile []byte

// rule is a block of data/components.hcl.
type rule struct {
	Name      string   `hcl:"name,label"`
	Group     string   `hcl:"group"`
	Paths     []string `hcl:"paths"`
	Packaged  bool     `hcl:"packaged,optional"`
	Version   string   `hcl:"version,optional"`
	VersionIn string   `hcl:"version_in,optional"`
	Reason    string   `hcl:"reason"`

	version *regexp.Regexp // Version compiled, nil for none
}

// rules is the data, read once. It is compiled in, so an error is a mistake of
// ours that the tests find.
var rules = sync.OnceValue(func() []*rule {
	var file struct {
		Blocks []*rule `hcl:"component,block"`
	}
	if err := hclsimple.Decode("data/components.hcl", componentsFile, nil, &file); err != nil {
		panic(fmt.Sprintf("package analyze was compiled with bad data: %v", err))
	}
	for _, r := range file.Blocks {
		if r.Version != "" {
			r.version = regexp.MustCompile(r.Version)
		}
	}
	return file.Blocks
})

// ruleFor returns the rule that a path belongs to, nil for none; with packaged,
// only among those that hold for what a package has.
func ruleFor(name string, packaged bool) *rule {
	if merged, ok := strings.CutPrefix(name, "/usr/"); ok {
		name = "/" + merged
	}
	for _, r := range rules() {
		if packaged && !r.Packaged {
			continue
		}
		for _, p := range r.Paths {
			if matches(p, name) {
				return r
			}
		}
	}
	return nil
}

// matches reports whether a pattern of the data means a path.
func matches(pattern, name string) bool {
	if base, ok := strings.CutPrefix(pattern, "**/"); ok {
		pattern, name = base, path.Base(name)
	}
	if dir, ok := strings.CutSuffix(pattern, "/**"); ok {
		return strings.HasPrefix(name, dir+"/")
	}
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}
