package foreign

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/guest"
	"github.com/somebloke1/elixir-lean-lab/core/inspect"
	"github.com/somebloke1/elixir-lean-lab/core/internal/store"
	"github.com/somebloke1/elixir-lean-lab/core/internal/ui"
	"github.com/somebloke1/elixir-lean-lab/core/rootfs"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, err error, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want %q", err, text)
		}
	}
}

// program is the beginning of an ELF file for a machine of elf(5).
func program(machine uint16) []byte {
	data := make([]byte, 64)
	copy(data, "\x7fELF\x02\x01\x01")
	binary.LittleEndian.PutUint16(data[18:], machine)
	return data
}

const x86, arm = 62, 183

// root has some programs and users, and files: a text that begins with -> is a link.
func root(t testing.TB, files map[string]string) *rootfs.Tree {
	t.Helper()
	tree := rootfs.New()
	must(t, tree.File("/bin/server", 0o755, program(x86)))
	must(t, tree.File("/opt/other", 0o755, program(arm)))
	must(t, tree.File("/usr/bin/script", 0o755, []byte("#!/bin/sh\n")))
	must(t, tree.File("/etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/var/www:\nbroken:x:a:b::/:\n7:x:99:99::/seven:\n")))
	must(t, tree.File("/etc/group", 0o644, []byte("root:x:0:\nstaff:x:50:\n")))
	for name, text := range files {
		if target, ok := strings.CutPrefix(text, "->"); ok {
			must(t, tree.Symlink(name, target))
		} else {
			must(t, tree.File(name, 0o755, []byte(text)))
		}
	}
	return tree
}

// dockerArchive is what docker save writes of a tree, with one layer.
func dockerArchive(t testing.TB, tree *rootfs.Tree, config string) string {
	t.Helper()
	var layer, archive bytes.Buffer
	must(t, tree.WriteTar(&layer))
	w := tar.NewWriter(&archive)
	for _, f := range []struct{ name, text string }{
		{"config.json", config}, {"layer.tar", layer.String()},
		{"manifest.json", `[{"Config":"config.json","Layers":["layer.tar"]}]`},
	} {
		must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: 0o644, Size: int64(len(f.text))}))
		_, err := w.Write([]byte(f.text))
		must(t, err)
	}
	must(t, w.Close())
	return write(t, "image.tar", archive.Bytes())
}

func rootArchive(t testing.TB, tree *rootfs.Tree) string {
	t.Helper()
	var archive bytes.Buffer
	must(t, tree.WriteTar(&archive))
	return write(t, "root.tar", archive.Bytes())
}

func write(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, data, 0o644))
	return path
}

func options(t testing.TB) Options {
	t.Helper()
	st, err := store.Open(filepath.Join(t.TempDir(), "store"))
	must(t, err)
	t.Cleanup(func() { st.Close() })
	out, err := ui.New("plain", &bytes.Buffer{}, func(string) string { return "" }, filepath.Join(t.TempDir(), "log"))
	must(t, err)
	t.Cleanup(func() { out.Close() })
	return Options{Arch: "x86_64", Init: []byte("our init"), Network: true, Store: st, UI: out}
}

// unpacked is the tree of an initramfs.
func unpacked(t testing.TB, initrd string) *rootfs.Tree {
	t.Helper()
	img, err := inspect.Open(t.Context(), initrd, inspect.DefaultLimits)
	must(t, err)
	t.Cleanup(func() { img.Close() })
	return img.Tree
}

func text(t testing.TB, tree *rootfs.Tree, name string) string {
	t.Helper()
	e, err := tree.Resolve(name)
	must(t, err)
	data, err := contents(e, 1<<20)
	must(t, err)
	return string(data)
}

const fullConfig = `{"architecture":"amd64","os":"linux","config":{"User":"web:staff","Env":["PORT=80","EMPTY=","bad"],
	"Entrypoint":["server","--flag"],"Cmd":["serve it"],"WorkingDir":"/srv/app"}}`

