package rpc

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	usagev1 "github.com/trivet-dev/trivet/gen/go/trivet/usage/v1"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

func fromUsage(u *usagev1.TokenUsage) ledger.Usage {
	return ledger.Usage{
		Input: u.GetInputTokens(), CachedInput: u.GetCachedInputTokens(), Output: u.GetOutputTokens(), Reasoning: u.GetReasoningTokens(),
	}
}

func toUsage(u ledger.Usage) *usagev1.TokenUsage {
	return &usagev1.TokenUsage{
		InputTokens: u.Input, CachedInputTokens: u.CachedInput, OutputTokens: u.Output, ReasoningTokens: u.Reasoning,
	}
}

func toTotal(t ledger.UsageTotal) *billingv1.UsageTotal {
	return &billingv1.UsageTotal{Requests: t.Requests, Usage: toUsage(t.Usage), CostNanoUsd: t.Cost}
}

func toLimits(l plans.Limits) *billingv1.Limits {
	return &billingv1.Limits{
		RequestsPerMinute: l.RequestsPerMinute, TokensPerMinute: l.TokensPerMinute, ConcurrentRequests: l.ConcurrentRequests,
	}
}

func toPlan(p plans.Plan) *billingv1.Plan {
	return &billingv1.Plan{
		Id: p.ID, Name: p.Name, PriceNanoUsd: p.Price, IncludedCreditNanoUsd: p.IncludedCredit, Limits: toLimits(p.Limits),
		Models: p.Models, Features: p.Features,
	}
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
		Id: e.ID, Kind: e.Kind, Debit: e.Debit, Credit: e.Credit, AmountNanoUsd: e.Amount, Reference: e.Reference,
		CreateTime: timestamppb.New(e.CreateTime),
	}
}
