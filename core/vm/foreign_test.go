package vm

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestATextThatTheProgramPrintsIsItsMark(t *testing.T) {
	t.Parallel()
	check := guestWith(t, "ready it is listening\nexec /bin/fakebeam\narg listen\n")
	check.Count, check.Kill = true, true
	first, err := prove(t, check)
	if err != nil {
		t.Fatal(err)
	}
	if i := first.Instructions; i.Ready <= i.BEAM || first.MemTotalKiB == 0 {
		t.Errorf("%+v", first)
	}
	console := screenOf(first.Console)
	if !strings.Contains(console, "terminal=/dev/pts/0") || strings.Count(console, "all of them") != 300 {
		t.Errorf("the program's output is not all on the console:\n%s", console)
	}
	if at := slices.IndexFunc(first.Console, func(line string) bool { return strings.Contains(line, "leanlab: ready") }); at < 1 ||
		!strings.Contains(screenOf(first.Console[:at]), "it is listening") {
		t.Errorf("the mark does not follow the text:\n%s", console)
	}
	second, err := prove(t, check)
	if err != nil {
		t.Fatal(err)
	}
	if first.Instructions != second.Instructions {
		t.Errorf("%+v, then %+v", first.Instructions, second.Instructions)
	}
}

func TestATextOnTheConsoleIsEnough(t *testing.T) {
	t.Parallel()
	check := guestWith(t, "exec /bin/fakebeam\narg listen\n")
	check.Ready, check.Kill = "it is listening", true
	proof, err := prove(t, check)
	if err != nil {
		t.Fatal(err)
	}
	if proof.WallReady <= 0 || proof.Wall < proof.WallReady || proof.Instructions.Ready != 0 {
		t.Errorf("%+v", proof)
	}
	check.Ready, check.Timeout = "it is ready", patience(t)
	_, err = prove(t, check)
	var failure *Failure
	if !errors.As(err, &failure) || failure.Kind != Hang || !strings.Contains(failure.Detail, `"it is ready" was not on the console`) ||
		!strings.Contains(screenOf(failure.Screen), "it is listening") {
		t.Errorf("%v", err)
	}
}

func TestAnAddressNeedsNoAsking(t *testing.T) {
	t.Parallel()
	check := guestWith(t, "address eth0 10.0.2.15/24 10.0.2.2\nexec /bin/fakebeam\narg routes\n")
	check.Net = true
	check.Expect = []string{"route eth0 00000000 0202000a", "route eth0 0002000a 00000000"}
	if _, err := prove(t, check); err != nil {
		t.Error(err)
	}
	check.Net = false
	check.Expect = []string{"fake beam: routes"}
	proof, err := prove(t, check)
	if err != nil || !strings.Contains(screenOf(proof.Console), "leanlab: address eth0 10.0.2.15/24 10.0.2.2: No such device") {
		t.Errorf("without a card: %v, %+v", err, proof)
	}
}