func TestAContainerImageRunsAsItsConfigurationSays(t *testing.T) {
	t.Parallel()
	o := options(t)
	file := dockerArchive(t, root(t, map[string]string{"/init": "its own", "/etc/resolv.conf": "->/run/systemd/resolv.conf"}), fullConfig)
	r, err := Prepare(t.Context(), file, o)
	must(t, err)
	if r.Arch != "x86_64" || r.Words != "rdinit=/etc/leanlab/init" || r.Given || r.Changed || r.Bytes < 10*page {
		t.Errorf("%+v", r)
	}
	tree := unpacked(t, r.Initrd)
	boot, err := guest.BootOf(r.Initrd)
	must(t, err)
	want := guest.Boot{
		Hostname: "localhost", UID: 33, GID: 50, Chdir: "/srv/app", Address: "eth0 10.0.2.15/24 10.0.2.2",
		Env:  map[string]string{"PORT": "80", "EMPTY": "", "HOME": "/var/www", "TERM": "vt220", "PATH": defaultPath},
		Exec: "/bin/server", Args: []string{"--flag", "serve it"},
	}
	got, err := boot.Encode()
	must(t, err)
	wanted, err := want.Encode()
	must(t, err)
	if !bytes.Equal(got, wanted) {
		t.Errorf("the boot file is\n%s, want\n%s", got, wanted)
	}
	if text(t, tree, "/init") != "its own" || text(t, tree, initPath) != "our init" || text(t, tree, "/etc/resolv.conf") != "nameserver 10.0.2.3\n" ||
		!strings.Contains(text(t, tree, "/etc/hosts"), "127.0.0.1 localhost") {
		t.Error("the root lacks what runs it, or its own files")
	}
	for name, typ := range map[string]rootfs.Type{"/dev/console": rootfs.CharDevice, "/srv/app": rootfs.Directory} {
		if e, err := tree.Resolve(name); err != nil || e.Type != typ {
			t.Errorf("%s: %v, %v", name, e, err)
		}
	}

	// The second time it is there already, and a command is no reason to make it again.
	o.Command = Command{Args: []string{"a", "b"}}
	again, err := Prepare(t.Context(), file, o)
	must(t, err)
	if again.Initrd != r.Initrd || !again.Changed || !slices.Equal(again.Boot.Args, []string{"--flag", "a", "b"}) {
		t.Errorf("%+v", again)
	}
	o.Command = Command{Entrypoint: "/usr/bin/script"}
	again, err = Prepare(t.Context(), file, o)
	must(t, err)
	if again.Boot.Exec != "/usr/bin/script" || len(again.Boot.Args) != 0 || again.Boot.UID != 33 {
		t.Errorf("%+v", again.Boot)
	}
}

func TestARootWithoutAConfigurationRunsItsOwnInit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		files map[string]string
		words string
	}{
		{map[string]string{"/sbin/init": "->../bin/server"}, "rdinit=/sbin/init"},
		{map[string]string{"/sbin/init": "s", "/init": "i"}, "rdinit=/init"},
	} {
		o := options(t)
		r, err := Prepare(t.Context(), rootArchive(t, root(t, c.files)), o)
		must(t, err)
		if r.Words != c.words || r.Boot != nil {
			t.Errorf("%+v", r)
		}
		o.Command.Entrypoint = "server"
		r, err = Prepare(t.Context(), rootArchive(t, root(t, c.files)), o)
		must(t, err)
		if r.Words != "rdinit=/etc/leanlab/init" || r.Boot == nil || r.Boot.Exec != "/bin/server" || !r.Changed {
			t.Errorf("with a command: %+v", r)
		}
	}
}

