package builder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/somebloke1/elixir-lean-lab/core/builder/builderpb"
)

// server puts a Builder on the wire. It keeps count of the running calls, so
// that Stop can answer when they are over.
type server struct {
	builderpb.UnimplementedBuilderServer
	b Builder

	mu       sync.Mutex
	calls    map[string]*call
	unary    int  // names the calls that the host gives no name
	stopping bool // Stop was asked to end everything
}

type call struct {
	cancel context.CancelFunc
	ended  chan struct{}
}

func newServer(b Builder) *server {
	return &server{b: b, calls: make(map[string]*call)}
}

// begin registers a call; its end must be called when it is over.
func (s *server) begin(ctx context.Context, id string) (_ context.Context, end func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return nil, nil, status.Error(codes.FailedPrecondition, "the plugin was told to stop")
	}
	if id == "" {
		s.unary++
		id = "unary " + strconv.Itoa(s.unary)
	}
	if s.calls[id] != nil {
		return nil, nil, status.Errorf(codes.InvalidArgument, "call %q is running already", id)
	}
	ctx, cancel := context.WithCancel(ctx)
	c := &call{cancel: cancel, ended: make(chan struct{})}
	s.calls[id] = c
	return ctx, func() {
		cancel()
		s.mu.Lock()
		delete(s.calls, id)
		s.mu.Unlock()
		close(c.ended)
	}, nil
}

// recovered turns a panic of the builder into an error that the host shows. The
// stack goes to standard error, which is the host's log of the plugin.
func recovered(method string, err *error) {
	if r := recover(); r != nil {
		fmt.Fprintf(os.Stderr, "panic in %s: %v\n%s", method, r, debug.Stack())
		*err = status.Errorf(codes.Internal, "panic in %s: %v (its stack is in the plugin's log)", method, r)
	}
}

// failed makes an error of the builder's own one that the host can tell from a
// fault of the plugin or the connection, which gRPC reports by other codes.
func failed(err error) error {
	if err == nil {
		return nil
	}
	return status.Error(codes.Unknown, err.Error())
}

// unary runs one unary method as a registered call.
func unary[R any](s *server, ctx context.Context, method string, f func(context.Context) (R, error)) (_ R, err error) {
	var none R
	ctx, end, err := s.begin(ctx, "")
	if err != nil {
		return none, err
	}
	defer end()
	defer recovered(method, &err)
	r, err := f(ctx)
	if err != nil {
		return none, failed(err)
	}
	return r, nil
}

func (s *server) Describe(ctx context.Context, _ *builderpb.DescribeRequest) (*builderpb.DescribeResponse, error) {
	return unary(s, ctx, "Describe", func(context.Context) (*builderpb.DescribeResponse, error) {
		return &builderpb.DescribeResponse{Description: descriptionToPB(s.b.Describe())}, nil
	})
}

func (s *server) Probe(ctx context.Context, req *builderpb.ProbeRequest) (*builderpb.ProbeResponse, error) {
	return unary(s, ctx, "Probe", func(ctx context.Context) (*builderpb.ProbeResponse, error) {
		missing, err := s.b.Probe(ctx, definitionFromPB(req.GetDefinition()))
		return &builderpb.ProbeResponse{Missing: each(missing, missingToPB)}, err
	})
}

func (s *server) Validate(ctx context.Context, req *builderpb.ValidateRequest) (*builderpb.ValidateResponse, error) {
	return unary(s, ctx, "Validate", func(ctx context.Context) (*builderpb.ValidateResponse, error) {
		diagnostics, err := s.b.Validate(ctx, definitionFromPB(req.GetDefinition()))
		return &builderpb.ValidateResponse{Diagnostics: each(diagnostics, diagnosticToPB)}, err
	})
}

func (s *server) Plan(ctx context.Context, req *builderpb.PlanRequest) (*builderpb.PlanResponse, error) {
	return unary(s, ctx, "Plan", func(ctx context.Context) (*builderpb.PlanResponse, error) {
		plan, err := s.b.Plan(ctx, definitionFromPB(req.GetDefinition()))
		if err != nil {
			return nil, err
		}
		if plan == nil {
			return nil, errors.New("the builder gave neither a plan nor an error")
		}
		return &builderpb.PlanResponse{Plan: planToPB(plan)}, nil
	})
}

