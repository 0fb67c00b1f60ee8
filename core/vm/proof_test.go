package vm

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/u-root/u-root/pkg/cpio"
)

func TestWorkingGuestIsProved(t *testing.T) {
	t.Parallel()
	check := guestWith(t, `hostname lean
user 1000 1001
chdir /tmp
env HOME=/srv
exec /bin/fakebeam
arg serve
`)
	check.Expect = []string{
		"uid=1000 gid=1001 groups=0",
		"leads its session=1 foreground=1 terminal=/dev/console",
		"cwd=/tmp HOME=/srv PATH=(null)",
		"hostname=lean",
		"overcommit=1",
		"tmp=1777",
	}
	proof, err := prove(t, check)
	if err != nil {
		t.Fatal(err)
	}
	if proof.MemoryMiB != 128 || proof.MemTotalKiB < 64<<10 || proof.MemTotalKiB > 128<<10 ||
		proof.MemAvailableKiB <= 0 || proof.MemAvailableKiB > proof.MemTotalKiB {
		t.Errorf("memory of 128 MiB: %+v", proof)
	}
	if proof.Instructions.Ready != 0 {
		t.Error("instructions are reported without having been counted")
	}
	if proof.WallReady <= 0 || proof.Wall <= proof.WallReady {
		t.Errorf("ready after %v, ended after %v", proof.WallReady, proof.Wall)
	}
	if !strings.Contains(screenOf(proof.Console), "leanlab: exit status=0") {
		t.Errorf("the proof's console lacks the exit mark:\n%s", screenOf(proof.Console))
	}
}

func TestInstructionCountIsTheSameEveryTime(t *testing.T) {
	t.Parallel()
	check := guestWith(t, "exec /bin/fakebeam\narg serve\n")
	check.Count = true
	first, err := prove(t, check)
	if err != nil {
		t.Fatal(err)
	}
	second, err := prove(t, check)
	if err != nil {
		t.Fatal(err)
	}
	if first.Instructions != second.Instructions {
		t.Errorf("%+v, then %+v", first.Instructions, second.Instructions)
	}
	i := first.Instructions
	if i.Init <= 0 || i.BEAM <= i.Init || i.Ready <= i.BEAM {
		t.Errorf("not in the order of events: %+v", i)
	}
	t.Logf("%+v", i)
}

func TestInitReapsOrphans(t *testing.T) {
	t.Parallel()
	check := guestWith(t, "exec /bin/fakebeam\narg orphans\n")
	check.Expect = []string{"zombies=0"}
	if _, err := prove(t, check); err != nil {
		t.Fatal(err)
	}
}

func TestConsoleIsAskedAndAnswers(t *testing.T) {
	t.Parallel()
	check := guestWith(t, "exec /bin/fakebeam\narg iex\n")
	check.Eval, check.EvalResult = "1+1", "2"
	if _, err := prove(t, check); err != nil {
		t.Fatal(err)
	}
}

func TestGuestMayEndByItself(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		boot  string
		ready bool
	}{
		{"exec /bin/fakebeam\narg task\narg 0\n", true},
		{"exec /bin/fakebeam\narg exit\narg 0\n", false},
	} {
		check := guestWith(t, c.boot)
		check.Ends, check.Count, check.Expect = true, true, []string{"fake beam"}
		proof, err := prove(t, check)
		if err != nil {
			t.Fatalf("%s: %v", c.boot, err)
		}
		if i := proof.Instructions; i.Init <= 0 || i.BEAM <= i.Init || (i.Ready > i.BEAM) != c.ready {
			t.Errorf("%s: %+v", c.boot, i)
		}
	}
}

