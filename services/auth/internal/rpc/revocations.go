package rpc

import (
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/auth/internal/revocation"
)

// WatchRevocations streams revocations. The first message says that no later revocation will be missed, and how often heartbeats
// follow.
func (s *Server) WatchRevocations(
	_ *authv1.WatchRevocationsRequest, stream grpc.ServerStreamingServer[authv1.WatchRevocationsResponse],
) error {
	ctx := stream.Context()
	subscription, err := s.options.Revocations.Subscribe(ctx)
	if err != nil {
		return watchEnded(err)
	}
	defer subscription.Close()
	if err := stream.Send(&authv1.WatchRevocationsResponse{HeartbeatInterval: durationpb.New(revocation.Heartbeat)}); err != nil {
		return err
	}
	for {
		news, err := subscription.Next(ctx)
		if err != nil {
			return watchEnded(err)
		}
		if err := stream.Send(revocationsMessage(news)); err != nil {
			return err
		}
	}
}

func watchEnded(err error) error {
	if errors.Is(err, revocation.ErrEnded) {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE,
			"The watch ended. Empty the cache and watch again.").After(time.Second).Cause(err)
	}
	return err
}

func revocationsMessage(news []revocation.Revocation) *authv1.WatchRevocationsResponse {
	m := &authv1.WatchRevocationsResponse{}
	for _, r := range news {
		m.Revocations = append(m.Revocations, &authv1.Revocation{
			UserId: r.UserID, SessionId: r.SessionID, ApiKeyId: r.APIKeyID,
		})
	}
	return m
}
