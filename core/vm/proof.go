package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DefaultTimeout is enough for emulation with counting on a busy machine.
const DefaultTimeout = 5 * time.Minute

// consoleKept is how many lines of console a Proof keeps.
const consoleKept = 500

// Check is a machine and what it must do.
type Check struct {
	Config
	Expect     []string      // text that must appear on the console after BEAM was started
	Ends       bool          // BEAM must end by itself, with status 0, ready or not; otherwise it must stay until the power button is pressed
	Eval       string        // typed at the iex prompt; empty: there is none, as with Ends
	EvalResult string        // the line that must come back
	Ready      string        // text on the console that says that the VM is ready, whatever runs in it; empty: /init's mark
	Foreign    bool          // what runs is not ours: it must go down when asked, and how it ends does not count
	Kill       bool          // ready is enough: it is ended then, and not asked to go down
	Timeout    time.Duration // for coming up, and again for going down; 0: DefaultTimeout
}

// Proof is what was measured in a VM that passed.
type Proof struct {
	// Instructions that the guest had executed when /init was entered, when BEAM
	// was started and when it was ready, counted from when the kernel started its
	// clock; time in which the guest was idle counts as it passed. The same image
	// gives the same figures, and with Config.Net nearly: when QEMU's network
	// answers is up to the host, and moves them by some tenths of a percent. So does
	// a disk where a read has to wait, and more without io_uring: see CountsDisks. Only
	// with Config.Count; else 0. Ready is 0, too, where BEAM was not, as with
	// Check.Ends it need not be.
	Instructions struct{ Init, BEAM, Ready int64 }

	WallReady time.Duration // from QEMU's start until ready; on a host's clock, so not to be compared between hosts
	Wall      time.Duration // until QEMU had ended

	MemoryMiB       int   // RAM of the machine
	MemTotalKiB     int64 // of it, what the kernel can give away (/proc/meminfo, MemTotal)
	MemAvailableKiB int64 // of that, what is still to be had when BEAM is ready (MemAvailable)

	Console []string // the last lines, at most 500, without escape sequences
}

// Prove boots the machine, waits until BEAM is ready, checks what it prints and
// answers, presses the power button, and wants an orderly end: BEAM's exit with
// status 0, /init's last mark, and the guest's own power off. With Check.Ends the
// end must come by itself. If the machine does not pass, the error is a *Failure.
// Check.Ready, Check.Foreign and Check.Kill are for machines that are not ours.
func Prove(ctx context.Context, check Check) (*Proof, error) {
	if check.Timeout == 0 {
		check.Timeout = DefaultTimeout
	}
	if check.Stdin != nil {
		return nil, errors.New("vm: Prove types at the console itself; Config.Stdin must be nil")
	}
	started := time.Now()
	machine, err := Launch(ctx, check.Config)
	if err != nil {
		return nil, err
	}
	defer machine.Quit()
	p := &prover{check: check, vm: machine, lines: machine.lines, started: started, missing: check.Expect}
	p.proof.MemoryMiB = check.MemoryMiB
	phases := []func(context.Context) error{p.comeUp, p.evaluate, p.goDown}
	if check.Ends {
		phases = []func(context.Context) error{p.end, p.printedAll}
	} else if check.Kill {
		phases = phases[:2]
	}
	for _, phase := range phases {
		if err := phase(ctx); err != nil {
			return nil, err
		}
	}
	p.proof.Wall = time.Since(started)
	p.proof.Console = machine.Screen(consoleKept)
	return &p.proof, nil
}

// machine is what a prover needs of a VM.
type machine interface {
	Screen(n int) []string
	Type(text string) error
	Powerdown(ctx context.Context) error
	Wait(ctx context.Context) error
	poweredOff() bool
	complaint() string // what QEMU said, on lines of its own
}

// prover follows one VM's console.
type prover struct {
	check   Check
	vm      machine
	lines   *reader
	started time.Time
	proof   Proof

	stage   string   // the last mark: "", "init", "beam", "ready", "exit", "down"
	asked   bool     // an iex prompt was seen
	missing []string // of Check.Expect
	pressed bool     // the power button
	status  string   // of the exit mark: "status=0"
	crash   *Failure
	ended   bool // QEMU
}

