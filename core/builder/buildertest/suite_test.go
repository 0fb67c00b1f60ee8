package buildertest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// subject is a builder that keeps to the contract but for what a test breaks.
type subject struct {
	description builder.Description
	validate    func(def *builder.Definition) (builder.Diagnostics, error)
	plan        func(def *builder.Definition) *builder.Plan
	build       func(ctx context.Context, req *builder.BuildRequest, ev builder.Events) (*builder.Machine, error)
}

func (s *subject) Describe() builder.Description { return s.description }

func (s *subject) Probe(context.Context, *builder.Definition) ([]builder.Missing, error) {
	return nil, nil
}

func (s *subject) Validate(_ context.Context, def *builder.Definition) (builder.Diagnostics, error) {
	return s.validate(def)
}

func (s *subject) Plan(_ context.Context, def *builder.Definition) (*builder.Plan, error) {
	return s.plan(def), nil
}

func (s *subject) Build(ctx context.Context, req *builder.BuildRequest, ev builder.Events) (*builder.Machine, error) {
	return s.build(ctx, req, ev)
}

type block struct {
	Speed string `json:"speed"`
}

// sound is a subject with two steps that keeps to the contract.
func sound() *subject {
	return &subject{
		description: builder.Description{
			Name: "sound", Version: "1", Arches: []string{"x86_64"},
			Schema: builder.Schema{Attributes: []builder.Attribute{{Name: "speed", Type: "string", Default: `"low"`, Doc: "How fast."}}},
		},
		validate: func(def *builder.Definition) (builder.Diagnostics, error) {
			var b block
			if err := builder.DecodeConfig(def.Config, &b); err != nil {
				return nil, err
			}
			if b.Speed == "wrong" {
				return builder.Diagnostics{{Summary: "Wrong speed", Path: []string{"speed"}}}, nil
			}
			return nil, nil
		},
		plan: func(def *builder.Definition) *builder.Plan {
			return &builder.Plan{Steps: []builder.Step{
				{ID: "first", Title: "First", Inputs: map[string]string{"config": string(def.Config)}},
				{ID: "last", Title: "Last", Needs: []string{"first"}},
			}}
		},
		build: func(_ context.Context, req *builder.BuildRequest, ev builder.Events) (*builder.Machine, error) {
			ev.Emit(builder.Log{Line: "writing"})
			if err := os.WriteFile(filepath.Join(req.Out, "file"), nil, 0o644); err != nil {
				return nil, err
			}
			if req.Step == "first" {
				return nil, nil
			}
			return &builder.Machine{Kernel: builder.Ref{Step: "first", Path: "file"}, Rootfs: builder.Ref{Step: "last", Path: "file"}}, nil
		},
	}
}

func soundCase() Case {
	return Case{
		Definition: builder.Definition{VM: "vm", Arch: "x86_64", Root: "/project", Config: []byte(`{"speed":"low"}`)},
		BadConfigs: []BadConfig{{Config: []byte(`{"speed":"wrong"}`), WantPath: []string{"speed"}}},
		Changes:    []Change{{Config: []byte(`{"speed":"high"}`), Steps: []string{"first"}}},
	}
}

func TestSoundBuilderPasses(t *testing.T) {
	c := soundCase()
	c.Definition.Root, c.Build = "", true
	t.Run("in-process", func(t *testing.T) { Suite(t, InProcess(sound()), c) })
	t.Run("over gRPC", func(t *testing.T) { Suite(t, OverGRPC(sound()), c) })
}

