package rpc

import (
	"context"
	"time"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/services/billing/internal/checkout"
)

// MemberCounts keeps how many members organizations have.
type MemberCounts interface {
	SaveMembers(ctx context.Context, accountID string, m checkout.Members, now, next time.Time) error
}

// SetMemberCount notes how many members an organization has. It works without a Stripe key too: the seats follow when there is one.
func (s *Server) SetMemberCount(ctx context.Context, r *billingv1.SetMemberCountRequest) (*billingv1.SetMemberCountResponse, error) {
	now := s.now()
	m := checkout.Members{Count: int64(r.GetMembers()), Sequence: int64(r.GetSequence()), Deleted: r.GetDeleted()}
	if err := s.members.SaveMembers(ctx, r.GetOrganizationId(), m, now, now.Add(checkout.SeatsDelay)); err != nil {
		return nil, Public(err)
	}
	return &billingv1.SetMemberCountResponse{}, nil
}