func TestGuestThatDoesNotPassIsReported(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, boot string
		change     func(*testing.T, *Check)
		kind       Kind
		detail     string
		screen     string
	}{
		{name: "ends with a status", boot: "exec /bin/fakebeam\narg exit\narg 3\n",
			kind: Exit, detail: "status=3 before it was ready", screen: "/bin/fakebeam ended with status 3"},
		{name: "is killed by a signal", boot: "exec /bin/fakebeam\narg signal\narg 11\n",
			kind: Exit, detail: "signal=11 before it was ready", screen: "/bin/fakebeam was killed: Segmentation fault"},
		{name: "ends too early", boot: "exec /bin/fakebeam\narg exit\narg 0\n",
			kind: Exit, detail: "status=0 before it was ready"},
		{name: "ends when it should stay", boot: "exec /bin/fakebeam\narg task\narg 0\n",
			change: func(_ *testing.T, c *Check) { c.Expect = []string{"leanlab: down"} },
			kind:   Exit, detail: "status=0 when it should have gone on running"},
		{name: "stays when it should end", boot: "exec /bin/fakebeam\narg serve\n",
			change: func(t *testing.T, c *Check) { c.Ends = true; c.Timeout = patience(t) },
			kind:   Stayed, detail: "BEAM was ready"},
		{name: "ends with a status when it should end with 0", boot: "exec /bin/fakebeam\narg task\narg 3\n",
			change: func(_ *testing.T, c *Check) { c.Ends = true },
			kind:   Exit, detail: "status=3 instead of status=0"},
		{name: "ends without having printed what it should", boot: "exec /bin/fakebeam\narg exit\narg 0\n",
			change: func(_ *testing.T, c *Check) { c.Ends, c.Expect = true, []string{"fake beam", "Hello"} },
			kind:   Output, detail: `["Hello"] has not appeared`},
		{name: "leaves a crash dump", boot: "env ERL_CRASH_DUMP=/tmp/dump\nexec /bin/fakebeam\narg dump\n",
			kind: Exit, detail: "status=1", screen: "Slogan: no more of it"},
		{name: "prints a crash", boot: "exec /bin/fakebeam\narg crash\n",
			kind: Crash, detail: "Kernel pid terminated", screen: "(application_controller)"},
		{name: "never gets ready", boot: "exec /bin/fakebeam\narg hang\n",
			change: func(t *testing.T, c *Check) { c.Timeout = patience(t) },
			kind:   Hang, detail: "BEAM was running", screen: "leanlab: beam uptime="},
		{name: "does not print what it should", boot: "exec /bin/fakebeam\narg serve\n",
			change: func(t *testing.T, c *Check) { c.Expect = []string{"uid=0", "Hello"}; c.Timeout = patience(t) },
			kind:   Output, detail: `["Hello"]`},
		{name: "has no iex prompt", boot: "exec /bin/fakebeam\narg serve\n",
			change: func(t *testing.T, c *Check) { c.Eval, c.EvalResult = "1+1", "2"; c.Timeout = patience(t) },
			kind:   Answer, detail: "no iex prompt"},
		{name: "answers wrongly", boot: "exec /bin/fakebeam\narg iex\n",
			change: func(t *testing.T, c *Check) { c.Eval, c.EvalResult = "1+2", "3"; c.Timeout = patience(t) },
			kind:   Answer, detail: "1+2 was not answered by 3"},
		{name: "does not stop when asked", boot: "stop-timeout 1\nexec /bin/fakebeam\narg deaf\n",
			kind: Exit, detail: "signal=9", screen: "still running after its stop-timeout"},
		{name: "has a program that is not there", boot: "exec /bin/nothing\n",
			kind: Crash, detail: "cannot run /bin/nothing: execve: No such file or directory"},
		{name: "has a directory that is not there", boot: "chdir /none\nexec /bin/fakebeam\n",
			kind: Crash, detail: "cannot run /bin/fakebeam: /none: No such file or directory"},
		{name: "has a bad boot file", boot: "exec /bin/fakebeam\nargs x\n",
			kind: Ended, detail: "powered off without running BEAM", screen: "/etc/leanlab/boot:2: args: unknown directive"},
		{name: "has nothing to run", boot: "",
			kind: Ended, detail: "powered off without running BEAM", screen: "there is no `exec` line"},
		{name: "has no init", boot: "exec /bin/fakebeam\n",
			change: func(t *testing.T, c *Check) { c.Cmdline += " rdinit=/none init=/none root=/dev/ram0" },
			kind:   Panic, detail: "Kernel panic - not syncing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			check := guestWith(t, c.boot)
			if c.change != nil {
				c.change(t, &check)
			}
			_, err := prove(t, check)
			var failure *Failure
			if !errors.As(err, &failure) {
				t.Fatalf("got %v, want a Failure", err)
			}
			if failure.Kind != c.kind || !strings.Contains(failure.Detail, c.detail) {
				t.Errorf("got %s: %s\nwant %s: … %s", failure.Kind, failure.Detail, c.kind, c.detail)
			}
			if screen := screenOf(failure.Screen); !strings.Contains(screen, c.screen) {
				t.Errorf("the screen lacks %q:\n%s", c.screen, screen)
			}
			if len(failure.Screen) > screenLines || failure.Next == "" {
				t.Errorf("%d lines of screen, next step %q", len(failure.Screen), failure.Next)
			}
		})
	}
}

