package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/topup"
)

// toppedUp are the automatic top-ups of the accounts "acc" and "bee".
type toppedUp struct {
	t *testing.T
	s Store
}

func (u toppedUp) set(account string, state topup.State, at time.Time) {
	u.t.Helper()
	require.NoError(u.t, u.s.SetTopUp(u.t.Context(), topup.Setting{AccountID: account, PackID: "p", Threshold: 1, MonthlyCap: 2, State: state, SetTime: at}, time.Hour))
}

func (u toppedUp) state(account string) topup.State {
	u.t.Helper()
	got, err := u.s.TopUp(u.t.Context(), account)
	require.NoError(u.t, err)
	return got.State
}

func (u toppedUp) stop(stop ledger.TopUpStop) (setUp time.Time, err error) {
	u.t.Helper()
	write(u.t, u.s, func(ctx context.Context, tx ledger.Tx) { setUp, err = tx.StopTopUp(ctx, stop) })
	return setUp, err
}

// stopping: a dispute stops the top-up of its account, and a refund only if it is of an automatic purchase of the account.
func stopping(t *testing.T, s Store) {
	u := toppedUp{t, s}
	openAccount(t, s, "acc", 0)
	openAccount(t, s, "bee", 0)
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		for _, p := range []ledger.Purchase{
			{Key: "key_1", AccountID: "acc", Source: "topup:in_1", Payment: "pi_1", Invoice: "in_1", Credit: 1, Total: 1},
			{Key: "topup:in_2", AccountID: "acc", Source: "topup:in_2", Invoice: "in_2", Credit: 1, Total: 1},
			{Key: "pi_pack", AccountID: "acc", Source: "pack:cs_1", Payment: "pi_pack", Credit: 1, Total: 1},
			{Key: "pi_odd", AccountID: "acc", Source: "pack:topup:", Payment: "pi_odd", Credit: 1, Total: 1},
			{Key: "pi_bee", AccountID: "bee", Source: "topup:in_bee", Payment: "pi_bee", Invoice: "in_bee", Credit: 1, Total: 1},
		} {
			inserted, err := tx.InsertPurchase(ctx, p)
			require.NoError(t, err)
			require.True(t, inserted)
		}
	})
	dispute := ledger.TopUpStop{AccountID: "acc", Disputed: true, Paid: "anything", Time: base}
	refund := func(paid string) ledger.TopUpStop { return ledger.TopUpStop{AccountID: "acc", Paid: paid, Time: base} }
	stops := map[string]struct {
		ledger.TopUpStop
		want topup.State
	}{
		"a dispute":                {dispute, topup.Disputed},
		"a refund of a payment":    {refund("pi_1"), topup.Off},
		"a refund of an invoice":   {refund("in_1"), topup.Off},
		"a refund by the key":      {refund("key_1"), topup.Off},
		"a refund without payment": {refund("in_2"), topup.Off},
	}
	for name, stop := range stops {
		_, err := u.stop(ledger.TopUpStop{AccountID: "none", Disputed: stop.Disputed, Paid: stop.Paid, Time: base})
		require.ErrorIs(t, err, ledger.ErrNotFound, "%s of an account that has set up nothing", name)

		u.set("bee", topup.On, base)
		u.set("acc", topup.On, base.Add(time.Microsecond))
		_, err = u.stop(stop.TopUpStop)
		require.ErrorIs(t, err, ledger.ErrNotFound, "%s before it was set up", name)
		require.Equal(t, topup.On, u.state("acc"), name)

		u.set("acc", topup.On, base)
		require.ErrorIs(t, s.Write(t.Context(), "acc", func(ctx context.Context, tx ledger.Tx) error {
			_, err := tx.StopTopUp(ctx, stop.TopUpStop)
			require.NoError(t, err)
			return errUndo
		}), errUndo)
		require.Equal(t, topup.On, u.state("acc"), "%s: it stops with its transaction", name)

		setUp, err := u.stop(stop.TopUpStop)
		require.NoError(t, err, name)
		require.Equal(t, base, setUp, name)
		require.Equal(t, stop.want, u.state("acc"), name)
		require.Equal(t, topup.On, u.state("bee"), name)
		for again, stopAgain := range stops {
			_, err = u.stop(stopAgain.TopUpStop)
			require.ErrorIs(t, err, ledger.ErrNotFound, "%s after %s", again, name)
		}
		require.Equal(t, stop.want, u.state("acc"), "the first reason stays: %s", name)
	}
	u.set("acc", topup.On, base)
	for _, paid := range []string{"pi_pack", "pi_odd", "pi_bee", "in_bee", "pi_none"} {
		_, err := u.stop(refund(paid))
		require.ErrorIs(t, err, ledger.ErrNotFound, paid)
	}
	require.Equal(t, topup.On, u.state("acc"))
	for _, state := range []topup.State{topup.Off, topup.Declined, topup.Authentication, topup.NoCard} {
		u.set("acc", state, base)
		for name, stop := range stops {
			_, err := u.stop(stop.TopUpStop)
			require.ErrorIs(t, err, ledger.ErrNotFound, "%s while it is %s", name, state)
		}
		require.Equal(t, state, u.state("acc"))
	}
}