var (
	uptimeMark = regexp.MustCompile(`leanlab: (init|beam|ready) uptime=(\d+)(?: mem_total_kib=(\d+) mem_available_kib=(\d+))?`)
	exitMark   = regexp.MustCompile(`leanlab: exit ((?:status|signal)=\d+)`)
	// IEx prompts: "iex(1)>", "iex(name@host)1>" (lib/iex/lib/iex/config.ex).
	// /init's mark may follow one on its line.
	prompt = regexp.MustCompile(`\biex\([^)]*\)\d*> *(leanlab: .*)?$`)
)

// see takes a line in. A mark counts wherever it stands in a line, since BEAM
// writes to the same terminal, but only in a whole one, since numbers grow.
func (p *prover) see(line string, whole bool) {
	if p.check.Ready != "" && strings.Contains(line, p.check.Ready) {
		p.ready()
	}
	if p.stage != "" && p.stage != "init" || p.check.Ready != "" {
		p.missing = dropSeen(p.missing, line)
		p.asked = p.asked || prompt.MatchString(line)
	}
	if !whole {
		return
	}
	if m := uptimeMark.FindStringSubmatch(line); m != nil {
		p.mark(m)
	} else if m := exitMark.FindStringSubmatch(line); m != nil {
		p.stage, p.status = "exit", m[1]
	} else if strings.Contains(line, "leanlab: down") {
		p.stage = "down"
	} else if p.crash == nil {
		p.crash = crashIn(line)
	}
}

func (p *prover) mark(m []string) {
	p.stage = m[1]
	uptime := number(m[2])
	if !p.check.Count {
		uptime = 0
	}
	switch p.stage {
	case "init":
		p.proof.Instructions.Init = uptime
	case "beam":
		p.proof.Instructions.BEAM = uptime
	case "ready":
		p.proof.Instructions.Ready = uptime
		if p.check.Ready == "" {
			p.ready()
		}
		p.proof.MemTotalKiB, p.proof.MemAvailableKiB = number(m[3]), number(m[4])
	}
}

func (p *prover) ready() {
	if p.proof.WallReady == 0 {
		p.proof.WallReady = time.Since(p.started)
	}
}

// number is 0 for digits that are not there or too many.
func number(digits string) int64 {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func dropSeen(texts []string, line string) []string {
	var left []string
	for _, text := range texts {
		if !strings.Contains(line, text) {
			left = append(left, text)
		}
	}
	return left
}

func crashIn(line string) *Failure {
	for _, c := range crashes {
		if strings.Contains(line, c.text) {
			return &Failure{Kind: c.kind, Detail: fmt.Sprintf("%q: %s", line, c.why), Next: c.next}
		}
	}
	return nil
}

// until reads the console until done, for as long as the check allows. What ends
// it otherwise: see follow; and late, when the time is up.
func (p *prover) until(ctx context.Context, done func(line string) bool, late func() *Failure) error {
	limited, cancel := context.WithTimeout(ctx, p.check.Timeout)
	defer cancel()
	err := p.follow(limited, done)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return p.fail(late())
	}
	return err
}

// follow reads the console until done. What ends it otherwise: a crash message,
// BEAM's end unless it is awaited, the end of QEMU, and the context.
func (p *prover) follow(ctx context.Context, done func(line string) bool) error {
	for {
		line, whole, err := p.lines.read(ctx)
		switch {
		case errors.Is(err, io.EOF):
			p.ended = true
			return p.fail(p.atEOF())
		case errors.Is(err, errFlooded):
			return p.fail(&Failure{Kind: Flooded, Detail: err.Error(), Next: "let the program print less"})
		case err != nil:
			return err
		}
		p.see(line, whole)
		if crash := p.crash; crash != nil {
			p.readOn(ctx)
			p.crash = nil // it has been told
			return p.fail(crash)
		}
		if done(line) {
			return nil
		}
		if p.stage == "exit" && !p.mayEnd() {
			p.readOn(ctx)
			return p.fail(p.exited())
		}
		if ctx.Err() != nil { // not before what was read has been seen: it does not come again
			return ctx.Err()
		}
	}
}

