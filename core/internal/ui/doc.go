// Package ui shows people, and programs, what a build is doing, and writes all
// of it to a log file.
//
// A build is a set of steps that run side by side. Each reports through its
// Step, which is a builder.Events; three sinks show them:
//
//   - tty: one line for each running step, redrawn in place: how long it has
//     run, how far it is, what it does now. A finished step leaves one line.
//   - plain: lines that are only ever appended, for logs of CI systems.
//   - json: objects, for programs.
//
// Whatever the sink, every line of output of every step goes to the log file,
// as `TIME STEP| LINE`, and a step that fails shows its last lines together
// with that file's path. Nothing is queued: whoever emits faster than the log
// can be written waits, so that memory stays bounded under a flood.
//
// The package does not decide what is worth saying, and knows no steps.
//
// # Plain
//
// Every line about a step begins with `>>> STEP: ` and one of the words
// started, running, done, cached, failed, interrupted, note, warning, error:
//
//	>>> kernel: started: Linux kernel 6.12
//	>>> kernel: running 10s: 412/3120 objects: compile
//	>>> kernel: done 12m03s: bzImage, 2.2 MB
//	>>> otp: cached: OTP 27
//	>>> app: failed 4.1s: mix release: exit status 1
//	    | ** (CompileError) lib/hello.ex:3
//	    full log: build/custom.log
//
// A message that belongs to no step has no `STEP: `. A running line appears
// when a step has had none for ten seconds, so that a log shows life.
//
// # JSON
//
// One object a line. Unknown types and members are to be ignored; a change of
// meaning increments schema. Every object has
//
//	time      string   RFC 3339, UTC, milliseconds
//	type      string   one of those below
//	step      string   the step's id; absent in begin, and in messages of no step
//
// and by type
//
//	begin     schema (number, 1), log (string, path of the full log)
//	started   title
//	cached    title                    the result was in the store
//	log       line                     one line of output
//	progress  done, total (0: unknown), unit ("bytes", "objects", "packages");
//	          at most ten a second for a step, and always its last
//	part      title, state ("started" or "finished"): a part of the step
//	artifact  name, path (relative to the step's result)
//	message   severity ("note", "warning" or "error"), summary, detail (may be absent)
//	done      seconds (number), summary (may be absent)
//	failed    seconds, summary (the error), interrupted (boolean),
//	          lines (array of the last lines of output)
//
// A step ends in exactly one of cached, done and failed, unless the program is
// killed.
package ui
