package engine

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/somebloke1/elixir-lean-lab/core/bundle"
	"github.com/somebloke1/elixir-lean-lab/core/internal/report"
	"github.com/somebloke1/elixir-lean-lab/core/internal/store"
	"github.com/somebloke1/elixir-lean-lab/core/vm"
)

// downloadBytes is what a user transfers: kernel and compressed root.
func (e *Engine) downloadBytes(made *images) int64 {
	var n int64
	for _, a := range made.Artifacts {
		if a.Format == bundle.Format && slices.Contains(bundle.Transferred(e.VM.Output.Root), filepath.Base(a.Path)) {
			n += a.Bytes
		}
	}
	return n
}

// checkBudget refuses an image that is larger than the definition allows, and
// says what is large in it.
func (e *Engine) checkBudget(made *images) error {
	size, budget := e.downloadBytes(made), e.VM.Budget.Size
	if budget == 0 || size <= budget {
		return nil
	}
	var detail strings.Builder
	fmt.Fprintf(&detail, "The kernel and the packed root are %d bytes, %d over the budget. The largest parts, packed:", size, size-budget)
	for _, c := range made.Components[:min(6, len(made.Components))] {
		fmt.Fprintf(&detail, "\n  %8d  %s", c.PackedBytes, c.Name)
	}
	detail.WriteString("\n`leanlab lean explain APP` says why an application is there. Keep less, or raise budget.size.")
	return &DiagnosticsError{hcl.Diagnostics{e.Definitions.At(e.VM, []string{"budget", "size"}, "The image is over its budget", detail.String())}}
}

// publish replaces build/<vm>/ with the artifacts and the manifest, in one
// rename. When nothing changed, nothing is written.
func (e *Engine) publish(l *leanResult, made *images, proof *vm.Proof) (*report.Manifest, error) {
	manifest := e.manifest(l, made, proof)
	if err := manifest.Validate(); err != nil {
		return nil, fmt.Errorf("the manifest contradicts itself, which is a fault in leanlab: %w", err)
	}
	dir := filepath.Join(e.Dir, "build", e.VM.Name)
	if current(dir, manifest) {
		return manifest, nil
	}
	out, err := store.NewOutput(dir)
	if err != nil {
		return nil, err
	}
	if err := e.fill(out.Dir, manifest, made); err != nil {
		return nil, errors.Join(err, out.Discard())
	}
	return manifest, out.Publish()
}

// current reports whether dir holds what the manifest says.
func current(dir string, m *report.Manifest) bool {
	have, err := report.Read(filepath.Join(dir, report.FileName))
	if err != nil || !reflect.DeepEqual(have, m) {
		return false
	}
	for _, a := range m.Artifacts {
		digest, err := store.DigestFile(filepath.Join(dir, filepath.FromSlash(a.Path)))
		if err != nil || digest != a.SHA256 {
			return false
		}
	}
	return true
}

func (e *Engine) fill(dir string, manifest *report.Manifest, made *images) error {
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(made.entry.Dir, imagesDir))); err != nil {
		return err
	}
	return report.Write(filepath.Join(dir, report.FileName), manifest)
}

// manifest says what was made, from what, and what was measured. It holds no
// times, so that equal builds have equal manifests.
func (e *Engine) manifest(l *leanResult, made *images, proof *vm.Proof) *report.Manifest {
	r := &report.Manifest{
		Schema: report.Schema, VM: e.VM.Name, Strategy: e.VM.Strategy, Arch: e.VM.Arch,
		DownloadBytes: e.downloadBytes(made),
		Lean:          report.Lean{Level: e.VM.Lean.Level},
		Budget:        report.Budget{SizeBytes: e.VM.Budget.Size, MemoryBytes: e.VM.Budget.Memory},
		BuiltWith:     report.BuiltWith{Leanlab: Version, Plugin: e.desc.Version},
	}
	for _, a := range made.Artifacts {
		r.Artifacts = append(r.Artifacts, report.Artifact{Format: a.Format, Path: filepath.ToSlash(a.Path), Bytes: a.Bytes, SHA256: a.SHA256})
		if a.Format == bundle.Format && filepath.Base(a.Path) == bundle.Kernel {
			r.Components = append(r.Components, report.Component{Name: "kernel", Bytes: a.Bytes, PackedBytes: a.Bytes})
		}
	}
	for _, c := range made.Components {
		r.Components = append(r.Components, report.Component{Name: c.Name, Bytes: c.Bytes, PackedBytes: c.PackedBytes})
	}
	for _, req := range e.plan.Sources {
		s := e.releases[req.Name]
		for _, f := range s.Files {
			entry := report.Source{Name: f.Name, Series: s.Name + " " + s.Series, Version: cmp.Or(f.Version, s.Series), Origin: s.Origin, SHA256: f.SHA256}
			if strings.Contains(f.URL, "://") {
				entry.URL = f.URL
			}
			r.Sources = append(r.Sources, entry)
		}
		if s.Files != nil {
			continue
		}
		entry := report.Source{Name: s.Name, Series: s.Series, Version: s.Version, Origin: s.Origin, SHA256: s.SHA256}
		if s.Origin == "upstream" {
			entry.URL = s.URL
		}
		r.Sources = append(r.Sources, entry)
	}
	for _, d := range l.Report.Kept {
		r.Lean.Kept = append(r.Lean.Kept, d.Application)
	}
	for _, d := range l.Report.Dropped {
		if d.Application != "" && !d.Part && !slices.Contains(r.Lean.Dropped, d.Application) {
			r.Lean.Dropped = append(r.Lean.Dropped, d.Application)
		}
	}
	if checks := e.VM.Proof.Checks; !checks.Empty() {
		r.Checks = &checks
	}
	if proof != nil {
		r.Boot = report.Boot{Verified: true, MemoryMiB: int64(proof.MemoryMiB)}
	}
	if proof != nil && proof.Instructions.Ready > 0 { // a VM that ends by itself may do so before that
		r.Boot.Instructions = &report.Instructions{
			Init: proof.Instructions.Init, Beam: proof.Instructions.BEAM, Ready: proof.Instructions.Ready}
		r.Memory = &report.Memory{TotalMiB: proof.MemTotalKiB >> 10, IdleMiB: (proof.MemTotalKiB - proof.MemAvailableKiB) >> 10}
	}
	return r
}
