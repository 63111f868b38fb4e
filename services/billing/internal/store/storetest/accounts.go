package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/customers"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
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

func customersOfAccounts(t *testing.T, s Store) {
	id, err := s.Customer(t.Context(), "none")
	require.NoError(t, err)
	require.Empty(t, id)
	begin := func(at time.Time) customers.Customer {
		c, err := s.BeginCustomer(t.Context(), customers.Begin{AccountID: "acc", Time: at})
		require.NoError(t, err)
		return c
	}
	require.Equal(t, customers.Customer{AccountID: "acc"}, begin(base))
	require.Equal(t, customers.Customer{AccountID: "acc", Attempts: 1, FirstTime: base}, begin(base.Add(time.Hour)))
	require.NoError(t, s.SpendCustomerKey(t.Context(), "acc"))
	require.Equal(t, customers.Customer{AccountID: "acc", Attempts: 2, SpentKeys: 1, FirstTime: base}, begin(base.Add(2*time.Hour)))

	require.NoError(t, s.SaveCustomer(t.Context(), "acc", "cus_1"))
	id, err = s.Customer(t.Context(), "acc")
	require.NoError(t, err)
	require.Equal(t, "cus_1", id)
	require.Equal(t, "cus_1", begin(base).ID)
	require.EqualValues(t, 3, begin(base).Attempts, "a customer that exists is not attempted")
	owner, err := s.AccountOfCustomer(t.Context(), "cus_1")
	require.NoError(t, err)
	require.Equal(t, "acc", owner)
	_, err = s.AccountOfCustomer(t.Context(), "cus_9")
	require.ErrorIs(t, err, ledger.ErrNotFound)
}

// customersDeleted: an account whose customer Stripe has deleted gets another one, and is still found by both.
func customersDeleted(t *testing.T, s Store) {
	_, err := s.BeginCustomer(t.Context(), customers.Begin{AccountID: "acc", Time: base})
	require.NoError(t, err)
	require.NoError(t, s.SaveCustomer(t.Context(), "acc", "cus_1"))
	_, err = s.WriteObject(t.Context(), mirror.Object{Kind: mirror.Customer, ID: "cus_9", Sequence: 1}, nil)
	require.NoError(t, err)
	sequence, err := s.TakeSequence(t.Context(), mirror.Customer, "cus_1")
	require.NoError(t, err)
	gone := mirror.Object{Kind: mirror.Customer, ID: "cus_1", Deleted: true, Sequence: sequence}
	written, err := s.WriteObject(t.Context(), gone, func(ctx context.Context, tx database.Tx, o mirror.Object) error {
		owner, err := s.AccountOf(ctx, tx, o.ID)
		require.NoError(t, err)
		require.Equal(t, "acc", owner)
		return s.DropCustomer(ctx, tx, o.ID)
	})
	require.NoError(t, err)
	require.True(t, written)
	next, err := s.BeginCustomer(t.Context(), customers.Begin{AccountID: "acc", Time: base.Add(time.Hour)})
	require.NoError(t, err)
	require.Equal(t, customers.Customer{AccountID: "acc", SpentKeys: 1}, next)
	require.NoError(t, s.SaveCustomer(t.Context(), "acc", "cus_2"))
	all, err := s.CustomersOf(t.Context(), "acc")
	require.NoError(t, err)
	require.Equal(t, []string{"cus_1", "cus_2"}, all)
}
