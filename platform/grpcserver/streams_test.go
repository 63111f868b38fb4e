package grpcserver_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/connect"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/grpcserver"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/peer"
)

// chats is an ai service whose chats wait until they are released.
type chats struct {
	aiv1.UnimplementedAIServiceServer
	begun   chan struct{}
	release chan struct{}
}

func (c *chats) ChatStream(_ *aiv1.ChatStreamRequest, s grpc.ServerStreamingServer[aiv1.ChatStreamResponse]) error {
	close(c.begun)
	select {
	case <-c.release:
		return s.Send(&aiv1.ChatStreamResponse{FinishReason: "stop"})
	case <-s.Context().Done():
		return s.Context().Err()
	}
}

func serveChats(t *testing.T) (*env, *chats, context.Context) {
	t.Helper()
	c := &chats{begun: make(chan struct{}), release: make(chan struct{})}
	e := serveAll(t, 30*time.Second, func(s *grpcserver.Server) { aiv1.RegisterAIServiceServer(s, c) })
	ctx, cancel := context.WithTimeout(fixture{issuer: e.issuer}.as(t, passport.Claims{UserID: "u", AccountID: "u"}, "ai"), time.Minute)
	t.Cleanup(cancel)
	return e, c, ctx
}

// The request of a stream is validated as that of any other call.
func TestRequestsOfStreamsAreValidated(t *testing.T) {
	e, c, ctx := serveChats(t)
	stream, err := aiv1.NewAIServiceClient(e.conn).ChatStream(ctx, &aiv1.ChatStreamRequest{Messages: []*aiv1.Message{{Role: "user", Content: "x"}}})
	require.NoError(t, err)
	_, err = stream.Recv()
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, errs.ReasonOf(err), "%v", err)
	require.Equal(t, "model", errs.From(err).Fields[0].Name)
	select {
	case <-c.begun:
		t.Fatal("the handler saw an invalid request")
	default:
	}
}

// A user's stream holds up a stop until it ends by itself, and Drain waits for it.
func TestAUsersStreamEndsByItself(t *testing.T) {
	e, c, ctx := serveChats(t)
	stream, err := aiv1.NewAIServiceClient(e.conn).ChatStream(ctx, &aiv1.ChatStreamRequest{Model: "m", Messages: []*aiv1.Message{{Role: "user", Content: "x"}}})
	require.NoError(t, err)
	select {
	case <-c.begun:
	case <-ctx.Done():
		t.Fatal("the call did not begin")
	}
	busy, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	require.ErrorIs(t, e.server.Drain(busy), context.DeadlineExceeded, "a stream is running")
	e.stop()
	time.Sleep(10 * time.Millisecond) // a stop that ended the stream would have done it by now
	close(c.release)
	m, err := stream.Recv()
	require.NoError(t, err)
	require.Equal(t, "stop", m.GetFinishReason())
	e.stopped(t)
	require.NoError(t, e.server.Drain(t.Context()))
}

// Load balancers learn from the health service that the server stops, before its listener closes.
func TestHealthFailsFirst(t *testing.T) {
	e := serve(t, fakeAuth{}, time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	watch, err := healthv1.NewHealthClient(e.conn).Watch(ctx, &healthv1.HealthCheckRequest{Service: "trivet.auth.v1.AuthService"})
	require.NoError(t, err)
	answer, err := watch.Recv()
	require.NoError(t, err)
	require.Equal(t, healthv1.HealthCheckResponse_SERVING, answer.GetStatus())
	e.stop()
	answer, err = watch.Recv()
	require.NoError(t, err)
	require.Equal(t, healthv1.HealthCheckResponse_NOT_SERVING, answer.GetStatus())
}

// "Bearer" without a token is refused by its header, and auth is not asked.
func TestAnEmptyCredentialIsRefused(t *testing.T) {
	exchanger := &renewals{tokens: []string{""}}
	e := serve(t, fakeAuth{me: func(context.Context) (*authv1.GetMeResponse, error) { return &authv1.GetMeResponse{}, nil }}, time.Second,
		func(c *grpcserver.Config) { c.Exchanger = exchanger })
	token, err := e.issuer.Issue(passport.Claims{UserID: "u", AccountID: "u"}, "auth", time.Now().Add(time.Minute))
	require.NoError(t, err)
	exchanger.tokens[0] = token // whatever is asked for is good
	prover, err := peer.NewProver("gateway", secret, time.Now)
	require.NoError(t, err)
	for name, conn := range map[string]grpc.ClientConnInterface{"TCP": e.conn, "in process": connect.InProcess(e.server.InProcess(), prover)} {
		for header, want := range map[string]errorsv1.ErrorReason{
			"Bearer": errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, "Bearer ": errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN,
			"Bearerx y": errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, "bearer y": errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED,
		} {
			_, err := authv1.NewAuthServiceClient(conn).GetMe(metadata.AppendToOutgoingContext(t.Context(), "authorization", header), &authv1.GetMeRequest{})
			require.Equal(t, want, errs.ReasonOf(err), "%s, %q: %v", name, header, err)
		}
	}
}
