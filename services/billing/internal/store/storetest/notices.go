package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/notices"
)

func noticesBySource(t *testing.T, s Store) {
	openAccount(t, s, "acc", 0)
	openAccount(t, s, "bee", 0)
	full := notices.Notice{
		ID: "ntc_1", AccountID: "acc", Source: "one", Kind: notices.LimitThreshold, UserID: "u", CreateTime: base,
		Data: notices.Data{
			Time: base.Add(time.Hour), PlanID: "pro", PlanVersion: 3, Interval: "month", Seats: 4, Amount: 5, SubscriptionID: "sub_1", InvoiceID: "in_1",
			ObjectID: "re_1", Percent: 80, Used: 6, WindowStart: base, Window: "week", APIKeyID: "key_1", Problem: "declined", Members: 7,
		},
	}
	read := func(account, source string) (n notices.Notice, err error) {
		write(t, s, func(ctx context.Context, tx ledger.Tx) { n, err = tx.NoticeBySource(ctx, account, source) })
		return n, err
	}
	insert := func(n notices.Notice) (inserted bool) {
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			var err error
			inserted, err = tx.InsertNotice(ctx, n)
			require.NoError(t, err)
			_, err = tx.NoticeBySource(ctx, n.AccountID, n.Source)
			require.NoError(t, err, "the transaction that writes it reads it")
		})
		return inserted
	}
	_, err := read("acc", "one")
	require.ErrorIs(t, err, ledger.ErrNotFound)
	require.True(t, insert(full))
	got, err := read("acc", "one")
	require.NoError(t, err)
	require.Equal(t, full, got, "with all fields")

	again := full
	again.ID, again.Kind, again.Data = "ntc_2", notices.Ended, notices.Data{Amount: 9}
	require.False(t, insert(again), "an account has one notice for each source")
	got, err = read("acc", "one")
	require.NoError(t, err)
	require.Equal(t, full, got, "the first one stays")

	for _, other := range [][2]string{{"bee", "one"}, {"acc", "on"}, {"acc", "one:2"}, {"acc", "ONE"}, {"acc", ""}, {"", "one"}} {
		_, err = read(other[0], other[1])
		require.ErrorIs(t, err, ledger.ErrNotFound, other)
	}
	again.AccountID = "bee"
	require.True(t, insert(again), "sources of other accounts are others")

	require.ErrorIs(t, s.Write(t.Context(), "acc", func(ctx context.Context, tx ledger.Tx) error {
		_, err := tx.InsertNotice(ctx, notices.Notice{ID: "ntc_3", AccountID: "acc", Source: "two", Kind: notices.Ended, CreateTime: base})
		require.NoError(t, err)
		return errUndo
	}), errUndo)
	_, err = read("acc", "two")
	require.ErrorIs(t, err, ledger.ErrNotFound, "a notice is written with its transaction or not at all")
}

// noticesAfterErasure: the notices of an erased person's account are gone and none is written, and those of other accounts name the person no more.
func noticesAfterErasure(t *testing.T, s Store) {
	openAccount(t, s, "acc", 0)
	own := notices.Notice{ID: "ntc_1", AccountID: erasedUser, Source: "one", Kind: notices.Ended, UserID: erasedUser, CreateTime: base}
	others := notices.Notice{ID: "ntc_2", AccountID: "acc", Source: "one", Kind: notices.LimitThreshold, UserID: erasedUser, CreateTime: base}
	later := notices.Notice{ID: "ntc_3", AccountID: "acc", Source: "two", Kind: notices.LimitThreshold, UserID: erasedUser, CreateTime: base}
	insert := func(n notices.Notice, want bool) {
		t.Helper()
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			inserted, err := tx.InsertNotice(ctx, n)
			require.NoError(t, err)
			require.Equal(t, want, inserted)
		})
	}
	insert(own, true)
	insert(others, true)
	require.NoError(t, s.EraseUser(t.Context(), erasedUser))
	own.ID = "ntc_4"
	insert(own, false)
	insert(later, true)
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		_, err := tx.NoticeBySource(ctx, erasedUser, "one")
		require.ErrorIs(t, err, ledger.ErrNotFound)
		for _, source := range []string{"one", "two"} {
			n, err := tx.NoticeBySource(ctx, "acc", source)
			require.NoError(t, err)
			require.Empty(t, n.UserID, source)
		}
	})
}
