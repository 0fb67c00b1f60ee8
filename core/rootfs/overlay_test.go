package rootfs

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestAddDirTakesTheXBitAndNothingOfTheUmask(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{"bin/run": "#!/bin/sh\n", "etc/conf": "x", "etc/link": "-> /run/conf"})
	must(t, os.Chmod(filepath.Join(dir, "bin/run"), 0o700))
	must(t, os.Chmod(filepath.Join(dir, "etc/conf"), 0o660))
	must(t, os.Chmod(filepath.Join(dir, "etc"), 0o700))
	tree := New()
	must(t, tree.AddDir(dir, "/srv/app", Owner{1000, 100}))
	want := `/ directory 0755 0:0
/srv directory 0755 0:0
/srv/app directory 0755 1000:100
/srv/app/bin directory 0755 1000:100
/srv/app/bin/run file 0755 1000:100 10 bytes
/srv/app/etc directory 0755 1000:100
/srv/app/etc/conf file 0644 1000:100 1 bytes
/srv/app/etc/link symbolic link 0777 1000:100 -> /run/conf
`
	if got := list(t, tree); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestAddDirRefusesSocketsByName(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "s") // socket paths are short: unix(7)
	must(t, err)
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "sock"))
	must(t, err)
	defer l.Close()
	wantError(t, New().AddDir(dir, "/", Owner{}), filepath.Join(dir, "sock"), "neither")
	wantError(t, New().AddDir(filepath.Join(dir, "none"), "/", Owner{}), "none")
}

func TestAnOverlayKeepsDirectoriesThatExist(t *testing.T) {
	t.Parallel()
	tree := New()
	must(t, tree.Dir("/tmp", 0o1777))
	must(t, tree.File("/etc/motd", 0o600, []byte("old")))
	must(t, tree.AddOverlay(writeFiles(t, map[string]string{"tmp/x": "x", "etc/motd": "new"})))
	if e, _ := tree.Get("/tmp"); unixMode(e.Mode) != 0o1777 {
		t.Errorf("/tmp lost its mode: %v", e.Mode)
	}
	if got := contents(t, tree, "/etc/motd"); got != "new" {
		t.Errorf("/etc/motd is %q", got)
	}
}

func TestUnknownOverlaysAreNamedWithTheNearest(t *testing.T) {
	t.Parallel()
	root := writeFiles(t, map[string]string{
		"overlays/common/x": "", "overlays/debug/x": "", "overlays/common.table": "", "mine/x": ""})
	dirs, err := FindOverlays(root, []string{"debug", "./mine", filepath.Join(root, "overlays/common")})
	must(t, err)
	want := []string{filepath.Join(root, "overlays/debug"), filepath.Join(root, "mine"), filepath.Join(root, "overlays/common")}
	if strings.Join(dirs, " ") != strings.Join(want, " ") {
		t.Errorf("found %v, want %v", dirs, want)
	}
	for name, nearest := range map[string]string{"comon": "common", "zzzzzz": "", "": "", "..": "", "mine": ""} {
		_, err := FindOverlays(root, []string{"common", name})
		var unknown *UnknownOverlayError
		if !errors.As(err, &unknown) {
			t.Errorf("%q: %v, want an UnknownOverlayError", name, err)
			continue
		}
		if unknown.Index != 1 || unknown.Name != name || unknown.Nearest != nearest || strings.Join(unknown.Known, " ") != "common debug" {
			t.Errorf("%q: %+v", name, unknown)
		}
	}
}

func TestDeviceTablesSetWhatGitDoesNotKeep(t *testing.T) {
	t.Parallel()
	tree := New()
	must(t, tree.File("/etc/passwd", 0o644, []byte("app:*:1000:1001::/:\n")))
	must(t, tree.File("/etc/group", 0o644, []byte("app:*:1001:\n")))
	must(t, tree.File("/srv/a/f", 0o644, nil))
	must(t, tree.Symlink("/srv/a/l", "f"))
	must(t, tree.File("/bin/su", 0o755, nil))
	must(t, tree.ApplyDeviceTable("t", strings.NewReader(`
# comment
/dev d 755 0 0 - - - - -
/dev/console c 600 0 0 5 1 - - -
/dev/tty c 620 0 5 4 0 0 1 3
/dev/vda b 660 0 6 254 1 1 1 2
/run/fifo p 600 app app
/srv r -1 app app - - - - -
/bin/su f 4755 0 0 - - - - -
/none F 600 0 0 - - - - -
/tmp	d	1777	0	0	-	-	-	-	-
`)))
	want := `/ directory 0755 0:0
/bin directory 0755 0:0
/bin/su file 4755 0:0 0 bytes
/dev directory 0755 0:0
/dev/console character device 0600 0:0 5,1
/dev/tty0 character device 0620 0:5 4,0
/dev/tty1 character device 0620 0:5 4,1
/dev/tty2 character device 0620 0:5 4,2
/dev/vda1 block device 0660 0:6 254,1
/dev/vda2 block device 0660 0:6 254,2
/etc directory 0755 0:0
/etc/group file 0644 0:0 12 bytes
/etc/passwd file 0644 0:0 20 bytes
/run directory 0755 0:0
/run/fifo FIFO 0600 1000:1001
/srv directory 0755 1000:1001
/srv/a directory 0755 1000:1001
/srv/a/f file 0644 1000:1001 0 bytes
/srv/a/l symbolic link 0777 1000:1001 -> f
/tmp directory 1777 0:0
`
	if got := list(t, tree); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestBadDeviceTableLinesAreNamed(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"/x d 755":                           "3 fields",
		"/x d 755 0 0 - - - - - -":           "11 fields",
		"/x q 755 0 0":                       `"q"`,
		"/x d 999 0 0":                       `"999"`,
		"/x d 17777 0 0":                     `"17777"`,
		"/x c -1 0 0 1 1":                    `"-1"`,
		"/x d 755 nobody 0":                  "/etc/passwd",
		"/x d 755 0 4294967295":              "/etc/group",
		"/x c 600 0 0 4096 0":                "4096",
		"/x c 600 0 0 x 0":                   `"x"`,
		"/x c 600 0 0 1 0 0 1 5000":          "5000",
		"/x c 600 0 0 1 1048575 0 1 2":       "1048576",
		"/x f 644 0 0":                       "/x",
		"/x r 644 0 0":                       "/x",
		"/ f 644 0 0":                        "directory",
		"x d 755 0 0":                        "absolute",
		"/../x d 755 0 0":                    "..",
		"|xattr cap_net_bind_service+ep":     "extended attributes",
		"/x d " + strings.Repeat("7", 1<<17): "too long",
	} {
		err := New().ApplyDeviceTable("o.table", strings.NewReader("# one\n"+line+"\n"))
		wantError(t, err, "o.table:2: ", want)
	}
}

