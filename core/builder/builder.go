package builder

import (
	"context"
	"slices"
	"time"
)

// Builder is what a strategy's plugin implements. The host calls it over gRPC
// (see Serve), or directly in tests (see buildertest).
//
// Every method may be called any number of times and, except Build, must have
// no side effects. A Builder has no network code and no cache: it says in Plan
// what it needs and what its steps depend on, and the host fetches, schedules,
// caches and publishes.
type Builder interface {
	// Describe returns who the builder is and the schema of its block.
	Describe() Description
	// Probe returns what this host lacks to build def, each with its remedy.
	Probe(ctx context.Context, def *Definition) ([]Missing, error)
	// Validate checks what the schema cannot express.
	Validate(ctx context.Context, def *Definition) (Diagnostics, error)
	// Plan returns the sources and steps for def. The last step yields the machine.
	Plan(ctx context.Context, def *Definition) (*Plan, error)
	// Build runs one step of the plan. It writes below req.Out only. The last
	// step returns the machine; every other step returns nil.
	Build(ctx context.Context, req *BuildRequest, events Events) (*Machine, error)
}

// Packager is implemented by a builder with artifacts of its own kind, such as
// firmware, made from the lean tree. Its Description lists CapabilityPackage.
type Packager interface {
	Package(ctx context.Context, req *PackageRequest, events Events) error
}

// CapabilityPackage says that the builder implements Packager.
const CapabilityPackage = "package"

// Description is who a builder is.
type Description struct {
	Name         string   // the strategy's name, as in `strategy = "custom"`
	Version      string   // the plugin's own version
	Capabilities []string // optional parts of the contract it implements; unknown ones are ignored
	Arches       []string // architectures it builds for, as in `arch = "x86_64"`
	Schema       Schema   // the strategy's own block in a definition
}

// Schema describes an HCL block's body.
type Schema struct {
	Attributes []Attribute
	Blocks     []Block
}

// Attribute is one `name = value`.
type Attribute struct {
	Name     string
	Type     string // an HCL type expression: "string", "bool", "number", "list(string)", "map(string)"
	Required bool
	Default  string // a JSON value; empty for none (null)
	Doc      string
}

// Block is a nested block. List: it may occur any number of times and becomes a
// JSON array; otherwise at most once, and becomes an object or null.
type Block struct {
	Name   string
	List   bool
	Doc    string
	Schema Schema
}

// Definition is a vm block after evaluation: constants only.
type Definition struct {
	VM       string
	Arch     string // "x86_64" or "aarch64"
	Root     string // absolute directory that relative paths are relative to; holds kernel-configs/ and overlays/
	OTP      OTP
	Elixir   string // version series, such as "1.18"
	Console  bool   // there is no app: the VM is an iex console
	App      *App   // nil for a console, and from a host that does not tell
	Config   []byte // the strategy's block as JSON; see DecodeConfig
	Hostname string
	Output   Output
}

// App is the Mix project that the VM is for. A step that reads its directory says
// so, by Step.App.
type App struct {
	Path    string // absolute directory
	Release string // which of the project's releases; empty: the only one
}

// notSource are the parts of an app's directory that no release comes from: what
// tools make, and what editors and version control keep.
var notSource = []string{"_build", "cover", "doc", ".git", ".elixir_ls", ".lexical", "node_modules", "erl_crash.dump"}

// NotSource reports whether a file or directory of this name, anywhere in an app's
// directory, is none of its sources. It is not in the digest that stands for the
// directory (Step.App), so no result may depend on it.
func NotSource(name string) bool { return slices.Contains(notSource, name) }

// Output is what the kernel is given its root in: the definition's output block.
type Output struct {
	Root        string // "initramfs", or "disk": a squashfs on a virtio disk
	Compression string // of either: "zstd" or "xz"
}

// OTP is the definition's otp block.
type OTP struct {
	Version  string // series, such as "27"
	Emulator string // "interpreter" or "jit"
	Link     string // "static" or "dynamic"
}

// Missing is something the host lacks.
type Missing struct {
	What   string // "bison", "libssl.a"
	Why    string // "the kernel's Kconfig parser is generated with it"
	Debian string // the Debian package that brings it, as apt-get takes it (also "name:arm64"); empty when none does
	Remedy string // what to do where Debian does not help
}

// Severity of a Diagnostic.
type Severity int

const (
	Error Severity = iota
	Warning
)

// Diagnostic is a finding about a definition. Path points into the strategy's
// block: {"fragments", "2"} is the third element of its attribute fragments.
// The host shows file, line and column.
type Diagnostic struct {
	Severity Severity
	Summary  string
	Detail   string
	Path     []string
}

// Diagnostics is a list of findings.
type Diagnostics []Diagnostic

// HasErrors reports whether any of them is an Error.
func (ds Diagnostics) HasErrors() bool {
	for _, d := range ds {
		if d.Severity == Error {
			return true
		}
	}
	return false
}

// Plan is what a builder will do.
type Plan struct {
	Sources []Source
	Steps   []Step // in an order in which they could run one after the other
	// Mirrors are where relative URLs of a Resolver's files are looked for, in
	// this order: http(s) URLs or absolute directories.
	Mirrors []string
}

// Source is something the host must fetch: a release, by a name that the host
// knows and a series; or, with a Selection, files that the builder's Resolver
// finds.
type Source struct {
	Name   string // "linux", "erlang", "elixir", "busybox"
	Series string // "6.12"
	// Selection says what of the series is wanted, on one line, in the same words
	// for the same wish: the lock file's answer holds as long as it is the same.
	Selection string
}

