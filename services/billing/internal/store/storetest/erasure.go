package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// erasure: no way of settling brings an erased person back, nor does a new call.
func erasure(t *testing.T, s Store) {
	openAccount(t, s, "acc", 1000)
	openGrant(t, s, "g1", 1000)
	named := func(id string) ledger.Hold {
		h := newHold(id, "acc", 10)
		h.UserID = "user_gone"
		return h
	}
	hold := func(h ledger.Hold) {
		t.Helper()
		write(t, s, func(ctx context.Context, tx ledger.Tx) { require.NoError(t, take(ctx, tx, h)) })
	}
	quick, slow, swept := named("h1"), named("h2"), named("h3")
	for _, h := range []ledger.Hold{quick, slow, swept, openHold(t, s, "other", 10)} {
		if h.ID != "other" {
			hold(h)
		}
	}
	require.NoError(t, s.EraseUser(t.Context(), "user_gone"))
	require.Equal(t, "u", readHold(t, s, "other").UserID, "others stay")
	require.Empty(t, readHold(t, s, "h1").UserID)

	user := func(r ledger.UsageRecord) (got string) {
		t.Helper()
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			stored, err := tx.Usage(ctx, "acc", r.ID)
			require.NoError(t, err)
			got = stored.UserID
		})
		return got
	}
	// The holds are as their process remembers them, with the person's id.
	for _, h := range []ledger.Hold{quick, slow, swept} {
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			known, err := tx.OpenHold(ctx, h)
			require.NoError(t, err)
			require.NoError(t, charge(ctx, tx, known, 5))
		})
		require.Empty(t, user(newRecord(h, 5)))
	}

	// Calls under a passport that still lives.
	hold(named("h4"))
	require.Empty(t, readHold(t, s, "h4").UserID)
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		inserted, err := tx.InsertHold(ctx, named("h5"))
		require.NoError(t, err)
		require.True(t, inserted)
	})
	require.Empty(t, readHold(t, s, "h5").UserID)

	// No account is opened any more, and one that is there is not made known to Stripe.
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		inserted, err := tx.InsertAccount(ctx, ledger.Account{ID: "user_gone", Plan: "free", CreateTime: base})
		require.NoError(t, err)
		require.False(t, inserted)
		_, err = tx.LockAccount(ctx, "user_gone")
		require.ErrorIs(t, err, ledger.ErrNotFound)
	})
	openAccount(t, s, "user_known", 0)
	require.NoError(t, s.EraseUser(t.Context(), "user_known"))
	missing, err := s.MissingCustomers(t.Context(), base.AddDate(100, 0, 0), 10)
	require.NoError(t, err)
	for _, m := range missing {
		require.Equal(t, "acc", m.AccountID)
	}
	require.NoError(t, s.EraseUser(t.Context(), "user_gone"), "a repetition does no harm")
	rows, err := s.Usage(t.Context(), ledger.UsageQuery{AccountID: "acc", From: base, To: base.Add(time.Hour), UserID: "user_gone"})
	require.NoError(t, err)
	require.Empty(t, rows)
}
