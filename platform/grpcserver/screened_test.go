package grpcserver_test

import (
	"context"
	"crypto/ed25519"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/grpcserver"
	"github.com/trivet-dev/trivet/platform/passport"
)

// counters is an ai service that counts tokens.
type counters struct {
	aiv1.UnimplementedAIServiceServer
}

func (counters) CountTokens(context.Context, *aiv1.CountTokensRequest) (*aiv1.CountTokensResponse, error) {
	return &aiv1.CountTokensResponse{InputTokens: 1}, nil
}

// A caller sends the headers of a call while its passport is valid, and the message when it is not.
func TestAPassportThatEndsBeforeTheMessage(t *testing.T) {
	for name, tc := range map[string]struct {
		passes time.Duration
		want   errorsv1.ErrorReason
	}{
		"valid": {30 * time.Second, errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED},
		"ended": {2 * time.Minute, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE},
	} {
		t.Run(name, func(t *testing.T) {
			var passed atomic.Int64
			e := serveAll(t, 30*time.Second, func(s *grpcserver.Server) { aiv1.RegisterAIServiceServer(s, counters{}) }, func(c *grpcserver.Config) {
				public, _ := issuerKey().Public().(ed25519.PublicKey)
				verifier, err := passport.NewVerifier([]ed25519.PublicKey{public}, func() time.Time { return time.Now().Add(time.Duration(passed.Load())) })
				require.NoError(t, err)
				c.Passports = verifier
			})
			conn, err := grpc.NewClient(e.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
			require.NoError(t, err)
			defer func() { require.NoError(t, conn.Close()) }()
			ctx := fixture{issuer: e.issuer}.as(t, passport.Claims{}, "ai")
			request := &aiv1.CountTokensRequest{Model: "m", Messages: []*aiv1.Message{{Role: "user", Content: "x"}}}
			slow, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, aiv1.AIService_CountTokens_FullMethodName)
			require.NoError(t, err)
			_, err = aiv1.NewAIServiceClient(conn).CountTokens(ctx, request) // the server reads the connection in order, so it has seen the headers
			require.NoError(t, err)

			passed.Store(int64(tc.passes))
			require.NoError(t, slow.SendMsg(request))
			require.NoError(t, slow.CloseSend())
			err = slow.RecvMsg(&aiv1.CountTokensResponse{})
			if tc.want == errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED {
				require.NoError(t, err)
				return
			}
			require.Equal(t, tc.want, errs.ReasonOf(err), "%v", err)
		})
	}
}
