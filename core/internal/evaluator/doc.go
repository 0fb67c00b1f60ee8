// Package evaluator asks the evaluator of a running VM for the value of Elixir
// code. The guest's half, and the protocol, are core/guest's.
//
// It starts no VM and puts no evaluator into one: whoever does, gives the machine
// the Channel and the guest the boot file (guest.Boot.With).
package evaluator