// Step is a part of the build with one cached result, a directory.
type Step struct {
	ID      string            // "kernel"
	Kind    string            // steps of any builders with the same Kind and inputs share one result; empty: strategy/ID, for its own only
	Title   string            // "Linux kernel 6.12", for people
	Needs   []string          // ids of steps whose results it reads
	Sources []string          // names of sources it reads
	Inputs  map[string]string // everything else that can change the result: name → value or digest

	// App says that the step reads the app's directory, Definition.App: the host
	// adds a digest of what is there, but for what NotSource names, to what can
	// change the result. A plan for a console has no such step. A release that
	// such a step makes (Machine.Release) is taken in place of compiling the app.
	App bool
	// KeepWork says that the step wants BuildRequest.Work back as it left it,
	// for the same VM of the same project at the same path: the hours of
	// somebody else's make are in there. Whatever the last run left counts for
	// nothing but time: it may have been of other inputs, and it may have been
	// killed anywhere. The step must tell, and the result must be the one that
	// an empty directory gives.
	KeepWork bool
	// Downloads is the id of a step that it needs, or empty. That step's result
	// holds a DownloadsFile, and the host fetches what stands there before this
	// step runs: see BuildRequest.Downloads.
	Downloads string
}

// BuildRequest asks for one step.
type BuildRequest struct {
	Definition *Definition
	Step       string
	Out        string                   // absolute; empty, and published when the step succeeds
	Work       string                   // absolute; scratch space, empty and removed afterwards unless Step.KeepWork
	Needs      map[string]string        // step id → its result directory; read-only
	Sources    map[string]FetchedSource // by name
	Jobs       int                      // how many processes to run side by side

	// Downloads is an absolute directory that holds what the host fetched for
	// Step.Downloads, each file at its Download.Path. It is kept and shared by
	// all builds of the strategy: other files may be in it, and files may be
	// added. Empty where the step names no downloads, and from a host that does
	// not fetch them.
	Downloads string
	// Offline says that what the step runs must not touch a network either.
	Offline bool
}

// FetchedSource is a verified source on disk.
type FetchedSource struct {
	Version string
	Path    string // the archive; empty when there are Files
	SHA256  string // of the archive, or of all that Files says
	Files   []FetchedFile
}

// PackageRequest asks a Packager for its artifacts.
type PackageRequest struct {
	Definition *Definition
	Machine    *Machine
	Rootfs     string // the lean tree as an uncompressed tar
	Kernel     string // the kernel image
	Out        string
	Work       string
}

// Ref is a path below a step's result directory.
type Ref struct {
	Step string
	Path string // "." for all of it
}

// Machine is what a strategy makes. Everything after it is the same for all.
type Machine struct {
	Kernel     Ref    // bootable image: bzImage on x86_64, Image on aarch64
	Rootfs     Ref    // the root without the app: an uncompressed tar, with owners and devices
	Cmdline    string // kernel command line, without the console
	Toolchain  Toolchain
	Emulators  []Emulator
	Libc       string // "static", "glibc" or "musl": what NIFs must be linked against
	Components []Component
	Release    Ref      // a release that is there already, made for the root: taken when the definition names no app, or when the step that made it reads the app
	Modules    []string // of the kernel, absolute paths in the root of uncompressed files, which /init loads in this order
}

// Toolchain compiles the app on the build host.
type Toolchain struct {
	OTP    Ref               // installed OTP that runs on the build host (bin/erl)
	Elixir Ref               // Elixir compiled with it (bin/mix)
	Env    map[string]string // for the compilers of NIFs, such as CC
	// Target is an OTP installed for the VM (erts-*, lib/), of the same series as
	// OTP: a release takes OTP's applications from it, with their native code.
	// Without it they are OTP's own.
	Target Ref
}

// Emulator is a beam.smp in the root, of which the lean step keeps the smallest
// that serves the release.
type Emulator struct {
	Path string   // absolute path in the root
	NIFs []string // OTP applications whose NIFs are linked in: "crypto", "asn1"
}

// Component names a part of the root, for the size report.
type Component struct {
	Name    string
	Version string
	Paths   []string // absolute paths in the root; a directory stands for all below it
}

// Events receives what happens while a step runs. Safe for concurrent use.
type Events interface {
	Emit(Event)
}

// Event is one of Log, Progress, StepStarted, StepFinished, Notice, Artifact or
// Usage.
type Event interface{ isEvent() }

// Log is one line of output, without its newline.
type Log struct{ Line string }

// Progress is how far the step is. Total 0: unknown.
type Progress struct {
	Done, Total int64
	Unit        string // "bytes", "objects", "packages"
}

// StepStarted and StepFinished bracket a part of a step, for people to see.
type StepStarted struct{ Title string }
type StepFinished struct{ Title string }

// Notice is a Diagnostic raised while building.
type Notice struct{ Diagnostic Diagnostic }

// Artifact is a file worth naming, relative to the step's Out.
type Artifact struct{ Name, Path string }

// Usage is the processor time that a command took, with that of its children.
// Run emits it.
type Usage struct{ CPU time.Duration }

func (Log) isEvent()          {}
func (Progress) isEvent()     {}
func (StepStarted) isEvent()  {}
func (StepFinished) isEvent() {}
func (Notice) isEvent()       {}
func (Artifact) isEvent()     {}
func (Usage) isEvent()        {}
