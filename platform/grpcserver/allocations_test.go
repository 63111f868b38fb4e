//go:build !race && !checkcalls

package grpcserver_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	"github.com/trivet-dev/trivet/platform/grpcserver"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/requestid"
)

// Plain calls exist because they cost little. The bound is generous, and far below what a call over a channel needs.
func TestAllocationsOfAPlainCall(t *testing.T) {
	w := &way{auth: &answering{}, ai: &relaying{}}
	w.env = serveAll(t, time.Second, func(s *grpcserver.Server) {
		authv1.RegisterAuthServiceServer(s, w.auth)
		aiv1.RegisterAIServiceServer(s, w.ai)
	})
	w.plain(t)
	answer := &authv1.AuthenticateResponse{}
	w.auth.authenticate = func(context.Context, *authv1.AuthenticateRequest) (*authv1.AuthenticateResponse, error) {
		return answer, nil
	}
	ctx, cancel := context.WithTimeout(requestid.With(t.Context(), "req-1"), time.Minute)
	defer cancel()
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _, _ = w.call(ctx, someCredential) }), 4.0)

	message := &aiv1.RelayResponse{Body: []byte("x")}
	w.ai.relay = func(_ *aiv1.RelayRequest, s grpc.ServerStreamingServer[aiv1.RelayResponse]) error {
		for range 100 {
			_ = s.Send(message)
		}
		return nil
	}
	token := w.token(t, passport.Claims{}, "ai")
	send := func(*aiv1.RelayResponse) error { return nil }
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _ = w.read(ctx, token, someChat, send) }), 12.0)
}
