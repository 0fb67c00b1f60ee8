package inspect

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

func tarBytes(t testing.TB, tree *rootfs.Tree) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, tree.WriteTar(&b))
	return b.Bytes()
}

// tarOf is an archive of files: "name", "name/" for a directory.
func tarOf(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		name, data, _ := strings.Cut(f, "=")
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(data)), Format: tar.FormatUSTAR}
		switch {
		case strings.HasSuffix(name, "/"):
			h.Typeflag = tar.TypeDir
		case strings.HasPrefix(data, "->"):
			h.Typeflag, h.Linkname, h.Size, data = tar.TypeSymlink, data[2:], 0, ""
		}
		must(t, w.WriteHeader(h))
		_, err := w.Write([]byte(data))
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

func TestATarIsReadInEveryCompression(t *testing.T) {
	t.Parallel()
	plain := tarBytes(t, sampleTree(t))
	img := open(t, writeFile(t, "plain", plain))
	checkSample(t, img.Tree)
	if img.Format != "tar" || img.Stored["/usr/lib/noise"] != 700_416 {
		t.Errorf("it is a %s, noise takes %d", img.Format, img.Stored["/usr/lib/noise"])
	}
	for name, command := range compressors {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			img := open(t, writeFile(t, "x", compress(t, plain, command...)))
			checkSample(t, img.Tree)
			if img.Format != "tar" || img.Compression != strings.Fields(name)[0] {
				t.Errorf("it is a %s, compressed with %q", img.Format, img.Compression)
			}
			if name != "lz4" {
				checkCompressed(t, img, 128<<10)
			}
		})
	}
}

func TestGNUTarsArchivesAreRead(t *testing.T) {
	t.Parallel()
	need(t, "tar")
	dir := t.TempDir()
	long := strings.Repeat("long/", 40)
	must(t, os.MkdirAll(filepath.Join(dir, long), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, long, "file"), []byte("contents"), 0o644))
	for _, format := range []string{"gnu", "pax", "ustar"} {
		img := open(t, writeFile(t, "x", output(t, dir, "tar", "--format="+format, "-c", ".")))
		if got := string(contents(t, img.Tree, "/"+long+"file")); got != "contents" {
			t.Errorf("%s: it holds %q", format, got)
		}
	}
}

func TestAKernelInTheRootIsFound(t *testing.T) {
	t.Parallel()
	old := bzImage()
	copy(old[0x3200:], "5.1.0 ")
	kernel := string(bzImage())
	for want, files := range map[string][]string{
		"/boot/vmlinuz-6.12": {"boot/vmlinuz-6.12=" + kernel, "boot/initrd=x", "boot/vmlinuz-5.1=" + string(old)},
		"/boot/vmlinuz-5.1":  {"boot/vmlinuz-6.12=" + kernel, "boot/vmlinuz-5.1=" + string(old), "vmlinuz=->boot/vmlinuz-5.1"},
		"/boot/Image":        {"boot/Image=" + string(arm64Image()), "boot/config=y"},
	} {
		img := open(t, writeFile(t, "x", tarOf(t, files...)))
		if img.Kernel == nil || img.Kernel.Path != want || img.Kernel.Version == "" || img.Kernel.Bytes < 40_000 {
			t.Errorf("found %+v, want %s", img.Kernel, want)
		}
		if _, ok := img.Stored[want]; ok {
			t.Errorf("%s is counted as a file too", want)
		}
	}
}

// layers of a container image: the second deletes of the first, and replaces.
func layers(t testing.TB) [][]byte {
	return [][]byte{
		tarOf(t, "etc/a=one", "etc/b=one", "opaque/x=lower", "opaque/sub/y=lower", "dir/x=lower", "file=lower", "lib/z=lower"),
		tarOf(t, "etc/.wh.a=", "etc/b=two!", "opaque/new=upper", "opaque/.wh..wh..opq=", "dir=a file now", "file/", "file/x=upper", ".wh.lib="),
		tarOf(t, "lib/again=upper"),
	}
}

