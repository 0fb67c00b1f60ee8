package builder

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-plugin"
)

// fake answers with what it is given, and keeps what it was asked.
type fake struct {
	description Description
	plan        *Plan
	build       func(ctx context.Context, req *BuildRequest, ev Events) (*Machine, error)
	asked       *Definition
	packaged    *PackageRequest
	resolution  *Resolution
	resolved    *ResolveRequest
}

func (f *fake) Describe() Description { return f.description }

func (f *fake) Probe(_ context.Context, def *Definition) ([]Missing, error) {
	f.asked = def
	return []Missing{{What: "bison", Why: "Kconfig", Debian: "bison", Remedy: "install it"}}, nil
}

func (f *fake) Validate(_ context.Context, def *Definition) (Diagnostics, error) {
	f.asked = def
	return Diagnostics{
		{Severity: Error, Summary: "bad", Detail: "worse", Path: []string{"fragments", "2"}},
		{Severity: Warning, Summary: "odd"},
	}, nil
}

func (f *fake) Plan(context.Context, *Definition) (*Plan, error) { return f.plan, nil }

func (f *fake) Build(ctx context.Context, req *BuildRequest, ev Events) (*Machine, error) {
	return f.build(ctx, req, ev)
}

func (f *fake) Package(_ context.Context, req *PackageRequest, _ Events) error {
	f.packaged = req
	return errors.New("no space")
}

func (f *fake) Resolve(_ context.Context, req *ResolveRequest) (*Resolution, error) {
	f.resolved = req
	return f.resolution, nil
}

// remote returns the client of a server for b.
func remote(t *testing.T, b Builder) *Client {
	t.Helper()
	conn, _ := plugin.TestPluginGRPCConn(t, false, Plugins(b)[ProtocolVersion])
	t.Cleanup(func() { conn.Close() }) // which stops the server too
	dispensed, err := conn.Dispense(PluginName)
	if err != nil {
		t.Fatal(err)
	}
	c := dispensed.(*Client)
	if err := c.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

type recorder struct{ events []Event }

func (r *recorder) Emit(e Event) { r.events = append(r.events, e) }

func full(t *testing.T) (Description, *Definition, *Plan, *Machine) {
	ref := func(path string) Ref { return Ref{Step: "s", Path: path} }
	return Description{
			Name: "custom", Version: "1.2", Capabilities: []string{CapabilityPackage}, Arches: []string{"x86_64"},
			Schema: Schema{
				Attributes: []Attribute{{Name: "a", Type: "string", Required: true, Default: `"x"`, Doc: "doc"}},
				Blocks: []Block{{Name: "b", List: true, Doc: "doc", Schema: Schema{
					Attributes: []Attribute{{Name: "c", Type: "bool"}},
				}}},
			},
		}, &Definition{
			VM: "vm", Arch: "x86_64", Root: "/r", OTP: OTP{Version: "27", Emulator: "jit", Link: "static"}, Elixir: "1.18",
			Console: true, App: &App{Path: "/app", Release: "web"}, Config: []byte(`{"a":1}`), Hostname: "h", Output: Output{Root: "disk", Compression: "xz"},
		}, &Plan{
			Sources: []Source{{Name: "linux", Series: "6.12", Selection: "x"}}, Mirrors: []string{"/m"},
			Steps: []Step{{ID: "s", Kind: "k", Title: "S", Needs: []string{"n"}, Sources: []string{"linux"}, Inputs: map[string]string{"k": "v"}, App: true, KeepWork: true, Downloads: "n"}},
		}, &Machine{
			Kernel: ref("k"), Rootfs: ref("r"), Cmdline: "quiet", Libc: "musl", Modules: []string{"/m.ko"}, Release: ref("release"),
			Toolchain:  Toolchain{OTP: ref("otp"), Elixir: ref("ex"), Env: map[string]string{"CC": "cc"}, Target: ref("target")},
			Emulators:  []Emulator{{Path: "/beam.smp", NIFs: []string{"crypto"}}},
			Components: []Component{{Name: "c", Version: "1", Paths: []string{"/p"}}},
		}
}

// noZero fails when a field of v is zero: then the round trip would not show
// that it is carried.
func noZero(t *testing.T, at string, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.Pointer:
		noZero(t, at, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			noZero(t, at+"."+v.Type().Field(i).Name, v.Field(i))
		}
	default:
		if v.IsZero() {
			t.Errorf("%s is not set", at)
		}
	}
}

