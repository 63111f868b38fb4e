package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/rpc"
)

func TestPublic(t *testing.T) {
	account := ledger.Account{Balance: 5_000_000_000, Held: 1_000_000_000, PeriodEnd: time.Date(2026, 12, 23, 0, 0, 0, 0, time.UTC)}
	limited := func(kind ledger.SubjectKind) *ledger.LimitBudget {
		return &ledger.LimitBudget{Kind: kind, Amount: 2_000_000_000, Left: -1, Window: ledger.Window{Period: time.Hour, End: account.PeriodEnd}}
	}
	for _, c := range []struct {
		err    error
		reason errorsv1.ErrorReason
		field  string
		says   string
	}{
		{
			&ledger.InsufficientError{Account: account, Needed: 6_000_000_000}, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, "",
			"The balance is $5.00, of which $1.00 is held for running calls; the call needs at least $6.00.",
		},
		{&ledger.InsufficientError{Account: account, Needed: -1}, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, "", "needs more than can be counted"},
		{
			&ledger.InsufficientError{Account: account, Needed: 1, Limit: limited(ledger.SubjectKey)},
			errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, "", "The API key may spend $2.00 until 2026-12-23T00:00:00Z, of which $0.00 is left",
		},
		{
			&ledger.InsufficientError{Account: account, Needed: 1, Limit: limited(ledger.SubjectMember)},
			errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, "",
			"This member of the account may spend $2.00 until 2026-12-23T00:00:00Z, of which $0.00 is left; this call needs at least $0.000000001. " +
				"Ask for less output, wait, or have an admin raise the limit.",
		},
		{&ledger.LimitNotFoundError{ID: "limit_1"}, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, "id", `The spend limit "limit_1" was not found.`},
		{&ledger.TooManyLimitsError{Most: 7}, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, "", "has 7 spend limits"},
		{
			&ledger.ModelNotAllowedError{Model: "m", Plan: plans.Plan{ID: "p", Name: "Plan", Models: []string{"a", "b"}}},
			errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_ALLOWED, "model", "The plan Plan does not include the model m. It includes: a, b.",
		},
		{&ledger.PlanMissingError{PlanID: "gold"}, errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR, "", "PLANS_FILE"},
		{&ledger.RequestUsedError{RequestID: "r"}, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, "requestId", "another call"},
		{&ledger.RequestUsedError{RequestID: "r", Over: true}, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, "requestId", "over and billed"},
		{&ledger.HoldNotFoundError{HoldID: "h"}, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, "holdId", `There is no hold "h".`},
		{&ledger.HoldClosedError{HoldID: "h"}, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, "holdId", "is closed"},
		{&ledger.UsageError{Usage: ledger.Usage{Input: 7}}, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "usage", "7 input tokens"},
		{&ledger.UncountableError{Cost: 1}, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, "usage", "$0.000000001"},
		{&ledger.AccountNotFoundError{AccountID: "a"}, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, "accountId", "grant that sets create."},
		{&ledger.BalanceLimitError{Balance: 1}, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, "amountNanoUsd", "$100000000.00"},
		{&ledger.SourceUsedError{Source: "s", Amount: 1}, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, "source", "Use a source once."},
		{&ledger.ErasedError{AccountID: "user_1"}, errorsv1.ErrorReason_ERROR_REASON_USER_DISABLED, "", "This user was deleted."},
		{
			&ledger.InvalidError{Problems: []ledger.Problem{{Field: ledger.FieldExpiry, Text: "must be in the future"}}},
			errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "expireTime", "expireTime must be in the future.",
		},
		{context.DeadlineExceeded, errorsv1.ErrorReason_ERROR_REASON_DEADLINE_EXCEEDED, "", ""},
		{errors.New("secret detail"), errorsv1.ErrorReason_ERROR_REASON_INTERNAL, "", ""},
	} {
		e := errs.From(rpc.Public(fmt.Errorf("wrapped: %w", c.err)))
		require.Equal(t, c.reason, e.Reason, "%v", c.err)
		require.Contains(t, e.Message, c.says)
		require.NotContains(t, e.Message, "secret detail")
		if c.field != "" {
			require.Len(t, e.Fields, 1)
			require.Equal(t, c.field, e.Fields[0].Name)
		}
	}
	require.NoError(t, rpc.Public(nil))
}

// A refusal names the limit, its window and when the next one begins. It suggests to wait only when the limit can cover the call at all.
func TestALimitsRefusalSaysWhenToComeBack(t *testing.T) {
	end := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	refusal := func(period time.Duration, needed int64) *errs.Error {
		return errs.From(rpc.Public(&ledger.InsufficientError{Needed: needed, Limit: &ledger.LimitBudget{
			Kind: ledger.SubjectMember, Amount: 100, Left: 40, Window: ledger.Window{Period: period, End: end}, Wait: time.Hour,
		}}))
	}
	for period, window := range map[time.Duration]string{
		ledger.PeriodHour: "hour", ledger.PeriodDay: "day", ledger.PeriodWeek: "week", ledger.PeriodMonth: "month", ledger.PeriodBilling: "billing_period",
		5 * time.Hour: "18000s",
	} {
		require.Equal(t, map[string]string{
			"limit": "member", "window": window, "window_end_time": "2026-12-01T00:00:00Z", "limit_nano_usd": "100", "available_nano_usd": "40",
		}, refusal(period, 50).Metadata)
	}
	require.Equal(t, time.Hour, refusal(time.Hour, 100).RetryAfter)
	require.Zero(t, refusal(time.Hour, 101).RetryAfter)
	require.Zero(t, refusal(time.Hour, -1).RetryAfter)
}

// Every field of the ledger's has a name in the API.
func TestFieldsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for f := ledger.FieldAccount; f <= ledger.FieldLimit; f++ {
		e := errs.From(rpc.Public(&ledger.InvalidError{Problems: []ledger.Problem{{Field: f, Text: "is wrong"}}}))
		require.NotEqual(t, "request", e.Fields[0].Name)
		require.False(t, seen[e.Fields[0].Name], e.Fields[0].Name)
		seen[e.Fields[0].Name] = true
	}
}
