package inprocess_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	"github.com/trivet-dev/trivet/platform/inprocess"
)

// headers is a service whose answers have a header.
type headers struct {
	aiv1.UnimplementedAIServiceServer
}

func (headers) Chat(ctx context.Context, _ *aiv1.ChatRequest) (*aiv1.ChatResponse, error) {
	return &aiv1.ChatResponse{}, grpc.SetHeader(ctx, metadata.Pairs("left", "1"))
}

// A header reaches the caller of a unary call as over the network, with the answer.
func TestHeaders(t *testing.T) {
	channel := inprocess.New(
		func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			return handler(ctx, req)
		},
		func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			return handler(srv, stream)
		})
	aiv1.RegisterAIServiceServer(channel, headers{})
	client := aiv1.NewAIServiceClient(channel)
	var md metadata.MD
	_, err := client.Chat(t.Context(), &aiv1.ChatRequest{}, grpc.Header(&md))
	require.NoError(t, err)
	require.Equal(t, metadata.Pairs("left", "1"), md)
	_, err = client.Chat(t.Context(), &aiv1.ChatRequest{})
	require.NoError(t, err)
	channel.Wait()
}
