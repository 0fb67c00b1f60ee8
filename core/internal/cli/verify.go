package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/somebloke1/elixir-lean-lab/core/internal/instance"
	"github.com/somebloke1/elixir-lean-lab/core/internal/report"
	"github.com/somebloke1/elixir-lean-lab/core/vm"
)

// verifyFlags are leanlab verify's own.
type verifyFlags struct {
	machineFlags
	expect, http, eval []string
	ready              string
	memory             int
	timeout            time.Duration
	junit, json        string
}

func (a *App) verifyCommand() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify IMAGE",
		Short: "Boot an image and check that it works, for people and for CI",
		Long: `Boot an image and check that it works: that BEAM gets ready, prints what it must,
answers over HTTP, evaluates Elixir, and goes down in order when the power button
is pressed. IMAGE is what leanlab run takes; give --ready for one that is not
leanlab's.`,
		Example: `  leanlab verify build/hello --expect 'listening' --http '4000/health 200 ok' --eval '1 + 1 => 2'`,
		Args:    exactly(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.verify(cmd.Context(), f, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.expect, "expect", nil, "text that must be on the console once BEAM was started; may be repeated")
	flags.StringArrayVar(&f.http, "http", nil, "PORT/PATH [STATUS [TEXT]]: a request to the VM must be answered with that status (200), and TEXT in the body; may be repeated")
	flags.StringArrayVar(&f.eval, "eval", nil, "CODE => RESULT: the value of Elixir code, as inspect/1 shows it; may be repeated")
	flags.StringVar(&f.kernel, "kernel", "", "as for leanlab run")
	flags.StringVar(&f.entrypoint, "entrypoint", "", "as for leanlab run")
	flags.StringVar(&f.ready, "ready", "", "text on the console that says that it is ready, instead of BEAM's own word")
	flags.IntVar(&f.memory, "memory", 0, "RAM in MiB (default: what the image was proven with)")
	flags.DurationVar(&f.timeout, "timeout", vm.DefaultTimeout, "how long each check may take")
	flags.StringVar(&f.junit, "junit", "", "write the result to a file, as JUnit's XML")
	flags.StringVar(&f.json, "json", "", "write the result to a file, as JSON")
	return cmd
}

func (a *App) verify(ctx context.Context, f verifyFlags, image string) error {
	v, err := a.newVerifier(ctx, f, image)
	if err != nil {
		return err
	}
	defer v.target.done()
	if err := a.launch(ctx, v, f); err != nil {
		return err
	}
	result := v.run(ctx)
	v.served.Kill()
	if err := errors.Join(ctx.Err(), v.instance.Remove()); err != nil {
		return err
	}
	if err := report.VerificationText(a.Stdout, result); err != nil {
		return err
	}
	for path, write := range map[string]func(io.Writer, *report.Verification) error{
		f.junit: report.VerificationJUnit, f.json: report.VerificationJSON,
	} {
		if path == "" {
			continue
		}
		if err := writePage(a.path(path), result, write); err != nil {
			return err
		}
	}
	if n := result.Failed(); n > 0 {
		return fmt.Errorf("%s: %d of %d checks failed", image, n, len(result.Checks))
	}
	return nil
}

// verifier is a VM and what is to be checked of it.
type verifier struct {
	target   *target
	expect   []string
	ready    string
	requests []request
	evals    []evaluation
	timeout  time.Duration

	instance *instance.Instance
	served   *vm.Served
}

// request is what --http asks for.
type request struct {
	text   string // as it was given
	port   int    // of the guest
	host   string // where it is reached
	path   string
	status int
	body   string
}

// evaluation is what --eval asks for.
type evaluation struct{ code, result string }

