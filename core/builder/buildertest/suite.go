package buildertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/somebloke1/elixir-lean-lab/core/builder"
)

// Case is what the suite has to know about a builder.
type Case struct {
	// Definition is one that the builder accepts, for an architecture that it
	// lists. Its Config need not name what has a default.
	Definition builder.Definition
	// BadConfigs are blocks that pass the schema and that Validate rejects.
	BadConfigs []BadConfig
	// Changes are blocks that make other steps than Definition's does.
	Changes []Change
	// Build has the steps run, with these sources (name → file), in order, and
	// Package called when the builder is capable of it.
	Build   bool
	Sources map[string]builder.FetchedSource
}

// BadConfig is a block with one mistake.
type BadConfig struct {
	Config   []byte
	WantPath []string // of the diagnostic
}

// Change is a block and the ids of the steps whose result it can change: they
// must say so in Inputs, Sources, App or the series of a source. The other steps
// must be the same as before; those that only need a changed one need not be
// listed, since the host follows Needs.
type Change struct {
	Config []byte
	Steps  []string
}

// Suite holds a builder to the contract. It changes the environment and the
// working directory, so the test cannot be parallel.
func Suite(t *testing.T, start Start, c Case) {
	b := start(t)
	if c.Definition.Root == "" {
		c.Definition.Root = t.TempDir()
	}
	if c.Definition.VM == "" {
		c.Definition.VM = "contract"
	}
	config, err := completeConfig(b.Describe().Schema, c.Definition.Config)
	if err != nil {
		t.Fatalf("Definition.Config: %v", err)
	}
	c.Definition.Config = config

	built, cancelled := t.TempDir(), t.TempDir() // before TMPDIR is another
	bystanders := watchBystanders(t, c.Definition)
	for _, part := range []struct {
		name  string
		check func(context.Context, builder.Builder, Case) error
	}{
		{"Describe is stable and its schema is sound", checkDescription},
		{"Probe says what and how", checkProbe},
		{"Validate accepts what is right", checkAccepts},
		{"Validate rejects what is wrong", checkRejects},
		{"Plan is sound and always the same", checkPlan},
		{"Plan names what changes a step", checkChanges},
		{"Calls side by side agree", checkConcurrent},
	} {
		t.Run(part.name, func(t *testing.T) {
			if err := part.check(t.Context(), b, c); err != nil {
				t.Error(err)
			}
			if err := bystanders.check(); err != nil {
				t.Errorf("a method other than Build has side effects: %v", err)
			}
		})
	}
	if !c.Build {
		return
	}
	t.Run("Build keeps to its directories and returns a machine last", func(t *testing.T) {
		if err := checkBuild(t.Context(), b, c, built); err != nil {
			t.Error(err)
		}
		if err := bystanders.check(); err != nil {
			t.Errorf("Build writes outside of Out and Work: %v", err)
		}
	})
	t.Run("Build ends when it is cancelled", func(t *testing.T) {
		if err := checkCancel(t.Context(), b, c, cancelled); err != nil {
			t.Error(err)
		}
	})
}

// completeConfig does what the host does: every name of the schema is there,
// with its default or null.
func completeConfig(schema builder.Schema, config []byte) ([]byte, error) {
	given := map[string]json.RawMessage{}
	if len(config) > 0 {
		if err := json.Unmarshal(config, &given); err != nil {
			return nil, err
		}
	}
	full := map[string]json.RawMessage{}
	for _, a := range schema.Attributes {
		full[a.Name] = json.RawMessage("null")
		if a.Default != "" {
			full[a.Name] = json.RawMessage(a.Default)
		}
	}
	for _, b := range schema.Blocks {
		full[b.Name] = json.RawMessage("null")
		if b.List {
			full[b.Name] = json.RawMessage("[]")
		}
	}
	for name, value := range given {
		full[name] = value
	}
	for _, a := range schema.Attributes {
		if a.Required && string(full[a.Name]) == "null" {
			return nil, fmt.Errorf("the schema requires %q", a.Name)
		}
	}
	return json.Marshal(full)
}

