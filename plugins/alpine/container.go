package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// Values of engine: who makes the root.
const (
	engineAPK     = "apk" // we do, of packages
	engineDocker  = "docker"
	enginePodman  = "podman"
	engineBuildah = "buildah"
)

// container says that a container engine makes the root, from a Dockerfile.
func (c config) container() bool { return c.Engine != engineAPK }

// ARGs that get a value from the definition, where the Dockerfile declares them.
const (
	argAlpine   = "ALPINE_VERSION"
	argElixir   = "ELIXIR_VERSION"
	argOTP      = "OTP_VERSION"
	argRelease  = "RELEASE"
	argPackages = "PACKAGES"
	argMirror   = "ALPINE_MIRROR"
)

// ownArgs are those values.
func (c config) ownArgs(def *builder.Definition) map[string]string {
	packages := slices.Clone(c.Packages)
	if c.Kernel == kernelAlpine {
		packages = append(packages, kernelPackage)
	}
	args := map[string]string{argAlpine: c.Release, argElixir: def.Elixir, argOTP: def.OTP.Version, argPackages: strings.Join(packages, " ")}
	if def.App != nil {
		args[argRelease] = def.App.Release
	}
	if c.ownMirror() {
		args[argMirror] = c.Mirrors[0]
	}
	return args
}

// ownMirror says that the definition names a mirror.
func (c config) ownMirror() bool {
	return len(c.Mirrors) > 0 && !slices.Equal(c.Mirrors, []string{alpineMirror})
}

// readDockerfile reads the definition's Dockerfile, and which values its ARGs get.
func (c config) readDockerfile(def *builder.Definition) (d *dockerfile, args map[string]string, err error) {
	given := c.ownArgs(def)
	maps.Copy(given, c.BuildArgs)
	if d, err = readDockerfile(within(def.Root, c.Dockerfile), c.Dockerfile, c.Target, def.Arch, given); err != nil {
		return nil, nil, err
	}
	maps.DeleteFunc(given, func(name, _ string) bool { return !d.args[name] })
	return d, given, nil
}

var (
	argName     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	secretName  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
	soundSecret = regexp.MustCompile(`(?i)(TOKEN|PASSWORD|PASSWD|SECRET|CREDENTIAL|(^|_)KEY(_|$))`)
)

// checkContainer checks what belongs to an engine and its Dockerfile.
func (c config) checkContainer(def *builder.Definition) builder.Diagnostics {
	var ds builder.Diagnostics
	say := func(severity builder.Severity, path, summary, format string, args ...any) {
		ds = append(ds, builder.Diagnostic{Severity: severity, Summary: summary, Detail: fmt.Sprintf(format, args...), Path: strings.Split(path, " ")})
	}
	if !c.container() {
		for name, given := range map[string]bool{"target": c.Target != "", "build_args": len(c.BuildArgs) > 0, "secrets": len(c.Secrets) > 0, "dockerfile": c.Dockerfile != defaultDockerfile} {
			if given {
				say(builder.Error, name, "Of no use without a container engine", "engine = \"apk\" reads no Dockerfile. Write engine = \"podman\", \"buildah\" or \"docker\".")
			}
		}
		slices.SortFunc(ds, func(a, b builder.Diagnostic) int { return strings.Compare(a.Path[0], b.Path[0]) })
		return ds
	}
	if c.Base != baseAlpine {
		say(builder.Error, "engine", "Two ways to make the root", "base = %q takes an image as it is; %s builds one from a Dockerfile. Leave one of them out.", c.Base, c.Engine)
	}
	if def.App == nil {
		say(builder.Error, "engine", "A Dockerfile without an app", "%s builds the app's release; name its Mix project, app { path = … }, or write engine = \"apk\" for an iex console.", c.Engine)
	}
	if len(c.Keys) > 0 {
		say(builder.Error, "keys", "Keys for a container engine", "apk in the container has the keys of its image: copy yours to /etc/apk/keys in %s.", c.Dockerfile)
	}
	if len(c.Repositories) > 0 {
		say(builder.Error, "repository 0", "A repository for a container engine", "apk in the container reads /etc/apk/repositories of its image: write it in %s.", c.Dockerfile)
	}
	if c.ownMirror() && (len(c.Mirrors) > 1 || !isURL(c.Mirrors[0])) {
		say(builder.Error, "mirrors", "More than one URL as the mirror", "apk in the container asks one mirror, over a network: give one http(s) URL.")
	}
	for _, id := range slices.Sorted(maps.Keys(c.Secrets)) {
		if !secretName.MatchString(id) {
			say(builder.Error, "secrets "+id, "No secret's name", "%q is no id: letters, digits, '.', '_' and '-'.", id)
		} else if info, err := os.Stat(within(def.Root, c.Secrets[id])); err != nil {
			say(builder.Error, "secrets "+id, "Unreadable secret", "%v", err)
		} else if !info.Mode().IsRegular() {
			say(builder.Error, "secrets "+id, "Unreadable secret", "%s is not a file.", within(def.Root, c.Secrets[id]))
		}
	}
	own := c.ownArgs(def)
	for _, arg := range slices.Sorted(maps.Keys(c.BuildArgs)) {
		switch _, ours := own[arg]; {
		case !argName.MatchString(arg):
			say(builder.Error, "build_args "+arg, "No argument's name", "%q is no name of an ARG: letters, digits and '_'.", arg)
		case ours:
			say(builder.Error, "build_args "+arg, "An argument with a value already", "The definition gives %s its value.", arg)
		case soundSecret.MatchString(arg):
			say(builder.Warning, "build_args "+arg, "A secret in a build argument?", "Every layer's history has the value of %s. Write it to a file and name that in secrets: RUN --mount=type=secret,id=%s leaves nothing behind.", arg, strings.ToLower(arg))
		}
	}
	d, _, err := c.readDockerfile(def)
	if err != nil {
		summary, path := "The Dockerfile has an error", "dockerfile"
		if errors.Is(err, fs.ErrNotExist) {
			summary = "No Dockerfile"
		}
		if strings.Contains(err.Error(), "no stage") && c.Target != "" {
			path = "target"
		}
		say(builder.Error, path, summary, "%v", err)
		return ds
	}
	return append(ds, c.checkUse(d)...)
}

