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
		ID: "ntc_1", AccountID: "acc", Source: "one", Threshold: "limit:80", Kind: notices.LimitThreshold, UserID: "u", CreateTime: base,
		Data: notices.Data{
			Time: base.Add(time.Hour), PlanID: "pro", PlanVersion: 3, Interval: "month", Seats: 4, Amount: 5, SubscriptionID: "sub_1", InvoiceID: "in_1",
			ObjectID: "re_1", Percent: 80, Used: 6, WindowStart: base, Window: "week", APIKeyID: "key_1", Problem: "declined", Members: 7,
		},
	}
	insert := func(n notices.Notice) (inserted bool) {
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			var err error
			inserted, err = tx.InsertNotice(ctx, n)
			require.NoError(t, err)
		})
		return inserted
	}
	told := func(account string) (amounts [3]int64) {
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			var err error
			amounts, err = tx.Thresholds(ctx, account, [3]string{"limit:50", "limit:80", "limit:100"})
			require.NoError(t, err)
		})
		return amounts
	}
	_, err := s.Notice(t.Context(), "ntc_1")
	require.ErrorIs(t, err, ledger.ErrNotFound)
	require.True(t, insert(full))
	got, err := s.Notice(t.Context(), "ntc_1")
	require.NoError(t, err)
	require.Equal(t, full, got, "with all fields")
	require.Equal(t, [3]int64{0, 5, 0}, told("acc"))
	require.Zero(t, told("bee"))

	again := full
	again.ID, again.Kind, again.Data = "ntc_2", notices.Ended, notices.Data{Amount: 9}
	require.False(t, insert(again), "an account has one notice for each source")
	got, err = s.Notice(t.Context(), "ntc_1")
	require.NoError(t, err)
	require.Equal(t, full, got, "the first one stays")
	require.Equal(t, [3]int64{0, 5, 0}, told("acc"))

	again.Source = "two"
	require.True(t, insert(again))
	require.Equal(t, [3]int64{0, 9, 0}, told("acc"), "the largest amount")
	again.ID, again.AccountID = "ntc_3", "bee"
	require.True(t, insert(again), "sources of other accounts are others")

	require.ErrorIs(t, s.Write(t.Context(), "acc", func(ctx context.Context, tx ledger.Tx) error {
		_, err := tx.InsertNotice(ctx, notices.Notice{ID: "ntc_4", AccountID: "acc", Source: "three", Kind: notices.Ended, CreateTime: base})
		require.NoError(t, err)
		return errUndo
	}), errUndo)
	_, err = s.Notice(t.Context(), "ntc_4")
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
	_, err := s.Notice(t.Context(), "ntc_1")
	require.ErrorIs(t, err, ledger.ErrNotFound)
	for _, id := range []string{"ntc_2", "ntc_3"} {
		n, err := s.Notice(t.Context(), id)
		require.NoError(t, err)
		require.Empty(t, n.UserID, id)
	}
}
