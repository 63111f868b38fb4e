package grpcserver_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	"github.com/trivet-dev/trivet/platform/grpcserver"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/peer"
)

// The server tells that it accepts a stream before the first message, unless the caller does not wait for it.
func TestAcceptance(t *testing.T) {
	for name, tc := range map[string]struct {
		metadata []string
		accepted []string
	}{
		"awaited":     {nil, []string{"1"}},
		"not awaited": {[]string{peer.UnawaitedHeader, "1"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			e, c, ctx := serveChats(t)
			stream, err := aiv1.NewAIServiceClient(e.conn).ChatStream(metadata.AppendToOutgoingContext(ctx, tc.metadata...), &aiv1.ChatStreamRequest{
				Model: "m", Messages: []*aiv1.Message{{Role: "user", Content: "x"}},
			})
			require.NoError(t, err)
			if tc.accepted != nil {
				header, err := stream.Header() // the handler still waits
				require.NoError(t, err)
				require.Equal(t, tc.accepted, header.Get(peer.AcceptedHeader))
			}
			close(c.release)
			m, err := stream.Recv()
			require.NoError(t, err)
			require.Equal(t, "stop", m.GetFinishReason())
			header, err := stream.Header()
			require.NoError(t, err)
			require.Equal(t, tc.accepted, header.Get(peer.AcceptedHeader))
		})
	}
}

// A passport that was verified before the message was read is not another's: each stream of a connection has its own caller.
func TestCallersOfOneConnection(t *testing.T) {
	seen := make(chan string, 2)
	e := serveAll(t, 30*time.Second, func(s *grpcserver.Server) { aiv1.RegisterAIServiceServer(s, callers{seen: seen}) })
	for _, user := range []string{"user_1", "user_2", "user_1"} {
		ctx := fixture{issuer: e.issuer}.as(t, passport.Claims{UserID: user, AccountID: user}, "ai")
		stream, err := aiv1.NewAIServiceClient(e.conn).Relay(ctx, &aiv1.RelayRequest{Endpoint: aiv1.Endpoint_ENDPOINT_EMBEDDINGS})
		require.NoError(t, err)
		_, err = stream.Recv()
		require.NoError(t, err)
		require.Equal(t, user, <-seen)
	}
}

// callers is an ai service that notes who calls.
type callers struct {
	aiv1.UnimplementedAIServiceServer
	seen chan string
}

func (c callers) Relay(_ *aiv1.RelayRequest, stream grpc.ServerStreamingServer[aiv1.RelayResponse]) error {
	claims, err := passport.Caller(stream.Context())
	if err != nil {
		return err
	}
	c.seen <- claims.UserID
	return stream.Send(&aiv1.RelayResponse{Head: &aiv1.RelayHead{Status: 200}})
}
