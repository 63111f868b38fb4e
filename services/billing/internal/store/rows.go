package store

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

func toTime(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

// toTimeOrZero reads 0 as the zero time.
func toTimeOrZero(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return toTime(micros)
}

func toAccount(r db.Account) ledger.Account {
	return ledger.Account{
		ID: r.ID, Plan: r.Plan, Balance: r.Balance, Held: r.Held, Debt: r.Debt,
		CreateTime: toTime(r.CreateTime), PeriodStart: toTime(r.PeriodStartTime), PeriodEnd: toTime(r.PeriodEndTime), Due: toTime(r.DueTime),
		Period: ledger.UsageTotal{Requests: r.PeriodRequests, Cost: r.PeriodCost, Usage: ledger.Usage{
			Input: r.PeriodInputTokens, CachedInput: r.PeriodCachedInputTokens, Output: r.PeriodOutputTokens, Reasoning: r.PeriodReasoningTokens,
		}},
		Overage: ledger.Overage{
			Cap: r.OverageCap, Used: r.OverageUsed, Total: r.OverageTotal, CloseTime: toTimeOrZero(r.OverageCloseTime),
			StartTime: toTimeOrZero(r.OverageStartTime), EndTime: toTimeOrZero(r.OverageEndTime),
		},
	}
}

func toGrant(r db.CreditGrant) ledger.Grant {
	return ledger.Grant{
		ID: r.ID, AccountID: r.AccountID, Source: r.Source, Amount: r.Amount, Remaining: r.Remaining,
		CreateTime: toTime(r.CreateTime), ExpireTime: toTime(r.ExpireTime),
	}
}

func toGrants(rows []db.CreditGrant) []ledger.Grant {
	grants := make([]ledger.Grant, 0, len(rows))
	for _, r := range rows {
		grants = append(grants, toGrant(r))
	}
	return grants
}

func toHold(r db.Hold) (ledger.Hold, error) {
	paid, err := readBurns(r.PaidBy)
	if err != nil {
		return ledger.Hold{}, fmt.Errorf("hold %s: %w", r.ID, err)
	}
	return ledger.Hold{
		ID: r.ID, AccountID: r.AccountID, RequestID: r.RequestID, Fingerprint: r.Fingerprint, UserID: r.UserID, APIKeyID: r.APIKeyID,
		Model: r.Model, InputPrice: r.InputPrice, CachedInputPrice: r.CachedInputPrice, OutputPrice: r.OutputPrice,
		Amount: r.Amount, OutputTokens: r.OutputTokens, State: ledger.State(r.State),
		CreateTime: toTime(r.CreateTime), LeaseTime: toTime(r.LeaseTime),
		Used: ledger.Usage{
			Input: r.UsedInputTokens, CachedInput: r.UsedCachedInputTokens, Output: r.UsedOutputTokens, Reasoning: r.UsedReasoningTokens,
		},
		UsedCost: r.UsedCost,
		Closing: ledger.Closing{
			Cost: r.Cost, BalanceAfter: r.BalanceAfter, PaidBy: paid, Owed: r.Owed, Overage: r.Overage, OverageStart: toTimeOrZero(r.OverageStartTime),
			Outcome: ledger.Outcome(r.Outcome), Estimated: r.Estimated, ProviderRequestID: r.ProviderRequestID, CallLog: toCallLog(r),
			UsageTime: toTimeOrZero(r.UsageTime), SettleTime: toTimeOrZero(r.SettleTime),
		},
	}, nil
}

func toUsage(r db.UsageRecord) ledger.UsageRecord {
	return ledger.UsageRecord{
		ID: r.ID, HoldID: r.HoldID, AccountID: r.AccountID, UserID: r.UserID, APIKeyID: r.APIKeyID, Model: r.Model,
		Usage: ledger.Usage{Input: r.InputTokens, CachedInput: r.CachedInputTokens, Output: r.OutputTokens, Reasoning: r.ReasoningTokens},
		Cost:  r.Cost, Outcome: ledger.Outcome(r.Outcome), Estimated: r.Estimated, ProviderRequestID: r.ProviderRequestID,
		SettleTime: toTime(r.SettleTime),
	}
}

func toCallLog(r db.Hold) ledger.CallLog {
	return ledger.CallLog{
		Target: r.Target, ServedModel: r.ServedModel, ErrorCode: r.ErrorCode, HTTPRequestID: r.HTTPRequestID, Details: r.Details,
		Latency: time.Duration(r.Latency) * time.Microsecond, FirstByte: time.Duration(r.FirstByte) * time.Microsecond,
	}
}

// storedKind is the kind of an entry as it is stored. The table's constraint is older than overage: such an entry is stored as an adjustment, and
// its sides tell it.
func storedKind(kind string) string {
	if kind == ledger.KindOverage {
		return ledger.KindAdjustment
	}
	return kind
}

func toEntry(r db.Entry) ledger.Entry {
	e := ledger.Entry{
		ID: r.ID, AccountID: r.AccountID, Kind: r.Kind, Debit: r.Debit, Credit: r.Credit, Amount: r.Amount, Reference: r.Reference,
		CreateTime: toTime(r.CreateTime),
	}
	if r.Debit == ledger.SideReceivable || r.Credit == ledger.SideReceivable {
		e.Kind = ledger.KindOverage
	}
	return e
}

// writeBurns is "grant_1=5,grant_2=7".
func writeBurns(burns []ledger.Burn) string {
	var b strings.Builder
	for i, burn := range burns {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(burn.GrantID)
		b.WriteByte('=')
		b.WriteString(strconv.FormatInt(burn.Amount, 10))
	}
	return b.String()
}

func readBurns(text string) ([]ledger.Burn, error) {
	if text == "" {
		return nil, nil
	}
	var burns []ledger.Burn
	for part := range strings.SplitSeq(text, ",") {
		id, amount, _ := strings.Cut(part, "=")
		n, err := strconv.ParseInt(amount, 10, 64)
		if id == "" || err != nil {
			return nil, fmt.Errorf("paid_by is %q, must be like \"grant_1=5,grant_2=7\"", text)
		}
		burns = append(burns, ledger.Burn{GrantID: id, Amount: n})
	}
	return burns, nil
}