// checkUse says what the definition gives and the Dockerfile has no use for.
func (c config) checkUse(d *dockerfile) builder.Diagnostics {
	var ds builder.Diagnostics
	unused := func(severity builder.Severity, path []string, what, remedy string) {
		ds = append(ds, builder.Diagnostic{Severity: severity, Summary: "The Dockerfile has no use for it", Path: path,
			Detail: fmt.Sprintf("%s has no %s.", d.path, what) + remedy})
	}
	declared := " It has " + strings.Join(slices.Sorted(maps.Keys(d.args)), ", ") + "."
	if len(d.args) == 0 {
		declared = " It has none."
	}
	for _, arg := range slices.Sorted(maps.Keys(c.BuildArgs)) {
		if !d.args[arg] {
			unused(builder.Error, []string{"build_args", arg}, "ARG "+arg, declared)
		}
	}
	if len(c.Packages) > 0 && !d.args[argPackages] {
		unused(builder.Error, []string{"packages"}, "ARG "+argPackages, " Declare it there, for apk add, or name the packages there.")
	}
	if c.ownMirror() && !d.args[argMirror] {
		unused(builder.Error, []string{"mirrors"}, "ARG "+argMirror, " Declare it there, for /etc/apk/repositories, or write the mirror there.")
	}
	for _, id := range slices.Sorted(maps.Keys(c.Secrets)) {
		if !d.secrets[id] {
			unused(builder.Warning, []string{"secrets", id}, "RUN --mount=type=secret,id="+id, "")
		}
	}
	if c.Engine == engineDocker && len(d.mounts) > 0 {
		ds = append(ds, builder.Diagnostic{Summary: "RUN --mount with docker", Path: []string{"engine"},
			Detail: (&lineError{d.path, d.mounts[0], "RUN --mount, secrets too, needs BuildKit, which is not used: write engine = \"podman\" or \"buildah\"."}).Error()})
	}
	return ds
}

// imageSources are the sources of the images that the Dockerfile names.
func imageSources(d *dockerfile, arch string) ([]builder.Source, error) {
	var all []builder.Source
	taken := map[string]bool{}
	for _, image := range d.images {
		ref, err := parseReference(image.ref)
		if err != nil {
			return nil, err
		}
		base := sourceImage + "-" + path.Base(ref.Context().RepositoryStr())
		unique := base
		for n := 2; taken[unique]; n++ {
			unique = fmt.Sprint(base, "-", n)
		}
		taken[unique] = true
		all = append(all, referenceSource(unique, image.ref, ref, arch))
	}
	return all, nil
}

// referenceSource is the source for an image in a registry.
func referenceSource(source, image string, ref name.Reference, arch string) builder.Source {
	series := ref.Identifier()
	if _, hex, ok := strings.Cut(series, ":"); ok { // a digest
		series = hex[:12]
	}
	return builder.Source{Name: source, Series: series, Selection: image + " for " + platform(arch)}
}

// containerStep builds the root with an engine. What a secret holds is no input:
// a digest of it would be in the store for everybody to try passwords against.
func containerStep(def *builder.Definition, c config) (builder.Step, []builder.Source, error) {
	d, args, err := c.readDockerfile(def)
	if err != nil {
		return builder.Step{}, nil, err
	}
	sources, err := imageSources(d, def.Arch)
	if err != nil {
		return builder.Step{}, nil, err
	}
	step := builder.Step{ID: stepRoot, Title: c.Engine + " build of " + c.Dockerfile, App: true, Inputs: map[string]string{
		"recipe": "2", "arch": def.Arch, "kernel": c.Kernel, "engine": c.Engine, "target": c.Target, "dockerfile": digest(d.text), "otp": def.OTP.Version}}
	for name, value := range args {
		step.Inputs["arg "+name] = value
	}
	for id := range c.Secrets {
		step.Inputs["secret "+id] = "given"
	}
	for _, s := range sources {
		step.Sources = append(step.Sources, s.Name)
	}
	return step, sources, nil
}
