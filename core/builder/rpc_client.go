package builder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/somebloke1/elixir-lean-lab/core/builder/builderpb"
)

// MaxMessage is the largest message that a host takes from a plugin, in bytes.
const MaxMessage = 4 << 20

// Failure is an error that the builder at the other end of a connection
// returned, as against a fault of the plugin or the connection.
type Failure struct{ Message string }

func (f *Failure) Error() string { return f.Message }

// ErrDisconnected says that the connection broke: the plugin has crashed, or
// was killed.
var ErrDisconnected = errors.New("the connection to the plugin broke")

// Client is a Builder, a Packager and a Resolver at the other end of a connection. Host
// programs use it; a plugin author does not.
type Client struct {
	// Grace is how long a cancelled Build or Package may take to return.
	Grace time.Duration
	// Abandon is called when a call has not returned within Grace, and must end
	// the connection: whatever still runs at its other end must not go on
	// writing. Nil: nothing more is done.
	Abandon func()

	rpc         builderpb.BuilderClient
	description Description
	calls       atomic.Int64
}

// NewClient returns the Builder behind conn. Connect comes next.
func NewClient(conn grpc.ClientConnInterface) *Client {
	return &Client{Grace: 2 * stopGrace, rpc: builderpb.NewBuilderClient(conn)}
}

// Connect fetches the description that Describe returns.
func (c *Client) Connect(ctx context.Context) error {
	resp, err := c.rpc.Describe(ctx, &builderpb.DescribeRequest{})
	if err != nil {
		return fromStatus(ctx, err)
	}
	c.description = descriptionFromPB(resp.GetDescription())
	return nil
}

// Describe returns what Connect has fetched.
func (c *Client) Describe() Description { return c.description }

func (c *Client) Probe(ctx context.Context, def *Definition) ([]Missing, error) {
	resp, err := c.rpc.Probe(ctx, &builderpb.ProbeRequest{Definition: definitionToPB(def)})
	if err != nil {
		return nil, fromStatus(ctx, err)
	}
	return each(resp.GetMissing(), missingFromPB), nil
}

func (c *Client) Validate(ctx context.Context, def *Definition) (Diagnostics, error) {
	resp, err := c.rpc.Validate(ctx, &builderpb.ValidateRequest{Definition: definitionToPB(def)})
	if err != nil {
		return nil, fromStatus(ctx, err)
	}
	return each(resp.GetDiagnostics(), diagnosticFromPB), nil
}

func (c *Client) Plan(ctx context.Context, def *Definition) (*Plan, error) {
	resp, err := c.rpc.Plan(ctx, &builderpb.PlanRequest{Definition: definitionToPB(def)})
	if err != nil {
		return nil, fromStatus(ctx, err)
	}
	return planFromPB(resp.GetPlan()), nil
}

func (c *Client) Resolve(ctx context.Context, req *ResolveRequest) (*Resolution, error) {
	resp, err := c.rpc.Resolve(ctx, resolveRequestToPB(req))
	if err != nil {
		return nil, fromStatus(ctx, err)
	}
	return resolutionFromPB(resp), nil
}

// Build returns when the step is over at the other end too, also when ctx is
// cancelled: nothing writes to req.Out after it. See Grace and Abandon.
func (c *Client) Build(ctx context.Context, req *BuildRequest, events Events) (*Machine, error) {
	id := c.callID()
	result, err := follow(ctx, c, id, events,
		func(ctx context.Context) (builderpb.Builder_BuildClient, error) {
			return c.rpc.Build(ctx, buildRequestToPB(id, req))
		},
		func(m *builderpb.BuildResponse) (*builderpb.Event, *builderpb.BuildResult, bool) {
			return m.GetEvent(), m.GetResult(), m.GetResult() != nil
		})
	if err != nil {
		return nil, err
	}
	return machineFromPB(result.GetMachine()), nil
}

// Package is like Build.
func (c *Client) Package(ctx context.Context, req *PackageRequest, events Events) error {
	id := c.callID()
	_, err := follow(ctx, c, id, events,
		func(ctx context.Context) (builderpb.Builder_PackageClient, error) {
			return c.rpc.Package(ctx, packageRequestToPB(id, req))
		},
		func(m *builderpb.PackageResponse) (*builderpb.Event, *builderpb.PackageResult, bool) {
			return m.GetEvent(), m.GetResult(), m.GetResult() != nil
		})
	return err
}

// Stop cancels every running call and returns when they have returned. No call
// is accepted after it.
func (c *Client) Stop(ctx context.Context) error {
	if _, err := c.rpc.Stop(ctx, &builderpb.StopRequest{}); err != nil {
		return fromStatus(ctx, err)
	}
	return nil
}

func (c *Client) callID() string { return strconv.FormatInt(c.calls.Add(1), 10) }

// follow passes on the events of a streaming call and returns its result, which
// must be the last message.
//
// The stream lives on after ctx is cancelled, until Stop says that the call has
// returned: with gRPC's own cancellation the host could not know when the
// builder has let go of its directories.
func follow[M any, R interface{ GetFailure() string }](
	ctx context.Context, c *Client, id string, events Events,
	open func(context.Context) (grpc.ServerStreamingClient[M], error),
	split func(*M) (event *builderpb.Event, result R, isResult bool),
) (R, error) {
	var none R
	streamCtx, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	stream, err := open(streamCtx)
	if err != nil {
		return none, fromStatus(ctx, err)
	}
	registered := make(chan struct{})
	defer context.AfterFunc(ctx, func() {
		defer end()
		c.stopCall(id, registered)
	})()
	// Headers come when the call is registered. An error here comes again from
	// the first receive.
	_, _ = stream.Header()
	close(registered)

	result, err := receive(stream, events, split)
	if err != nil {
		return none, fromStatus(ctx, err)
	}
	if text := result.GetFailure(); text != "" {
		if ctx.Err() != nil {
			return none, fmt.Errorf("%w (%s)", context.Cause(ctx), text)
		}
		return none, &Failure{Message: text}
	}
	return result, nil
}

// stopCall asks for the end of one call, once it is known to have begun.
func (c *Client) stopCall(id string, registered <-chan struct{}) {
	ctx, done := context.WithTimeout(context.Background(), c.Grace)
	defer done()
	select {
	case <-registered:
	case <-ctx.Done():
	}
	_, err := c.rpc.Stop(ctx, &builderpb.StopRequest{Call: id})
	if err != nil && c.Abandon != nil {
		c.Abandon()
	}
}

// receive reads a stream to its end.
func receive[M any, R interface{ GetFailure() string }](
	stream grpc.ServerStreamingClient[M], events Events, split func(*M) (event *builderpb.Event, result R, isResult bool),
) (R, error) {
	var result R
	var have bool
	for {
		m, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF) && have:
			return result, nil
		case errors.Is(err, io.EOF):
			return result, errors.New("the call ended without a result")
		case err != nil:
			return result, err
		case have:
			return result, errors.New("a message came after the result, which must be the last")
		}
		pb, r, isResult := split(m)
		if isResult {
			result, have = r, true
		} else if e := eventFromPB(pb); e != nil {
			events.Emit(e)
		}
	}
}

// fromStatus makes a gRPC error one of ours: the context's own when that is
// done, a Failure when the builder returned it, else the text alone.
func fromStatus(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s, ok := status.FromError(err)
	switch {
	case !ok:
		return err
	case s.Code() == codes.Unknown:
		return &Failure{Message: cleanText(s.Message())}
	case s.Code() == codes.Unavailable:
		return ErrDisconnected
	default:
		return errors.New(cleanText(s.Message()))
	}
}
