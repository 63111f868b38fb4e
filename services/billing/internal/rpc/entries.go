package rpc

import (
	"context"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// ListEntries pages through the account's entries, newest first.
func (s *Server) ListEntries(ctx context.Context, r *billingv1.ListEntriesRequest) (*billingv1.ListEntriesResponse, error) {
	claims, err := passport.Caller(ctx)
	if err != nil {
		return nil, err
	}
	list := paging.List{Name: "entries", Filters: []string{claims.AccountID}}
	cursor, err := list.Cursor(r.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := paging.Size(r.GetPageSize())
	entries, err := s.ledger.Entries(ctx, claims.AccountID, cursor.ID, size+1)
	if err != nil {
		return nil, Public(err)
	}
	page, next := paging.Cut(list, entries, size, func(e ledger.Entry) paging.Cursor { return paging.Cursor{ID: e.ID} })
	out := &billingv1.ListEntriesResponse{NextPageToken: next}
	for _, e := range page {
		out.Entries = append(out.Entries, toEntry(e))
	}
	return out, nil
}