// withConfig returns the case's definition with another block.
func (c Case) withConfig(b builder.Builder, config []byte) (*builder.Definition, error) {
	def := c.Definition
	var err error
	def.Config, err = completeConfig(b.Describe().Schema, config)
	return &def, err
}

var (
	strategyName  = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)
	attributeName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

func checkDescription(_ context.Context, b builder.Builder, c Case) error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	d := b.Describe()
	if again := b.Describe(); !reflect.DeepEqual(d, again) {
		wrong("Describe returned first %+v, then %+v", d, again)
	}
	if !strategyName.MatchString(d.Name) {
		wrong("Name %q is no strategy's name: a lower-case letter, then letters, digits, - and _", d.Name)
	}
	if d.Version == "" {
		wrong("Version is empty")
	}
	if len(d.Arches) == 0 {
		wrong("Arches is empty: it builds for no architecture")
	}
	for _, arch := range d.Arches {
		if arch != "x86_64" && arch != "aarch64" {
			wrong("Arches has %q; x86_64 and aarch64 are known", arch)
		}
	}
	if !slices.Contains(d.Arches, c.Definition.Arch) {
		wrong("Case.Definition.Arch %q is not in Arches %q", c.Definition.Arch, d.Arches)
	}
	_, packager := b.(builder.Packager)
	_, resolver := b.(builder.Resolver)
	_, remote := b.(*builder.Client) // which is both for every builder
	for _, c := range []struct {
		capability, implements string
		does                   bool
	}{
		{builder.CapabilityPackage, "Packager", packager},
		{builder.CapabilityResolve, "Resolver", resolver},
	} {
		if lists := slices.Contains(d.Capabilities, c.capability); lists != c.does && (lists || !remote) {
			wrong("Capabilities has %q: %t; it implements %s: %t", c.capability, lists, c.implements, c.does)
		}
	}
	return errors.Join(append(errs, checkSchema("", d.Schema)...)...)
}

// checkSchema looks at one body of a schema; at is where it stands, such as
// "block.".
func checkSchema(at string, s builder.Schema) []error {
	var errs []error
	seen := make(map[string]bool)
	name := func(name, doc string) {
		if !attributeName.MatchString(name) {
			errs = append(errs, fmt.Errorf("schema: %q is no name for an attribute or block", at+name))
		}
		if seen[name] {
			errs = append(errs, fmt.Errorf("schema: %s is there twice", at+name))
		}
		if doc == "" {
			errs = append(errs, fmt.Errorf("schema: %s has no Doc", at+name))
		}
		seen[name] = true
	}
	for _, a := range s.Attributes {
		name(a.Name, a.Doc)
		if err := checkAttribute(a); err != nil {
			errs = append(errs, fmt.Errorf("schema: %s: %w", at+a.Name, err))
		}
	}
	for _, b := range s.Blocks {
		name(b.Name, b.Doc)
		errs = append(errs, checkSchema(at+b.Name+".", b.Schema)...)
	}
	return errs
}

// checkAttribute reads the type and the default as the host does.
func checkAttribute(a builder.Attribute) error {
	expr, diags := hclsyntax.ParseExpression([]byte(a.Type), "type", hcl.InitialPos)
	var ty cty.Type
	if !diags.HasErrors() {
		ty, diags = typeexpr.TypeConstraint(expr)
	}
	if diags.HasErrors() {
		return fmt.Errorf("Type %q: %w", a.Type, diags)
	}
	if a.Default == "" {
		return nil
	}
	if a.Required {
		return errors.New("it is required and has a default")
	}
	if _, err := ctyjson.Unmarshal([]byte(a.Default), ty); err != nil {
		return fmt.Errorf("Default %s is no %s in JSON: %w", a.Default, a.Type, err)
	}
	return nil
}