func TestEveryFieldCrossesTheWire(t *testing.T) {
	t.Parallel()
	description, def, plan, machine := full(t)
	buildReq := &BuildRequest{
		Definition: def, Step: "s", Out: "/o", Work: "/w", Needs: map[string]string{"n": "/n"}, Jobs: 3, Downloads: "/d", Offline: true,
		Sources: map[string]FetchedSource{"linux": {Version: "6.12.1", Path: "/l", SHA256: "00", Files: []FetchedFile{{Name: "f", Version: "1", Path: "/f", SHA256: "11"}}}},
	}
	packageReq := &PackageRequest{Definition: def, Machine: machine, Rootfs: "/r.tar", Kernel: "/k", Out: "/o", Work: "/w"}
	events := []Event{
		Log{"line"}, Progress{Done: 1, Total: 2, Unit: "bytes"}, StepStarted{"a"}, StepFinished{"a"},
		Notice{Diagnostic{Severity: Warning, Summary: "s", Detail: "d", Path: []string{"p"}}}, Artifact{Name: "n", Path: "p"},
		Usage{CPU: 3 * time.Second},
	}
	for _, v := range []any{def, plan, machine, buildReq, packageReq, description} {
		noZero(t, fmt.Sprintf("%T", v), reflect.ValueOf(v))
	}

	var gotReq *BuildRequest
	f := &fake{description: description, plan: plan}
	f.build = func(_ context.Context, req *BuildRequest, ev Events) (*Machine, error) {
		gotReq = req
		for _, e := range events {
			ev.Emit(e)
		}
		return machine, nil
	}
	c := remote(t, f)
	same := func(what string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", what, got, want)
		}
	}
	same("Describe", c.Describe(), description)

	missing, err := c.Probe(t.Context(), def)
	wantMissing, _ := f.Probe(t.Context(), f.asked)
	same("Probe", []any{missing, err, f.asked}, []any{wantMissing, nil, def})

	f.asked = nil
	ds, err := c.Validate(t.Context(), def)
	wantDs, _ := f.Validate(t.Context(), f.asked)
	same("Validate", []any{ds, err}, []any{wantDs, nil})

	gotPlan, err := c.Plan(t.Context(), def)
	same("Plan", []any{gotPlan, err}, []any{plan, nil})

	resolveReq := &ResolveRequest{Definition: def, Source: plan.Sources[0], Fetched: map[string]string{"a": "/a"}, Work: "/w"}
	f.resolution = &Resolution{
		Files: []RemoteFile{{Name: "a", Version: "1", URL: "u", SHA256: "00", Identity: "i", Bytes: 1}},
		Done:  true, Diagnostics: Diagnostics{{Severity: Warning, Summary: "s"}},
	}
	noZero(t, "ResolveRequest", reflect.ValueOf(resolveReq))
	noZero(t, "RemoteFile", reflect.ValueOf(f.resolution.Files[0]))
	gotResolution, err := c.Resolve(t.Context(), resolveReq)
	same("Resolve", []any{gotResolution, err, f.resolved}, []any{f.resolution, nil, resolveReq})

	rec := &recorder{}
	gotMachine, err := c.Build(t.Context(), buildReq, rec)
	same("Build", []any{gotMachine, err, gotReq, rec.events}, []any{machine, nil, buildReq, events})

	err = c.Package(t.Context(), packageReq, rec)
	same("Package", []any{f.packaged, err}, []any{packageReq, &Failure{Message: "no space"}})
}

func TestStepWithoutMachineReturnsNil(t *testing.T) {
	t.Parallel()
	c := remote(t, &fake{build: func(context.Context, *BuildRequest, Events) (*Machine, error) { return nil, nil }})
	if m, err := c.Build(t.Context(), &BuildRequest{Definition: &Definition{}}, &recorder{}); m != nil || err != nil {
		t.Errorf("got %v, %v", m, err)
	}
}

func TestEventAfterTheResultIsDropped(t *testing.T) {
	t.Parallel()
	release, emitted := make(chan struct{}), make(chan struct{})
	c := remote(t, &fake{build: func(_ context.Context, _ *BuildRequest, ev Events) (*Machine, error) {
		go func() {
			defer close(emitted)
			<-release
			ev.Emit(Log{"late"})
		}()
		return nil, nil
	}})
	rec := &recorder{}
	if _, err := c.Build(t.Context(), &BuildRequest{Definition: &Definition{}}, rec); err != nil {
		t.Fatal(err)
	}
	close(release)
	<-emitted
	if len(rec.events) > 0 {
		t.Errorf("events %v", rec.events)
	}
}

