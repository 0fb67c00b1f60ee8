package evaluator

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/somebloke1/elixir-lean-lab/core/guest"
	"github.com/somebloke1/elixir-lean-lab/core/vm"
)

// Channel is the way to a guest with this boot file.
func Channel(boot guest.Boot) (vm.Channel, error) {
	if boot.DHCP == "" {
		return vm.Channel{}, errors.New("the image brings no network up, over which the evaluator is reached")
	}
	return vm.Channel{Addr: guest.EvaluatorAddress, Port: guest.EvaluatorPort}, nil
}

// ErrEnded says that the VM ended before it answered.
var ErrEnded = errors.New("the VM ended before it answered")

// maxAnswer bounds what a VM may make this process hold.
const maxAnswer = 64 << 20

// Evaluate asks the VM of the QEMU in dir. It waits until the VM has come up. When
// ctx ends before the answer is there, the error is its; the evaluation may go on.
func Evaluate(ctx context.Context, dir, code string) (guest.Answer, error) {
	id := rand.Text()
	request, err := guest.EncodeRequest(id, code)
	if err != nil {
		return guest.Answer{}, err
	}
	conn, err := vm.Dial(ctx, dir, vm.ChannelSocket)
	if err != nil {
		return guest.Answer{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	answer, err := ask(conn, id, request)
	switch {
	case err == nil:
		return answer, nil
	case ctx.Err() != nil:
		return answer, ctx.Err()
	case errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET):
		return answer, ErrEnded
	}
	return answer, err
}

// ask sends a request and skips the answers to earlier clients' that had gone.
func ask(conn net.Conn, id string, request []byte) (guest.Answer, error) {
	if _, err := conn.Write(request); err != nil {
		return guest.Answer{}, err
	}
	for in := bufio.NewReader(io.LimitReader(conn, maxAnswer)); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return guest.Answer{}, err
		}
		if strings.HasPrefix(line, id+" ") {
			return guest.ParseAnswer(line)
		}
	}
}