func TestBrokenBuilderIsFoundOut(t *testing.T) {
	t.Parallel()
	type check func(context.Context, builder.Builder, Case) error
	build := func(dir string) check {
		return func(ctx context.Context, b builder.Builder, c Case) error { return checkBuild(ctx, b, c, dir) }
	}
	schema := func(a builder.Attribute) func(*subject) {
		return func(s *subject) { s.description.Schema.Attributes = []builder.Attribute{a} }
	}
	emits := func(events ...builder.Event) func(*subject) {
		return func(s *subject) {
			sound := s.build
			s.build = func(ctx context.Context, req *builder.BuildRequest, ev builder.Events) (*builder.Machine, error) {
				for _, e := range events {
					ev.Emit(e)
				}
				return sound(ctx, req, ev)
			}
		}
	}
	for _, tt := range []struct {
		name   string
		damage func(*subject)
		check  check
		want   string
	}{
		{"no version", func(s *subject) { s.description.Version = "" }, checkDescription, "Version is empty"},
		{"bad name", func(s *subject) { s.description.Name = "My Builder" }, checkDescription, "is no strategy's name"},
		{"selection without capability", func(s *subject) {
			sound := s.plan
			s.plan = func(def *builder.Definition) *builder.Plan {
				plan := sound(def)
				plan.Sources = []builder.Source{{Name: "packages", Series: "1", Selection: "a b"}}
				return plan
			}
		}, checkPlan, `Capabilities lacks "resolve"`},
		{"capability without code", func(s *subject) { s.description.Capabilities = []string{"package"} }, checkDescription, "it implements Packager: false"},
		{"unknown type", schema(builder.Attribute{Name: "a", Type: "text", Doc: "d"}), checkDescription, `Type "text"`},
		{"default of another type", schema(builder.Attribute{Name: "a", Type: "bool", Default: `"x"`, Doc: "d"}), checkDescription, `Default "x" is no bool`},
		{"required with default", schema(builder.Attribute{Name: "a", Type: "string", Required: true, Default: `"x"`, Doc: "d"}), checkDescription, "required and has a default"},
		{"undocumented", schema(builder.Attribute{Name: "a", Type: "string"}), checkDescription, "a has no Doc"},
		{"accepts anything", func(s *subject) {
			s.validate = func(*builder.Definition) (builder.Diagnostics, error) { return nil, nil }
		}, checkRejects, "passes over a name that is not in the schema"},
		{"path of nothing", func(s *subject) {
			s.validate = func(*builder.Definition) (builder.Diagnostics, error) {
				return builder.Diagnostics{{Summary: "x", Path: []string{"spede"}}}, nil
			}
		}, checkRejects, `is about "spede", which is not in the schema`},
		{"rejects what is right", func(s *subject) {
			s.validate = func(*builder.Definition) (builder.Diagnostics, error) {
				return builder.Diagnostics{{Summary: "x"}}, nil
			}
		}, checkAccepts, "rejects Case.Definition"},
		{"another plan each time", func(s *subject) {
			var n atomic.Int64
			s.plan = func(*builder.Definition) *builder.Plan {
				return &builder.Plan{Steps: []builder.Step{{ID: "s", Title: strconv.FormatInt(n.Add(1), 10)}}}
			}
		}, checkPlan, "Plan returned first"},
		{"path in a key", func(s *subject) {
			s.plan = func(def *builder.Definition) *builder.Plan {
				return &builder.Plan{Steps: []builder.Step{{ID: "s", Title: "S", Inputs: map[string]string{"in": def.Root + "/x"}}}}
			}
		}, checkPlan, "holds the path of the definition's Root"},
		{"an app that is not there", func(s *subject) {
			s.plan = func(*builder.Definition) *builder.Plan {
				return &builder.Plan{Steps: []builder.Step{{ID: "s", Title: "S", App: true}}}
			}
		}, checkPlan, `step "s" reads the app's directory, and the definition has no app`},
		{"the app's path in a key", func(s *subject) {
			s.plan = func(def *builder.Definition) *builder.Plan {
				return &builder.Plan{Steps: []builder.Step{{ID: "s", Title: "S", App: true, Inputs: map[string]string{"in": def.App.Path}}}}
			}
		}, func(ctx context.Context, b builder.Builder, c Case) error {
			c.Definition.App = &builder.App{Path: "/app"}
			return checkPlan(ctx, b, c)
		}, "holds the path of the app"},
		{"undeclared input", func(s *subject) {
			s.plan = func(*builder.Definition) *builder.Plan {
				return &builder.Plan{Steps: []builder.Step{{ID: "first", Title: "F"}, {ID: "last", Title: "L"}}}
			}
		}, checkChanges, `step "first" does not say that it changes`},
		{"input too many", func(s *subject) {
			s.plan = func(def *builder.Definition) *builder.Plan {
				in := map[string]string{"config": string(def.Config)}
				return &builder.Plan{Steps: []builder.Step{{ID: "first", Title: "F", Inputs: in}, {ID: "last", Title: "L", Inputs: in}}}
			}
		}, checkChanges, `step "last" changes, which Case.Changes does not list`},
		{"machine too early", func(s *subject) {
			s.build = func(context.Context, *builder.BuildRequest, builder.Events) (*builder.Machine, error) {
				return &builder.Machine{}, nil
			}
		}, build(t.TempDir()), "the machine's kernel"},
		{"no machine", func(s *subject) {
			s.build = func(context.Context, *builder.BuildRequest, builder.Events) (*builder.Machine, error) {
				return nil, nil
			}
		}, build(t.TempDir()), `step "last": is the last: true; returned a machine: false`},
		{"writes into another's result", func(s *subject) {
			sound := s.build
			s.build = func(ctx context.Context, req *builder.BuildRequest, ev builder.Events) (*builder.Machine, error) {
				for _, dir := range req.Needs {
					if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o644); err != nil {
						return nil, err
					}
				}
				return sound(ctx, req, ev)
			}
		}, build(t.TempDir()), `it writes into the result of step "first"`},
		{"artifact that is not there", emits(builder.Artifact{Name: "image", Path: "image"}), build(t.TempDir()), `artifact "image"`},
		{"unfinished part", emits(builder.StepStarted{Title: "p"}), build(t.TempDir()), `StepStarted "p" without its StepFinished`},
		{"more than all", emits(builder.Progress{Done: 3, Total: 2, Unit: "bytes"}), build(t.TempDir()), "Progress that cannot be"},
		{"error of its own when cancelled", func(s *subject) {
			s.build = func(ctx context.Context, _ *builder.BuildRequest, ev builder.Events) (*builder.Machine, error) {
				ev.Emit(builder.Log{Line: "begun"})
				<-ctx.Done()
				return nil, errors.New("it broke")
			}
		}, func(ctx context.Context, b builder.Builder, c Case) error { return checkCancel(ctx, b, c, t.TempDir()) },
			"does not wrap the context's: it broke"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := sound()
			if err := tt.check(t.Context(), s, soundCase()); err != nil {
				t.Fatalf("undamaged: %v", err)
			}
			tt.damage(s)
			if err := tt.check(t.Context(), s, soundCase()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestWritingElsewhereIsNoticed(t *testing.T) {
	watched := watchBystanders(t, builder.Definition{Root: t.TempDir()})
	if err := watched.check(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("relative-by-mistake", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := watched.check(); err == nil || !strings.Contains(err.Error(), "relative-by-mistake was made") {
		t.Errorf("got error %v", err)
	}
}
