package rpc

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	usagev1 "github.com/trivet-dev/trivet/gen/go/trivet/usage/v1"
	"github.com/trivet-dev/trivet/platform/saturate"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

func fromUsage(u *usagev1.CallUsage) ledger.Usage {
	return ledger.Usage{
		Input:       int64(u.GetInputTokens()),
		CachedInput: int64(u.GetCachedInputTokens()),
		Output:      int64(u.GetOutputTokens()),
		Reasoning:   int64(u.GetReasoningTokens()),
	}
}

func toUsage(u ledger.Usage) *usagev1.UsageTotal {
	return &usagev1.UsageTotal{
		InputTokens: u.Input, CachedInputTokens: u.CachedInput, OutputTokens: u.Output, ReasoningTokens: u.Reasoning,
	}
}

func toSummary(t ledger.UsageTotal) *billingv1.UsageSummary {
	return &billingv1.UsageSummary{Requests: t.Requests, Usage: toUsage(t.Usage), CostNanoUsd: t.Cost}
}

func toLimits(l plans.Limits) *billingv1.Limits {
	return &billingv1.Limits{
		RequestsPerMinute: l.RequestsPerMinute, TokensPerMinute: saturate.Int32(l.TokensPerMinute), ConcurrentRequests: l.ConcurrentRequests,
		RequestsPerDay: l.RequestsPerDay, ConcurrentStreams: l.ConcurrentStreams,
	}
}

func toPlan(p plans.Plan) *billingv1.Plan {
	out := &billingv1.Plan{
		Id: p.ID, Name: p.Name, PricePerPeriodNanoUsd: p.Price, IncludedCreditPerPeriodNanoUsd: p.IncludedCredit,
		Limits: toLimits(p.Limits), Models: p.Models, Features: p.Features, Version: saturate.Int32(p.Version), YearlyPriceNanoUsd: p.YearlyPrice,
	}
	if p.Seats != nil {
		out.Seats = &billingv1.PlanSeats{Min: saturate.Int32(p.Seats.Min), Max: saturate.Int32(p.MostSeats(plans.Month)), PerMember: p.Seats.PerMember}
		if p.YearlyPrice > 0 {
			out.Seats.YearlyMax = saturate.Int32(p.MostSeats(plans.Year))
		}
	}
	if p.Trial != nil {
		out.Trial = &billingv1.PlanTrial{Days: saturate.Int32(p.Trial.Days), CreditNanoUsd: p.Trial.Credit, CardRequired: p.Trial.CardRequired}
	}
	if p.Overage != nil {
		out.Overage = &billingv1.PlanOverage{CapNanoUsd: p.Overage.Cap}
	}
	return out
}

func toGrant(g ledger.Grant) *billingv1.Grant {
	out := &billingv1.Grant{
		Id: g.ID, Source: g.Source, AmountNanoUsd: g.Amount, RemainingNanoUsd: g.Remaining, CreateTime: timestamppb.New(g.CreateTime),
	}
	if !g.ExpireTime.Equal(ledger.Never) {
		out.ExpireTime = timestamppb.New(g.ExpireTime)
	}
	return out
}

func toEntry(e ledger.Entry) *billingv1.Entry {
	return &billingv1.Entry{
		Id: e.ID, Kind: toEntryKind(e.Kind), Debit: e.Debit, Credit: e.Credit, AmountNanoUsd: e.Amount, ReferenceId: e.Reference,
		CreateTime: timestamppb.New(e.CreateTime), CreditSource: toCreditSource(e.Origin()),
	}
}

func toCreditSource(origin ledger.Origin) billingv1.CreditSource {
	switch origin {
	case ledger.OriginPlan:
		return billingv1.CreditSource_CREDIT_SOURCE_PLAN
	case ledger.OriginSubscription:
		return billingv1.CreditSource_CREDIT_SOURCE_SUBSCRIPTION
	case ledger.OriginTrial:
		return billingv1.CreditSource_CREDIT_SOURCE_TRIAL
	case ledger.OriginPack:
		return billingv1.CreditSource_CREDIT_SOURCE_PACK
	case ledger.OriginTopUp:
		return billingv1.CreditSource_CREDIT_SOURCE_TOP_UP
	case ledger.OriginOperator:
		return billingv1.CreditSource_CREDIT_SOURCE_OPERATOR
	case ledger.OriginReturned:
		return billingv1.CreditSource_CREDIT_SOURCE_RETURNED
	case ledger.OriginNone:
	}
	return billingv1.CreditSource_CREDIT_SOURCE_UNSPECIFIED
}

func toEntryKind(kind string) billingv1.EntryKind {
	switch kind {
	case ledger.KindGrant:
		return billingv1.EntryKind_ENTRY_KIND_GRANT
	case ledger.KindUsage:
		return billingv1.EntryKind_ENTRY_KIND_USAGE
	case ledger.KindAdjustment:
		return billingv1.EntryKind_ENTRY_KIND_ADJUSTMENT
	case ledger.KindExpiry:
		return billingv1.EntryKind_ENTRY_KIND_EXPIRY
	case ledger.KindOverage:
		return billingv1.EntryKind_ENTRY_KIND_OVERAGE
	default:
		return billingv1.EntryKind_ENTRY_KIND_UNSPECIFIED
	}
}
