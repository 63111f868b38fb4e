package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

func accounts(t *testing.T, s Store) {
	_, err := s.Account(t.Context(), "acc")
	require.ErrorIs(t, err, ledger.ErrNotFound)
	fresh := ledger.Account{ID: "new", Plan: "free", CreateTime: base, PeriodStart: base, PeriodEnd: base.Add(time.Hour), Due: base.Add(time.Minute)}
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		inserted, err := tx.InsertAccount(ctx, fresh)
		require.NoError(t, err)
		require.True(t, inserted)
	})
	require.Equal(t, fresh, readAccount(t, s, "new"), "without money")
	a := openAccount(t, s, "acc", 70)
	require.Equal(t, a, readAccount(t, s, "acc"))
	a = ledger.Account{
		ID: "acc", Plan: "free", Balance: -5, Held: 6, Debt: 7, CreateTime: base, PeriodStart: base.Add(1 * time.Microsecond),
		PeriodEnd: base.Add(2 * time.Microsecond), Due: base.Add(3 * time.Microsecond),
		Period: ledger.UsageTotal{Requests: 8, Usage: ledger.Usage{Input: 9, CachedInput: 10, Output: 11, Reasoning: 12}, Cost: 13},
	}
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		_, err := tx.LockAccount(ctx, "other")
		require.ErrorIs(t, err, ledger.ErrNotFound)
		inserted, err := tx.InsertAccount(ctx, ledger.Account{ID: "acc", Plan: "pro"})
		require.NoError(t, err)
		require.False(t, inserted, "the first one stays")
		require.NoError(t, tx.SaveAccount(ctx, a))
		locked, err := tx.LockAccount(ctx, "acc")
		require.NoError(t, err)
		require.Equal(t, a, locked)
	})
	require.Equal(t, a, readAccount(t, s, "acc"))
}

func transactions(t *testing.T, s Store) {
	openAccount(t, s, "acc", 70)
	err := s.Write(t.Context(), "acc", func(ctx context.Context, tx ledger.Tx) error {
		require.NoError(t, take(ctx, tx, newHold("h1", "acc", 10)))
		return errUndo
	})
	require.ErrorIs(t, err, errUndo)
	require.Zero(t, readAccount(t, s, "acc").Held)
	_, err = s.Hold(t.Context(), "h1")
	require.ErrorIs(t, err, ledger.ErrNotFound)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.Write(ctx, "acc", func(context.Context, ledger.Tx) error { return nil }), context.Canceled)
	_, err = s.Account(ctx, "acc")
	require.Error(t, err)
}

// constraints: the database itself refuses what must never be.
func constraints(t *testing.T, s Store) {
	openAccount(t, s, "acc", 70)
	openGrant(t, s, "g1", 70)
	entry := func(change func(*ledger.Entry)) func(context.Context, ledger.Tx) error {
		e := ledger.Entry{ID: "ent_1", AccountID: "acc", Kind: "usage", Debit: "customer:acc", Credit: "revenue:usage", Amount: 1, CreateTime: base}
		change(&e)
		return func(ctx context.Context, tx ledger.Tx) error { return tx.InsertEntry(ctx, e) }
	}
	account := func(change func(*ledger.Account)) func(context.Context, ledger.Tx) error {
		a := readAccount(t, s, "acc")
		change(&a)
		return func(ctx context.Context, tx ledger.Tx) error { return tx.SaveAccount(ctx, a) }
	}
	refused := map[string]func(context.Context, ledger.Tx) error{
		"an entry of nothing":       entry(func(e *ledger.Entry) { e.Amount = 0 }),
		"an entry of less":          entry(func(e *ledger.Entry) { e.Amount = -1 }),
		"an entry to itself":        entry(func(e *ledger.Entry) { e.Credit = e.Debit }),
		"an entry of another kind":  entry(func(e *ledger.Entry) { e.Kind = "gift" }),
		"held below nothing":        account(func(a *ledger.Account) { a.Held = -1 }),
		"debt below nothing":        account(func(a *ledger.Account) { a.Debt = -1 }),
		"a balance beyond measure":  account(func(a *ledger.Account) { a.Balance = 8_000_000_000_000_000_001 }),
		"a balance below measure":   account(func(a *ledger.Account) { a.Balance = -8_000_000_000_000_000_001 }),
		"remaining below nothing":   func(ctx context.Context, tx ledger.Tx) error { return tx.SetRemaining(ctx, "g1", -1) },
		"remaining above the grant": func(ctx context.Context, tx ledger.Tx) error { return tx.SetRemaining(ctx, "g1", 71) },
	}
	for name, fn := range refused {
		require.Error(t, s.Write(t.Context(), "acc", fn), name)
	}
	require.NoError(t, s.Write(t.Context(), "acc", entry(func(*ledger.Entry) {})), "else the cases prove nothing")
	require.NoError(t, s.Write(t.Context(), "acc", account(func(a *ledger.Account) { a.Balance = 8_000_000_000_000_000_000 })))
	require.NoError(t, s.Write(t.Context(), "acc", account(func(a *ledger.Account) { a.Balance = -8_000_000_000_000_000_000 })))
}

func missingCustomers(t *testing.T, s Store) {
	openAccount(t, s, "acc", 0)
	openAccount(t, s, "bee", 0)
	_, err := s.Customer(t.Context(), "none")
	require.ErrorIs(t, err, ledger.ErrNotFound)
	missing, err := s.MissingCustomers(t.Context(), base.Add(-time.Microsecond), 10)
	require.NoError(t, err)
	require.Empty(t, missing)
	missing, err = s.MissingCustomers(t.Context(), base, 1)
	require.NoError(t, err)
	require.Len(t, missing, 1)
	missing, err = s.MissingCustomers(t.Context(), base, 10)
	require.NoError(t, err)
	require.Len(t, missing, 2)

	m := missing[0]
	require.Zero(t, m.FirstTime)
	mine, err := s.LeaseCustomer(t.Context(), m, base, base.Add(time.Minute))
	require.NoError(t, err)
	require.True(t, mine)
	mine, err = s.LeaseCustomer(t.Context(), m, base, base.Add(time.Minute))
	require.NoError(t, err)
	require.False(t, mine, "one gets it")
	require.NoError(t, s.SpendCustomerKey(t.Context(), m.AccountID))

	missing, err = s.MissingCustomers(t.Context(), base.Add(time.Minute), 10)
	require.NoError(t, err)
	require.Len(t, missing, 2)
	again := missing[1] // its turn is later
	require.Equal(t, m.AccountID, again.AccountID)
	require.EqualValues(t, 1, again.Attempts)
	require.EqualValues(t, 1, again.SpentKeys)
	require.Equal(t, base, again.FirstTime)
	mine, err = s.LeaseCustomer(t.Context(), again, base.Add(time.Hour), base.Add(2*time.Hour))
	require.NoError(t, err)
	require.True(t, mine)

	require.NoError(t, s.SaveCustomer(t.Context(), m.AccountID, "cus_1"))
	require.NoError(t, s.SaveCustomer(t.Context(), m.AccountID, "cus_2"))
	id, err := s.Customer(t.Context(), m.AccountID)
	require.NoError(t, err)
	require.Equal(t, "cus_1", id, "the first one stays")
	missing, err = s.MissingCustomers(t.Context(), base.AddDate(1, 0, 0), 10)
	require.NoError(t, err)
	require.Len(t, missing, 1)
}
