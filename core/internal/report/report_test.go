package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/internal/check"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const someDigest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

// whole is a manifest with every member.
func whole() *Manifest {
	return &Manifest{
		Schema: Schema, VM: "custom", Strategy: "custom", Arch: "x86_64",
		Artifacts: []Artifact{
			{Format: "bundle", Path: "vmlinuz", Bytes: 2_180_000, SHA256: someDigest},
			{Format: "bundle", Path: "rootfs.cpio.zst", Bytes: 5_240_123, SHA256: someDigest},
		},
		DownloadBytes: 7_420_123,
		Components: []Component{
			{Name: "busybox", Version: "1.37.0", Bytes: 312_000, PackedBytes: 161_234},
			{Name: "linux", Version: "6.12.107", Bytes: 9_800_000, PackedBytes: 2_180_000},
			{Name: "app", Bytes: 999, PackedBytes: 512},
			{Name: "erts", Version: "15.2.7.2", Bytes: 8_500_000, PackedBytes: 2_660_000},
		},
		Sources: []Source{
			{Name: "linux", Series: "6.12", Version: "6.12.107", Origin: "debian", SHA256: someDigest},
			{Name: "busybox", Series: "1.37", Version: "1.37.0", Origin: "upstream", URL: "https://busybox.net/downloads/busybox-1.37.0.tar.bz2", SHA256: someDigest},
		},
		Boot: Boot{Verified: true, MemoryMiB: 64, Instructions: &Instructions{Init: 752_104_331, Beam: 801_002_116, Ready: 1_482_220_014}},
		Checks: &check.Set{Expect: []string{"listening"}, HTTP: []check.HTTP{{Port: 4000, Path: "/health", Status: 200, Body: "ok"}},
			Eval: []check.Eval{{Code: "1 + 1", Result: "2"}}},
		Memory:    &Memory{TotalMiB: 53, IdleMiB: 31, MinMiB: 60},
		Lean:      Lean{Level: "closure", Kept: []string{"elixir", "kernel", "stdlib"}, Dropped: []string{"compiler"}},
		Budget:    Budget{SizeBytes: 8_000_000, MemoryBytes: 64 << 20},
		BuiltWith: BuiltWith{Leanlab: "0.1.0", Plugin: "0.1.0", Tools: map[string]string{"gcc": "12.2.0"}},
	}
}

// bare is one with nothing that may be left out.
func bare() *Manifest {
	m := whole()
	m.Components, m.Sources, m.Memory, m.Lean, m.Budget, m.Boot = nil, nil, nil, Lean{Level: "none"}, Budget{}, Boot{}
	m.Checks, m.BuiltWith.Tools = nil, nil
	return m
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("differs from %s (-update rewrites it):\n%s", path, got)
	}
}

func TestSummaryForPeople(t *testing.T) {
	t.Parallel()
	unbounded := whole()
	unbounded.Budget, unbounded.Memory.MinMiB = Budget{}, 0
	hostile := whole()
	hostile.Components[0].Name = "busy\x1b[2J\nbox"
	for name, m := range map[string]*Manifest{"summary.txt": whole(), "summary-hostile.txt": hostile, "summary-bare.txt": bare(), "summary-unbounded.txt": unbounded} {
		var b bytes.Buffer
		if err := Summary(&b, m); err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsRune(b.Bytes(), 0x1b) {
			t.Errorf("%s: escape sequences", name)
		}
		golden(t, name, b.Bytes())
	}
}

func TestSizesInPeoplesUnits(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_949: "999.9 kB", 999_950: "1.00 MB",
		7_420_123: "7.42 MB", 999_994_999: "999.99 MB", 999_995_000: "1.00 GB"} {
		if got := size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestAManifestIsWrittenReproduciblyAndReadBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, m := range map[string]*Manifest{"manifest.json": whole(), "manifest-bare.json": bare()} {
		path := filepath.Join(dir, name)
		if err := Write(path, m); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, b)
		back, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if want := m.withoutNils(); !reflect.DeepEqual(*back, want) {
			t.Errorf("read %+v, wrote %+v", *back, want)
		}
	}
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 2 {
		t.Errorf("left %v, %v", names, err)
	}
}