func checkProbe(ctx context.Context, b builder.Builder, c Case) error {
	missing, err := b.Probe(ctx, &c.Definition)
	if err != nil {
		return fmt.Errorf("Probe: %w", err)
	}
	for _, m := range missing {
		if m.What == "" || m.Why == "" || m.Debian == "" && m.Remedy == "" {
			return fmt.Errorf("Probe: %+v does not say what is missing, why it is needed and what to do", m)
		}
	}
	return nil
}

func checkAccepts(ctx context.Context, b builder.Builder, c Case) error {
	first, err := b.Validate(ctx, &c.Definition)
	if err != nil {
		return fmt.Errorf("Validate of Case.Definition: %w", err)
	}
	if first.HasErrors() {
		return fmt.Errorf("Validate rejects Case.Definition: %+v", first)
	}
	second, err := b.Validate(ctx, &c.Definition)
	if err != nil || !reflect.DeepEqual(first, second) {
		return fmt.Errorf("Validate returned first %+v, then %+v, %v", first, second, err)
	}
	return nil
}

func checkRejects(ctx context.Context, b builder.Builder, c Case) error {
	var errs []error
	for _, bad := range c.BadConfigs {
		if err := checkBadConfig(ctx, b, c, bad); err != nil {
			errs = append(errs, fmt.Errorf("Validate of %s: %w", bad.Config, err))
		}
	}
	unknown, err := c.withConfig(b, []byte(`{"no_such_name_in_any_schema": 1}`))
	if err != nil {
		// Something is required: take what the case gives.
		unknown = &builder.Definition{}
		*unknown = c.Definition
		unknown.Config = append([]byte(`{"no_such_name_in_any_schema": 1,`), c.Definition.Config[1:]...)
	}
	if ds, err := b.Validate(ctx, unknown); err == nil && !ds.HasErrors() {
		errs = append(errs, errors.New("Validate passes over a name that is not in the schema: decode with builder.DecodeConfig"))
	}
	return errors.Join(errs...)
}

func checkBadConfig(ctx context.Context, b builder.Builder, c Case, bad BadConfig) error {
	def, err := c.withConfig(b, bad.Config)
	if err != nil {
		return err
	}
	ds, err := b.Validate(ctx, def)
	if err != nil {
		return fmt.Errorf("an error, %w, where a diagnostic could show the place", err)
	}
	schema := b.Describe().Schema
	var found bool
	for _, d := range ds {
		if d.Summary == "" {
			return fmt.Errorf("a diagnostic without a summary: %+v", d)
		}
		if len(d.Path) > 0 && !inSchema(schema, d.Path[0]) {
			return fmt.Errorf("the diagnostic %q is about %q, which is not in the schema", d.Summary, d.Path[0])
		}
		found = found || d.Severity == builder.Error && slices.Equal(d.Path, bad.WantPath)
	}
	if !found {
		return fmt.Errorf("no error at %q, but %+v", bad.WantPath, ds)
	}
	return nil
}

func inSchema(s builder.Schema, name string) bool {
	return slices.ContainsFunc(s.Attributes, func(a builder.Attribute) bool { return a.Name == name }) ||
		slices.ContainsFunc(s.Blocks, func(b builder.Block) bool { return b.Name == name })
}

