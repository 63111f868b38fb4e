package rpc

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/overage"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

// toOverage shows the overage of an account; nil for one whose plan never allowed any.
func (s *Server) toOverage(a ledger.Account) *billingv1.Overage {
	if a.Overage.CloseTime.IsZero() {
		return nil
	}
	return &billingv1.Overage{CapNanoUsd: a.Overage.Cap, UsedNanoUsd: a.Overage.Used, HeadroomNanoUsd: a.Headroom(s.now())}
}

// shownPeriods is how many periods GetOverage shows.
const shownPeriods = 24

// GetOverage shows an account's overage and its charges.
func (s *Server) GetOverage(ctx context.Context, r *billingv1.GetOverageRequest) (*billingv1.GetOverageResponse, error) {
	claims, err := passport.Caller(ctx)
	if err != nil {
		return nil, err
	}
	if claims, err = actingFor(claims, r.GetAccountId()); err != nil {
		return nil, err
	}
	list := paging.List{Name: "overage", Filters: []string{claims.AccountID}}
	cursor, err := list.Cursor(r.GetPageToken())
	if err != nil {
		return nil, err
	}
	// The charges are read before the account: a charge that is made meanwhile is still shown as not charged.
	sums, err := s.overage.OverageSums(ctx, claims.AccountID)
	if err != nil {
		return nil, Public(err)
	}
	size := paging.Size(r.GetPageSize())
	charges, err := s.overage.Charges(ctx, claims.AccountID, cursor.ID, size+1)
	if err != nil {
		return nil, Public(err)
	}
	periods, err := s.overage.OveragePeriods(ctx, claims.AccountID, shownPeriods)
	if err != nil {
		return nil, Public(err)
	}
	account, err := s.ledger.Known(ctx, claims.AccountID)
	if err != nil {
		return nil, Public(err)
	}
	page, next := paging.Cut(list, charges, size, func(c overage.Charge) paging.Cursor { return paging.Cursor{ID: c.ID} })
	out := &billingv1.GetOverageResponse{
		Overage: s.toOverage(account), TotalNanoUsd: account.Overage.Total, InvoicedNanoUsd: sums[overage.StateInvoiced],
		UnsentNanoUsd: sums[overage.StateNew], RefusedNanoUsd: sums[overage.StateRefused], NextPageToken: next,
	}
	out.UnchargedNanoUsd = account.Overage.Total
	for _, sum := range sums {
		out.UnchargedNanoUsd -= sum
	}
	for _, p := range periods {
		out.Periods = append(out.Periods, &billingv1.OveragePeriod{StartTime: timestamppb.New(p.Start), EndTime: timestamppb.New(p.End), AmountNanoUsd: p.Amount})
	}
	for _, c := range page {
		out.Charges = append(out.Charges, toCharge(c))
	}
	return out, nil
}

func toCharge(c overage.Charge) *billingv1.OverageCharge {
	states := map[overage.State]billingv1.OverageChargeState{
		overage.StateNew:      billingv1.OverageChargeState_OVERAGE_CHARGE_STATE_NEW,
		overage.StateInvoiced: billingv1.OverageChargeState_OVERAGE_CHARGE_STATE_INVOICED,
		overage.StateRefused:  billingv1.OverageChargeState_OVERAGE_CHARGE_STATE_REFUSED,
	}
	return &billingv1.OverageCharge{
		Id: c.ID, AmountNanoUsd: c.Cents * plans.Cent, State: states[c.State], InvoiceId: c.InvoiceID, CreateTime: timestamppb.New(c.CreateTime), Problem: c.Problem,
	}
}
