package builder

import (
	"time"

	"strings"
	"unicode/utf8"

	"github.com/somebloke1/elixir-lean-lab/core/builder/builderpb"
)

// each converts a list. A list on the wire cannot tell empty from nil: both
// become nil.
func each[A, B any](as []A, f func(A) B) []B {
	if len(as) == 0 {
		return nil
	}
	bs := make([]B, len(as))
	for i, a := range as {
		bs[i] = f(a)
	}
	return bs
}

// eachValue converts a map's values; empty and nil both become nil.
func eachValue[A, B any](as map[string]A, f func(A) B) map[string]B {
	if len(as) == 0 {
		return nil
	}
	bs := make(map[string]B, len(as))
	for k, a := range as {
		bs[k] = f(a)
	}
	return bs
}

func descriptionToPB(d Description) *builderpb.Description {
	return &builderpb.Description{
		Name: d.Name, Version: d.Version, Capabilities: d.Capabilities, Arches: d.Arches,
		Schema: schemaToPB(d.Schema),
	}
}

func descriptionFromPB(d *builderpb.Description) Description {
	return Description{
		Name: d.GetName(), Version: d.GetVersion(), Capabilities: d.GetCapabilities(), Arches: d.GetArches(),
		Schema: schemaFromPB(d.GetSchema()),
	}
}

func schemaToPB(s Schema) *builderpb.Schema {
	return &builderpb.Schema{
		Attributes: each(s.Attributes, func(a Attribute) *builderpb.Attribute {
			return &builderpb.Attribute{Name: a.Name, Type: a.Type, Required: a.Required, Default: a.Default, Doc: a.Doc}
		}),
		Blocks: each(s.Blocks, func(b Block) *builderpb.Block {
			return &builderpb.Block{Name: b.Name, List: b.List, Doc: b.Doc, Schema: schemaToPB(b.Schema)}
		}),
	}
}

func schemaFromPB(s *builderpb.Schema) Schema {
	return Schema{
		Attributes: each(s.GetAttributes(), func(a *builderpb.Attribute) Attribute {
			return Attribute{Name: a.GetName(), Type: a.GetType(), Required: a.GetRequired(), Default: a.GetDefault(), Doc: a.GetDoc()}
		}),
		Blocks: each(s.GetBlocks(), func(b *builderpb.Block) Block {
			return Block{Name: b.GetName(), List: b.GetList(), Doc: b.GetDoc(), Schema: schemaFromPB(b.GetSchema())}
		}),
	}
}

func definitionToPB(d *Definition) *builderpb.Definition {
	if d == nil {
		return nil
	}
	return &builderpb.Definition{
		Vm: d.VM, Arch: d.Arch, Root: d.Root, Elixir: d.Elixir, Console: d.Console, Config: d.Config, Hostname: d.Hostname,
		App:    appToPB(d.App),
		Otp:    &builderpb.OTP{Version: d.OTP.Version, Emulator: d.OTP.Emulator, Link: d.OTP.Link},
		Output: &builderpb.Output{Root: d.Output.Root, Compression: d.Output.Compression},
	}
}

func definitionFromPB(d *builderpb.Definition) *Definition {
	return &Definition{
		VM: d.GetVm(), Arch: d.GetArch(), Root: d.GetRoot(), Elixir: d.GetElixir(), Console: d.GetConsole(), Config: d.GetConfig(), Hostname: d.GetHostname(),
		App:    appFromPB(d.GetApp()),
		OTP:    OTP{Version: d.GetOtp().GetVersion(), Emulator: d.GetOtp().GetEmulator(), Link: d.GetOtp().GetLink()},
		Output: Output{Root: d.GetOutput().GetRoot(), Compression: d.GetOutput().GetCompression()},
	}
}

func appToPB(a *App) *builderpb.App {
	if a == nil {
		return nil
	}
	return &builderpb.App{Path: a.Path, Release: a.Release}
}

func appFromPB(a *builderpb.App) *App {
	if a == nil {
		return nil
	}
	return &App{Path: a.GetPath(), Release: a.GetRelease()}
}

func missingToPB(m Missing) *builderpb.Missing {
	return &builderpb.Missing{What: m.What, Why: m.Why, Debian: m.Debian, Remedy: m.Remedy}
}