func TestLogLineIsMadeFitForWireAndTerminal(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"plain\ttext é", "plain\ttext é"},
		{"\x1b[31mred\x1b[0m", "\uFFFD[31mred\uFFFD[0m"},
		{"bad \xff utf-8 \x00", "bad \uFFFD utf-8 \uFFFD"},
		{"two\nlines", "two\uFFFDlines"},
		{strings.Repeat("x", 2*maxLine), strings.Repeat("x", maxLine)},
	} {
		c := remote(t, &fake{build: func(_ context.Context, _ *BuildRequest, ev Events) (*Machine, error) {
			ev.Emit(Log{tt.in})
			return nil, nil
		}})
		rec := &recorder{}
		if _, err := c.Build(t.Context(), &BuildRequest{Definition: &Definition{}}, rec); err != nil {
			t.Fatal(err)
		}
		if want := []Event{Log{tt.want}}; !reflect.DeepEqual(rec.events, want) {
			t.Errorf("%.50q: got %.80q, want %.80q", tt.in, rec.events, want)
		}
	}
}

func TestStopReturnsWhenEveryCallHas(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	returned := false
	c := remote(t, &fake{build: func(ctx context.Context, _ *BuildRequest, ev Events) (*Machine, error) {
		close(begun)
		<-ctx.Done()
		returned = true
		return nil, ctx.Err()
	}})
	built := make(chan error)
	go func() {
		_, err := c.Build(context.Background(), &BuildRequest{Definition: &Definition{}}, &recorder{})
		built <- err
	}()
	<-begun
	if err := c.Stop(t.Context()); err != nil || !returned {
		t.Errorf("Stop: %v; the call had returned: %t", err, returned)
	}
	if err := <-built; err == nil || err.Error() != "context canceled" {
		t.Errorf("Build: %v", err)
	}
	if _, err := c.Plan(t.Context(), &Definition{}); err == nil || !strings.Contains(err.Error(), "told to stop") {
		t.Errorf("after Stop, Plan: %v", err)
	}
}

func TestDecodeConfigIsStrict(t *testing.T) {
	t.Parallel()
	type block struct {
		Kernel string   `json:"kernel"`
		List   []string `json:"list"`
	}
	for _, tt := range []struct {
		config, want string // want: of the error; empty for none
	}{
		{`{"kernel": "6.12", "list": null}`, ""},
		{``, ""},
		{`{"kernal": "6.12"}`, `unknown field "kernal"`},
		{`{"kernel": 6}`, "cannot unmarshal number"},
		{`{} {}`, "something follows the JSON object at byte"},
		{`{`, "unexpected EOF"},
	} {
		var b block
		err := DecodeConfig([]byte(tt.config), &b)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got error %v, want %q", tt.config, err, tt.want)
		}
	}
}

func TestPlanThatCannotRunIsRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		plan Plan
		want string
	}{
		{Plan{}, "no steps"},
		{Plan{Steps: []Step{{ID: "../x"}}}, "bad id"},
		{Plan{Steps: []Step{{ID: "a"}, {ID: "a"}}}, `two steps "a"`},
		{Plan{Steps: []Step{{ID: "a", Needs: []string{"b"}}}}, `needs step "b", which is not in the plan`},
		{Plan{Steps: []Step{{ID: "a", Needs: []string{"b"}}, {ID: "b", Needs: []string{"a"}}}}, "a circle, or the wrong order"},
		{Plan{Steps: []Step{{ID: "a", Needs: []string{"a"}}}}, "a circle, or the wrong order"},
		{Plan{Steps: []Step{{ID: "a", Sources: []string{"linux"}}}}, `reads source "linux", which the plan does not list`},
		{Plan{Sources: []Source{{Name: "x"}, {Name: "x"}}, Steps: []Step{{ID: "a"}}}, `lists source "x" twice`},
	} {
		if err := tt.plan.Check(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got error %v, want %q", tt.plan, err, tt.want)
		}
	}
	_, _, plan, _ := full(t)
	plan.Steps = append([]Step{{ID: "n"}}, plan.Steps...)
	if err := plan.Check(); err != nil {
		t.Errorf("a plan that can run: %v", err)
	}
}