func (a *App) newVerifier(ctx context.Context, f verifyFlags, image string) (*verifier, error) {
	v := &verifier{expect: f.expect, ready: f.ready, timeout: f.timeout}
	for _, text := range f.http {
		r, err := parseRequest(text)
		if err != nil {
			return nil, usageError{err}
		}
		v.requests = append(v.requests, r)
	}
	for _, text := range f.eval {
		i := strings.LastIndex(text, "=>")
		if i < 0 {
			return nil, usageError{fmt.Errorf("--eval %q: want CODE => RESULT, such as '1 + 1 => 2'", text)}
		}
		v.evals = append(v.evals, evaluation{strings.TrimSpace(text[:i]), strings.TrimSpace(text[i+2:])})
	}
	if f.memory < 0 || f.timeout <= 0 {
		return nil, usageError{fmt.Errorf("--memory %d --timeout %v: want some of both", f.memory, f.timeout)}
	}
	t, err := a.findTarget(ctx, image, f.machineFlags, rootUse{})
	if err != nil {
		return nil, err
	}
	v.target = t
	if !t.saysReady && f.ready == "" {
		return nil, usageError{fmt.Errorf("nothing is known to say when %s is ready: give a text that it then prints, with --ready", image)}
	}
	if f.memory > 0 {
		t.MemoryMiB = f.memory
		if err := a.enoughMemory(t); err != nil {
			return nil, err
		}
	}
	t.CPUs, t.Net = 1, true
	return v, v.forward()
}

// parseRequest reads PORT/PATH [STATUS [TEXT]].
func parseRequest(text string) (request, error) {
	r := request{text: text, status: http.StatusOK}
	words := strings.SplitN(text, " ", 3)
	port, path, ok := strings.Cut(words[0], "/")
	n, err := strconv.ParseUint(port, 10, 16)
	if !ok || err != nil || n == 0 {
		return r, fmt.Errorf("--http %q: want PORT/PATH [STATUS [TEXT]], such as '4000/health 200 ok'", text)
	}
	r.port, r.path = int(n), "/"+path
	if len(words) > 1 {
		if r.status, err = strconv.Atoi(words[1]); err != nil || r.status < 100 || r.status > 599 {
			return r, fmt.Errorf("--http %q: %q is no status of HTTP, such as 200", text, words[1])
		}
	}
	if len(words) > 2 {
		r.body = words[2]
	}
	return r, nil
}

// forward gives each port that is asked a free one of this host.
func (v *verifier) forward() error {
	hosts := map[int]string{}
	for i := range v.requests {
		r := &v.requests[i]
		if hosts[r.port] == "" {
			// QEMU opens it a moment later; until then somebody else could.
			l, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				return err
			}
			defer l.Close()
			hosts[r.port] = l.Addr().String()
			v.target.Forwards = append(v.target.Forwards,
				vm.Forward{Addr: "127.0.0.1", Host: l.Addr().(*net.TCPAddr).Port, Guest: r.port})
		}
		r.host = hosts[r.port]
	}
	return nil
}

// launch starts the VM, paused.
func (a *App) launch(ctx context.Context, v *verifier, f verifyFlags) error {
	boot, noExec, err := bootFor(v.target, &runFlags{exec: len(v.evals) > 0}, true)
	if err != nil {
		return err
	}
	dir, err := instance.Open(a.getenv)
	if err != nil {
		return err
	}
	v.target.Accel, _ = dir.Accelerator(ctx, v.target.Arch)
	record := instance.Record{Image: v.target.image, Arch: v.target.Arch, MemoryMiB: v.target.MemoryMiB, CPUs: v.target.CPUs,
		Accel: v.target.Accel, Ports: []string{}, Exec: noExec == "", NoExec: noExec, Started: time.Now()}
	if v.instance, err = dir.Create(record, v.target.name); err != nil {
		return err
	}
	if v.served, err = start(ctx, v.instance, v.target, boot, ""); err != nil {
		return errors.Join(err, v.instance.Remove())
	}
	return nil
}