func missingFromPB(m *builderpb.Missing) Missing {
	return Missing{What: m.GetWhat(), Why: m.GetWhy(), Debian: m.GetDebian(), Remedy: m.GetRemedy()}
}

func diagnosticToPB(d Diagnostic) *builderpb.Diagnostic {
	severity := builderpb.Severity_SEVERITY_ERROR
	if d.Severity == Warning {
		severity = builderpb.Severity_SEVERITY_WARNING
	}
	return &builderpb.Diagnostic{Severity: severity, Summary: d.Summary, Detail: d.Detail, Path: d.Path}
}

// diagnosticFromPB reads a severity that it does not know as Error: better to
// stop on a finding than to pass over it.
func diagnosticFromPB(d *builderpb.Diagnostic) Diagnostic {
	severity := Error
	if d.GetSeverity() == builderpb.Severity_SEVERITY_WARNING {
		severity = Warning
	}
	return Diagnostic{Severity: severity, Summary: d.GetSummary(), Detail: d.GetDetail(), Path: d.GetPath()}
}

func sourceToPB(s Source) *builderpb.Source {
	return &builderpb.Source{Name: s.Name, Series: s.Series, Selection: s.Selection}
}

func sourceFromPB(s *builderpb.Source) Source {
	return Source{Name: s.GetName(), Series: s.GetSeries(), Selection: s.GetSelection()}
}

func planToPB(p *Plan) *builderpb.Plan {
	return &builderpb.Plan{
		Sources: each(p.Sources, sourceToPB), Mirrors: p.Mirrors,
		Steps: each(p.Steps, func(s Step) *builderpb.Step {
			return &builderpb.Step{Id: s.ID, Kind: s.Kind, Title: s.Title, Needs: s.Needs, Sources: s.Sources, Inputs: s.Inputs, App: s.App, KeepWork: s.KeepWork, Downloads: s.Downloads}
		}),
	}
}

func planFromPB(p *builderpb.Plan) *Plan {
	return &Plan{
		Sources: each(p.GetSources(), sourceFromPB), Mirrors: p.GetMirrors(),
		Steps: each(p.GetSteps(), func(s *builderpb.Step) Step {
			return Step{ID: s.GetId(), Kind: s.GetKind(), Title: s.GetTitle(), Needs: s.GetNeeds(), Sources: s.GetSources(), Inputs: s.GetInputs(), App: s.GetApp(), KeepWork: s.GetKeepWork(), Downloads: s.GetDownloads()}
		}),
	}
}

func fetchedFileToPB(f FetchedFile) *builderpb.FetchedFile {
	return &builderpb.FetchedFile{Name: f.Name, Version: f.Version, Path: f.Path, Sha256: f.SHA256}
}

func fetchedFileFromPB(f *builderpb.FetchedFile) FetchedFile {
	return FetchedFile{Name: f.GetName(), Version: f.GetVersion(), Path: f.GetPath(), SHA256: f.GetSha256()}
}

func resolveRequestToPB(r *ResolveRequest) *builderpb.ResolveRequest {
	return &builderpb.ResolveRequest{Definition: definitionToPB(r.Definition), Source: sourceToPB(r.Source), Fetched: r.Fetched, Work: r.Work}
}

func resolveRequestFromPB(r *builderpb.ResolveRequest) *ResolveRequest {
	return &ResolveRequest{Definition: definitionFromPB(r.GetDefinition()), Source: sourceFromPB(r.GetSource()), Fetched: r.GetFetched(), Work: r.GetWork()}
}

func resolutionToPB(r *Resolution) *builderpb.ResolveResponse {
	return &builderpb.ResolveResponse{
		Files: each(r.Files, func(f RemoteFile) *builderpb.RemoteFile {
			return &builderpb.RemoteFile{Name: f.Name, Version: f.Version, Url: f.URL, Sha256: f.SHA256, Identity: f.Identity, Bytes: f.Bytes}
		}),
		Done: r.Done, Diagnostics: each(r.Diagnostics, diagnosticToPB),
	}
}