func TestAnImpossibleManifestIsNeitherWrittenNorRead(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(*Manifest){
		"schema: is 2":                                 func(m *Manifest) { m.Schema = 2 },
		"vm: is empty":                                 func(m *Manifest) { m.VM = "" },
		"built_with.plugin: is empty":                  func(m *Manifest) { m.BuiltWith.Plugin = "" },
		"artifacts: there are none":                    func(m *Manifest) { m.Artifacts = nil },
		`artifacts[1].path: "../x" does not lie`:       func(m *Manifest) { m.Artifacts[1].Path = "../x" },
		"artifacts[1].path: vmlinuz occurs twice":      func(m *Manifest) { m.Artifacts[1].Path = "vmlinuz" },
		"artifacts[0].bytes: is 0":                     func(m *Manifest) { m.Artifacts[0].Bytes = 0 },
		`artifacts[0].sha256: "ABC" is no SHA-256`:     func(m *Manifest) { m.Artifacts[0].SHA256 = "ABC" },
		"download_bytes: is 0":                         func(m *Manifest) { m.DownloadBytes = 0 },
		"download_bytes: 7420123 is over the budget":   func(m *Manifest) { m.Budget.SizeBytes = 7_000_000 },
		"components[3].name: linux occurs twice":       func(m *Manifest) { m.Components[3].Name = "linux" },
		"components[0].packed_bytes: is -1":            func(m *Manifest) { m.Components[0].PackedBytes = -1 },
		"sources[0].version: is empty":                 func(m *Manifest) { m.Sources[0].Version = "" },
		"boot.instructions: are missing":               func(m *Manifest) { m.Boot.Instructions = nil },
		"checks: are there, but ask nothing":           func(m *Manifest) { m.Checks = &check.Set{} },
		"checks.http.0.port: Bad port: 0 is no port":   func(m *Manifest) { m.Checks.HTTP[0].Port = 0 },
		"checks.exit: A VM that ends by itself cannot": func(m *Manifest) { m.Checks.Exit = check.ExitClean },
		"boot.instructions: were counted":              func(m *Manifest) { m.Boot.Verified = false },
		"boot.instructions: init 9000000000, beam 801": func(m *Manifest) { m.Boot.Instructions.Init = 9_000_000_000 },
		"memory.idle_mib: is 54 of 53":                 func(m *Manifest) { m.Memory.IdleMiB = 54 },
		"lean: kernel is kept and dropped":             func(m *Manifest) { m.Lean.Dropped = []string{"kernel"} },
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			m := whole()
			spoil(m)
			path := filepath.Join(t.TempDir(), FileName)
			if err := Write(path, m); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) {
				t.Errorf("Write: %v", err)
			}
			if _, err := os.Stat(path); err == nil {
				t.Error("written all the same")
			}
			b, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			os.WriteFile(path, b, 0o644)
			if _, err := Read(path); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("Read: %v", err)
			}
		})
	}
	if err := whole().Validate(); err != nil {
		t.Errorf("the unspoilt one: %v", err)
	}
	task := whole()
	task.Checks, task.Boot.Instructions, task.Memory = &check.Set{Exit: check.ExitClean}, nil, nil
	if err := task.Validate(); err != nil {
		t.Errorf("one that ended before it was ready: %v", err)
	}
}

func TestReadNamesTheFileItCannotRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), FileName)
	if _, err := Read(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Read: %v", err)
	}
	os.WriteFile(path, []byte(`{"schema": 1,`), 0o644)
	if _, err := Read(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "build the VM again") {
		t.Errorf("Read: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range []*Manifest{whole(), bare()} {
		b, err := json.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decode(b)
		if err != nil {
			return
		}
		// Whatever is accepted can be shown, written, and read as the same again.
		var out bytes.Buffer
		if err := Summary(&out, m); err != nil {
			t.Fatal(err)
		}
		if b, err = encode(m); err != nil {
			t.Fatal(err)
		}
		again, err := decode(b)
		if err != nil || !reflect.DeepEqual(again.withoutNils(), m.withoutNils()) {
			t.Errorf("%v: %+v became %+v", err, m, again)
		}
	})
}

// schema is as much of JSON Schema as the file uses.
type schema struct {
	Type                 string
	Description          string
	Const                any
	Pattern              string
	Required             []string
	Properties           map[string]*schema
	Items                *schema
	AdditionalProperties *schema
}

func TestTheSchemaAndTheTypeAgree(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../../docs/manifest.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	root := new(schema)
	if err := json.Unmarshal(b, root); err != nil {
		t.Fatal(err)
	}
	agree(t, "manifest", root, reflect.TypeFor[Manifest]())
	if got := root.Properties["schema"].Const; got != float64(Schema) {
		t.Errorf("schema is the constant %v, want %d", got, Schema)
	}
	for _, list := range []string{"artifacts", "sources"} {
		if got := root.Properties[list].Items.Properties["sha256"].Pattern; got != digestForm.String() {
			t.Errorf("%s: pattern %q, want %q", list, got, digestForm)
		}
	}
}

func agree(t *testing.T, path string, s *schema, typ reflect.Type) {
	t.Helper()
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	types := map[reflect.Kind]string{reflect.Struct: "object", reflect.Map: "object", reflect.Slice: "array", reflect.String: "string",
		reflect.Bool: "boolean", reflect.Int: "integer", reflect.Int64: "integer"}
	if want := types[typ.Kind()]; s.Type != want {
		t.Errorf("%s: type %q, want %q", path, s.Type, want)
		return
	}
	switch typ.Kind() {
	case reflect.Slice:
		agree(t, path+"[]", s.Items, typ.Elem())
	case reflect.Map:
		agree(t, path+"{}", s.AdditionalProperties, typ.Elem())
	case reflect.Struct:
		agreeMembers(t, path, s, typ)
	}
}

func agreeMembers(t *testing.T, path string, s *schema, typ reflect.Type) {
	t.Helper()
	members := map[string]reflect.Type{}
	var required []string
	for f := range typ.Fields() {
		name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
		members[name] = f.Type
		if option != "omitempty" {
			required = append(required, name)
		}
	}
	names, want := slices.Sorted(maps.Keys(s.Properties)), slices.Sorted(maps.Keys(members))
	if !slices.Equal(names, want) {
		t.Errorf("%s: the schema has %v, the type %v", path, names, want)
		return
	}
	if !slices.Equal(slices.Sorted(slices.Values(s.Required)), slices.Sorted(slices.Values(required))) {
		t.Errorf("%s: required are %v, want %v", path, s.Required, required)
	}
	for name, p := range s.Properties {
		if p.Description == "" {
			t.Errorf("%s.%s: has no description", path, name)
		}
		agree(t, path+"."+name, p, members[name])
	}
}
