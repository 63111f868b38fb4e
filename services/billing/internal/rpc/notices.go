package rpc

import (
	"context"
	"time"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/services/billing/internal/noticepb"
	"github.com/trivet-dev/trivet/services/billing/internal/notices"
)

// Notices reads notices.
type Notices interface {
	// Notices lists at most limit notices of an account with ids below one, newest first. "" begins with the newest; an empty kind means all.
	Notices(ctx context.Context, accountID string, kind notices.Kind, before string, limit int) ([]notices.Notice, error)
}

// ListNotices pages through an account's notices, newest first.
func (s *Server) ListNotices(ctx context.Context, r *billingv1.ListNoticesRequest) (*billingv1.ListNoticesResponse, error) {
	claims, err := passport.Caller(ctx)
	if err != nil {
		return nil, err
	}
	if claims, err = actingFor(claims, r.GetAccountId()); err != nil {
		return nil, err
	}
	kind := noticepb.Kind(r.GetKind())
	list := paging.List{Name: "notices", Filters: []string{claims.AccountID, string(kind)}}
	cursor, err := list.Cursor(r.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := paging.Size(r.GetPageSize())
	found, err := s.notices.Notices(ctx, claims.AccountID, kind, cursor.ID, size+1)
	if err != nil {
		return nil, Public(err)
	}
	page, next := paging.Cut(list, found, size, func(n notices.Notice) paging.Cursor { return paging.Cursor{ID: n.ID} })
	out := &billingv1.ListNoticesResponse{NextPageToken: next}
	urls := s.payURLs(ctx, claims.AccountID, page)
	for _, n := range page {
		out.Notices = append(out.Notices, noticepb.Message(n, urls[n.Data.InvoiceID]))
	}
	return out, nil
}

// payURLs reads the addresses of the unpaid invoices that the notices are about. They open an invoice without sign-in, so that they are not stored.
func (s *Server) payURLs(ctx context.Context, accountID string, page []notices.Notice) map[string]string {
	ids := map[string]bool{}
	for _, n := range page {
		if n.Kind == notices.PaymentFailed {
			ids[n.Data.InvoiceID] = true
		}
	}
	if len(ids) == 0 || s.checkout == nil {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx) // a deadline would count as a failure of Stripe, but a caller that leaves does not
	defer cancel()
	defer time.AfterFunc(s.payURLTime, cancel).Stop()
	urls, err := s.checkout.PayURLs(ctx, accountID, ids)
	if err != nil {
		return nil // the list does not depend on Stripe
	}
	return urls
}
