package analyze

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzDescription: whatever an .app file holds, the image is analysed, its parts
// add up, and the file is an application's.
func FuzzDescription(f *testing.F) {
	f.Add([]byte(app("dep", "1.2", "kernel")))
	f.Add([]byte(`{application, dep, [{vsn, [49, 46, 16#7fffffff]}, {applications, {}}]}.`))
	f.Add([]byte("%% coding: latin-1\n{application, dep, [{vsn, \"\xe9\"}]}."))
	f.Fuzz(func(t *testing.T, data []byte) {
		a := analyzed(t, plain(tree(t, map[string]string{"/srv/lib/dep-1/ebin/dep.app": string(data), "/srv/releases/1/x.rel": string(data), "/srv/releases/1/x.boot": string(data)})))
		if len(a.Unowned()) > 0 {
			t.Errorf("unowned: %s", a.Unowned()[0].Path)
		}
	})
}

// FuzzPackageDatabase: whatever the databases hold, packages get files that are
// in the image, each once.
func FuzzPackageDatabase(f *testing.F) {
	f.Add("Package: x\nVersion: 1\n", "/opt/a\n", "P:y\nV:1\nF:opt\nR:b\n")
	f.Add("Package: x\nArchitecture: ../x\n\n\n:\n Package: y", "/opt/../opt/a\n\x00\n/", "F:/\nP:x\nR:../opt/b\n\n\nP:")
	f.Fuzz(func(t *testing.T, status, list, installed string) {
		a := analyzed(t, plain(tree(t, map[string]string{
			dpkgStatus: status, dpkgInfo + "/x.list": list, dpkgStatusDir + "/z": status, dpkgStatusDir + "/x.md5sums": list,
			apkDatabases[0]: installed, "/opt/a": "a", "/opt/b": "b",
		})))
		if a.Root.Files != 8 { // those and the kernel
			t.Errorf("%d files", a.Root.Files)
		}
	})
}

// FuzzRead: what is read holds together, and is read back as it is written.
func FuzzRead(f *testing.F) {
	f.Add(`{"schema":1,"image":"x","format":"cpio","accounted_bytes":5,"root":{"name":"x","kind":"image","bytes":5,"packed_bytes":5,"files":1,"children":[{"name":"unowned","kind":"unowned","bytes":5,"packed_bytes":5,"files":1}]}}`)
	f.Add(`{"schema":1,"root":{"kind":"image","children":[{"bytes":9223372036854775807},{"bytes":9223372036854775807},{"bytes":2}]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		a, err := Read(strings.NewReader(text))
		if err != nil {
			return
		}
		Diff(a, a)
		var b bytes.Buffer
		must(t, a.Write(&b))
		if _, err := Read(&b); err != nil {
			t.Errorf("what was read cannot be read again: %v", err)
		}
	})
}
