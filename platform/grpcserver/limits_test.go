package grpcserver_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/connect"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/grpcserver"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/peer"
)

// env is a server over TCP with a log and metrics.
type env struct {
	conn   *connect.Conn
	server *grpcserver.Server
	issuer *passport.Issuer
	log    *lockedLog
	meters *sdkmetric.ManualReader
	stop   context.CancelFunc
	served chan error
	// address is the server's.
	address string
}

// serve starts a server that stops within grace.
func serve(t *testing.T, impl fakeAuth, grace time.Duration, change ...func(*grpcserver.Config)) *env {
	t.Helper()
	return serveAll(t, grace, func(s *grpcserver.Server) { authv1.RegisterAuthServiceServer(s, impl) }, change...)
}

func issuerKey() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(secret) }

// serveAll is serve for any services.
func serveAll(t *testing.T, grace time.Duration, register func(*grpcserver.Server), change ...func(*grpcserver.Config)) *env {
	t.Helper()
	issuer, err := passport.NewIssuer(issuerKey(), time.Now)
	require.NoError(t, err)
	prover, err := peer.NewProver("gateway", secret, time.Now)
	require.NoError(t, err)
	e := &env{issuer: issuer, log: &lockedLog{}, meters: sdkmetric.NewManualReader(), served: make(chan error, 1)}
	config := grpcserver.Config{
		Logger:    slog.New(slog.NewTextHandler(e.log, nil)),
		Meter:     sdkmetric.NewMeterProvider(sdkmetric.WithReader(e.meters)).Meter("test"),
		Passports: verifier(t, issuer), Peers: peers(t),
	}
	for _, c := range change {
		c(&config)
	}
	e.server, err = grpcserver.New(config)
	require.NoError(t, err)
	register(e.server)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	e.stop, e.address = stop, listener.Addr().String()
	go func() { e.served <- e.server.Serve(ctx, listener, grace) }()
	e.conn, err = connect.Dial(listener.Addr().String(), prover, nil)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, e.conn.Close())
		stop()
		e.stopped(t)
	})
	return e
}

