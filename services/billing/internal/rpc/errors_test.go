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
			&ledger.InsufficientError{Account: account, Needed: 1, Key: &ledger.KeyBudget{Limit: 2_000_000_000, Left: -1, WindowEnd: account.PeriodEnd}},
			errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, "", "The API key may spend $2.00 until 2026-12-23T00:00:00Z, of which $0.00 is left",
		},
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
		{&ledger.AccountNotFoundError{AccountID: "a"}, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, "accountId", "set create"},
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

// Every field of the ledger's has a name in the API.
func TestFieldsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for f := ledger.FieldAccount; f <= ledger.FieldChoices; f++ {
		e := errs.From(rpc.Public(&ledger.InvalidError{Problems: []ledger.Problem{{Field: f, Text: "is wrong"}}}))
		require.NotEqual(t, "request", e.Fields[0].Name)
		require.False(t, seen[e.Fields[0].Name], e.Fields[0].Name)
		seen[e.Fields[0].Name] = true
	}
}
