package vm

import (
	"fmt"
	"strings"
)

// Kind is what went wrong in a VM.
type Kind string

const (
	Panic         Kind = "kernel panic"
	Crash         Kind = "crash"           // a message that only a crash prints; see crashes
	Exit          Kind = "BEAM ended"      // with a status other than 0, by a signal, or too early
	Hang          Kind = "not ready"       // nothing more happened until the time was up
	Output        Kind = "output missing"  // ready, but the expected text did not come
	Answer        Kind = "no answer"       // the console did not answer as expected
	NotPoweredOff Kind = "not powered off" // the power button was pressed
	Stayed        Kind = "did not end"     // by itself, as it should have
	Ended         Kind = "ended by itself" // QEMU ended without the marks of an orderly end
	Flooded       Kind = "console flooded" // more output than can be followed
)

// screenLines is how much of the console a Failure carries.
const screenLines = 25

// Failure is why a VM did not pass. Any other error of this package is about
// the host: QEMU missing, a file unreadable, the context ended.
type Failure struct {
	Kind   Kind
	Detail string   // what was seen, and how far the guest had come
	Next   string   // what to do
	Screen []string // the console's last lines, without escape sequences
}

func (f *Failure) Error() string {
	return fmt.Sprintf("the VM did not pass: %s: %s\n%s%s", f.Kind, f.Detail, screenText(f.Screen), f.Next)
}

// Reason is the failure without the console.
func (f *Failure) Reason() string { return fmt.Sprintf("%s: %s\n%s", f.Kind, f.Detail, f.Next) }

func screenText(lines []string) string {
	if len(lines) == 0 {
		return "its console stayed empty\n"
	}
	var s strings.Builder
	fmt.Fprintf(&s, "the last %d lines of its console:\n", len(lines))
	for _, line := range lines {
		fmt.Fprintf(&s, "  | %s\n", line)
	}
	return s.String()
}

// crashes is text that no working VM prints, with what it means.
var crashes = []struct {
	text string
	kind Kind
	why  string
	next string
}{
	{"Kernel panic - not syncing", Panic, "the kernel stopped (kernel/panic.c)",
		"read the line after \"not syncing\": no init or root is the image's fault, out of memory needs more RAM"},
	{"Out of memory: Killed process", Crash, "the kernel's OOM killer ended a process (mm/oom_kill.c)",
		"give the VM more memory"},
	{": segfault at ", Crash, "a program accessed memory that it has not (arch/x86/mm/fault.c)",
		"a NIF or the emulator itself: was all of it built for this libc and CPU?"},
	{"bytes of memory (of type", Crash, "BEAM could not allocate (erts/emulator/beam/erl_alloc.c)",
		"give the VM more memory"},
	{"Kernel pid terminated", Crash, "an application that the release starts as permanent ended (OTP, application_controller)",
		"its reason stands in the same line"},
	{"init terminating in do_boot", Crash, "the boot script failed (OTP, init)",
		"its reason stands in the same line; undef means that a module is not in the image"},
	{"Runtime terminating during boot", Crash, "the boot script failed (OTP, init)",
		"its reason stands in the same line; undef means that a module is not in the image"},
	{"Crash dump is being written", Crash, "BEAM gave up (erts/emulator/beam/break.c)",
		"the slogan stands before that line"},
	{"The on_load function for module", Crash, "a module with a NIF did not load (OTP, code_server)",
		"the NIF's library is missing or was built for another libc or CPU"},
	{"(UndefinedFunctionError)", Crash, "a function was called that is not in the image",
		"was its module made away with as not needed? `leanlab lean explain` says why"},
	{"** (Mix", Crash, "Mix ran in the VM and failed; a release does without it",
		"do not call Mix at run time"},
	{"leanlab: cannot run ", Crash, "/init could not start the program",
		"the reason ends that line; \"No such file\" of a file that exists means its ELF interpreter is missing: link it statically"},
}
