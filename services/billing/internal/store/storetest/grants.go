package storetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// grantsOfASource reads, ends and extends the grants of a source, also those with nothing left, and sums up what has expired of one.
func grantsOfASource(t *testing.T, s Store) {
	openAccount(t, s, "acc", 0)
	openAccount(t, s, "bee", 0)
	end := base.Add(24 * time.Hour)
	of := func(source string) map[string]string {
		t.Helper()
		found := map[string]string{}
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			grants, err := tx.GrantsOf(ctx, "acc", source)
			require.NoError(t, err)
			clear(found)
			for _, g := range grants {
				require.Equal(t, g.ID, g.Source)
				found[g.ID] = g.ExpireTime.Sub(base).String()
			}
		})
		return found
	}
	for i, source := range []string{"sub:1", "sub:1:up", "sub:1:up:2", "sub:12", "sub", "sub%1"} {
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			g := ledger.Grant{ID: source, AccountID: "acc", Source: source, Amount: 10, Remaining: int64(i % 2), CreateTime: base, ExpireTime: end}
			for account, id := range map[string]string{"acc": source, "bee": "bee " + source} {
				g.AccountID, g.ID = account, id
				inserted, err := tx.InsertGrant(ctx, g)
				require.NoError(t, err)
				require.True(t, inserted)
			}
			all, err := tx.GrantsOf(ctx, "acc", source)
			require.NoError(t, err)
			require.True(t, slices.ContainsFunc(all, func(g ledger.Grant) bool { return g.ID == source }), "that of the same transaction")
		})
	}
	require.Equal(t, map[string]string{"sub:1": "24h0m0s", "sub:1:up": "24h0m0s", "sub:1:up:2": "24h0m0s"}, of("sub:1"))
	require.Equal(t, map[string]string{"sub:1:up:2": "24h0m0s"}, of("sub:1:up:2"))
	require.Empty(t, of("sub:2"))

	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		ended, err := tx.EndGrants(ctx, "acc", "sub:1:", base)
		require.NoError(t, err)
		require.True(t, ended)
	})
	require.Equal(t, map[string]string{"sub:1": "24h0m0s", "sub:1:up": "0s", "sub:1:up:2": "0s"}, of("sub:1"))
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		for _, id := range []string{"sub:1", "sub:1:up", "sub:1:up:2"} { // with something left, and with nothing
			require.NoError(t, tx.ExtendGrant(ctx, id, base.Add(time.Hour)))
		}
		g, err := tx.Grant(ctx, "sub:1:up:2")
		require.NoError(t, err)
		require.Equal(t, base.Add(time.Hour), g.ExpireTime)
		require.ErrorIs(t, tx.ExtendGrant(ctx, "none", end), ledger.ErrNotFound)
	})
	require.Equal(t, map[string]string{"sub:1": "24h0m0s", "sub:1:up": "1h0m0s", "sub:1:up:2": "1h0m0s"}, of("sub:1"), "never earlier")

	expired := func(want int64, id string) {
		t.Helper()
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			got, err := tx.Expired(ctx, ledger.Grant{ID: id, AccountID: "acc"})
			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}
	expired(0, "sub:1")
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		for _, e := range []ledger.Entry{
			{ID: "ent_1", Kind: ledger.KindExpiry, Debit: "customer:acc", Credit: ledger.SideExpired, Amount: 9, Reference: "sub:1"},
			{ID: "ent_2", Kind: ledger.KindExpiry, Debit: ledger.SideExpired, Credit: "customer:acc", Amount: 4, Reference: "sub:1"},
			{ID: "ent_3", Kind: ledger.KindExpiry, Debit: "customer:acc", Credit: ledger.SideExpired, Amount: 2, Reference: "sub:1:up"},
			{ID: "ent_4", Kind: ledger.KindGrant, Debit: ledger.SideGrants, Credit: "customer:acc", Amount: 10, Reference: "sub:1"},
		} {
			e.AccountID, e.CreateTime = "acc", base
			require.NoError(t, tx.InsertEntry(ctx, e))
		}
		got, err := tx.Expired(ctx, ledger.Grant{ID: "sub:1", AccountID: "acc"})
		require.NoError(t, err)
		require.EqualValues(t, 5, got, "also entries of the same transaction")
	})
	expired(5, "sub:1")
	expired(2, "sub:1:up")
}
