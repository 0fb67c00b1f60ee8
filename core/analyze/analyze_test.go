package analyze

import (
	"bytes"
	"flag"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/image"
	"github.com/somebloke1/elixir-lean-lab/core/inspect"
	"github.com/somebloke1/elixir-lean-lab/core/lean"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tree makes a root of files; a name that ends in " -> X" is a link.
func tree(t testing.TB, files map[string]string) *rootfs.Tree {
	t.Helper()
	made := rootfs.New()
	for name, text := range files {
		if from, to, isLink := strings.Cut(name, " -> "); isLink {
			must(t, made.Symlink(from, to))
		} else {
			must(t, made.File(name, 0o644, []byte(text)))
		}
	}
	return made
}

// noise is text that does not compress, and is the same every time.
func noise(seed uint64, n int) string {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

func app(name, version string, requires ...string) string {
	return "{application, " + name + ", [{vsn, \"" + version + "\"}, {applications, [" + strings.Join(requires, ", ") + "]}]}.\n"
}

// release is the root of a VM as this project builds them.
func release(t testing.TB) map[string]string {
	t.Helper()
	boot, err := lean.EncodeTerm(lean.Tuple{lean.Atom("script"), lean.Tuple{lean.String("shop"), lean.String("0.1.0")}, lean.List{}})
	must(t, err)
	return map[string]string{
		"/init":                        noise(1, 9_000),
		"/bin/busybox":                 noise(2, 30_000) + "BusyBox v1.37.0 ()" + noise(3, 10_000),
		"/usr/lib/erlang/bin/beam.smp": noise(4, 200_000) + "Erlang/OTP 27%s [erts-15.2.7] [source]",
		"/srv/app/lib/kernel-10.2/ebin/kernel.app":       app("kernel", "10.2"),
		"/srv/app/lib/kernel-10.2/ebin/code.beam":        noise(5, 20_000),
		"/srv/app/lib/elixir-1.18.3/ebin/elixir.app":     app("elixir", "1.18.3", "kernel"),
		"/srv/app/lib/elixir-1.18.3/ebin/Elixir.A.beam":  noise(6, 30_000),
		"/srv/app/lib/plug-1.16.1/ebin/plug.app":         app("plug", "1.16.1", "kernel", "elixir"),
		"/srv/app/lib/plug-1.16.1/ebin/Elixir.Plug.beam": noise(7, 8_000),
		"/srv/app/lib/shop-0.1.0/ebin/shop.app":          app("shop", "0.1.0", "plug"),
		"/srv/app/lib/shop-0.1.0/ebin/Elixir.Shop.beam":  noise(8, 5_000),
		"/srv/app/lib/shop-0.1.0/priv/index.html":        "<script>",
		"/srv/app/releases/0.1.0/start.boot":             string(boot),
		"/srv/app/releases/0.1.0/sys.config":             "[].\n",
		"/etc/passwd":                                    "root:x:0:0::/:\n",
		"/usr/share/terminfo/l/linux":                    noise(9, 1_700),
		"/opt/</script><script>left-behind":              noise(10, 2_500),
		"/opt/forgotten":                                 noise(11, 1_500),
	}
}

// written writes a real image and opens it.
func written(t testing.TB, root *rootfs.Tree) *inspect.Image {
	t.Helper()
	if _, err := exec.LookPath("zstd"); err != nil {
		t.Skipf("zstd is not installed: %v", err)
	}
	dir := t.TempDir()
	kernel := make([]byte, 40_000)
	copy(kernel[0x202:], "HdrS")
	kernel[0x20e] = 0x40 // Documentation/arch/x86/boot.rst, kernel_version
	copy(kernel[0x240:], "6.12.107 (builder@host)\x00")
	must(t, os.WriteFile(filepath.Join(dir, "bzImage"), kernel, 0o644))
	_, err := image.Write(t.Context(), "bundle", image.Spec{Tree: root, Kernel: filepath.Join(dir, "bzImage"), Root: "initramfs", Cmdline: "quiet",
		Arch: "x86_64", Compression: "zstd", Name: "shop", MemoryMiB: 64}, dir, nil)
	must(t, err)
	img, err := inspect.Open(t.Context(), filepath.Join(dir, "bundle"), inspect.DefaultLimits)
	must(t, err)
	t.Cleanup(func() { img.Close() })
	return img
}

// plain is an image in which every file takes half of what it holds, so that
// figures do not depend on a compressor.
func plain(root *rootfs.Tree) *inspect.Image {
	img := &inspect.Image{Path: "shop", Format: "bundle", Compression: "zstd", Tree: root, Bytes: 40_000 + 1_000,
		Kernel: &inspect.Kernel{Path: "bundle/kernel", Bytes: 40_000, Version: "6.12.107"},
		Stored: map[string]int64{}, Rest: map[string]int64{"headers": 1_000}}
	root.Walk(func(e *rootfs.Entry) error {
		if e.Type == rootfs.Regular {
			img.Stored[e.Path] = e.Size() / 2
			img.Bytes += e.Size() / 2
		}
		return nil
	})
	return img
}

func analyzed(t testing.TB, img *inspect.Image) *Analysis {
	t.Helper()
	a, err := Analyze(t.Context(), img)
	must(t, err)
	if err := a.Root.check(""); err != nil {
		t.Error(err)
	}
	if a.Root.PackedBytes != img.Bytes {
		t.Errorf("the root is %d bytes, the image %d", a.Root.PackedBytes, img.Bytes)
	}
	return a
}

// outline is what a test looks at: "group: component version" by path of file.
func outline(a *Analysis) map[string]string {
	found := map[string]string{}
	for _, g := range a.Root.Children {
		for _, c := range g.Children {
			leaves, name := c.Children, strings.TrimSpace(g.Kind+": "+c.Name+" "+c.Version)
			if len(leaves) == 0 {
				leaves, name = []*Component{c}, g.Kind
			}
			for _, leaf := range leaves {
				found[leaf.Path] = name
			}
		}
	}
	return found
}

func wantOwners(t *testing.T, a *Analysis, want map[string]string) {
	t.Helper()
	got := outline(a)
	for name, owner := range want {
		if got[name] != owner {
			t.Errorf("%s is of %q, want %q", name, got[name], owner)
		}
	}
}

func TestABundleOfOurs(t *testing.T) {
	t.Parallel()
	a := analyzed(t, written(t, tree(t, release(t))))
	wantOwners(t, a, map[string]string{
		"/init":                        "init: init",
		"/bin/busybox":                 "busybox: busybox 1.37.0",
		"/usr/lib/erlang/bin/beam.smp": "beam: erts 15.2.7",
		"/srv/app/lib/kernel-10.2/ebin/code.beam":        "otp: kernel 10.2",
		"/srv/app/lib/elixir-1.18.3/ebin/Elixir.A.beam":  "elixir: elixir 1.18.3",
		"/srv/app/lib/plug-1.16.1/ebin/Elixir.Plug.beam": "dependency: plug 1.16.1",
		"/srv/app/lib/shop-0.1.0/priv/index.html":        "app: shop 0.1.0",
		"/srv/app/releases/0.1.0/sys.config":             "app: release",
		"/etc/passwd":                                    "config: configuration",
		"/usr/share/terminfo/l/linux":                    "config: terminfo",
		"/opt/forgotten":                                 "unowned",
	})
	if linux := a.Root.group("kernel").Children[0]; linux.Version != "6.12.107" || linux.PackedBytes != 40_000 {
		t.Errorf("the kernel is %+v", linux)
	}
	var unowned []string
	for _, f := range a.Unowned() {
		unowned = append(unowned, f.Path)
	}
	if want := []string{"/opt/</script><script>left-behind", "/opt/forgotten"}; !slices.Equal(unowned, want) {
		t.Errorf("unowned are %q, want %q", unowned, want)
	}
	if share := a.Accounted(); share < .98 || share > .995 { // 4 of 360 kB, none of which compresses
		t.Errorf("%.4f is accounted for", share)
	}
	for _, c := range a.Root.group("otp").Children {
		for _, leaf := range c.Children {
			if (leaf.Kind == kindModule) != (path.Ext(leaf.Path) == ".beam") {
				t.Errorf("%s is a %s", leaf.Path, leaf.Kind)
			}
		}
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	a := analyzed(t, plain(tree(t, release(t))))
	var got bytes.Buffer
	must(t, a.Write(&got))
	golden := "testdata/shop.json"
	if *update {
		must(t, os.WriteFile(golden, got.Bytes(), 0o644))
	}
	want, err := os.ReadFile(golden)
	must(t, err)
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("differs from %s (-update rewrites it):\n%s", golden, &got)
	}
	back, err := Read(bytes.NewReader(want))
	must(t, err)
	var again bytes.Buffer
	must(t, back.Write(&again))
	if !bytes.Equal(again.Bytes(), want) {
		t.Error("what was read is written differently")
	}
}

// debian is a root as dpkg leaves it, with /usr merged and OTP from packages.
func debian() map[string]string {
	return map[string]string{
		"/lib -> usr/lib": "", "/bin -> usr/bin": "",
		"/var/lib/dpkg/status": "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nMulti-Arch: same\nVersion: 2.41-12\nDescription: GNU C Library\n Package: not-one\n .\n\n" +
			"Package: bash\nArchitecture: amd64\nVersion: 5.2.37-2\n\nPackage: erlang-base\nArchitecture: amd64\nVersion: 1:27.3.4.1\n\nPackage: ../../../etc/passwd\nVersion: 1\n",
		"/var/lib/dpkg/info/libc6:amd64.list":                        "/.\n/lib\n/lib/x86_64-linux-gnu\n/lib/x86_64-linux-gnu/libc.so.6\n/usr/share/doc/libc6/copyright\n",
		"/var/lib/dpkg/info/bash.list":                               "/.\n/bin\n/bin/bash\n/../escape\nrelative\n/usr/share/doc/libc6/copyright\n/gone\n",
		"/var/lib/dpkg/info/erlang-base.list":                        "/usr/lib/erlang/lib/newlib-1.0/ebin/newlib.app\n/usr/lib/erlang/erts-15.2.7/bin/beam.smp\n/usr/share/man/man1/erl.1\n",
		"/usr/lib/x86_64-linux-gnu/libc.so.6":                        "\x7fELF GNU C Library (Debian GLIBC 2.41-12) stable release version 2.41.\n",
		"/usr/share/doc/libc6/copyright":                             "LGPL",
		"/usr/bin/bash":                                              "\x7fELF",
		"/usr/share/man/man1/erl.1":                                  "erl",
		"/usr/lib/erlang/releases/27/OTP_VERSION":                    "27.3.4.1\n",
		"/usr/lib/erlang/erts-15.2.7/bin/beam.smp":                   "\x7fELF",
		"/usr/lib/erlang/bin/start.boot":                             "boot",
		"/usr/lib/erlang/lib/newlib-1.0/ebin/newlib.app":             app("newlib", "1.0"),
		"/usr/lib/elixir/lib/logger/ebin/logger.app":                 app("logger", "1.18.3"),
		"/boot/vmlinuz-6.12.107+deb13-cloud-amd64":                   "kernel",
		"/usr/lib/modules/6.12.107+deb13-cloud-amd64/kernel/ext4.ko": "module",
		"/etc/passwd":            "root",
		"/usr/local/bin/unknown": "what",
	}
}

func TestPackagesOfDebian(t *testing.T) {
	t.Parallel()
	img := plain(tree(t, debian()))
	kernel := "/boot/vmlinuz-6.12.107+deb13-cloud-amd64" // in the root, and in Stored
	img.Bytes -= img.Kernel.Bytes
	img.Kernel = &inspect.Kernel{Path: kernel, Bytes: 6, Version: "6.12.107+deb13-cloud-amd64"}
	wantOwners(t, analyzed(t, img), map[string]string{
		kernel: "kernel: linux 6.12.107+deb13-cloud-amd64",
		"/usr/lib/modules/6.12.107+deb13-cloud-amd64/kernel/ext4.ko": "kernel: modules",
		"/usr/lib/x86_64-linux-gnu/libc.so.6":                        "libc: glibc 2.41",
		"/usr/share/doc/libc6/copyright":                             "package: libc6 2.41-12", // the first that lists it
		"/usr/bin/bash":                                              "package: bash 5.2.37-2", // listed as /bin/bash
		"/usr/share/man/man1/erl.1":                                  "package: erlang-base 1:27.3.4.1",
		"/usr/lib/erlang/erts-15.2.7/bin/beam.smp":                   "beam: erts 15.2.7",
		"/usr/lib/erlang/bin/start.boot":                             "beam: installation",
		"/usr/lib/erlang/lib/newlib-1.0/ebin/newlib.app":             "otp: newlib 1.0", // where OTP is installed
		"/usr/lib/elixir/lib/logger/ebin/logger.app":                 "elixir: logger 1.18.3",
		"/var/lib/dpkg/status":                                       "config: package database",
		"/etc/passwd":                                                "config: configuration",
		"/usr/local/bin/unknown":                                     "unowned",
	})
}

func TestPackagesWithoutDpkg(t *testing.T) {
	t.Parallel()
	wantOwners(t, analyzed(t, plain(tree(t, map[string]string{
		"/var/lib/dpkg/status.d/tzdata":         "Package: tzdata\nVersion: 2025b-4\n",
		"/var/lib/dpkg/status.d/tzdata.md5sums": "0123456789abcdef0123456789abcdef  usr/share/doc/tzdata/copyright\n",
		"/usr/share/doc/tzdata/copyright":       "public domain",
	}))), map[string]string{"/usr/share/doc/tzdata/copyright": "package: tzdata 2025b-4"})
}

func TestPackagesOfAlpine(t *testing.T) {
	t.Parallel()
	for _, database := range apkDatabases {
		wantOwners(t, analyzed(t, plain(tree(t, map[string]string{
			database:                   "C:Q1x=\nP:musl\nV:1.2.5-r9\nF:lib\nR:ld-musl-x86_64.so.1\na:0:0:755\n\nP:ssl_client\nV:1.37.0-r18\nF:usr/bin\nR:ssl_client\nF:../..\nR:etc/shadow\n",
			"/lib/ld-musl-x86_64.so.1": "\x7fELF\x001.2.5\x00",
			"/usr/bin/ssl_client":      "\x7fELF",
		}))), map[string]string{
			"/lib/ld-musl-x86_64.so.1": "libc: musl 1.2.5",
			"/usr/bin/ssl_client":      "package: ssl_client 1.37.0-r18",
			database:                   "config: package database",
		})
	}
}

func TestWhichApplicationAReleaseIsOf(t *testing.T) {
	t.Parallel()
	lib := map[string]string{
		"/r/lib/web-1/ebin/web.app":       app("web", "1", "store", "plug"),
		"/r/lib/store-1/ebin/store.app":   app("store", "1", "kernel"),
		"/r/lib/plug-1/ebin/plug.app":     app("plug", "1"),
		"/r/lib/worker-1/ebin/worker.app": app("worker", "1", "store"),
	}
	for _, test := range []struct {
		name, file, text string
		mine             []string
	}{
		{"the .rel file names one", "/r/releases/1/x.rel", `{release, {"store", "1"}, {erts, "15"}, []}.`, []string{"store"}},
		{"none has its name: those that no other needs", "/r/releases/1/x.rel", `{release, {"shop", "1"}, {erts, "15"}, []}.`, []string{"web", "worker"}},
		{"a damaged .rel names none", "/r/releases/1/x.rel", `{release, {`, []string{"web", "worker"}},
	} {
		files := map[string]string{test.file: test.text}
		for name, text := range lib {
			files[name] = text
		}
		var mine []string
		for _, c := range analyzed(t, plain(tree(t, files))).Root.group("app").Children {
			if c.Name != "release" {
				mine = append(mine, c.Name)
			}
		}
		slices.Sort(mine)
		if !slices.Equal(mine, test.mine) {
			t.Errorf("%s: the app is %q, want %q", test.name, mine, test.mine)
		}
	}
}

func TestADescriptionThatCannotBeReadIsAWarning(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "{application", strings.Repeat("[", 100_000), "{application, other, []}.", "\xff\xfe", "{application, \"x\", []}."} {
		a := analyzed(t, plain(tree(t, map[string]string{"/srv/lib/dep-1.2/ebin/dep.app": text, "/srv/lib/dep-1.2/ebin/dep.beam": "beam"})))
		wantOwners(t, a, map[string]string{"/srv/lib/dep-1.2/ebin/dep.beam": "app: dep 1.2"})
		if len(a.Warnings) != 1 || !strings.HasPrefix(a.Warnings[0], "/srv/lib/dep-1.2/ebin/dep.app: ") {
			t.Errorf("%.20q: warnings are %q", text, a.Warnings)
		}
	}
}

func TestHardLinksHoldTheirBytesOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "a"), make([]byte, 1000), 0o644))
	must(t, os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "b")))
	root := rootfs.New()
	must(t, root.AddDir(dir, "/opt", rootfs.Owner{}))
	img := &inspect.Image{Path: "x", Tree: root, Stored: map[string]int64{"/opt/b": 1000}, Bytes: 1000}
	a := analyzed(t, img)
	if a.Root.Bytes != 1000 || a.Root.Files != 2 {
		t.Errorf("%d bytes in %d files", a.Root.Bytes, a.Root.Files)
	}
}