func TestSignalToInitStopsBEAM(t *testing.T) {
	t.Parallel()
	check := guestWith(t, "exec /bin/fakebeam\narg end\n")
	ctx, cancel := context.WithTimeout(context.Background(), check.Timeout)
	defer cancel()
	slots <- struct{}{}
	defer func() { <-slots }()
	machine, err := Launch(ctx, check.Config)
	if err != nil {
		t.Fatal(err)
	}
	defer machine.Quit()
	for _, want := range []string{`^stopping$`, `^leanlab: exit status=0$`, `^leanlab: down$`} {
		if _, err := machine.WaitFor(ctx, regexp.MustCompile(want).MatchString); err != nil {
			t.Fatalf("%s: %v\n%s", want, err, screenOf(machine.Screen(screenLines)))
		}
	}
	if err := machine.Wait(ctx); err != nil || !machine.poweredOff() {
		t.Errorf("error %v, powered off %v", err, machine.poweredOff())
	}
}

func TestShellWordRunsAShellEvenWithABadBootFile(t *testing.T) {
	t.Parallel()
	files, err := programs()
	if err != nil {
		t.Skipf("the guest's programs cannot be compiled: %v", err)
	}
	check := guestWith(t, "nonsense\n", cpio.StaticFile("bin/sh", string(files["fakebeam"]), 0o755))
	check.Cmdline += " leanlab.shell"
	_, err = prove(t, check)
	var failure *Failure
	if !errors.As(err, &failure) || !strings.Contains(screenOf(failure.Screen), "/bin/sh ended with status 99") {
		t.Errorf("got %v, want the stand-in for a shell to have run", err)
	}
}

func TestLeastMemoryIsFoundByBooting(t *testing.T) {
	t.Parallel()
	check := guestWith(t, "exec /bin/fakebeam\narg serve\n")
	slots <- struct{}{}
	defer func() { <-slots }()
	least, err := LeastMemory(context.Background(), check, 16, 128, 16)
	if err != nil {
		t.Fatal(err)
	}
	if least < 16 || least > 128 || least%16 != 0 {
		t.Errorf("%d MiB", least)
	}
	t.Logf("%d MiB", least)
}

func TestPromptCountsWhereverItStandsBesideTheMarks(t *testing.T) {
	t.Parallel()
	const ready = "leanlab: ready uptime=7 mem_total_kib=2 mem_available_kib=1"
	for name, lines := range map[string][]string{
		"before the mark":  {"leanlab: beam uptime=5", "iex(1)> ", ready},
		"on its line":      {"leanlab: beam uptime=5", "iex(1)> " + ready},
		"after the mark":   {"leanlab: beam uptime=5", ready, "iex(n@h)1>"},
		"with BEAM's mark": {"leanlab: beam uptime=5 iex(1)>", "", ready, "iex(1)> "},
	} {
		p := &prover{started: time.Now()}
		for _, line := range lines {
			p.see(line, true)
		}
		if !p.asked || p.stage != "ready" {
			t.Errorf("%s: asked %v at stage %q", name, p.asked, p.stage)
		}
	}
	p := &prover{stage: "ready"}
	if p.see("iex(1)> 1+1", false); p.asked {
		t.Error("a line that was typed counts as a prompt")
	}
}