func checkPlan(ctx context.Context, b builder.Builder, c Case) error {
	plan, err := b.Plan(ctx, &c.Definition)
	if err != nil {
		return fmt.Errorf("Plan: %w", err)
	}
	if err := plan.Check(); err != nil {
		return fmt.Errorf("Plan: %w", err)
	}
	var errs []error
	for _, s := range plan.Sources {
		if s.Selection != "" && !slices.Contains(b.Describe().Capabilities, builder.CapabilityResolve) {
			errs = append(errs, fmt.Errorf("Plan: source %q has a selection, and Capabilities lacks %q", s.Name, builder.CapabilityResolve))
		}
	}
	for _, s := range plan.Steps {
		if s.Title == "" {
			errs = append(errs, fmt.Errorf("Plan: step %q has no title", s.ID))
		}
		if s.App && c.Definition.App == nil {
			errs = append(errs, fmt.Errorf("Plan: step %q reads the app's directory, and the definition has no app", s.ID))
		}
		for name, value := range s.Inputs {
			if app := c.Definition.App; app != nil && strings.Contains(value, app.Path) {
				errs = append(errs, fmt.Errorf("Plan: input %q of step %q holds the path of the app: "+
					"the same app elsewhere would have another key; set App, for the digest of what is there", name, s.ID))
			}
			if len(c.Definition.Root) > 1 && strings.Contains(value, c.Definition.Root) {
				errs = append(errs, fmt.Errorf("Plan: input %q of step %q holds the path of the definition's Root: "+
					"the same build elsewhere would have another key; give a digest of what is there", name, s.ID))
			}
		}
	}
	again, err := b.Plan(ctx, &c.Definition)
	if err != nil || !reflect.DeepEqual(plan, again) {
		errs = append(errs, fmt.Errorf("Plan returned first %+v, then %+v, %v", plan, again, err))
	}
	return errors.Join(errs...)
}

// declared is what a step says of its own that can change its result.
func declared(plan *builder.Plan) map[string]string {
	series := make(map[string]string)
	for _, s := range plan.Sources {
		series[s.Name] = s.Series + " " + s.Selection
	}
	all := make(map[string]string)
	for _, s := range plan.Steps {
		own := []string{fmt.Sprintf("app %t", s.App)}
		for name, value := range s.Inputs {
			own = append(own, "input "+name+"="+value)
		}
		for _, name := range s.Sources {
			own = append(own, "source "+name+" "+series[name])
		}
		slices.Sort(own)
		all[s.ID] = strings.Join(own, "\n")
	}
	return all
}

func checkChanges(ctx context.Context, b builder.Builder, c Case) error {
	plan, err := b.Plan(ctx, &c.Definition)
	if err != nil {
		return fmt.Errorf("Plan: %w", err)
	}
	before := declared(plan)
	var errs []error
	for _, change := range c.Changes {
		def, err := c.withConfig(b, change.Config)
		if err != nil {
			return fmt.Errorf("Case.Changes: %s: %w", change.Config, err)
		}
		changed, err := b.Plan(ctx, def)
		if err != nil {
			return fmt.Errorf("Plan of %s: %w", change.Config, err)
		}
		after := declared(changed)
		for id := range before {
			same, listed := before[id] == after[id], slices.Contains(change.Steps, id)
			if same && listed {
				errs = append(errs, fmt.Errorf("Plan of %s: step %q does not say that it changes: it would be taken from the cache", change.Config, id))
			} else if !same && !listed {
				errs = append(errs, fmt.Errorf("Plan of %s: step %q changes, which Case.Changes does not list: it would be built again", change.Config, id))
			}
		}
	}
	return errors.Join(errs...)
}

func checkConcurrent(ctx context.Context, b builder.Builder, c Case) error {
	want, err := b.Plan(ctx, &c.Definition)
	if err != nil {
		return fmt.Errorf("Plan: %w", err)
	}
	errs := make([]error, 4)
	var calls sync.WaitGroup
	for i := range errs {
		calls.Go(func() {
			if _, err := b.Validate(ctx, &c.Definition); err != nil {
				errs[i] = fmt.Errorf("Validate: %w", err)
				return
			}
			if got, err := b.Plan(ctx, &c.Definition); err != nil || !reflect.DeepEqual(got, want) {
				errs[i] = fmt.Errorf("Plan returned %+v, %v side by side with others, and %+v alone", got, err, want)
			}
		})
	}
	calls.Wait()
	return errors.Join(errs...)
}

// makeDirs makes directories below parent.
func makeDirs(parent string, names ...string) ([]string, error) {
	dirs := make([]string, len(names))
	for i, name := range names {
		dir, err := os.MkdirTemp(parent, name+"-")
		if err != nil {
			return nil, err
		}
		dirs[i] = dir
	}
	return dirs, nil
}