func resolutionFromPB(r *builderpb.ResolveResponse) *Resolution {
	return &Resolution{
		Files: each(r.GetFiles(), func(f *builderpb.RemoteFile) RemoteFile {
			return RemoteFile{Name: f.GetName(), Version: f.GetVersion(), URL: f.GetUrl(), SHA256: f.GetSha256(), Identity: f.GetIdentity(), Bytes: f.GetBytes()}
		}),
		Done: r.GetDone(), Diagnostics: each(r.GetDiagnostics(), diagnosticFromPB),
	}
}

func buildRequestToPB(call string, r *BuildRequest) *builderpb.BuildRequest {
	return &builderpb.BuildRequest{
		Call: call, Definition: definitionToPB(r.Definition), Step: r.Step, Out: r.Out, Work: r.Work, Needs: r.Needs, Jobs: int32(r.Jobs), Downloads: r.Downloads, Offline: r.Offline,
		Sources: eachValue(r.Sources, func(s FetchedSource) *builderpb.FetchedSource {
			return &builderpb.FetchedSource{Version: s.Version, Path: s.Path, Sha256: s.SHA256, Files: each(s.Files, fetchedFileToPB)}
		}),
	}
}

func buildRequestFromPB(r *builderpb.BuildRequest) *BuildRequest {
	return &BuildRequest{
		Definition: definitionFromPB(r.GetDefinition()), Step: r.GetStep(), Out: r.GetOut(), Work: r.GetWork(), Needs: r.GetNeeds(), Jobs: int(r.GetJobs()), Downloads: r.GetDownloads(), Offline: r.GetOffline(),
		Sources: eachValue(r.GetSources(), func(s *builderpb.FetchedSource) FetchedSource {
			return FetchedSource{Version: s.GetVersion(), Path: s.GetPath(), SHA256: s.GetSha256(), Files: each(s.GetFiles(), fetchedFileFromPB)}
		}),
	}
}

func packageRequestToPB(call string, r *PackageRequest) *builderpb.PackageRequest {
	return &builderpb.PackageRequest{
		Call: call, Definition: definitionToPB(r.Definition), Machine: machineToPB(r.Machine),
		Rootfs: r.Rootfs, Kernel: r.Kernel, Out: r.Out, Work: r.Work,
	}
}

func packageRequestFromPB(r *builderpb.PackageRequest) *PackageRequest {
	return &PackageRequest{
		Definition: definitionFromPB(r.GetDefinition()), Machine: machineFromPB(r.GetMachine()),
		Rootfs: r.GetRootfs(), Kernel: r.GetKernel(), Out: r.GetOut(), Work: r.GetWork(),
	}
}

func refToPB(r Ref) *builderpb.Ref { return &builderpb.Ref{Step: r.Step, Path: r.Path} }

func refFromPB(r *builderpb.Ref) Ref { return Ref{Step: r.GetStep(), Path: r.GetPath()} }

func machineToPB(m *Machine) *builderpb.Machine {
	if m == nil {
		return nil
	}
	return &builderpb.Machine{
		Kernel: refToPB(m.Kernel), Rootfs: refToPB(m.Rootfs), Cmdline: m.Cmdline, Libc: m.Libc, Modules: m.Modules, Release: refToPB(m.Release),
		Toolchain: &builderpb.Toolchain{Otp: refToPB(m.Toolchain.OTP), Elixir: refToPB(m.Toolchain.Elixir), Env: m.Toolchain.Env, Target: refToPB(m.Toolchain.Target)},
		Emulators: each(m.Emulators, func(e Emulator) *builderpb.Emulator {
			return &builderpb.Emulator{Path: e.Path, Nifs: e.NIFs}
		}),
		Components: each(m.Components, func(c Component) *builderpb.Component {
			return &builderpb.Component{Name: c.Name, Version: c.Version, Paths: c.Paths}
		}),
	}
}