func TestAKernelInTheRootCountsOnce(t *testing.T) {
	t.Parallel()
	for name, stored := range map[string]map[string]int64{"among the files": {"/boot/vmlinuz": 6}, "apart": {}} {
		img := &inspect.Image{Path: "x", Tree: tree(t, map[string]string{"/boot/vmlinuz": "kernel"}), Bytes: 6, Stored: stored,
			Kernel: &inspect.Kernel{Path: "/boot/vmlinuz", Bytes: 6}}
		if a := analyzed(t, img); a.Root.Bytes != 6 || a.Root.Files != 1 {
			t.Errorf("%s: %d bytes in %d files", name, a.Root.Bytes, a.Root.Files)
		}
	}
}

func TestAnImageWhosePartsDoNotAddUpIsAnError(t *testing.T) {
	t.Parallel()
	img := plain(tree(t, nil))
	img.Bytes++
	if _, err := Analyze(t.Context(), img); err == nil || !strings.Contains(err.Error(), "add up to 41000 bytes, not to its 41001") {
		t.Errorf("error %v", err)
	}
}

func TestWhatChanged(t *testing.T) {
	t.Parallel()
	before := release(t)
	after := release(t)
	after["/bin/busybox"] += noise(20, 4_000)
	delete(after, "/srv/app/lib/plug-1.16.1/ebin/plug.app")
	delete(after, "/srv/app/lib/plug-1.16.1/ebin/Elixir.Plug.beam")
	for _, name := range []string{"/srv/app/lib/kernel-10.2/ebin/kernel.app", "/srv/app/lib/kernel-10.2/ebin/code.beam"} {
		text := after[name]
		delete(after, name)
		after[strings.Replace(name, "10.2", "10.3", 1)] = strings.Replace(text, "10.2", "10.3", 1)
	}
	a, b := analyzed(t, plain(tree(t, before))), analyzed(t, plain(tree(t, after)))
	d := Diff(a, b)
	var got []string
	for _, c := range d.Components {
		line := strings.Join([]string{c.Name, c.VersionA, c.VersionB}, " ")
		for _, f := range c.Files {
			line += " " + f.Name
		}
		got = append(got, line)
	}
	want := []string{"plug 1.16.1  Elixir.Plug ebin/plug.app", "busybox 1.37.0 1.37.0 /bin/busybox", "kernel 10.2 10.3"}
	if !slices.Equal(got, want) {
		t.Errorf("changed are %q, want %q", got, want)
	}
	if d.Packed() != b.Root.PackedBytes-a.Root.PackedBytes || d.Bytes() != b.Root.Bytes-a.Root.Bytes {
		t.Errorf("the whole changed by %+v", d.Change)
	}
	var packed int64
	for _, c := range d.Components {
		packed += c.Packed()
	}
	if packed != d.Packed() {
		t.Errorf("components changed by %d bytes, the whole by %d", packed, d.Packed())
	}
	if same := Diff(a, a); len(same.Components) > 0 || same.Packed() != 0 {
		t.Errorf("from an image to itself: %+v", same)
	}
}

