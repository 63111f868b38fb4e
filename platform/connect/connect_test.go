package connect_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/trivet-dev/trivet/platform/connect"
	"github.com/trivet-dev/trivet/platform/inprocess"
	"github.com/trivet-dev/trivet/platform/peer"
	"github.com/trivet-dev/trivet/platform/requestid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var secret = []byte(strings.Repeat("k", peer.MinSecret)) //nolint:gochecknoglobals // a constant

// service answers health checks, and keeps the metadata of the calls.
type service struct {
	healthv1.UnimplementedHealthServer
	status healthv1.HealthCheckResponse_ServingStatus
	err    error
	called chan metadata.MD
}

func newService() *service {
	return &service{status: healthv1.HealthCheckResponse_SERVING, called: make(chan metadata.MD, 10)}
}

func (s *service) note(ctx context.Context) {
	md, _ := metadata.FromIncomingContext(ctx)
	s.called <- md
}

func (s *service) Check(ctx context.Context, _ *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	s.note(ctx)
	return &healthv1.HealthCheckResponse{Status: s.status}, s.err
}

func (s *service) Watch(_ *healthv1.HealthCheckRequest, stream grpc.ServerStreamingServer[healthv1.HealthCheckResponse]) error {
	s.note(stream.Context())
	return stream.Send(&healthv1.HealthCheckResponse{Status: s.status})
}

func prover(t *testing.T, now func() time.Time) *peer.Prover {
	t.Helper()
	p, err := peer.NewProver("gateway", secret, now)
	require.NoError(t, err)
	return p
}