func TestARootWithABootFileOfOursIsRunAsItIs(t *testing.T) {
	t.Parallel()
	boot := "user 0 0\ndhcp eth0\nexec /bin/server\n"
	o := options(t)
	r, err := Prepare(t.Context(), dockerArchive(t, root(t, map[string]string{"/init": "i", guest.BootPath: boot}), fullConfig), o)
	must(t, err)
	tree := unpacked(t, r.Initrd)
	if _, added := tree.Get(initPath); added || r.Words != "" || !r.Given || r.Boot.DHCP != "eth0" || text(t, tree, guest.BootPath) != boot {
		t.Errorf("%+v; a second /init: %v", r, added)
	}
	r, err = Prepare(t.Context(), rootArchive(t, root(t, map[string]string{guest.BootPath: boot})), o)
	must(t, err)
	if r.Words != "rdinit=/etc/leanlab/init" || !r.Given || text(t, unpacked(t, r.Initrd), initPath) != "our init" {
		t.Errorf("without /init: %+v", r)
	}
	o.Command.Entrypoint = "server"
	_, err = Prepare(t.Context(), rootArchive(t, root(t, map[string]string{guest.BootPath: boot})), o)
	wantError(t, err, "leave out --entrypoint")
}

func TestWhatCannotRunSaysWhy(t *testing.T) {
	t.Parallel()
	with := func(config string) string { return `{"architecture":"amd64","config":{` + config + `}}` }
	for name, c := range map[string]struct {
		config  string // empty: a plain root
		command Command
		want    string
	}{
		"another system":        {`{"architecture":"amd64","os":"windows","config":{"Cmd":["x"]}}`, Command{}, "is an image for windows"},
		"another architecture":  {`{"architecture":"s390x","config":{"Cmd":["server"]}}`, Command{}, "architecture s390x; VMs are for amd64 and arm64"},
		"the kernel's is other": {`{"architecture":"arm64","config":{"Cmd":["/usr/bin/script"]}}`, Command{}, "is for aarch64, and the kernel for x86_64"},
		"the program's is too":  {with(`"Cmd":["/opt/other"]`), Command{}, "/opt/other: is a program for EM_AARCH64, and the kernel is for x86_64"},
		"no program":            {with(`"Cmd":["nginx"]`), Command{}, "nginx: there is no such program in the image (looked for: /usr/local/sbin/nginx"},
		"its own search path":   {with(`"Cmd":["server"],"Env":["PATH=/nowhere"]`), Command{}, "looked for: /nowhere/server)"},
		"an empty program":      {with(`"Cmd":[""]`), Command{}, "an empty name"},
		"a directory":           {with(`"Cmd":["/etc"]`), Command{}, "is no program: a directory"},
		"not executable":        {with(`"Cmd":["/etc/passwd"]`), Command{}, "is no program: a file of mode"},
		"two lines":             {with(`"Cmd":["server"],"Env":["A=b\nc"]`), Command{}, "which a line cannot carry"},
		"an unknown user":       {with(`"Cmd":["server"],"User":"nobody"`), Command{}, `user "nobody": is neither a number nor in the image's /etc/passwd`},
		"a broken user":         {with(`"Cmd":["server"],"User":"broken"`), Command{}, `has a:b for its ids`},
		"an unknown group":      {with(`"Cmd":["server"],"User":"web:wheel"`), Command{}, `group "wheel"`},
		"a directory in use":    {with(`"Cmd":["server"],"WorkingDir":"/etc/passwd"`), Command{}, "its working directory /etc/passwd is a file"},
		"nothing to run":        {"", Command{}, "says nothing of what to run in it"},
		"args alone":            {"", Command{Args: []string{"nginx"}}, "nginx: there is no such program"},
		"an entrypoint":         {"", Command{Entrypoint: "nginx"}, "no such program"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := rootArchive(t, root(t, nil))
			if c.config != "" {
				file = dockerArchive(t, root(t, nil), c.config)
			}
			o := options(t)
			o.Command = c.command
			_, err := Prepare(t.Context(), file, o)
			wantError(t, err, file, c.want)
		})
	}
	_, err := Prepare(t.Context(), write(t, "x", []byte("neither")), options(t))
	wantError(t, err, "is no image that is known")
}