func TestReadRefusesWhatIsNoAnalysis(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                       "is no analysis",
		"{}":                     "schema is version 0",
		`{"schema":2,"root":{}}`: "schema is version 2",
		`{"schema":1}`:           "root is not an image",
		`{"schema":1,"root":{"kind":"image","children":[null]}}`:                             "null among its children",
		`{"schema":1,"root":{"kind":"image","bytes":-1}}`:                                    "negative",
		`{"schema":1,"root":{"kind":"image","bytes":5,"children":[{"name":"x","bytes":4}]}}`: "add up to",
		`{"schema":1,"root":` + strings.Repeat(`{"children":[`, 20_000) + `]}`:               "is no analysis",
	} {
		if _, err := Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: error %v, want one about %q", text, err, want)
		}
	}
}

func TestTheDataIsSound(t *testing.T) {
	t.Parallel()
	for _, r := range rules() {
		if Groups[r.Group] == "" || r.Reason == "" || len(r.Paths) == 0 {
			t.Errorf("component %q: group %q, reason %q, %d paths", r.Name, r.Group, r.Reason, len(r.Paths))
		}
		for _, p := range append(r.Paths, r.VersionIn) {
			if _, err := path.Match(p, ""); err != nil || strings.HasPrefix(p, "/usr/") {
				t.Errorf("component %q: pattern %q: %v; /usr is left out", r.Name, p, err)
			}
		}
		if (r.Version == "") != (r.VersionIn == "") {
			t.Errorf("component %q: version and version_in need each other", r.Name)
		}
	}
}

