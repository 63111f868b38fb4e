package rpc

import (
	"context"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
)

// GetStatus reports the health of the service and of Clerk.
func (s *Server) GetStatus(ctx context.Context, _ *authv1.GetStatusRequest) (*authv1.GetStatusResponse, error) {
	own, err := s.options.Service.Condition(ctx)
	if err != nil {
		return nil, err
	}
	return &authv1.GetStatusResponse{Service: own, Provider: s.options.Clerk()}, nil
}
