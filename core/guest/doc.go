// Package guest is what runs in the VM before BEAM: /init, in C, and the file
// that tells it what to do.
//
// The package holds init's source; whoever builds a machine compiles it for
// that machine (static, see Source). It does not launch or watch a VM: core/vm
// reads the marks that init writes on the console. The protocol between the
// three is docs/architecture.md, "The guest".
package guest
