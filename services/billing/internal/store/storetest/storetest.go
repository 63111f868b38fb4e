// Package storetest is the conformance suite of billing's store: what a store promises, checked on any of them.
package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/customers"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// Store is what is tested.
type Store interface {
	ledger.Store
	customers.Store
	// Customer reads an account's customer id; "" while it has none.
	Customer(ctx context.Context, accountID string) (string, error)
	// EraseUser takes a person's id out of what is stored, for good.
	EraseUser(ctx context.Context, userID string) error
}

// Run checks a store; open returns a fresh one for each test.
func Run(t *testing.T, open func(t *testing.T) Store) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Store){
		"accounts":                accounts,
		"transactions":            transactions,
		"holding":                 holding,
		"what can not be held":    notHeld,
		"holds":                   holds,
		"checkpoints":             checkpoints,
		"charging":                charging,
		"what can not be charged": notCharged,
		"charging a lost hold":    chargingLost,
		"charging nothing":        chargingNothing,
		"charging the next grant": chargingTheNext,
		"charging one":            chargingOne,
		"closing":                 closing,
		"expired holds":           expiredHolds,
		"grants":                  grants,
		"entries":                 entries,
		"usage":                   usage,
		"keys":                    keys,
		"debts":                   debts,
		"erasure":                 erasure,
		"sums beyond 64 bits":     hugeSums,
		"audit":                   audit,
		"customers":               missingCustomers,
		"constraints":             constraints,
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
	a := ledger.Account{ID: id, Plan: "free", CreateTime: base, PeriodStart: base, PeriodEnd: base.AddDate(0, 1, 0), Due: base.Add(time.Hour)}
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		inserted, err := tx.InsertAccount(ctx, a)
		require.NoError(t, err)
		require.True(t, inserted)
		a.Balance = balance
		require.NoError(t, tx.SaveAccount(ctx, a))
	})
	return a
}

func openGrant(t *testing.T, s Store, id, account string, amount int64, expire time.Time) {
	t.Helper()
	g := ledger.Grant{ID: id, AccountID: account, Source: "source of " + id, Amount: amount, Remaining: amount, CreateTime: base, ExpireTime: expire}
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

func openHold(t *testing.T, s Store, id, account string, amount int64) ledger.Hold {
	t.Helper()
	h := newHold(id, account, amount)
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		_, taken, err := tx.TakeHold(ctx, h)
		require.NoError(t, err)
		require.Equal(t, ledger.TakenNow, taken)
	})
	return h
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
