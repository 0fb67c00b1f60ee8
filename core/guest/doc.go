// Package guest is what runs in the VM before BEAM: /init, in C, and the file
// that tells it what to do; and BusyBox, of which it starts the DHCP client.
//
// The package holds init's source and BusyBox' configuration; whoever builds a
// machine compiles both for that machine (static, see Source). Buildroot's
// external tree, buildroot-external, reads the two files here. It does not launch or watch a VM: core/vm
// reads the marks that init writes on the console. The protocol between the
// three is docs/architecture.md, "The guest".
package guest