func machineFromPB(m *builderpb.Machine) *Machine {
	if m == nil {
		return nil
	}
	return &Machine{
		Kernel: refFromPB(m.GetKernel()), Rootfs: refFromPB(m.GetRootfs()), Cmdline: m.GetCmdline(), Libc: m.GetLibc(), Modules: m.GetModules(), Release: refFromPB(m.GetRelease()),
		Toolchain: Toolchain{OTP: refFromPB(m.GetToolchain().GetOtp()), Elixir: refFromPB(m.GetToolchain().GetElixir()), Env: m.GetToolchain().GetEnv(), Target: refFromPB(m.GetToolchain().GetTarget())},
		Emulators: each(m.GetEmulators(), func(e *builderpb.Emulator) Emulator {
			return Emulator{Path: e.GetPath(), NIFs: e.GetNifs()}
		}),
		Components: each(m.GetComponents(), func(c *builderpb.Component) Component {
			return Component{Name: c.GetName(), Version: c.GetVersion(), Paths: c.GetPaths()}
		}),
	}
}

func eventToPB(e Event) *builderpb.Event {
	switch e := e.(type) {
	case Log:
		return &builderpb.Event{Kind: &builderpb.Event_Log{Log: &builderpb.Log{Line: cleanLine(e.Line)}}}
	case Progress:
		return &builderpb.Event{Kind: &builderpb.Event_Progress{Progress: &builderpb.Progress{Done: e.Done, Total: e.Total, Unit: e.Unit}}}
	case StepStarted:
		return &builderpb.Event{Kind: &builderpb.Event_StepStarted{StepStarted: &builderpb.StepStarted{Title: e.Title}}}
	case StepFinished:
		return &builderpb.Event{Kind: &builderpb.Event_StepFinished{StepFinished: &builderpb.StepFinished{Title: e.Title}}}
	case Notice:
		return &builderpb.Event{Kind: &builderpb.Event_Notice{Notice: &builderpb.Notice{Diagnostic: diagnosticToPB(e.Diagnostic)}}}
	case Artifact:
		return &builderpb.Event{Kind: &builderpb.Event_Artifact{Artifact: &builderpb.Artifact{Name: e.Name, Path: e.Path}}}
	case Usage:
		return &builderpb.Event{Kind: &builderpb.Event_Usage{Usage: &builderpb.Usage{CpuNanoseconds: int64(e.CPU)}}}
	}
	return nil
}

// eventFromPB returns nil for a kind of event that a newer plugin sends and
// this host does not know.
func eventFromPB(e *builderpb.Event) Event {
	switch k := e.GetKind().(type) {
	case *builderpb.Event_Log:
		return Log{Line: cleanLine(k.Log.GetLine())}
	case *builderpb.Event_Progress:
		return Progress{Done: k.Progress.GetDone(), Total: k.Progress.GetTotal(), Unit: k.Progress.GetUnit()}
	case *builderpb.Event_StepStarted:
		return StepStarted{Title: k.StepStarted.GetTitle()}
	case *builderpb.Event_StepFinished:
		return StepFinished{Title: k.StepFinished.GetTitle()}
	case *builderpb.Event_Notice:
		return Notice{Diagnostic: diagnosticFromPB(k.Notice.GetDiagnostic())}
	case *builderpb.Event_Artifact:
		return Artifact{Name: k.Artifact.GetName(), Path: k.Artifact.GetPath()}
	case *builderpb.Event_Usage:
		return Usage{CPU: time.Duration(k.Usage.GetCpuNanoseconds())}
	}
	return nil
}

// maxLine is the longest Log line, in bytes. Run cuts longer output into
// several lines; a longer Log of a builder's own is shortened.
const maxLine = 4096

// cleanLine makes a line fit for the wire (protobuf strings are UTF-8) and for
// a terminal: control characters and bytes that are no UTF-8 become U+FFFD.
func cleanLine(line string) string {
	if len(line) > maxLine {
		line = line[:maxLine]
	}
	dirty := func(r rune) bool { return r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 }
	if utf8.ValidString(line) && strings.IndexFunc(line, dirty) < 0 {
		return line
	}
	return strings.Map(func(r rune) rune {
		if dirty(r) {
			return utf8.RuneError
		}
		return r // Map gives U+FFFD for an invalid byte
	}, line)
}

// cleanText is cleanLine for text of several lines, such as an error, of at
// most 64 KiB.
func cleanText(text string) string {
	if len(text) > 16*maxLine {
		text = text[:16*maxLine]
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = cleanLine(line)
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}