func (s *server) Resolve(ctx context.Context, req *builderpb.ResolveRequest) (*builderpb.ResolveResponse, error) {
	resolver, ok := s.b.(Resolver)
	if !ok {
		return nil, status.Error(codes.Unimplemented, "this builder resolves no sources")
	}
	return unary(s, ctx, "Resolve", func(ctx context.Context) (*builderpb.ResolveResponse, error) {
		resolution, err := resolver.Resolve(ctx, resolveRequestFromPB(req))
		if err != nil {
			return nil, err
		}
		if resolution == nil {
			return nil, errors.New("the builder gave neither a resolution nor an error")
		}
		return resolutionToPB(resolution), nil
	})
}

func (s *server) Build(req *builderpb.BuildRequest, stream builderpb.Builder_BuildServer) (err error) {
	ctx, end, err := s.begin(stream.Context(), req.GetCall())
	if err != nil {
		return err
	}
	defer end()
	defer recovered("Build", &err)
	if err := stream.SendHeader(metadata.MD{}); err != nil {
		return err
	}
	events := &sender{send: func(e *builderpb.Event) error {
		return stream.Send(&builderpb.BuildResponse{Kind: &builderpb.BuildResponse_Event{Event: e}})
	}}
	machine, buildErr := s.b.Build(ctx, buildRequestFromPB(req), events)
	if err := events.close(); err != nil {
		return err
	}
	result := &builderpb.BuildResult{Machine: machineToPB(machine), Failure: failure(buildErr)}
	return stream.Send(&builderpb.BuildResponse{Kind: &builderpb.BuildResponse_Result{Result: result}})
}

func (s *server) Package(req *builderpb.PackageRequest, stream builderpb.Builder_PackageServer) (err error) {
	packager, ok := s.b.(Packager)
	if !ok {
		return status.Error(codes.Unimplemented, "this builder makes no artifacts of its own")
	}
	ctx, end, err := s.begin(stream.Context(), req.GetCall())
	if err != nil {
		return err
	}
	defer end()
	defer recovered("Package", &err)
	if err := stream.SendHeader(metadata.MD{}); err != nil {
		return err
	}
	events := &sender{send: func(e *builderpb.Event) error {
		return stream.Send(&builderpb.PackageResponse{Kind: &builderpb.PackageResponse_Event{Event: e}})
	}}
	packageErr := packager.Package(ctx, packageRequestFromPB(req), events)
	if err := events.close(); err != nil {
		return err
	}
	result := &builderpb.PackageResult{Failure: failure(packageErr)}
	return stream.Send(&builderpb.PackageResponse{Kind: &builderpb.PackageResponse_Result{Result: result}})
}

// failure is an error's text, never empty.
func failure(err error) string {
	if err == nil {
		return ""
	}
	if text := cleanText(err.Error()); text != "" {
		return text
	}
	return fmt.Sprintf("the builder gave an error without text, a %T", err)
}

// Stop cancels one call or all of them and returns when they have returned, or
// when the host gives up waiting.
func (s *server) Stop(ctx context.Context, req *builderpb.StopRequest) (*builderpb.StopResponse, error) {
	s.mu.Lock()
	var stop []*call
	if id := req.GetCall(); id == "" {
		s.stopping = true
		for _, c := range s.calls {
			stop = append(stop, c)
		}
	} else if c := s.calls[id]; c != nil {
		stop = append(stop, c)
	}
	s.mu.Unlock()

	for _, c := range stop {
		c.cancel()
	}
	for _, c := range stop {
		select {
		case <-c.ended:
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
	return &builderpb.StopResponse{}, nil
}

// sender is the Events of a call: it sends them one at a time, and none after
// close. Sending blocks while the host is not reading: a builder that floods is
// slowed down, and nothing piles up.
type sender struct {
	send func(*builderpb.Event) error

	mu     sync.Mutex
	closed bool
	err    error
}

func (s *sender) Emit(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if pb := eventToPB(e); pb != nil && !s.closed && s.err == nil {
		s.err = s.send(pb)
	}
}

// close ends the events and returns the first error of sending one.
func (s *sender) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return s.err
}