// stopped waits for the server's end.
func (e *env) stopped(t *testing.T) {
	t.Helper()
	select {
	case err, first := <-e.served:
		require.NoError(t, err)
		if first {
			close(e.served)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the server does not stop")
	}
}

func (e *env) as(t *testing.T, c passport.Claims) context.Context {
	t.Helper()
	return fixture{issuer: e.issuer}.as(t, c, "auth")
}

// A call is refused by its headers. Nothing of its message is read, so strangers cannot fill the server's memory.
func TestCallsAreRefusedBeforeTheirMessageIsRead(t *testing.T) {
	e := serve(t, fakeAuth{}, time.Second, func(c *grpcserver.Config) { c.Exchanger = &renewals{tokens: []string{"x"}} })
	member := passport.Claims{UserID: "u", AccountID: "u"}
	stranger, err := peer.NewProver("stranger", secret, time.Now)
	require.NoError(t, err)
	const (
		listUsers    = "/trivet.auth.v1.AuthService/ListUsers"
		getMe        = "/trivet.auth.v1.AuthService/GetMe"
		authenticate = "/trivet.auth.v1.AuthService/Authenticate"
	)
	for name, tc := range map[string]struct {
		method string
		ctx    context.Context
		want   errorsv1.ErrorReason
	}{
		"no credential":           {getMe, t.Context(), errorsv1.ErrorReason_ERROR_REASON_UNAUTHORIZED},
		"forged passport":         {getMe, passport.Outgoing(t.Context(), "x"), errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN},
		"two passports":           {getMe, metadata.AppendToOutgoingContext(e.as(t, member), passport.Header, "x"), errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN},
		"another scheme":          {getMe, metadata.AppendToOutgoingContext(t.Context(), "authorization", "Basic x"), errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN},
		"a user, for operators":   {listUsers, e.as(t, member), errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED},
		"two proofs of a peer":    {authenticate, metadata.AppendToOutgoingContext(t.Context(), peer.Header, stranger.Proof()), errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN},
		"an unknown method":       {"/trivet.auth.v1.AuthService/Nothing", t.Context(), errorsv1.ErrorReason_ERROR_REASON_NOT_IMPLEMENTED},
		"a passport that is good": {getMe, e.as(t, member), errorsv1.ErrorReason_ERROR_REASON_DEADLINE_EXCEEDED},
		"a credential":            {getMe, metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer x"), errorsv1.ErrorReason_ERROR_REASON_DEADLINE_EXCEEDED},
		"a peer":                  {authenticate, t.Context(), errorsv1.ErrorReason_ERROR_REASON_DEADLINE_EXCEEDED},
	} {
		t.Run(name, func(t *testing.T) {
			wait := 30 * time.Second
			if tc.want == errorsv1.ErrorReason_ERROR_REASON_DEADLINE_EXCEEDED {
				wait = 300 * time.Millisecond // the server waits for the message, which never comes
			}
			ctx, cancel := context.WithTimeout(tc.ctx, wait)
			defer cancel()
			stream, err := e.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, tc.method)
			require.NoError(t, err)
			err = stream.RecvMsg(&authv1.GetMeResponse{})
			require.Equal(t, tc.want, errs.ReasonOf(err), "%v", err)
		})
	}
}

// A server without an exchanger takes passports only: a credential is refused, and is not a failure of the server's.
func TestCredentialsNeedAnExchanger(t *testing.T) {
	e := serve(t, fakeAuth{}, time.Second)
	_, err := authv1.NewAuthServiceClient(e.conn).GetMe(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer x"), &authv1.GetMeRequest{})
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, errs.ReasonOf(err), "%v", err)
}

func TestAWatchDoesNotHoldUpAStop(t *testing.T) {
	e := serve(t, fakeAuth{}, time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	watch, err := authv1.NewAuthServiceClient(e.conn).WatchRevocations(ctx, &authv1.WatchRevocationsRequest{})
	require.NoError(t, err)
	_, err = watch.Recv()
	require.NoError(t, err)
	e.stop()
	_, err = watch.Recv()
	require.Error(t, err)
	require.NoError(t, ctx.Err(), "the server ends the watch, not the caller")
	e.stopped(t)
}

func TestACallThatRunsHoldsUpAStopForTheGracePeriodOnly(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	e := serve(t, fakeAuth{me: func(context.Context) (*authv1.GetMeResponse, error) {
		close(begun)
		<-release
		return &authv1.GetMeResponse{}, nil
	}}, 50*time.Millisecond)
	ctx := e.as(t, passport.Claims{UserID: "u", AccountID: "u"})
	answered := make(chan error, 1)
	go func() {
		_, err := authv1.NewAuthServiceClient(e.conn).GetMe(ctx, &authv1.GetMeRequest{})
		answered <- err
	}()
	<-begun
	busy, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	require.ErrorIs(t, e.server.Drain(busy), context.DeadlineExceeded, "a call is running")
	e.stop()
	select {
	case err := <-answered:
		require.Error(t, err, "it is cut off")
	case <-time.After(30 * time.Second):
		t.Fatal("the call is not cut off")
	}
	release <- struct{}{}
	e.stopped(t)
	require.NoError(t, e.server.Drain(t.Context()))
}

func TestDeadlines(t *testing.T) {
	var left time.Duration
	impl := fakeAuth{me: func(ctx context.Context) (*authv1.GetMeResponse, error) {
		deadline, ok := ctx.Deadline()
		if left = time.Until(deadline); !ok {
			return nil, errors.New("the call has no deadline")
		}
		return &authv1.GetMeResponse{}, nil
	}}
	for name, tc := range map[string]struct {
		change      func(*grpcserver.Config)
		own         time.Duration
		least, most time.Duration
	}{
		"default":            {func(*grpcserver.Config) {}, 0, 20 * time.Second, 30 * time.Second},
		"set":                {func(c *grpcserver.Config) { c.Timeout = time.Hour }, 0, 50 * time.Minute, time.Hour},
		"of the service":     {func(c *grpcserver.Config) { c.Timeouts = map[string]time.Duration{"auth": 2 * time.Hour} }, 0, time.Hour, 2 * time.Hour},
		"of another service": {func(c *grpcserver.Config) { c.Timeouts = map[string]time.Duration{"ai": 2 * time.Hour} }, 0, 20 * time.Second, 30 * time.Second},
		"the caller's own":   {func(*grpcserver.Config) {}, 10 * time.Minute, 5 * time.Minute, 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			e := serve(t, impl, time.Second, tc.change)
			ctx := e.as(t, passport.Claims{UserID: "u", AccountID: "u"})
			if tc.own > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, tc.own)
				defer cancel()
			}
			_, err := authv1.NewAuthServiceClient(e.conn).GetMe(ctx, &authv1.GetMeRequest{})
			require.NoError(t, err)
			require.GreaterOrEqual(t, left, tc.least)
			require.LessOrEqual(t, left, tc.most)
		})
	}
}

