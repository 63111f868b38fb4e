package rpc

import (
	"context"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
	"github.com/trivet-dev/trivet/platform/statuspb"
)

// EraseUser confirms. There is nothing to erase: ai has no store. What it knows of a person (the id in a running call,
// the counts of the account's requests) is in memory, without content, and gone within minutes.
func (s *Server) EraseUser(context.Context, *aiv1.EraseUserRequest) (*aiv1.EraseUserResponse, error) {
	return &aiv1.EraseUserResponse{}, nil
}

// GetStatus says how well the provider works.
func (s *Server) GetStatus(context.Context, *aiv1.GetStatusRequest) (*aiv1.GetStatusResponse, error) {
	return &aiv1.GetStatusResponse{Provider: &statusv1.Health{Status: statuspb.Parse(s.health.Status())}}, nil
}
