package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/kernel"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

// config is the block `alpine { … }` of a definition.
type config struct {
	Base         string            `json:"base"`
	Engine       string            `json:"engine"`
	Dockerfile   string            `json:"dockerfile"`
	Target       string            `json:"target"`
	BuildArgs    map[string]string `json:"build_args"`
	Secrets      map[string]string `json:"secrets"`
	Image        string            `json:"image"`
	Release      string            `json:"release"`
	Packages     []string          `json:"packages"`
	Mirrors      []string          `json:"mirrors"`
	Keys         []string          `json:"keys"`
	Repositories []repository      `json:"repository"`
	Kernel       string            `json:"kernel"`
	Linux        string            `json:"linux"`
	Fragments    []string          `json:"fragments"`
	Overlays     []string          `json:"overlays"`
	Cmdline      string            `json:"cmdline"`
}

// repository is a block `repository { … }`: packages besides Alpine's own.
type repository struct {
	URL  string   `json:"url"`
	Keys []string `json:"keys"`
}

// Defaults that other code compares with.
const (
	alpineMirror      = "https://dl-cdn.alpinelinux.org/alpine"
	defaultDockerfile = "containers/alpine/Dockerfile"
)

// Values of base.
const (
	baseAlpine = "alpine"
	baseOCI    = "oci"
)

// Values of kernel.
const (
	kernelCustom = "custom"
	kernelAlpine = "alpine"
)

func (alpine) Describe() builder.Description {
	return builder.Description{
		Name:         "alpine",
		Version:      "0.1.0",
		Arches:       []string{"x86_64", "aarch64"},
		Capabilities: []string{builder.CapabilityResolve},
		Schema: builder.Schema{
			Attributes: []builder.Attribute{
				{Name: "base", Type: "string", Default: `"alpine"`,
					Doc: "alpine: Alpine's packages; oci: a container image as the root, to which the app is added, or whose release runs where no app is named."},
				{Name: "engine", Type: "string", Default: `"apk"`,
					Doc: "apk: leanlab unpacks Alpine's packages and compiles the app; podman, buildah or docker: that engine builds root and release from a Dockerfile."},
				{Name: "dockerfile", Type: "string", Default: `"` + defaultDockerfile + `"`,
					Doc: "The engine's Dockerfile. Its context is the app's directory; its last stage is the root, with a release in it."},
				{Name: "target", Type: "string", Default: `""`,
					Doc: "Which of the Dockerfile's stages is the root; the last one where this is empty."},
				{Name: "build_args", Type: "map(string)", Default: `{}`,
					Doc: "Values of the Dockerfile's ARGs, beside those that the definition gives."},
				{Name: "secrets", Type: "map(string)", Default: `{}`,
					Doc: "Files for RUN --mount=type=secret, by id. They are in no layer, and not in the cache's keys."},
				{Name: "image", Type: "string",
					Doc: "The image of base = \"oci\": REGISTRY/NAME:TAG, or docker-archive:FILE, oci-archive:FILE, oci:DIRECTORY, docker-daemon:NAME."},
				{Name: "release", Type: "string", Default: `"3.22"`,
					Doc: "Alpine's release series, 3.18 or later."},
				{Name: "packages", Type: "list(string)", Default: `[]`,
					Doc: "Packages to install besides musl, BusyBox and BEAM, as apk add takes them: \"curl\", \"tzdata>2024\"."},
				{Name: "mirrors", Type: "list(string)", Default: `["` + alpineMirror + `"]`,
					Doc: "Where Alpine's repositories are, tried in this order: URLs or directories that hold v3.22/main and so on."},
				{Name: "keys", Type: "list(string)", Default: `[]`,
					Doc: "Public keys that sign the main and community repositories: files named as the signatures name them. Empty: Alpine's own."},
				{Name: "kernel", Type: "string", Default: `"custom"`,
					Doc: "custom: our own, from linux and fragments; alpine: the package linux-virt."},
				{Name: "linux", Type: "string", Default: `"6.12"`,
					Doc: "Linux release series of our own kernel."},
				{Name: "fragments", Type: "list(string)", Default: `["base","virtio","net"]`,
					Doc: "Our own kernel's configuration on top of tinyconfig: names in kernel-configs/, or paths. Later ones win."},
				{Name: "overlays", Type: "list(string)", Default: `["common"]`,
					Doc: "Directories copied over the root: names in overlays/, or paths. Later ones win."},
				{Name: "cmdline", Type: "string", Default: `""`,
					Doc: "Words to add to the kernel command line."},
			},
			Blocks: []builder.Block{
				{Name: "repository", List: true, Doc: "A repository of packages besides Alpine's own.", Schema: builder.Schema{
					Attributes: []builder.Attribute{
						{Name: "url", Type: "string", Required: true,
							Doc: "Where the directories x86_64 and aarch64 are, each with its APKINDEX.tar.gz: a URL or a directory."},
						{Name: "keys", Type: "list(string)", Required: true,
							Doc: "Public keys that sign it: files named as the signatures name them."},
					},
				}},
			},
		},
	}
}

func decode(def *builder.Definition) (config, error) {
	var c config
	err := builder.DecodeConfig(def.Config, &c)
	return c, err
}

func (c config) recipe() kernel.Recipe {
	return kernel.Recipe{Series: c.Linux, Fragments: c.Fragments}
}

// packageWish is what apk's world file takes: a name, and perhaps an operator
// and a version (apk-world(5)). A conflict, "!name", is no wish for a package.
var packageWish = regexp.MustCompile(`^[a-z0-9][a-z0-9._+-]*([<>=~]{1,2}[0-9a-z][0-9a-z._-]*)?$`)

