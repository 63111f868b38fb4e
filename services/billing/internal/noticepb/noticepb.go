// Package noticepb converts notices to the API's messages, for the API and for webhooks.
package noticepb

import (
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/saturate"
	"github.com/trivet-dev/trivet/services/billing/internal/notices"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

const prefix = "NOTICE_KIND_"

// Kind turns a kind of the contract into one of notices; "" for the unspecified one.
func Kind(k billingv1.NoticeKind) notices.Kind {
	if k == billingv1.NoticeKind_NOTICE_KIND_UNSPECIFIED {
		return ""
	}
	return notices.Kind(strings.ToLower(strings.TrimPrefix(k.String(), prefix)))
}

// Message shows a notice. Only one of a failed payment shows payURL.
func Message(n notices.Notice, payURL string) *billingv1.Notice {
	d := n.Data
	out := &billingv1.Notice{
		Id: n.ID, AccountId: n.AccountID, Kind: billingv1.NoticeKind(billingv1.NoticeKind_value[prefix+strings.ToUpper(string(n.Kind))]),
		CreateTime: timestamppb.New(n.CreateTime), PlanId: d.PlanID, PlanVersion: saturate.Int32(d.PlanVersion), Seats: saturate.Int32(d.Seats),
		AmountNanoUsd: d.Amount, SubscriptionId: d.SubscriptionID, InvoiceId: d.InvoiceID, ObjectId: d.ObjectID,
		ThresholdPercent: saturate.Int32(d.Percent), UsedNanoUsd: d.Used, UserId: n.UserID, ApiKeyId: d.APIKeyID, Problem: d.Problem, Members: saturate.Int32(d.Members),
		LimitWindow: billingv1.SpendWindow(billingv1.SpendWindow_value["SPEND_WINDOW_"+strings.ToUpper(d.Window)]),
	}
	if !d.WindowStart.IsZero() {
		out.WindowStartTime = timestamppb.New(d.WindowStart)
	}
	if d.Interval == string(plans.Month) {
		out.Interval = billingv1.BillingInterval_BILLING_INTERVAL_MONTH
	} else if d.Interval == string(plans.Year) {
		out.Interval = billingv1.BillingInterval_BILLING_INTERVAL_YEAR
	}
	if !d.Time.IsZero() {
		out.Time = timestamppb.New(d.Time)
	}
	if n.Kind == notices.PaymentFailed {
		out.PayUrl = payURL
	}
	return out
}
