// Package grpcserver builds the one kind of gRPC server that every Trivet
// service runs on, over TCP and in-process alike, with every interceptor in
// one place and one order: recovery, request id, log, metrics, deadline,
// authorization, validation.
package grpcserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"buf.build/go/protovalidate"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/trivet-dev/trivet/platform/inprocess"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/peer"
	"github.com/trivet-dev/trivet/platform/tracing"
)

// DefaultMaxMessage is the largest message taken when Config.MaxMessage is 0: 32 MiB, above the edge's largest body.
const DefaultMaxMessage = 32 << 20

// DefaultTimeout bounds a unary call whose caller set no deadline when Config.Timeout is 0.
const DefaultTimeout = 30 * time.Second

// DefaultConnectionAge is when a caller is told to reconnect when Config.ConnectionAge is 0.
const DefaultConnectionAge = 2 * time.Minute

// streamWorkers is how many calls run in goroutines whose stacks have grown with earlier calls. Further calls get goroutines of their own.
const streamWorkers = 64

// Exchanger turns a credential into a passport for a service. It lets callers
// over gRPC send "authorization: Bearer …" as browsers do.
type Exchanger interface {
	// Passport returns a passport for the audience. Errors: those of AuthService.Authenticate.
	Passport(ctx context.Context, credential, audience string) (string, error)
	// Renew returns another passport for a credential whose passport was refused for its time, or "" when another would be
	// refused too. Errors: those of AuthService.Authenticate.
	Renew(ctx context.Context, credential, audience, refused string) (string, error)
}

// Config is what a server needs.
type Config struct {
	// Logger gets a line per failed call, and per call at debug level.
	Logger *slog.Logger
	// Meter gets the call metrics.
	Meter metric.Meter
	// Passports verifies who calls.
	Passports *passport.Verifier
	// Tracer traces the calls; nil traces none.
	Tracer *tracing.Tracer
	// Peers verifies which service calls.
	Peers *peer.Verifier
	// Exchanger takes credentials of direct callers; nil refuses them.
	Exchanger Exchanger
	// TLS secures the listener; nil is plain text, for loopback and meshes only.
	TLS credentials.TransportCredentials
	// Reflection lets tools list the RPCs; development only.
	Reflection bool
	// MaxMessage is the largest message in bytes; 0 means DefaultMaxMessage.
	MaxMessage int
	// Timeout bounds a unary call without a deadline; 0 means DefaultTimeout.
	Timeout time.Duration
	// Timeouts overrides Timeout by service, such as "ai".
	Timeouts map[string]time.Duration
	// ConnectionAge is when a caller is told to reconnect, give or take a tenth, so that it resolves its addresses again and finds new replicas. Calls
	// that run continue. 0 means DefaultConnectionAge.
	ConnectionAge time.Duration
}

// Server is a gRPC server for any number of services.
type Server struct {
	config    Config
	chain     *chain
	options   []grpc.ServerOption
	health    *health.Server
	inprocess *inprocess.Channel
	services  map[string]any // implementations by service
	listed    []*grpc.ServiceDesc
	inflight  sync.WaitGroup
	stop      context.CancelFunc
}

// New makes a server without services.
func New(config Config) (*Server, error) {
	if config.Passports == nil || config.Peers == nil {
		return nil, errors.New("grpcserver: a server needs a passport verifier and a peer verifier")
	}
	if config.MaxMessage == 0 {
		config.MaxMessage = DefaultMaxMessage
	}
	if config.Timeout == 0 {
		config.Timeout = DefaultTimeout
	}
	if config.ConnectionAge == 0 {
		config.ConnectionAge = DefaultConnectionAge
	}
	validator, err := protovalidate.New()
	if err != nil {
		return nil, fmt.Errorf("grpcserver: validator: %w", err)
	}
	instruments, err := newInstruments(config.Meter)
	if err != nil {
		return nil, err
	}
	stopping, stop := context.WithCancel(context.Background())
	s := &Server{config: config, health: health.NewServer(), services: map[string]any{}, stop: stop}
	s.chain = &chain{
		config: config, methods: map[string]*method{}, validator: validator, instruments: instruments, inflight: &s.inflight, stopping: stopping,
	}
	options := []grpc.ServerOption{
		grpc.InTapHandle(s.chain.tap),
		grpc.ChainUnaryInterceptor(s.chain.unary),
		grpc.ChainStreamInterceptor(s.chain.stream),
		grpc.MaxRecvMsgSize(config.MaxMessage),
		grpc.MaxConcurrentStreams(10_000),
		grpc.NumStreamWorkers(streamWorkers),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, MaxConnectionAge: config.ConnectionAge}),
	}
	if config.TLS != nil {
		options = append(options, grpc.Creds(config.TLS))
	}
	s.options = options
	s.inprocess = inprocess.New(s.chain.unary, s.chain.stream)
	return s, nil
}

// overTCP makes the server that answers over TCP. Its goroutines live until it stops, so it is made when it serves.
func (s *Server) overTCP() *grpc.Server {
	server := grpc.NewServer(s.options...)
	healthv1.RegisterHealthServer(server, s.health)
	if s.config.Reflection {
		reflection.Register(server)
	}
	for _, desc := range s.listed {
		server.RegisterService(desc, s.services[desc.ServiceName])
	}
	return server
}

// RegisterService adds a service to the listener and to the in-process channel. It must come before the first call.
func (s *Server) RegisterService(desc *grpc.ServiceDesc, impl any) {
	s.chain.learn(desc, impl)
	s.services[desc.ServiceName] = impl
	s.listed = append(s.listed, desc)
	s.inprocess.RegisterService(desc, impl)
	s.health.SetServingStatus(desc.ServiceName, healthv1.HealthCheckResponse_SERVING)
}

// InProcess returns a connection that calls the services without a network, through the same interceptors.
func (s *Server) InProcess() grpc.ClientConnInterface { return s.inprocess }

// Serve answers calls until ctx ends; then it lets running calls finish for at most grace, and returns nil.
func (s *Server) Serve(ctx context.Context, listener net.Listener, grace time.Duration) error {
	served := make(chan error, 1)
	server := s.overTCP()
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		server.Stop() // ends its goroutines
		return fmt.Errorf("gRPC on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	s.health.Shutdown()
	s.stop()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		server.GracefulStop()
	}()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-stopped:
	case <-timer.C:
		server.Stop()
		<-stopped
	}
	if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("gRPC on %s: %w", listener.Addr(), err)
	}
	return nil
}

// Drain waits until no call is running, in-process ones included, or ctx ends.
func (s *Server) Drain(ctx context.Context) error {
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		s.inprocess.Wait()
		s.inflight.Wait()
	}()
	select {
	case <-idle:
		return s.chain.given.check()
	case <-ctx.Done():
		return fmt.Errorf("calls are still running: %w", ctx.Err())
	}
}

// serviceOf returns the short name of an RPC's service, such as "ai" of "/trivet.ai.v1.AIService/Chat".
func serviceOf(fullMethod string) string {
	parts := strings.SplitN(strings.TrimPrefix(fullMethod, "/"), ".", 3)
	if len(parts) < 3 || parts[0] != "trivet" {
		return ""
	}
	return parts[1]
}