// listen serves on an address, a free one when it is empty, until stop is called.
func (s *service) listen(t *testing.T, address string, options ...grpc.ServerOption) (at string, stop func()) {
	t.Helper()
	if address == "" {
		address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", address)
	require.NoError(t, err)
	server := grpc.NewServer(options...)
	healthv1.RegisterHealthServer(server, s)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	return listener.Addr().String(), func() {
		server.Stop()
		if err := <-served; !errors.Is(err, grpc.ErrServerStopped) { // it was stopped before it served
			require.NoError(t, err)
		}
	}
}

func dial(t *testing.T, address string, p *peer.Prover) *connect.Conn {
	t.Helper()
	conn, err := connect.Dial(address, p, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// channel is the service in this process.
func (s *service) channel() *inprocess.Channel {
	c := inprocess.New(
		func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			return next(ctx, req)
		},
		func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			return next(srv, stream)
		})
	healthv1.RegisterHealthServer(c, s)
	return c
}

// each runs a test over both kinds of connection.
func each(t *testing.T, now func() time.Time, test func(t *testing.T, s *service, conn *connect.Conn)) {
	t.Helper()
	t.Run("TCP", func(t *testing.T) {
		s := newService()
		address, stop := s.listen(t, "")
		defer stop()
		test(t, s, dial(t, address, prover(t, now)))
	})
	t.Run("in-process", func(t *testing.T) {
		s := newService()
		test(t, s, connect.InProcess(s.channel(), prover(t, now)))
	})
}

// call makes a unary call and a stream, and returns the metadata of both.
func call(ctx context.Context, t *testing.T, s *service, conn *connect.Conn) map[string]metadata.MD {
	t.Helper()
	client := healthv1.NewHealthClient(conn)
	_, err := client.Check(ctx, &healthv1.HealthCheckRequest{})
	require.NoError(t, err)
	unary := <-s.called
	stream, err := client.Watch(ctx, &healthv1.HealthCheckRequest{})
	require.NoError(t, err)
	_, err = stream.Recv()
	require.NoError(t, err)
	return map[string]metadata.MD{"unary": unary, "stream": <-s.called}
}

func TestEveryCallProvesWhoIsCallingAndHasTheRequestID(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	each(t, clock, func(t *testing.T, s *service, conn *connect.Conn) {
		verifier, err := peer.NewVerifier(secret, clock)
		require.NoError(t, err)
		ctx := requestid.With(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer x"), "req_1")
		for range 2 {
			for kind, md := range call(ctx, t, s, conn) {
				require.Len(t, md.Get(peer.Header), 1, kind)
				name, err := verifier.Verify(md.Get(peer.Header)[0])
				require.NoError(t, err, "%s: the proof is of the time of the call", kind)
				require.Equal(t, "gateway", name, kind)
				require.Equal(t, []string{"req_1"}, md.Get(requestid.Header), kind)
				require.Equal(t, []string{"Bearer x"}, md.Get("authorization"), "%s: the caller's own metadata are kept", kind)
			}
			now = now.Add(time.Hour)
		}
		for kind, md := range call(t.Context(), t, s, conn) {
			require.Empty(t, md.Get(requestid.Header), kind)
			require.Len(t, md.Get(peer.Header), 1, kind)
		}
	})
}

func TestReadyAsksWhetherTheOtherSideServes(t *testing.T) {
	each(t, time.Now, func(t *testing.T, s *service, conn *connect.Conn) {
		require.NoError(t, conn.Ready(t.Context()))
		s.status = healthv1.HealthCheckResponse_NOT_SERVING
		require.EqualError(t, conn.Ready(t.Context()), "its health is NOT_SERVING")
		s.status, s.err = healthv1.HealthCheckResponse_SERVING, status.Error(codes.NotFound, "unknown service")
		require.Equal(t, codes.NotFound, status.Code(conn.Ready(t.Context())))
	})
}

func TestNobodyListens(t *testing.T) {
	s := newService()
	address, stop := s.listen(t, "")
	stop()
	conn := dial(t, address, prover(t, time.Now))
	require.Equal(t, codes.Unavailable, status.Code(conn.Ready(t.Context())))
	_, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
	require.Equal(t, codes.Unavailable, status.Code(err))
	stream, err := healthv1.NewHealthClient(conn).Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	require.Equal(t, codes.Unavailable, status.Code(err))

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = healthv1.NewHealthClient(conn).Check(ended, &healthv1.HealthCheckRequest{})
	require.Contains(t, []codes.Code{codes.Canceled, codes.Unavailable}, status.Code(err), "a caller who left is not kept waiting")
}

func TestAConnectionSurvivesARestartOfTheOtherSide(t *testing.T) {
	s := newService()
	address, stop := s.listen(t, "")
	conn := dial(t, address, prover(t, time.Now))
	require.NoError(t, conn.Ready(t.Context()))
	stop()
	require.Equal(t, codes.Unavailable, status.Code(conn.Ready(t.Context())))
	_, stop = s.listen(t, address)
	defer stop()
	_, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
	require.NoError(t, err, "the first call after the restart already succeeds")
}

// Answers are larger than the 4 MiB that gRPC takes by default.
func TestLargeMessages(t *testing.T) {
	const most = 32 << 20
	large := strings.Repeat("x", 16<<20)
	s := newService()
	s.err = status.Error(codes.Internal, "not called")
	echo := func(_ context.Context, req any, _ *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
		return req, nil
	}
	address, stop := s.listen(t, "", grpc.MaxRecvMsgSize(most), grpc.MaxSendMsgSize(most), grpc.UnaryInterceptor(echo))
	defer stop()
	conn := dial(t, address, prover(t, time.Now))
	answer := &healthv1.HealthCheckRequest{}
	require.NoError(t, conn.Invoke(t.Context(), healthv1.Health_Check_FullMethodName, &healthv1.HealthCheckRequest{Service: large}, answer))
	require.Len(t, answer.GetService(), len(large))
}

func TestCallsAfterClose(t *testing.T) {
	s := newService()
	address, stop := s.listen(t, "")
	defer stop()
	conn := dial(t, address, prover(t, time.Now))
	require.NoError(t, conn.Ready(t.Context()))
	require.NoError(t, conn.Close())
	require.Equal(t, codes.Canceled, status.Code(conn.Ready(t.Context())))

	inProcess := connect.InProcess(s.channel(), prover(t, time.Now))
	require.NoError(t, inProcess.Close())
	require.NoError(t, inProcess.Ready(t.Context()), "the services end with their process")
}

func TestDialRefusesAnAddressThatCannotBeUsed(t *testing.T) {
	for _, address := range []string{"\x7f://x", "127.0.0.1:9090\x00"} {
		_, err := connect.Dial(address, prover(t, time.Now), nil)
		require.ErrorContains(t, err, "connect to "+address)
	}
}

// A server that speaks plain text is not taken for one with a certificate.
func TestTLSIsUsedWhenItIsGiven(t *testing.T) {
	s := newService()
	address, stop := s.listen(t, "")
	defer stop()
	conn, err := connect.Dial(address, prover(t, time.Now), credentials.NewTLS(nil))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	require.Equal(t, codes.Unavailable, status.Code(conn.Ready(t.Context())))
	require.Empty(t, s.called, "the proof was not sent in plain text")
}
