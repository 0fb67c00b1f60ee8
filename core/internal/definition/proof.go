package definition

import (
	"strconv"
	"time"

	"github.com/somebloke1/elixir-lean-lab/core/internal/check"
)

func (vm *VM) readProof(r *reader) {
	vm.readChecks(r)
	if text, ok := r.text("proof", "timeout"); ok {
		timeout, err := time.ParseDuration(text)
		if err != nil || timeout < time.Second {
			r.errorAt([]string{"proof", "timeout"}, "Bad timeout", "%q is no time to wait: write, for instance, \"90s\" or \"5m\", at least \"1s\".", text)
		}
		vm.Proof.Timeout = timeout
	}
	vm.Proof.Memory = r.size(leastMemory, "A kernel and an idle BEAM hold more than that between them.", "proof", "memory")
	if bytes := vm.Proof.Memory; bytes%mebibyte != 0 {
		r.errorAt([]string{"proof", "memory"}, "Not whole MiB", "Emulators take memory in MiB: write \"%dMiB\" or \"%dMiB\".", bytes/mebibyte, bytes/mebibyte+1)
	}
}

// readChecks reports what cannot be asked, too. What could not be read has been
// reported: in its place is something that nothing is wrong with.
func (vm *VM) readChecks(r *reader) {
	checks := &vm.Proof.Checks
	if expect, _ := r.list("proof", "expect"); len(expect) > 0 {
		checks.Expect = expect
	}
	checks.Exit, _ = r.text("proof", "exit")
	for i := range r.count("proof", "http") {
		n := strconv.Itoa(i)
		checks.HTTP = append(checks.HTTP, check.HTTP{
			Port:   r.whole(80, "proof", "http", n, "port"),
			Path:   r.textOr("/", "proof", "http", n, "path"),
			Status: r.whole(200, "proof", "http", n, "status"),
			Body:   r.textOr("", "proof", "http", n, "body"),
		})
	}
	for i := range r.count("proof", "eval") {
		n := strconv.Itoa(i)
		checks.Eval = append(checks.Eval, check.Eval{
			Code:   r.textOr("nil", "proof", "eval", n, "code"),
			Result: r.textOr("nil", "proof", "eval", n, "result"),
		})
	}
	for _, f := range checks.Faults() {
		r.errorAt(append([]string{"proof"}, f.Path...), f.Summary, "%s", f.Detail)
	}
	if _, known := r.text("app", "path"); vm.App != nil || r.has("app") && !known {
		return
	}
	if checks.Exit == check.ExitClean {
		r.errorAt([]string{"proof", "exit"}, "An iex console does not end by itself", "It waits for input. Leave exit out, or give an app.")
	}
	for i := range checks.HTTP {
		r.errorAt([]string{"proof", "http", strconv.Itoa(i)}, "An iex console answers no request", "No app is there that would serve. Leave the http check out, or give an app.")
	}
}
