package vm

import (
	"context"
	"fmt"
	"time"
)

// LeastMemory returns the least RAM, of lo, lo+step, … up to hi MiB, in which
// check passes. It bisects with one boot for each try, so it takes for granted
// that what works with some memory works with more. That hi does not work is an
// error, a *Failure unless it is about the host.
func LeastMemory(ctx context.Context, check Check, lo, hi, step int) (int, error) {
	if lo <= 0 || step <= 0 || hi < lo {
		return 0, fmt.Errorf("vm: least memory between %d and %d MiB in steps of %d: no such range", lo, hi, step)
	}
	if check.Timeout == 0 {
		check.Timeout = DefaultTimeout
	}
	check.MemoryMiB = hi
	proof, err := Prove(ctx, check)
	if err != nil {
		return 0, fmt.Errorf("with %d MiB: %w", hi, err)
	}
	// Too little memory may show as a hang. Ten times what it took is not slow any more.
	check.Timeout = min(check.Timeout, 10*proof.Wall+10*time.Second)
	works := hi
	for low, high := 0, (hi-lo+step-1)/step; low < high; {
		middle := (low + high) / 2
		check.MemoryMiB = lo + middle*step
		_, err := Prove(ctx, check)
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if err == nil {
			works, high = check.MemoryMiB, middle
		} else {
			low = middle + 1 // QEMU's own refusal counts too: no room for kernel and initrd
		}
	}
	return works, nil
}