// mayEnd reports whether BEAM was to end, and did so in order.
func (p *prover) mayEnd() bool {
	return p.check.Foreign && p.pressed || p.status == "status=0" && (p.check.Ends || p.pressed && p.proof.WallReady != 0)
}

// afterwards is how long a VM may go on printing after the line that condemned
// it: a stack trace, a slogan.
const afterwards = 3 * time.Second

func (p *prover) readOn(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, afterwards)
	defer cancel()
	for p.stage != "down" {
		line, whole, err := p.lines.read(ctx)
		if err != nil {
			return
		}
		p.see(line, whole)
	}
}

func (p *prover) fail(f *Failure) error {
	f.Screen = p.vm.Screen(screenLines)
	return f
}

func (p *prover) exited() *Failure {
	when := "when it should have gone on running"
	switch {
	case p.check.Ends:
		when = "instead of status=0"
	case p.proof.WallReady == 0:
		when = "before it was ready"
	}
	return &Failure{Kind: Exit, Detail: p.status + " " + when, Next: "the console has what BEAM said last"}
}

func (p *prover) atEOF() *Failure {
	if p.status != "" && !p.mayEnd() {
		return p.exited()
	}
	if p.stage == "down" && p.status == "" {
		return &Failure{Kind: Ended, Detail: "/init powered off without running BEAM", Next: "the console has the reason"}
	}
	next := "a triple fault or a reset; start it by hand, with the kernel's command line extended by earlyprintk=ttyS0"
	for _, line := range p.vm.Screen(screenLines) {
		if strings.Contains(line, "Initramfs unpacking failed") { // init/initramfs.c; kernels with another root go on
			next = "the kernel could not unpack its root: give the VM more memory; with enough of it, the initrd is damaged, or in a compression that the kernel lacks"
		}
	}
	return &Failure{Kind: Ended, Detail: "QEMU ended" + p.vm.complaint() + "; " + p.reached(), Next: next}
}

// reached is how far the guest came.
func (p *prover) reached() string {
	switch p.stage {
	case "":
		if len(p.vm.Screen(1)) == 0 {
			return "the kernel had printed nothing"
		}
		return "the kernel was running, /init had not been entered"
	case "init":
		return "/init was running, BEAM had not been started"
	case "beam":
		return "BEAM was running, its applications had not all started"
	case "ready":
		return "BEAM was ready"
	case "exit":
		return "BEAM had ended (" + p.status + ")"
	default:
		return "/init was about to cut the power"
	}
}

func (p *prover) comeUp(ctx context.Context) error { return p.printed(ctx, p.check.Expect...) }

// printed waits until BEAM is ready and texts, which are of Check.Expect, were on
// the console.
func (p *prover) printed(ctx context.Context, texts ...string) error {
	left := func() []string { return common(texts, p.missing) }
	done := func(string) bool { return p.proof.WallReady != 0 && len(left()) == 0 }
	if done("") {
		return nil
	}
	return p.until(ctx, done, func() *Failure {
		if p.stage == "ready" || p.check.Ready != "" && p.proof.WallReady != 0 {
			return &Failure{Kind: Output, Detail: fmt.Sprintf("%q did not appear in %v", left(), p.check.Timeout), Next: outputNext}
		}
		return p.hang()
	})
}

const outputNext = "does the program print that, and to standard output?"

func common(texts, others []string) []string {
	var both []string
	for _, text := range texts {
		if slices.Contains(others, text) {
			both = append(both, text)
		}
	}
	return both
}

func (p *prover) hang() *Failure {
	if p.check.Ready != "" {
		return &Failure{Kind: Hang, Detail: fmt.Sprintf("%q was not on the console in %v", p.check.Ready, p.check.Timeout),
			Next: "does it print that, and to the serial console?"}
	}
	return &Failure{Kind: Hang, Detail: fmt.Sprintf("after %v %s", p.check.Timeout, p.reached()), Next: hangNext[p.stage]}
}

