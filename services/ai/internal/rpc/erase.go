package rpc

import (
	"context"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
)

// EraseUser confirms. There is nothing to erase: ai keeps no store, and what it holds of a person (their id in a
// running call, counts of their account's requests) is in memory, without content, and gone within minutes.
func (s *Server) EraseUser(context.Context, *aiv1.EraseUserRequest) (*aiv1.EraseUserResponse, error) {
	return &aiv1.EraseUserResponse{}, nil
}

// GetStatus tells how the provider is doing.
func (s *Server) GetStatus(context.Context, *aiv1.GetStatusRequest) (*aiv1.GetStatusResponse, error) {
	return &aiv1.GetStatusResponse{Status: s.health.Status()}, nil
}
