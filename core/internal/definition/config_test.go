package definition

import (
	"bytes"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// nestedSchema has all that a schema can have.
var nestedSchema = builder.Schema{
	Attributes: []builder.Attribute{
		{Name: "board", Type: "string", Required: true},
		{Name: "labels", Type: "map(string)", Default: `{"a":"1"}`},
		{Name: "extra", Type: "any"},
	},
	Blocks: []builder.Block{
		{Name: "boot", Schema: builder.Schema{Attributes: []builder.Attribute{{Name: "delay", Type: "number", Default: `3`}}}},
		{Name: "disk", List: true, Schema: builder.Schema{
			Attributes: []builder.Attribute{{Name: "size", Type: "string", Required: true}, {Name: "tags", Type: "list(string)"}},
		}},
	},
}

const nestedText = `
vm "v" {
  strategy = "nested"
  nested {
    board  = "x"
    labels = { one = "1", two = 2 }
    extra  = [1, "a"]
    disk {
      size = "1GB"
    }
    disk {
      size = "2GB"
      tags = ["fast", ("slow")]
    }
  }
}
`

func TestTheStrategysBlockBecomesJSON(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		nestedText: `{"board":"x","boot":null,"disk":[{"size":"1GB","tags":null},{"size":"2GB","tags":["fast","slow"]}],"extra":[1,"a"],"labels":{"one":"1","two":"2"}}`,
		`vm "v" {
			strategy = "nested"
			nested {
				board  = "x"
				labels = null
				boot {}
			}
		}`: `{"board":"x","boot":{"delay":3},"disk":[],"extra":null,"labels":{"a":"1"}}`,
	} {
		d := load(t, text, Options{})
		config, diags := d.DecodeConfig(only(t, d), nestedSchema)
		if len(diags) > 0 || string(config) != want {
			t.Errorf("got %s, %v\nwant %s", config, diags, want)
		}
	}
}

func TestWithoutTheBlockThereAreDefaults(t *testing.T) {
	t.Parallel()
	d := load(t, `vm "v" { strategy = "custom" }`, Options{})
	config, diags := d.DecodeConfig(only(t, d), customSchema)
	if want := `{"busybox":true,"cmdline":null,"fragments":["base","virtio","net"],"kernel":"6.12","overlays":["common"]}`; len(diags) > 0 || string(config) != want {
		t.Errorf("got %s, %v\nwant %s", config, diags, want)
	}
}

func TestErrorsInTheStrategysBlockPointAtTheirPlace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, body, summary, at string }{
		{"missing attribute", `nested {}`, `Missing attribute "board"`, `nested`},
		{"missing attribute without the block", ``, `Missing attribute "board"`, `"nested"`},
		{"missing in an inner block", "nested {\n board = \"x\"\n disk {}\n}", `Missing attribute "size"`, `disk`},
		{"unknown in an inner block", "nested {\n board = \"x\"\n boot {\n  dleay = 1\n }\n}", `Unknown attribute "dleay"`, `dleay`},
		{"unknown inner block", "nested {\n board = \"x\"\n disc {}\n}", `Unknown block "disc"`, `disc`},
		{"inner block twice", "nested {\n board = \"x\"\n boot {}\n boot {}\n}", `Second boot block`, `boot`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := load(t, "vm \"v\" {\n strategy = \"nested\"\n"+c.body+"\n}\n", Options{})
			config, diags := d.DecodeConfig(only(t, d), nestedSchema)
			if config != nil || len(diags) != 1 || diags[0].Summary != c.summary || d.sources.text(*diags[0].Subject) != c.at {
				t.Errorf("got %s, %v", config, diags)
			}
		})
	}
}

func TestAPluginsUnusableSchemaIsThePluginsFault(t *testing.T) {
	t.Parallel()
	d := load(t, nestedText, Options{})
	for _, schema := range []builder.Schema{
		{Attributes: []builder.Attribute{{Name: "a", Type: "lst(string)"}}},
		{Attributes: []builder.Attribute{{Name: "a", Type: "list("}}},
		{Attributes: []builder.Attribute{{Name: "a", Type: "bool", Default: `"maybe"`}}},
		{Attributes: []builder.Attribute{{Name: "a", Type: "bool", Default: `{`}}},
		{Attributes: []builder.Attribute{{Name: "a b", Type: "bool"}}},
		{Attributes: []builder.Attribute{{Name: "a", Type: "bool"}, {Name: "a", Type: "bool"}}},
		{Blocks: []builder.Block{{Name: "a", Schema: builder.Schema{Attributes: []builder.Attribute{{Name: "a"}}}}}},
	} {
		config, diags := d.DecodeConfig(only(t, d), schema)
		if config != nil || len(diags) != 1 || !strings.Contains(diags[0].Detail, "fault of the plugin") {
			t.Errorf("%+v: %s, %v", schema, config, diags)
		}
	}
}

func TestABuildersDiagnosticPointsAtWhatItIsAbout(t *testing.T) {
	t.Parallel()
	d := load(t, nestedText, Options{})
	vm := only(t, d)
	for _, c := range []struct {
		path []string
		at   string
	}{
		{[]string{"board"}, `"x"`},
		{[]string{"labels", "two"}, `2`},
		{[]string{"labels", "three"}, `{ one = "1", two = 2 }`},
		{[]string{"extra", "1"}, `"a"`},
		{[]string{"extra", "9"}, `[1, "a"]`},
		{[]string{"disk", "0", "size"}, `"1GB"`},
		{[]string{"disk", "1", "size"}, `"2GB"`},
		{[]string{"disk", "1", "tags", "1"}, `"slow"`},
		{[]string{"disk", "0", "tags"}, `disk`},
		{[]string{"boot", "delay"}, `nested`},
		{[]string{"nothing"}, `nested`},
		{nil, `nested`},
	} {
		diag := d.Locate(vm, builder.Diagnostic{Severity: builder.Warning, Summary: "s", Detail: "100%", Path: c.path})
		if got := d.sources.text(*diag.Subject); got != c.at {
			t.Errorf("%q points at %s, want %s", c.path, got, c.at)
		}
		if diag.Severity != hcl.DiagWarning || diag.Summary != "s" || diag.Detail != "100%" {
			t.Errorf("the diagnostic changed: %v", diag)
		}
	}
	bare := load(t, `vm "v" { strategy = "custom" }`, Options{})
	diag := bare.Locate(only(t, bare), builder.Diagnostic{Summary: "s", Path: []string{"kernel"}})
	if got := bare.sources.text(*diag.Subject); got != `"custom"` || diag.Severity != hcl.DiagError {
		t.Errorf("without a block: points at %s, %v", got, diag)
	}
}

func TestTheHostsOwnFindingsPointIntoTheVM(t *testing.T) {
	t.Parallel()
	d := load(t, "vm \"v\" {\n strategy = \"custom\"\n budget {\n  size = \"8MB\"\n }\n}\n", Options{})
	var out bytes.Buffer
	diag := d.At(only(t, d), []string{"budget", "size"}, "Over budget", "It is 9 MB.")
	if err := d.Write(&out, hcl.Diagnostics{diag}, false, 0); err != nil {
		t.Fatal(err)
	}
	want := "Error: Over budget\n  test.hcl:4:10, in vm \"v\"\n    4 |   size = \"8MB\"\n      |          ^^^^^\n\nIt is 9 MB.\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
	if err := d.Write(&out, hcl.Diagnostics{diag}, true, 0); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "\x1b[31mError:\x1b[0m") {
		t.Errorf("no colour in %q", out.String())
	}
}