func TestUsersAreTheImages(t *testing.T) {
	t.Parallel()
	tree := root(t, nil)
	for name, want := range map[string]user{
		"": {0, 0, "/root"}, "web": {33, 34, "/var/www"}, "33": {33, 34, "/var/www"}, "web:0": {33, 0, "/var/www"}, "web:": {33, 34, "/var/www"},
		"1000": {1000, 0, "/"}, "1000:1001": {1000, 1001, "/"}, "1000:staff": {1000, 50, "/"},
		"7": {99, 99, "/seven"}, // a name, although it is a number
	} {
		if got, err := findUser(tree, name); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", name, got, err, want)
		}
	}
	if got, err := findUser(rootfs.New(), ""); err != nil || got != (user{home: "/"}) {
		t.Errorf("without a passwd: %+v, %v", got, err)
	}
}

func TestMemoryIsTheRootsAndTheArchives(t *testing.T) {
	t.Parallel()
	tree := rootfs.New() // its root
	must(t, tree.File("/a", 0o644, make([]byte, page+1)))
	must(t, tree.HardLink("/b", "/a"))
	must(t, tree.File("/c", 0o644, nil))
	if got := Bytes(tree); got != 4*node+2*page {
		t.Errorf("%d bytes", got)
	}
	if enough, least := MemoryMiB(200<<20, 100<<20); least != 300+systemMiB || enough < least+programMiB || enough%16 != 0 {
		t.Errorf("%d, at least %d MiB", enough, least)
	}
}

func TestTheInitOfABuildMustBeOurs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		files map[string]string
		want  string
	}{
		{map[string]string{"/init": "i", guest.BootPath: "exec /x\n"}, ""},
		{map[string]string{"/init": "i"}, "is not leanlab's"},
		{map[string]string{guest.BootPath: "exec /x\n"}, "/init: file does not exist"},
	} {
		dir := t.TempDir()
		var initrd bytes.Buffer
		must(t, root(t, c.files).WriteCPIO(&initrd))
		kernel := make([]byte, 0x1000)
		copy(kernel[0x202:], "HdrS")
		must(t, errors.Join(os.WriteFile(filepath.Join(dir, "initrd"), initrd.Bytes(), 0o644), os.WriteFile(filepath.Join(dir, "kernel"), kernel, 0o644)))
		init, err := InitOf(t.Context(), dir)
		if c.want != "" {
			wantError(t, err, dir, c.want)
		} else if err != nil || string(init) != "i" {
			t.Errorf("%q, %v", init, err)
		}
	}
}

// FuzzConfig: whatever an image's configuration and user databases are, there is an
// error, or a boot file that /init can read.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(fullConfig), []byte("web:x:33:34::/var/www:\n"), []byte("staff:x:50:\n"))
	f.Add([]byte(`{"config":{"Cmd":["/bin/server"],"User":"1:2","WorkingDir":"../..","Env":["=","A=\u0000"]}}`), []byte("::::::\n"), []byte(":"))
	f.Fuzz(func(t *testing.T, config, passwd, group []byte) {
		var c inspect.Config
		if json.Unmarshal(config, &c) != nil || len(c.Config.Entrypoint)+len(c.Config.Cmd) == 0 {
			return
		}
		tree := root(t, map[string]string{"/etc/passwd": string(passwd), "/etc/group": string(group)})
		o := Options{Arch: "x86_64", Network: true}
		b, err := o.boot(tree, &c, Command{})
		if err != nil {
			return
		}
		encoded, err := b.Encode()
		if err != nil {
			t.Fatalf("%+v: %v", b, err)
		}
		if _, err := guest.Parse(encoded); err != nil {
			t.Fatalf("%s: %v", encoded, err)
		}
	})
}