func FuzzDeviceTable(f *testing.F) {
	f.Add("/dev d 755 0 0 - - - - -\n/dev/tty c 620 0 5 4 0 0 1 3\n")
	f.Add("/srv r -1 app app\n/x F 1 1 1\n# c\n\n|xattr x")
	f.Fuzz(func(t *testing.T, table string) {
		tree := New()
		must(t, tree.File("/etc/passwd", 0o644, []byte("app:*:1000:1001::/:\n")))
		must(t, tree.File("/srv/f", 0o644, nil))
		if err := tree.ApplyDeviceTable("t", strings.NewReader(table)); err != nil && !strings.HasPrefix(err.Error(), "t:") {
			t.Errorf("%q does not say where", err)
		}
		must(t, tree.Walk(func(e *Entry) error {
			if parent := tree.entries[filepath.Dir(e.Path)]; parent == nil || parent.Type != Directory {
				t.Errorf("the parent of %q is %+v", e.Path, parent)
			}
			return nil
		}))
	})
}

// The overlay that every VM gets.
const common = "../../overlays/common"

func TestTheCommonOverlayIsWhatEveryVMGets(t *testing.T) {
	t.Parallel()
	tree := New()
	must(t, tree.AddOverlay(common))
	// Sizes are of no interest here.
	var lines []string
	for line := range strings.Lines(list(t, tree)) {
		if strings.HasSuffix(line, " bytes\n") {
			line = line[:strings.LastIndexByte(strings.TrimSuffix(line, " bytes\n"), ' ')] + "\n"
		}
		lines = append(lines, line)
	}
	golden(t, "common.list", strings.Join(lines, ""))
}

// dhcp runs the DHCP script with an ip that records what it is asked to do, and
// the name servers' file in a directory of the test's.
func dhcp(t *testing.T, event string, env ...string) (calls, resolv string, err error) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(common, "usr/share/udhcpc/default.script"))
	must(t, err)
	dir := t.TempDir()
	conf := filepath.Join(dir, "resolv.conf")
	script := strings.Replace(string(data), "conf=/run/resolv.conf", "conf="+conf, 1)
	must(t, os.WriteFile(filepath.Join(dir, "script"), []byte(script), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "ip"), []byte("#!/bin/sh\necho \"$@\"\n"), 0o755))
	cmd := exec.Command("sh", filepath.Join(dir, "script"), event)
	cmd.Env = append(env, "interface=eth0", "PATH="+dir+":/usr/bin:/bin")
	out, err := cmd.Output()
	file, _ := os.ReadFile(conf)
	if left, _ := filepath.Glob(conf + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	return string(out), string(file), err
}

func TestTheDHCPScriptConfiguresALease(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		event         string
		env           []string
		calls, resolv string
	}{
		"deconfig": {"deconfig", nil,
			"-4 address flush dev eth0\nlink set dev eth0 up\n", ""},
		"QEMU": {"bound",
			[]string{"ip=10.0.2.15", "mask=24", "broadcast=10.0.2.255", "router=10.0.2.2", "dns=10.0.2.3"},
			"address replace 10.0.2.15/24 broadcast 10.0.2.255 dev eth0\nroute replace default via 10.0.2.2 dev eth0 onlink\n",
			"nameserver 10.0.2.3\n"},
		"a cloud's /32": {"renew",
			[]string{"ip=10.128.0.2", "mask=32", "router=10.128.0.1 10.128.0.3", "dns=169.254.169.254 8.8.8.8", "domain=c.example.internal"},
			"address replace 10.128.0.2/32 broadcast + dev eth0\nroute replace default via 10.128.0.1 dev eth0 onlink\n",
			"search c.example.internal\nnameserver 169.254.169.254\nnameserver 8.8.8.8\n"},
		"address only": {"bound", []string{"ip=192.0.2.1", "mask=30"},
			"address replace 192.0.2.1/30 broadcast + dev eth0\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls, resolv, err := dhcp(t, test.event, test.env...)
			must(t, err)
			if calls != test.calls {
				t.Errorf("ip was called with:\n%s\nwant:\n%s", calls, test.calls)
			}
			if resolv != test.resolv {
				t.Errorf("resolv.conf is:\n%s\nwant:\n%s", resolv, test.resolv)
			}
		})
	}
	if _, _, err := dhcp(t, ""); err == nil {
		t.Error("the script succeeds without an event")
	}
}

func TestShellScriptsOfTheOverlayParse(t *testing.T) {
	t.Parallel()
	for _, script := range []string{"usr/share/udhcpc/default.script", "etc/profile"} {
		if out, err := exec.Command("sh", "-n", filepath.Join(common, script)).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", script, err, out)
		}
	}
}
