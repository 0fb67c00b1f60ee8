package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
	"github.com/somebloke1/elixir-lean-lab/core/builder/buildertest"
	"github.com/somebloke1/elixir-lean-lab/core/cc"
)

func contract(t *testing.T) buildertest.Case {
	t.Helper()
	root, err := filepath.Abs("../..") // whose kernel-configs and overlays the tests use
	if err != nil {
		t.Fatal(err)
	}
	private := filepath.Join(t.TempDir(), "private"+keySuffix)
	writeFile(t, private, []byte("-----BEGIN RSA PRIVATE KEY-----\n-----END RSA PRIVATE KEY-----\n"))
	key := ours().publicKey(t, t.TempDir())
	repository := func(url string, keys ...string) string {
		data, err := json.Marshal(map[string]any{"repository": []any{map[string]any{"url": url, "keys": append([]string{}, keys...)}}})
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	return buildertest.Case{
		Definition: builder.Definition{
			VM: "vm", Arch: cc.HostArch(), Root: root, Elixir: "1.18", Hostname: "vm",
			OTP:    builder.OTP{Version: "27", Emulator: "jit", Link: "dynamic"},
			Output: builder.Output{Root: "initramfs", Compression: "zstd"},
		},
		BadConfigs: []buildertest.BadConfig{
			{Config: []byte(`{"release": "3.17"}`), WantPath: []string{"release"}},
			{Config: []byte(`{"release": "edge"}`), WantPath: []string{"release"}},
			{Config: []byte(`{"release": "3.22.1"}`), WantPath: []string{"release"}},
			{Config: []byte(`{"packages": ["curl", "two words"]}`), WantPath: []string{"packages", "1"}},
			{Config: []byte(`{"packages": ["!busybox"]}`), WantPath: []string{"packages", "0"}},
			{Config: []byte(`{"mirrors": []}`), WantPath: []string{"mirrors"}},
			{Config: []byte(`{"mirrors": ["ftp://example.org"]}`), WantPath: []string{"mirrors", "0"}},
			{Config: []byte(`{"mirrors": ["nonesuch"]}`), WantPath: []string{"mirrors", "0"}},
			{Config: []byte(`{"keys": ["nonesuch.rsa.pub"]}`), WantPath: []string{"keys", "0"}},
			{Config: []byte(`{"keys": ["` + private + `"]}`), WantPath: []string{"keys", "0"}},
			{Config: []byte(repository("https://example.org/alpine")), WantPath: []string{"repository", "0", "keys"}},
			{Config: []byte(repository("nonesuch", key)), WantPath: []string{"repository", "0", "url"}},
			{Config: []byte(repository("https://example.org/alpine", "README.md")), WantPath: []string{"repository", "0", "keys", "0"}},
			{Config: []byte(`{"kernel": "linux-lts"}`), WantPath: []string{"kernel"}},
			{Config: []byte(`{"fragments": ["base", "nonesuch"]}`), WantPath: []string{"fragments", "1"}},
			{Config: []byte(`{"fragments": ["virtio", "net"]}`), WantPath: []string{"fragments"}}, // which unpack no initramfs
			{Config: []byte(`{"overlays": ["nonesuch"]}`), WantPath: []string{"overlays", "0"}},
		},
		Changes: []buildertest.Change{
			{Config: []byte(`{"release": "3.21"}`), Steps: []string{stepRoot}},
			{Config: []byte(`{"packages": ["curl"]}`), Steps: []string{stepRoot}},
			{Config: []byte(repository("https://example.org/alpine", key)), Steps: []string{stepRoot}},
			{Config: []byte(`{"keys": ["` + key + `"]}`), Steps: []string{stepRoot}},
			{Config: []byte(`{"mirrors": ["https://example.org/alpine"]}`)}, // the same packages from elsewhere
			{Config: []byte(`{"fragments": ["base", "virtio"]}`), Steps: []string{stepKernel}},
			{Config: []byte(`{"linux": "6.18"}`), Steps: []string{stepKernel}},
			{Config: []byte(`{"overlays": []}`), Steps: []string{stepMachine}},
			{Config: []byte(`{"cmdline": "quiet"}`), Steps: []string{stepMachine}},
		},
	}
}

func TestContract(t *testing.T) {
	t.Run("in-process", func(t *testing.T) { buildertest.Suite(t, buildertest.InProcess(alpine{}), contract(t)) })
	t.Run("binary", func(t *testing.T) {
		buildertest.Suite(t, buildertest.Binary(buildertest.Compile(t, ".", "alpine")), contract(t))
	})
}

func TestTheEmulatorOfThePackagesMustBeTheOneAskedFor(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	for _, otp := range []builder.OTP{{Version: "27", Emulator: "interpreter", Link: "dynamic"}, {Version: "27", Emulator: "jit", Link: "static"}} {
		def := definition(t, m, nil)
		def.OTP = otp
		if err := os.MkdirAll(filepath.Join(def.Root, "kernel-configs"), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(def.Root, "kernel-configs/base.config"), []byte("CONFIG_BLK_DEV_INITRD=y\nCONFIG_RD_ZSTD=y\n"))
		ds, err := alpine{}.Validate(t.Context(), def)
		if err != nil || len(ds) != 1 || !strings.Contains(ds[0].Detail, `otp { emulator = "jit", link = "dynamic" }`) {
			t.Errorf("%v: got %v, %v", otp, ds, err)
		}
	}
}
