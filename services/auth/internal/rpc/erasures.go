package rpc

import (
	"context"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/services/auth/internal/erasure"
)

// EraseUser begins the erasure of a user, also of an unknown one: other services may still have data of the user.
func (s *Server) EraseUser(ctx context.Context, req *authv1.EraseUserRequest) (*authv1.EraseUserResponse, error) {
	record, err := s.options.Eraser.Request(ctx, req.GetUserId())
	if err != nil {
		return nil, public(err, "erasure")
	}
	m, err := erasureMessage(record)
	return &authv1.EraseUserResponse{Erasure: m}, err
}

// ListErasures pages through the record of erasures.
func (s *Server) ListErasures(ctx context.Context, req *authv1.ListErasuresRequest) (*authv1.ListErasuresResponse, error) {
	erasures, next, err := paged(paging.List{Name: "erasures"}, req, erasureMessage,
		func(after paging.Cursor, limit int) ([]erasure.Erasure, error) {
			return s.options.Erasures.Erasures(ctx, after, limit)
		},
		func(e erasure.Erasure) paging.Cursor { return paging.Cursor{Time: e.RequestTime, ID: e.UserID} })
	if err != nil {
		return nil, public(err, "erasure")
	}
	return &authv1.ListErasuresResponse{Erasures: erasures, NextPageToken: next}, nil
}

func erasureMessage(e erasure.Erasure) (*authv1.Erasure, error) {
	return &authv1.Erasure{
		UserId: e.UserID, RequestTime: timestampMessage(e.RequestTime), ConfirmedBy: e.ConfirmedBy,
		CompleteTime: timestampMessage(e.CompleteTime),
	}, nil
}