// docs/analyze.md and what is written must not drift apart.
func TestEveryJSONMemberAndKindIsDocumented(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/analyze.md")
	must(t, err)
	for _, typ := range []reflect.Type{reflect.TypeFor[Analysis](), reflect.TypeFor[Component](), reflect.TypeFor[Difference](),
		reflect.TypeFor[ComponentChange](), reflect.TypeFor[FileChange](), reflect.TypeFor[Change]()} {
		for f := range typ.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if !f.Anonymous && !bytes.Contains(doc, []byte("`"+name+"`")) {
				t.Errorf("member %q of %v is not in docs/analyze.md", name, typ)
			}
		}
	}
	for _, kind := range slices.Concat(slices.Collect(maps.Keys(Groups)), []string{kindImage, kindModule, kindFile}) {
		if !bytes.Contains(doc, []byte("`"+kind+"`")) {
			t.Errorf("kind %q is not in docs/analyze.md", kind)
		}
	}
}

// The image that a default build makes: LEANLAB_TEST_BUILD is its directory
// (make test-vm sets it).
func TestTheDefaultImageIsAccountedFor(t *testing.T) {
	t.Parallel()
	build := os.Getenv("LEANLAB_TEST_BUILD")
	if build == "" {
		t.Skip("LEANLAB_TEST_BUILD is not set; make test-vm builds the default VM and runs this")
	}
	img, err := inspect.Open(t.Context(), filepath.Join(build, "bundle"), inspect.DefaultLimits)
	must(t, err)
	defer img.Close()
	a := analyzed(t, img)
	if a.Accounted() < .995 || len(a.Warnings) > 0 {
		t.Errorf("%.2f %% is accounted for; warnings: %q", 100*a.Accounted(), a.Warnings)
	}
}