var hangNext = map[string]string{
	"":     "has the kernel a serial console (SERIAL_8250_CONSOLE), and the image an /init?",
	"init": "the last line of the console says what /init was doing",
	"beam": "does an application's start wait for something that the VM has not? And does something make the directory /run/leanlab/ready when they run?",
}

func (p *prover) evaluate(ctx context.Context) error {
	if p.check.Eval == "" {
		return nil
	}
	if !p.asked { // it may have come before the mark that BEAM is ready
		if err := p.until(ctx, func(string) bool { return p.asked }, p.noAnswer("there is no iex prompt")); err != nil {
			return err
		}
	}
	if err := p.vm.Type(p.check.Eval + "\r"); err != nil {
		return err
	}
	return p.until(ctx, func(line string) bool { return strings.TrimSpace(line) == p.check.EvalResult },
		p.noAnswer(fmt.Sprintf("%s was not answered by %s", p.check.Eval, p.check.EvalResult)))
}

func (p *prover) noAnswer(detail string) func() *Failure {
	return func() *Failure {
		return &Failure{Kind: Answer, Detail: fmt.Sprintf("%s in %v", detail, p.check.Timeout),
			Next: "is iex started on the console, with a terminal as its input?"}
	}
}

// end waits until BEAM has ended by itself, and the VM with it.
func (p *prover) end(ctx context.Context) error {
	return p.off(ctx, func() *Failure {
		switch p.stage {
		case "beam", "ready":
			return &Failure{Kind: Stayed, Detail: fmt.Sprintf("after %v %s", p.check.Timeout, p.reached()),
				Next: "does the program call System.stop/1 when it is done? One that is to stay is not expected to end"}
		case "exit", "down":
			return &Failure{Kind: NotPoweredOff, Detail: fmt.Sprintf("after %v %s", p.check.Timeout, p.reached()), Next: downNext(p.stage)}
		}
		return p.hang()
	})
}

// printedAll is for a VM from which no more is to come.
func (p *prover) printedAll(context.Context) error {
	if len(p.missing) == 0 {
		return nil
	}
	return p.fail(notPrinted(p.missing))
}

func notPrinted(texts []string) *Failure {
	return &Failure{Kind: Output, Detail: fmt.Sprintf("%q has not appeared", texts), Next: outputNext}
}

func (p *prover) goDown(ctx context.Context) error {
	if p.stage == "ready" || p.check.Ready != "" && p.stage != "exit" && p.stage != "down" {
		p.pressed = true
		if err := p.vm.Powerdown(ctx); err != nil && ctx.Err() == nil {
			return p.fail(p.atEOF())
		}
	}
	return p.off(ctx, func() *Failure {
		return &Failure{Kind: NotPoweredOff, Detail: fmt.Sprintf("%v after the power button %s", p.check.Timeout, p.reached()),
			Next: downNext(p.stage)}
	})
}

// off waits until the VM is off, and in order.
func (p *prover) off(ctx context.Context, late func() *Failure) error {
	if p.stage != "down" && !p.check.Foreign {
		if err := p.until(ctx, func(string) bool { return p.stage == "down" }, late); err != nil {
			return err
		}
	}
	limited, cancel := context.WithTimeout(ctx, p.check.Timeout)
	defer cancel()
	if err := p.vm.Wait(limited); errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return p.fail(late())
	} else if err != nil {
		return err
	}
	p.ended = true
	if !p.mayEnd() {
		return p.fail(p.exited())
	}
	if !p.vm.poweredOff() {
		return p.fail(&Failure{Kind: NotPoweredOff, Detail: "QEMU ended, but not because the guest cut the power",
			Next: "does the kernel have CONFIG_ACPI?"})
	}
	return nil
}

func downNext(stage string) string {
	switch stage {
	case "ready":
		return "does the kernel have a power button (ACPI_BUTTON, INPUT_EVDEV)? Does an application's stop wait for ever?"
	case "exit":
		return "/init could not end what was left running"
	default:
		return "does the kernel have CONFIG_ACPI, to cut the power?"
	}
}
