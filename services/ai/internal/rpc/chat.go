package rpc

import (
	"context"

	"google.golang.org/grpc"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	"github.com/trivet-dev/trivet/platform/passport"
)

// Chat answers a conversation in one piece.
func (s *Server) Chat(ctx context.Context, req *aiv1.ChatRequest) (*aiv1.ChatResponse, error) {
	claims, err := passport.Caller(ctx)
	if err != nil {
		return nil, err
	}
	return s.typed.Chat(ctx, claims, req)
}

// ChatStream answers a conversation piece by piece.
func (s *Server) ChatStream(req *aiv1.ChatStreamRequest, stream grpc.ServerStreamingServer[aiv1.ChatStreamResponse]) error {
	claims, err := passport.Caller(stream.Context())
	if err != nil {
		return err
	}
	return s.typed.ChatStream(stream.Context(), claims, req, stream.Send)
}

// CountTokens counts the input of a conversation.
func (s *Server) CountTokens(ctx context.Context, req *aiv1.CountTokensRequest) (*aiv1.CountTokensResponse, error) {
	claims, err := passport.Caller(ctx)
	if err != nil {
		return nil, err
	}
	return s.typed.CountTokens(ctx, claims, req)
}

// Embed turns texts into vectors.
func (s *Server) Embed(ctx context.Context, req *aiv1.EmbedRequest) (*aiv1.EmbedResponse, error) {
	claims, err := passport.Caller(ctx)
	if err != nil {
		return nil, err
	}
	return s.typed.Embed(ctx, claims, req)
}
