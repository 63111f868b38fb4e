// Package storetest is the conformance suite of billing's store: what a store promises, checked on any of them.
package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/customers"
	"github.com/trivet-dev/trivet/services/billing/internal/follow"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/notices"
	"github.com/trivet-dev/trivet/services/billing/internal/topup"
)

// Store is what is tested.
type Store interface {
	ledger.Store
	customers.Store
	mirror.Store
	follow.Store
	// Customer reads an account's customer id; "" while it has none.
	Customer(ctx context.Context, accountID string) (string, error)
	// AccountOfCustomer finds the account of a customer.
	AccountOfCustomer(ctx context.Context, customer string) (string, error)
	// SetTopUp replaces the setting of an account's automatic top-up, and TopUp reads it.
	SetTopUp(ctx context.Context, t topup.Setting, pause time.Duration) error
	TopUp(ctx context.Context, accountID string) (topup.Setting, error)
	// EraseUser takes a person's id out of what is stored, for good.
	EraseUser(ctx context.Context, userID string) error
	// Notice reads a notice, or ledger.ErrNotFound.
	Notice(ctx context.Context, id string) (notices.Notice, error)
	// OpenHolds counts the open holds, and returns the time of the oldest one and the end of the first lease.
	OpenHolds(ctx context.Context) (count int64, oldest, lease time.Time, err error)
}

// Run checks a store; open returns a fresh one for each test.
func Run(t *testing.T, open func(t *testing.T) Store) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Store){
		"open holds are counted":   openHolds,
		"accounts":                 accounts,
		"transactions":             transactions,
		"holding":                  holding,
		"holds":                    holds,
		"checkpoints":              checkpoints,
		"closing":                  closing,
		"assumptions":              assumptions,
		"failures":                 failures,
		"reading what was written": readingBack,
		"expired holds":            expiredHolds,
		"grants":                   grants,
		"entries":                  entries,
		"usage":                    usage,
		"folding":                  folding,
		"corrections":              corrections,
		"calls that wait":          waitingCalls,
		"damaged calls":            damagedCalls,
		"pruning":                  pruning,
		"keys":                     keys,
		"members":                  members,
		"limits":                   limits,
		"limited windows":          limitedWindows,
		"new limits after none":    newLimitsAfterNone,
		"debts":                    debts,
		"erasure of holds":         erasureOfHolds,
		"holds after erasure":      holdsAfterErasure,
		"accounts after erasure":   accountsAfterErasure,
		"erasure of history":       erasureOfHistory,
		"sums beyond 64 bits":      hugeSums,
		"audit":                    audit,
		"grants of a source":       grantsOfASource,
		"customers":                customersOfAccounts,
		"deleted customers":        customersDeleted,
		"constraints":              constraints,
		"calls in segments":        callsInSegments,
		"searches":                 searches,
		"records of holds":         recordsOfHolds,
		"refused calls":            refusedCalls,
		"erasure of refused calls": erasureOfRefusedCalls,
		"notices by source":        noticesBySource,
		"notices after erasure":    noticesAfterErasure,
		"stopping a top-up":        stopping,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// base is the time of the tests; microseconds matter.
var base = time.Date(2026, 11, 23, 9, 30, 0, 123_456_000, time.UTC)

var errUndo = errors.New("undo")

// write runs a transaction that must succeed.
func write(t *testing.T, s Store, fn func(ctx context.Context, tx ledger.Tx)) {
	t.Helper()
	require.NoError(t, s.Write(t.Context(), "acc", func(ctx context.Context, tx ledger.Tx) error {
		fn(ctx, tx)
		return nil
	}))
}

// openAccount writes an account with money.
func openAccount(t *testing.T, s Store, id string, balance int64) ledger.Account {
	t.Helper()
	a := ledger.Account{ID: id, Plan: "free", CreateTime: base, PeriodStart: midnight(base), PeriodEnd: base.AddDate(0, 1, 0), Due: base.Add(time.Hour)}
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		inserted, err := tx.InsertAccount(ctx, a)
		require.NoError(t, err)
		require.True(t, inserted)
		a.Balance = balance
		require.NoError(t, tx.SaveAccount(ctx, a))
	})
	return a
}

func openGrant(t *testing.T, s Store, id string, amount int64) {
	t.Helper()
	g := ledger.Grant{ID: id, AccountID: "acc", Source: "source of " + id, Amount: amount, Remaining: amount, CreateTime: base, ExpireTime: ledger.Never}
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		inserted, err := tx.InsertGrant(ctx, g)
		require.NoError(t, err)
		require.True(t, inserted)
	})
}

