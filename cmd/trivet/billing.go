package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
)

// overagePath is the path of the overage at the edge.
const overagePath = "/api/v1/billing/overage"

func (p program) billing() *cobra.Command {
	return group("billing", "Show an account's overage and notices (operators)", "  trivet billing overage org_2abc\n  trivet billing notices org_2abc", p.overage(), p.notices())
}

func (p program) overage() *cobra.Command {
	return &cobra.Command{
		Use: "overage ACCOUNT", Short: "Show what an account used beyond its credit, and which invoices charge it",
		Example: "  trivet billing overage org_2abc", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := p.operator(cmd.Context())
			if err != nil {
				return err
			}
			return o.overage(cmd.Context(), p.stdout, args[0])
		},
	}
}

func (o *operator) overage(ctx context.Context, w io.Writer, accountID string) error {
	for token, first := "", true; first || token != ""; first = false {
		query := url.Values{"accountId": {accountID}, "pageSize": {"500"}, "pageToken": {token}}
		raw, err := o.ask(ctx, http.MethodGet, overagePath+"?"+query.Encode(), nil)
		if err != nil {
			return err
		}
		var page billingv1.GetOverageResponse
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(raw, &page); err != nil {
			return o.notTrivet(err)
		}
		if first {
			printOverage(w, &page)
		}
		for _, c := range page.GetCharges() {
			_, _ = fmt.Fprintf(w, "  %s  %s  %14s  %s\n", c.GetCreateTime().AsTime().Format(time.RFC3339), c.GetId(), dollars(c.GetAmountNanoUsd()), stand(c))
		}
		token = page.GetNextPageToken()
	}
	return nil
}

func printOverage(w io.Writer, a *billingv1.GetOverageResponse) {
	if a.GetOverage() == nil {
		_, _ = fmt.Fprintln(w, "The account's plan never allowed overage.")
		return
	}
	_, _ = fmt.Fprintf(w, "This period: %s of %s used\n", dollars(a.GetOverage().GetUsedNanoUsd()), dollars(a.GetOverage().GetCapNanoUsd()))
	uncharged := "not charged yet"
	if a.GetUnchargedNanoUsd() < 0 { // a call was corrected after its charge
		uncharged = "less in the next charges"
	}
	for _, row := range []struct {
		name   string
		amount int64
	}{
		{"invoiced", a.GetInvoicedNanoUsd()},
		{"to be sent", a.GetUnsentNanoUsd()},
		{"refused by Stripe", a.GetRefusedNanoUsd()},
		{uncharged, a.GetUnchargedNanoUsd()},
		{"total", a.GetTotalNanoUsd()},
	} {
		_, _ = fmt.Fprintf(w, "%-28s%18s\n", row.name, dollars(row.amount))
	}
	for _, p := range a.GetPeriods() {
		_, _ = fmt.Fprintf(w, "  period from %s  %18s\n", p.GetStartTime().AsTime().Format(time.RFC3339), dollars(p.GetAmountNanoUsd()))
	}
}

// dollars writes nano-dollars exactly.
func dollars(nano int64) string {
	sign := ""
	if nano < 0 {
		sign, nano = "-", -nano
	}
	return fmt.Sprintf("%s$%d.%09d", sign, nano/1_000_000_000, nano%1_000_000_000)
}

// stand says where a charge stands.
func stand(c *billingv1.OverageCharge) string {
	switch c.GetState() {
	case billingv1.OverageChargeState_OVERAGE_CHARGE_STATE_NEW:
		return "to be sent"
	case billingv1.OverageChargeState_OVERAGE_CHARGE_STATE_INVOICED:
		return "on invoice " + c.GetInvoiceId()
	case billingv1.OverageChargeState_OVERAGE_CHARGE_STATE_REFUSED:
		return "refused: " + c.GetProblem()
	default:
		return c.GetState().String()
	}
}
