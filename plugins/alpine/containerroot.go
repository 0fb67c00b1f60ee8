package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/inspect"
)

// buildContainerRoot has an engine build the Dockerfile, and makes the root of
// what it exports.
func buildContainerRoot(ctx context.Context, req *builder.BuildRequest, c config, ev builder.Events) error {
	exported := filepath.Join(req.Work, "root.tar")
	if err := export(ctx, req, c, exported, ev); err != nil {
		return err
	}
	img, err := inspect.Open(ctx, exported, inspect.DefaultLimits)
	if err != nil {
		return fmt.Errorf("what %s exports: %w", c.Engine, err)
	}
	defer img.Close()
	r := &root{tree: img.Tree}
	r.dropContainers()
	r.dropElixir()
	if err := r.checkSeries(req.Definition); err != nil {
		return fmt.Errorf("%s: its last stage: %w", c.Dockerfile, err)
	}
	if err := r.takeRelease(req.Out, req.Definition); err != nil {
		return fmt.Errorf("%s: its last stage: %w", c.Dockerfile, err)
	}
	if err := r.writeKernel(c, req.Out); err != nil {
		return fmt.Errorf("%s: its last stage: %w; kernel = \"alpine\" takes it from there: install %s in it", c.Dockerfile, err, kernelPackage)
	}
	packages, err := r.readDatabase()
	if err != nil {
		return err
	}
	return r.write(req.Out, packages)
}

// export has the engine write the root of the Dockerfile's last stage as a tar.
func export(ctx context.Context, req *builder.BuildRequest, c config, to string, ev builder.Events) error {
	d, args, err := c.readDockerfile(req.Definition)
	if err != nil {
		return err
	}
	if req.Offline && len(d.remoteAdds) > 0 {
		return &lineError{d.path, d.remoteAdds[0], "ADD of a URL needs the network, and --offline forbids it"}
	}
	engine, err := newEngine(c, req)
	if err != nil {
		return err
	}
	defer engine.close()
	if err := engine.prepare(ctx, ev); err != nil {
		return err
	}
	names, err := loadImages(ctx, engine, d, req, ev)
	if err != nil {
		return err
	}
	text, err := d.rewritten(names)
	if err != nil {
		return err
	}
	o := buildOptions{context: filepath.Join(req.Work, "context"), dockerfile: filepath.Join(req.Work, "Dockerfile"), target: c.Target, tar: to}
	if err := os.WriteFile(o.dockerfile, text, 0o644); err != nil {
		return err
	}
	if err := copyContext(req.Definition.App.Path, o.context); err != nil {
		return fmt.Errorf("app.path: %w", err)
	}
	for _, arg := range slices.Sorted(maps.Keys(args)) {
		o.args = append(o.args, arg+"="+args[arg])
	}
	for _, id := range slices.Sorted(maps.Keys(c.Secrets)) {
		o.secrets = append(o.secrets, "id="+id+",src="+within(req.Definition.Root, c.Secrets[id]))
	}
	watch := newWatcher(ev, d, names)
	err = engine.build(ctx, o, watch)
	watch.finish()
	switch {
	case ctx.Err() != nil && err == nil: // podman without root ends with 0 when it is stopped
		return context.Cause(ctx)
	case err != nil && ctx.Err() == nil:
		return watch.explain(c.Engine, err)
	}
	return err
}

// loadImages makes the Dockerfile's images known to the engine, each by a name of
// ours.
func loadImages(ctx context.Context, engine containerEngine, d *dockerfile, req *builder.BuildRequest, ev builder.Events) (map[string]string, error) {
	sources, err := imageSources(d, req.Definition.Arch)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for i, image := range d.images {
		title := "loading " + image.ref
		ev.Emit(builder.StepStarted{Title: title})
		archive := filepath.Join(req.Work, sources[i].Name+".tar")
		names[image.ref] = engine.prefix() + ourName(image.ref, req.Sources[sources[i].Name].SHA256)
		err := writeArchive(archive, names[image.ref], filepath.Join(req.Work, sources[i].Name), req.Sources[sources[i].Name])
		if err == nil {
			err = engine.load(ctx, archive, ev)
		}
		ev.Emit(builder.StepFinished{Title: title})
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %s: %w", d.path, image.line, image.ref, err)
		}
		if err := os.Remove(archive); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// ourName is an image's name in the engine. It says what the image is and, as the
// tag, that it is this one.
func ourName(ref, digest string) string {
	repository, _, _ := strings.Cut(ref, "@")
	if i := strings.LastIndex(repository, ":"); i > strings.LastIndex(repository, "/") {
		repository = repository[:i]
	}
	return strings.ReplaceAll(repository, ":", "-") + ":" + digest[:12]
}

// writeArchive writes an image as `docker save` would.
func writeArchive(file, as, dir string, set builder.FetchedSource) error {
	if err := writeLayout(dir, set); err != nil {
		return err
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	if len(manifest.Manifests) != 1 {
		return errors.New("its manifest was not fetched")
	}
	var image v1.Image
	if image, err = index.Image(manifest.Manifests[0].Digest); err != nil {
		return err
	}
	tag, err := name.NewTag(as, name.StrictValidation)
	if err != nil {
		return err
	}
	return tarball.WriteToFile(file, tag, image)
}

// copyContext copies the app's directory, without what is not in the step's key.
func copyContext(from, to string) error {
	from, err := filepath.EvalSymlinks(from)
	if err != nil {
		return err
	}
	return filepath.WalkDir(from, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, file)
		if err != nil {
			return err
		}
		if rel != "." && builder.NotSource(d.Name()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		at := filepath.Join(to, rel)
		switch {
		case rel == "." || d.IsDir():
			return os.MkdirAll(at, 0o755)
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(file)
			if err != nil {
				return err
			}
			return os.Symlink(target, at)
		case d.Type().IsRegular():
			return copySource(file, at)
		}
		return nil // a socket, a pipe
	})
}

// copySource copies a file with its executable bits, which are all of its mode
// that is in the key.
func copySource(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644|info.Mode().Perm()&0o111)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// checkSeries holds the release's OTP to the definition's. OTP 22 has erts-10, and
// they have gone up together since (OTP's otp_versions.table); a definition asks for
// 25 or later.
func (r *root) checkSeries(def *builder.Definition) error {
	homes, err := r.homes()
	if err != nil {
		return err
	}
	for _, h := range homes {
		if !r.isRelease(h) {
			continue
		}
		erts := strings.TrimPrefix(filepath.Base(filepath.Dir(h.bin)), "erts-")
		major, _, _ := strings.Cut(erts, ".")
		n, err := strconv.Atoi(major)
		if err != nil {
			continue
		}
		series := n + 12
		if strconv.Itoa(series) != def.OTP.Version {
			return fmt.Errorf("the release in %s was made with OTP %d (erts-%s), and the definition says otp { version = %q }: change one of them", h.dir, series, erts, def.OTP.Version)
		}
	}
	return nil
}
