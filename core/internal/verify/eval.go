package verify

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/somebloke1/elixir-lean-lab/core/internal/check"
	"github.com/somebloke1/elixir-lean-lab/core/internal/evaluator"
)

// evaluation is a check.Eval with the directory in which the VM's evaluator is reached.
type evaluation struct {
	check.Eval
	dir string
}

func (e evaluation) make(ctx context.Context) error {
	answer, err := evaluator.Evaluate(ctx, e.dir, e.Code)
	switch {
	case errors.Is(err, evaluator.ErrEnded):
		<-ctx.Done() // the console tells how it ended, and ends this check
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("there was no value when the time was up: the VM has no network, or the code takes longer")
	case err != nil:
		return err
	case !answer.OK:
		return errors.New(answer.Text)
	case answer.Text != strings.TrimSpace(e.Result):
		return fmt.Errorf("the value is %s", answer.Text)
	}
	return nil
}
