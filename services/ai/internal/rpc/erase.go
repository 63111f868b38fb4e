package rpc

import (
	"context"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
)

// EraseUser deletes the responses that providers keep of a person, and what ai knows of them. The rest of what ai knows of
// a person (the id in a running call, the counts of the account's requests) is in memory, without content, and gone within
// minutes.
func (s *Server) EraseUser(ctx context.Context, req *aiv1.EraseUserRequest) (*aiv1.EraseUserResponse, error) {
	if err := s.responses.Erase(ctx, req.GetUserId()); err != nil {
		return nil, err
	}
	return &aiv1.EraseUserResponse{}, nil
}

// GetStatus says how well the service works, and the model provider.
func (s *Server) GetStatus(ctx context.Context, _ *aiv1.GetStatusRequest) (*aiv1.GetStatusResponse, error) {
	own, err := s.service.Condition(ctx)
	if err != nil {
		return nil, err
	}
	return &aiv1.GetStatusResponse{Service: own, Provider: s.provider.Condition()}, nil
}