// config is a container image's configuration.
const config = `{"architecture":"amd64","os":"linux","config":{"User":"app:staff","Env":["A=b c"],"Entrypoint":["/bin/app"],"Cmd":["serve"],"WorkingDir":"/srv"}}`

func checkLayers(t *testing.T, img *Image, format string) {
	t.Helper()
	var got []string
	must(t, img.Tree.Walk(func(e *rootfs.Entry) error {
		if e.Type == rootfs.Regular {
			got = append(got, fmt.Sprintf("%s=%s", e.Path, contents(t, img.Tree, e.Path)))
		}
		return nil
	}))
	const want = "/dir=a file now /etc/b=two! /file/x=upper /lib/again=upper /opaque/new=upper"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("the layers make\n%s, want\n%s", s, want)
	}
	if img.Format != format {
		t.Errorf("it is a %s", img.Format)
	}
	if c := img.Config; c == nil || c.Architecture != "amd64" || c.Config.User != "app:staff" ||
		strings.Join(append(c.Config.Entrypoint, c.Config.Cmd...), " ") != "/bin/app serve" || c.Config.Env[0] != "A=b c" || c.Config.WorkingDir != "/srv" {
		t.Errorf("its configuration is %+v", c)
	}
	if img.Rest["replaced files"] == 0 || img.Rest["manifests and other files"] == 0 {
		t.Errorf("the rest is %v", img.Rest)
	}
}

func TestADockerArchivesLayersAreOneTree(t *testing.T) {
	t.Parallel()
	l := layers(t)
	l[1] = compress(t, l[1], "gzip", "-c")
	archive := tarOf(t, "c.json="+config, "a/layer.tar="+string(l[0]), "b/layer.tar="+string(l[1]), "d/layer.tar=->../e/layer.tar", "e/layer.tar="+string(l[2]),
		`manifest.json=[{"Config":"c.json","RepoTags":["x:1"],"Layers":["a/layer.tar","b/layer.tar","d/layer.tar"]}]`)
	checkLayers(t, open(t, writeFile(t, "x", archive)), "docker")
	checkLayers(t, open(t, writeFile(t, "x", compress(t, archive, "zstd", "-qc"))), "docker")

	two := tarOf(t, `manifest.json=[{"Config":"c.json","Layers":[]},{"Config":"d.json","Layers":[]}]`)
	_, err := Open(t.Context(), writeFile(t, "x", two), DefaultLimits)
	wantError(t, err, "holds 2 images")
	missing := tarOf(t, `manifest.json=[{"Config":"c.json","Layers":["a/layer.tar"]}]`)
	_, err = Open(t.Context(), writeFile(t, "x", missing), DefaultLimits)
	wantError(t, err, "a/layer.tar, which is missing")
}

// ociLayout returns the files of a layout with images for two platforms.
func ociLayout(t testing.TB, arch string) map[string]string {
	t.Helper()
	files := map[string]string{"oci-layout": `{"imageLayoutVersion":"1.0.0"}`}
	add := func(data []byte) string {
		sum := sha256.Sum256(data)
		d := hex.EncodeToString(sum[:])
		files["blobs/sha256/"+d] = string(data)
		return "sha256:" + d
	}
	object := func(v any) []byte {
		data, err := json.Marshal(v)
		must(t, err)
		return data
	}
	type m = map[string]any
	var descriptors []m
	for _, l := range layers(t) {
		descriptors = append(descriptors, m{"digest": add(compress(t, l, "gzip", "-c"))})
	}
	manifest := add(object(m{"layers": descriptors, "config": m{"digest": add([]byte(config))}}))
	other := add(object(m{"layers": []m{{"digest": add([]byte("another platform's"))}}}))
	index := add(object(m{"manifests": []m{
		{"digest": other, "platform": m{"os": "linux", "architecture": "s390x"}},
		{"digest": manifest, "platform": m{"os": "linux", "architecture": arch}},
		{"digest": other, "platform": m{"os": "unknown", "architecture": "unknown"}},
	}}))
	files["index.json"] = string(object(m{"manifests": []m{{"digest": index}}}))
	return files
}