// run makes the checks in order. One that failed does not keep the others from
// being made, unless it is the first.
func (v *verifier) run(ctx context.Context) *report.Verification {
	result := &report.Verification{Image: v.target.image}
	up := true
	check := func(name string, do func(context.Context) error) {
		c := report.Check{Name: name}
		if !up {
			c.Skipped = "the VM did not get ready"
			result.Checks = append(result.Checks, c)
			return
		}
		limited, cancel := context.WithTimeout(ctx, v.timeout)
		defer cancel()
		began := time.Now()
		if err := do(limited); err != nil {
			c.Failure = err.Error()
		}
		c.Seconds = time.Since(began).Seconds()
		result.Checks = append(result.Checks, c)
	}
	check("gets ready", func(ctx context.Context) error { return resumeAndWait(ctx, v.instance, v.served, v.ready, v.timeout) })
	up = result.Failed() == 0
	for _, text := range v.expect {
		check(fmt.Sprintf("prints %q", text), func(ctx context.Context) error { return v.printed(ctx, text) })
	}
	for _, r := range v.requests {
		check("answers "+r.text, r.ask)
	}
	for _, e := range v.evals {
		check(fmt.Sprintf("evaluates %s to %s", e.code, e.result), func(ctx context.Context) error { return v.evaluates(ctx, e) })
	}
	check("goes down in order", v.goesDown)
	return result
}

// again is how often something that takes its time is looked at.
const again = 100 * time.Millisecond

// printed waits until text is on the console, behind BEAM's start.
func (v *verifier) printed(ctx context.Context, text string) error {
	for {
		console, err := os.ReadFile(filepath.Join(v.instance.Path, vm.ConsoleLog))
		if err != nil {
			return err
		}
		_, after, marked := strings.Cut(string(console), "leanlab: beam ")
		if !marked && !v.target.marked() {
			after = string(console)
		}
		if strings.Contains(after, text) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it was not on the console in %v; does the program print that, and to standard output?", v.timeout)
		case <-v.served.Ended():
			return errors.New("the VM ended before")
		case <-time.After(again):
		}
	}
}

// maxBody bounds what of an answer is read.
const maxBody = 1 << 20

// ask repeats the request until it is answered as it must be: a program may
// listen a moment after it is ready.
func (r request) ask(ctx context.Context) error {
	var last error
	for {
		err := r.once(ctx)
		if err == nil {
			return nil
		}
		// The try that the end of the time cut short says less than the one before.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(again):
		}
	}
}

func (r request) once(ctx context.Context) error {
	// A connection may be accepted by QEMU and go nowhere in the guest.
	limited, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(limited, http.MethodGet, "http://"+r.host+r.path, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultTransport.RoundTrip(req) // which follows no redirection
	if err != nil {
		return fmt.Errorf("port %d of the VM: %w", r.port, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	switch {
	case err != nil:
		return fmt.Errorf("port %d of the VM: %w", r.port, err)
	case answer.StatusCode != r.status:
		return fmt.Errorf("the status is %d, not %d", answer.StatusCode, r.status)
	case !strings.Contains(string(body), r.body):
		return fmt.Errorf("%q is not in the body: %.200q", r.body, body)
	}
	return nil
}

func (v *verifier) evaluates(ctx context.Context, e evaluation) error {
	answer, err := evaluate(ctx, v.instance, e.code, v.timeout)
	switch {
	case err != nil:
		return err
	case !answer.OK:
		return errors.New(answer.Text)
	case answer.Text != e.result:
		return fmt.Errorf("the value is %s", answer.Text)
	}
	return nil
}

// goesDown presses the power button.
func (v *verifier) goesDown(ctx context.Context) error {
	if err := v.served.Powerdown(ctx); err != nil {
		return err
	}
	select {
	case <-v.served.Ended():
	case <-ctx.Done():
		return fmt.Errorf("it was still there %v after the power button was pressed", v.timeout)
	}
	console, err := os.ReadFile(filepath.Join(v.instance.Path, vm.ConsoleLog))
	switch {
	case err != nil:
		return err
	case !v.served.PoweredOff():
		return errors.New("QEMU ended, but not because the VM cut its power")
	case v.target.saysReady && !strings.Contains(string(console), "leanlab: exit status=0"):
		return errors.New("BEAM did not end with status 0; leanlab run shows its console")
	}
	return nil
}