// Validate checks what the schema cannot.
func (alpine) Validate(_ context.Context, def *builder.Definition) (builder.Diagnostics, error) {
	c, err := decode(def)
	if err != nil {
		return nil, err
	}
	var ds builder.Diagnostics
	wrong := func(summary, detail string, path ...string) {
		ds = append(ds, builder.Diagnostic{Severity: builder.Error, Summary: summary, Detail: detail, Path: path})
	}
	switch c.Base {
	case baseAlpine:
		if c.Image != "" {
			wrong("An image that is not used", "The root is made of Alpine's packages. Write base = \"oci\" to take an image.", "image")
		}
	case baseOCI:
		if why := checkImage(def, c); why != "" {
			wrong("Unusable image", why, "image")
		}
		if len(c.Packages) > 0 {
			wrong("Packages in an image", "An image is taken as it is: install them where it is made.", "packages")
		}
	default:
		wrong("Unknown base", fmt.Sprintf("%q is neither \"alpine\" nor \"oci\".", c.Base), "base")
	}
	switch c.Engine {
	case engineAPK, engineDocker, enginePodman, engineBuildah:
		ds = append(ds, c.checkContainer(def)...)
	default:
		wrong("Unknown engine", fmt.Sprintf("%q is none of \"apk\", \"podman\", \"buildah\" and \"docker\".", c.Engine), "engine")
	}
	if summary, detail := checkRelease(c.Release); summary != "" {
		wrong(summary, detail, "release")
	}
	for i, p := range c.Packages {
		if !packageWish.MatchString(p) {
			wrong("No package's name", fmt.Sprintf("%q is neither a name, such as \"curl\", nor one with a version, such as \"curl>8.5\".", p), "packages", strconv.Itoa(i))
		}
	}
	if len(c.Mirrors) == 0 {
		wrong("No mirror", "Alpine's packages come from somewhere: leave mirrors out for Alpine's own.", "mirrors")
	}
	for i, m := range c.Mirrors {
		if why := checkPlace(def, m); why != "" {
			wrong("Unusable mirror", why, "mirrors", strconv.Itoa(i))
		}
	}
	for i, key := range c.Keys {
		if why := checkKeyFile(def, key); why != "" {
			wrong("Unusable key", why, "keys", strconv.Itoa(i))
		}
	}
	for i, r := range c.Repositories {
		at := []string{"repository", strconv.Itoa(i)}
		if why := checkPlace(def, r.URL); why != "" {
			wrong("Unusable repository", why, append(at, "url")...)
		}
		if len(r.Keys) == 0 {
			wrong("A repository without a key", "Its packages could not be told from anybody else's. Name the public key that it is signed with.", append(at, "keys")...)
		}
		for j, key := range r.Keys {
			if why := checkKeyFile(def, key); why != "" {
				wrong("Unusable key", why, append(at, "keys", strconv.Itoa(j))...)
			}
		}
	}
	switch c.Kernel {
	case kernelCustom:
		found, err := kernel.CheckFragments(def, "fragments", c.Fragments)
		if err != nil {
			return nil, err
		}
		ds = append(ds, found...)
	case kernelAlpine:
	default:
		wrong("Unknown kernel", fmt.Sprintf("%q is neither \"custom\", our own, nor \"alpine\", the package linux-virt.", c.Kernel), "kernel")
	}
	ds = append(ds, rootfs.CheckOverlays(def.Root, "overlays", c.Overlays)...)
	if c.Base == baseAlpine && !c.container() && (def.OTP.Emulator != "jit" || def.OTP.Link != "dynamic") {
		wrong("Alpine's BEAM is another", fmt.Sprintf("The packages hold an emulator with the JIT, dynamically linked; the definition asks for emulator = %q and link = %q. Write otp { emulator = \"jit\", link = \"dynamic\" }, or take strategy = \"custom\".",
			def.OTP.Emulator, def.OTP.Link))
	}
	return ds, nil
}

var releaseForm = regexp.MustCompile(`^([0-9]+)\.([0-9]+)$`)

// checkRelease refuses what has no TCP in its resolver: musl has had it since
// 1.2.4 (its release notes), Alpine since 3.18. A DNS answer that does not fit a
// datagram, which a long CNAME chain or DNSSEC makes common, fails there.
func checkRelease(release string) (summary, detail string) {
	m := releaseForm.FindStringSubmatch(release)
	if m == nil {
		return "No Alpine release", fmt.Sprintf("%q is no release series, such as \"3.22\". Releases within a series, and edge, are not chosen here: the lock file pins each package.", release)
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	if major < 3 || major == 3 && minor < 18 {
		return "Alpine release too old", fmt.Sprintf("Alpine %s has a musl before 1.2.4, whose resolver has no TCP: names with a long answer are not found. Take 3.18 or later.", release)
	}
	return "", ""
}

// checkPlace says why text is neither a URL nor a directory.
func checkPlace(def *builder.Definition, text string) string {
	if isURL(text) {
		return ""
	}
	if strings.Contains(text, "://") {
		return fmt.Sprintf("%q is neither an http(s) URL nor a directory.", text)
	}
	dir := within(def.Root, text)
	if info, err := os.Stat(dir); err != nil {
		return err.Error()
	} else if !info.IsDir() {
		return dir + " is not a directory."
	}
	return ""
}

func checkKeyFile(def *builder.Definition, file string) string {
	if _, err := readKey(within(def.Root, file)); err != nil {
		return err.Error()
	}
	return ""
}

func isURL(text string) bool {
	return strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://")
}

// within makes a path absolute.
func within(root, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(root, path)
}