func TestAnOCILayoutAndItsArchiveAreTheChosenPlatforms(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var entries []string
	for name, data := range ociLayout(t, runtime.GOARCH) {
		must(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644))
		entries = append(entries, name+"="+data)
	}
	checkLayers(t, open(t, dir), "oci")
	checkLayers(t, open(t, writeFile(t, "x", tarOf(t, entries...))), "oci")
}

func TestHostileTarsAreRefused(t *testing.T) {
	t.Parallel()
	layout := func(index string) []byte { return tarOf(t, "oci-layout={}", "index.json="+index) }
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"cut short":                 {tarBytes(t, sampleTree(t))[:100_000], "cut short"},
		"leads out":                 {tarOf(t, "../x=y"), ".."},
		"too many":                  {tarOf(t, strings.Split(strings.Repeat("a=b,", 1001), ",")[:1001]...), "more than 1000 files"},
		"too many layers":           {tarOf(t, "a=", `manifest.json=[{"Config":"c","Layers":["a"`+strings.Repeat(`,"a"`, 1000)+`]}]`), "has 1001 layers"},
		"no index":                  {tarOf(t, "oci-layout={}"), "index.json is missing"},
		"no JSON":                   {layout("x"), "index.json: invalid"},
		"a digest leads out":        {layout(`{"manifests":[{"digest":"../../etc:passwd"}]}`), "is no digest"},
		"other platforms":           {layout(`{"manifests":[{"platform":{"os":"linux","architecture":"z80"}},{"platform":{"os":"plan9"}}]}`), "none of its 2 images (linux/z80, plan9/)"},
		"a configuration leads out": {tarOf(t, "oci-layout={}", `index.json={"config":{"digest":"../x"},"layers":[{"digest":"sha256:`+strings.Repeat("a", 64)+`"}]}`), "is no digest"},
		"no configuration":          {tarOf(t, "c=x", "a=", `manifest.json=[{"Config":"c","Layers":["a"]}]`), "configuration c: invalid"},
		"a manifest of nothing":     {layout(`{}`), "has no layers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := writeFile(t, "x", test.data)
			_, err := Open(t.Context(), path, Limits{Files: 1000, Unpacked: 8 << 20})
			wantError(t, err, path, test.want)
		})
	}
}

func TestRootsAreToldByTheirBeginning(t *testing.T) {
	t.Parallel()
	plain := tarBytes(t, sampleTree(t))
	var initrd bytes.Buffer
	must(t, sampleTree(t).WriteCPIO(&initrd))
	for name, test := range map[string]struct {
		data []byte
		want bool
	}{
		"tar": {plain, true}, "tar.gz": {compress(t, plain, "gzip", "-c"), true}, "tar.zst": {compress(t, plain, "zstd", "-qc"), true},
		"tar.xz": {compress(t, plain, "xz", "-c"), true}, "cpio": {initrd.Bytes(), false},
		"cpio.gz": {compress(t, initrd.Bytes(), "gzip", "-c"), false}, "empty": {nil, false}, "text": {[]byte("text"), false},
	} {
		got, err := HasRoot(t.Context(), writeFile(t, name, test.data))
		if err != nil || got != test.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	cut := compress(t, plain, "gzip", "-c")[:100]
	_, err := HasRoot(t.Context(), writeFile(t, "cut.tar.gz", cut))
	wantError(t, err, "cut.tar.gz", "EOF")
	dir := t.TempDir()
	for _, want := range []bool{false, true} {
		if got, err := HasRoot(t.Context(), dir); err != nil || got != want {
			t.Errorf("a directory: %v, %v", got, err)
		}
		must(t, os.WriteFile(filepath.Join(dir, "oci-layout"), []byte("{}"), 0o644))
	}
}

func FuzzTar(f *testing.F) {
	l := layers(f)
	archive := tarOf(f, "c.json="+config, "a="+string(l[0]), "b="+string(l[1]), `manifest.json=[{"Config":"c.json","Layers":["a","b"]}]`)
	fuzzOpen(f, l[0], l[1], archive, compress(f, l[1], "gzip", "-c"), tarOf(f, "oci-layout={}", `index.json={"manifests":[{"digest":"../x"}]}`))
}