func newHold(id, account string, amount int64) ledger.Hold {
	return ledger.Hold{
		ID: id, AccountID: account, RequestID: "request of " + id, Fingerprint: "f", UserID: "u", APIKeyID: "k", Model: "m",
		InputPrice: 1, CachedInputPrice: 2, OutputPrice: 3, Amount: amount, OutputTokens: 4, State: ledger.StateOpen,
		CreateTime: base, LeaseTime: base.Add(time.Minute), Used: ledger.Usage{Input: 5, CachedInput: 1, Output: 6, Reasoning: 2},
	}
}

// take holds credit as the ledger does.
func take(ctx context.Context, tx ledger.Tx, h ledger.Hold) error {
	a, err := tx.LockAccount(ctx, h.AccountID)
	if err != nil {
		return err
	}
	inserted, err := tx.InsertHold(ctx, h)
	if err != nil || !inserted {
		return errors.Join(err, errTaken)
	}
	a.Held += h.Amount
	return errors.Join(tx.AddSpend(ctx, h, ledger.Spend{Held: h.Amount}), tx.SaveAccount(ctx, a))
}

var errTaken = errors.New("there is such a hold")

func openHold(t *testing.T, s Store, id string, amount int64) ledger.Hold {
	t.Helper()
	h := newHold(id, "acc", amount)
	require.NoError(t, s.Write(t.Context(), "acc", func(ctx context.Context, tx ledger.Tx) error { return take(ctx, tx, h) }))
	return h
}

// closed is the hold after it was closed so.
func closed(h ledger.Hold, c ledger.Closing, state ledger.State) ledger.Hold {
	h.State, h.Closing = state, c
	return h
}

// closeHold closes an open hold and nothing else.
func closeHold(ctx context.Context, tx ledger.Tx, h ledger.Hold, c ledger.Closing) error {
	return tx.CloseHold(ctx, closed(h, c, ledger.StateSettled), ledger.StateOpen)
}

// newClosing is how a call ended, an instant after its hold was made.
func newClosing(cost int64) ledger.Closing {
	return ledger.Closing{
		Cost: cost, Outcome: ledger.OutcomeCompleted, Estimated: true, ProviderRequestID: "req_1", UsageTime: base.Add(time.Second), SettleTime: base.Add(time.Second),
	}
}

func midnight(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

// used is what newClosing is for.
var used = ledger.Usage{Input: 10, CachedInput: 4, Output: 20, Reasoning: 8}

// charge charges a hold to the grant g1, as the ledger does.
func charge(ctx context.Context, tx ledger.Tx, h ledger.Hold, cost int64) error {
	const grantID = "g1"
	a, err := tx.LockAccount(ctx, h.AccountID)
	if err != nil {
		return err
	}
	g, err := tx.Grant(ctx, grantID)
	if err != nil {
		return err
	}
	a.Balance -= cost
	a.Held -= h.Amount
	a.Period.Add(ledger.UsageTotal{Requests: 1, Usage: used, Cost: cost})
	end := newClosing(cost)
	end.BalanceAfter, end.PaidBy = a.Balance, []ledger.Burn{{GrantID: grantID, Amount: cost}}
	h.Used = used
	return errors.Join(
		tx.SetRemaining(ctx, grantID, g.Remaining-cost), closeHold(ctx, tx, h, end),
		tx.AddSpend(ctx, h, ledger.Spend{Held: -h.Amount, Spent: cost}), tx.SaveAccount(ctx, a))
}

// fold folds everything; name makes its ids.
func fold(t *testing.T, s Store, name string) (moved int) {
	t.Helper()
	ids, err := s.AccountsToFold(t.Context(), "", 100)
	require.NoError(t, err)
	for _, id := range ids {
		n, err := s.Fold(t.Context(), []string{id}, 100, ledger.Folding{SegmentID: func(time.Time) string { return "usage_" + name }, EntryID: func(time.Time) string { return "ent_" + name }})
		require.NoError(t, err)
		moved += n
	}
	return moved
}

func readAccount(t *testing.T, s Store, id string) ledger.Account {
	t.Helper()
	a, err := s.Account(t.Context(), id)
	require.NoError(t, err)
	return a
}

func readHold(t *testing.T, s Store, id string) ledger.Hold {
	t.Helper()
	h, err := s.Hold(t.Context(), id)
	require.NoError(t, err)
	return h
}

func remaining(t *testing.T, s Store, account string) map[string]int64 {
	t.Helper()
	all, err := s.Grants(t.Context(), account)
	require.NoError(t, err)
	left := map[string]int64{}
	for _, g := range all {
		left[g.ID] = g.Remaining
	}
	return left
}
