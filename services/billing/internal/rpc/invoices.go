package rpc

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/services/billing/internal/checkout"
	"github.com/trivet-dev/trivet/services/billing/internal/outcome"
)

// ListInvoices pages through the account's invoices at Stripe, newest first.
func (s *Server) ListInvoices(ctx context.Context, r *billingv1.ListInvoicesRequest) (*billingv1.ListInvoicesResponse, error) {
	claims, err := passport.Caller(ctx)
	if err != nil {
		return nil, err
	}
	list := paging.List{Name: "invoices", Filters: []string{claims.AccountID}}
	cursor, err := list.Cursor(r.GetPageToken())
	if err != nil {
		return nil, err
	}
	if s.checkout == nil {
		return nil, stripeIsOff()
	}
	page, more, err := s.checkout.Invoices(ctx, claims.AccountID, cursor.ID, min(paging.Size(r.GetPageSize()), 100))
	if refused, ok := errors.AsType[*outcome.RefusedError](err); ok && refused.Param == "starting_after" {
		return nil, paging.Invalid() // the page before ended with a draft that was deleted since, or with the invoice of an earlier customer
	}
	if err != nil {
		return nil, stripeError(err)
	}
	out := &billingv1.ListInvoicesResponse{}
	for _, inv := range page {
		out.Invoices = append(out.Invoices, toInvoice(inv))
	}
	if more {
		out.NextPageToken = list.Token(paging.Cursor{ID: page[len(page)-1].ID})
	}
	return out, nil
}

func toInvoice(inv checkout.Invoice) *billingv1.Invoice {
	statuses := map[string]billingv1.InvoiceStatus{
		"draft": billingv1.InvoiceStatus_INVOICE_STATUS_DRAFT, "open": billingv1.InvoiceStatus_INVOICE_STATUS_OPEN,
		"paid": billingv1.InvoiceStatus_INVOICE_STATUS_PAID, "void": billingv1.InvoiceStatus_INVOICE_STATUS_VOID,
		"uncollectible": billingv1.InvoiceStatus_INVOICE_STATUS_UNCOLLECTIBLE,
	}
	return &billingv1.Invoice{
		Id: inv.ID, Status: statuses[inv.Status], TotalMinorUnits: inv.Total, Currency: inv.Currency, HostedUrl: inv.URL,
		CreateTime: timestamppb.New(time.Unix(inv.Created, 0)),
	}
}