// What a failure is logged as decides whether an operator is woken.
func TestLevelsAndMetricsOfFailures(t *testing.T) {
	var outcome error
	e := serve(t, fakeAuth{me: func(context.Context) (*authv1.GetMeResponse, error) { return &authv1.GetMeResponse{}, outcome }}, time.Second)
	for name, tc := range map[string]struct {
		err   error
		level string
		code  codes.Code
	}{
		"success":           {nil, "", codes.OK},
		"unknown":           {errors.New("x"), "ERROR", codes.Internal},
		"configuration":     {errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR, "x"), "ERROR", codes.Internal},
		"upstream":          {errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "x"), "WARN", codes.Unavailable},
		"upstream timeout":  {errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_TIMEOUT, "x"), "WARN", codes.DeadlineExceeded},
		"unavailable":       {errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, "x"), "WARN", codes.Unavailable},
		"deadline":          {context.DeadlineExceeded, "WARN", codes.DeadlineExceeded},
		"caller's mistake":  {errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, "x"), "", codes.NotFound},
		"caller's absence":  {context.Canceled, "", codes.Canceled},
		"caller's exhausts": {errs.New(errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED, "x"), "", codes.ResourceExhausted},
	} {
		t.Run(name, func(t *testing.T) {
			outcome = tc.err
			e.log.Reset()
			before := e.count(t, tc.code)
			_, err := authv1.NewAuthServiceClient(e.conn).GetMe(e.as(t, passport.Claims{UserID: "u", AccountID: "u"}), &authv1.GetMeRequest{})
			require.Equal(t, tc.code, status.Code(err))
			require.Equal(t, tc.level != "", strings.Contains(e.log.String(), "level="+tc.level+" "), e.log)
			if tc.level == "" {
				require.Empty(t, e.log.String())
			}
			require.Equal(t, before+1, e.count(t, tc.code))
		})
	}
}

// count is how many calls of GetMe ended with a code.
func (e *env) count(t *testing.T, code codes.Code) uint64 {
	t.Helper()
	return e.counted(t, "trivet.auth.v1.AuthService/GetMe", code)
}

// counted is how many calls of an RPC ended with a code.
func (e *env) counted(t *testing.T, rpc string, code codes.Code) (n uint64) {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, e.meters.Collect(t.Context(), &all))
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			require.True(t, strings.HasPrefix(m.Name, "trivet_"), m.Name)
			histogram, _ := m.Data.(metricdata.Histogram[float64])
			for _, p := range histogram.DataPoints {
				method, _ := p.Attributes.Value(attribute.Key("rpc_method"))
				got, _ := p.Attributes.Value(attribute.Key("rpc_code"))
				if method.AsString() == rpc && got.AsString() == code.String() {
					n += p.Count
				}
			}
		}
	}
	return n
}

func TestMessagesAboveTheLimitAreRefused(t *testing.T) {
	e := serve(t, fakeAuth{}, time.Second, func(c *grpcserver.Config) { c.MaxMessage = 1024 })
	auth := authv1.NewAuthServiceClient(e.conn)
	_, err := auth.Authenticate(t.Context(), &authv1.AuthenticateRequest{Credential: strings.Repeat("x", 900)})
	require.NoError(t, err)
	_, err = auth.Authenticate(t.Context(), &authv1.AuthenticateRequest{Credential: strings.Repeat("x", 1024)})
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_BODY_TOO_LARGE, errs.ReasonOf(err))
}

func TestReflectionIsOffUnlessAskedFor(t *testing.T) {
	for _, on := range []bool{false, true} {
		e := serve(t, fakeAuth{}, time.Second, func(c *grpcserver.Config) { c.Reflection = on })
		stream, err := reflectionv1.NewServerReflectionClient(e.conn).ServerReflectionInfo(t.Context())
		require.NoError(t, err)
		// A server without reflection may have refused the stream before the message is sent; Recv then has its reason.
		if err := stream.Send(&reflectionv1.ServerReflectionRequest{
			MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{},
		}); !errors.Is(err, io.EOF) {
			require.NoError(t, err)
		}
		_, err = stream.Recv()
		if on {
			require.NoError(t, err)
		} else {
			require.Equal(t, codes.Unimplemented, status.Code(err))
		}
		require.NoError(t, stream.CloseSend())
	}
}
