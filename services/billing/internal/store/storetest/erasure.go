package storetest

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/customers"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

const erasedUser = "user_gone"

// erasedHold is a new hold of the user that the tests erase.
func erasedHold(id string) ledger.Hold {
	h := newHold(id, "acc", 10)
	h.UserID = erasedUser
	return h
}

// openErasable opens an account with credit and holds of the user that the tests erase.
func openErasable(t *testing.T, s Store, holds ...ledger.Hold) {
	t.Helper()
	openAccount(t, s, "acc", 1000)
	openGrant(t, s, "g1", 1000)
	for _, h := range holds {
		write(t, s, func(ctx context.Context, tx ledger.Tx) { require.NoError(t, take(ctx, tx, h)) })
	}
}

// erasureOfHolds: settling a hold after the erasure does not bring the user back. The process that settles still has the
// user's id in memory.
func erasureOfHolds(t *testing.T, s Store) {
	own := []ledger.Hold{erasedHold("h1"), erasedHold("h2"), erasedHold("h3")}
	openErasable(t, s, own...)
	openHold(t, s, "other", 10)
	require.NoError(t, s.EraseUser(t.Context(), erasedUser))
	require.Equal(t, "u", readHold(t, s, "other").UserID, "holds of other users stay as they are")
	require.Empty(t, readHold(t, s, "h1").UserID)

	for _, h := range own {
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			known, err := tx.OpenHold(ctx, h)
			require.NoError(t, err)
			require.NoError(t, charge(ctx, tx, known, 5))
		})
	}
	require.NoError(t, s.EraseUser(t.Context(), erasedUser), "a repetition does no harm")
	require.Equal(t, len(own), fold(t, s, "late"))
	records, err := s.UsageOfUser(t.Context(), erasedUser, "", "", 10)
	require.NoError(t, err)
	require.Empty(t, records)
	rows, err := s.Usage(t.Context(), ledger.UsageQuery{AccountID: "acc", From: base, To: base.Add(time.Hour), UserID: erasedUser})
	require.NoError(t, err)
	require.Empty(t, rows)
}

// holdsAfterErasure: a passport lives for a minute, so calls may come after the erasure. Their holds do not name the user.
func holdsAfterErasure(t *testing.T, s Store) {
	openErasable(t, s)
	require.NoError(t, s.EraseUser(t.Context(), erasedUser))
	write(t, s, func(ctx context.Context, tx ledger.Tx) { require.NoError(t, take(ctx, tx, erasedHold("h4"))) })
	require.Empty(t, readHold(t, s, "h4").UserID)
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		inserted, err := tx.InsertHold(ctx, erasedHold("h5"))
		require.NoError(t, err)
		require.True(t, inserted)
	})
	require.Empty(t, readHold(t, s, "h5").UserID)
}

// accountsAfterErasure: an erased user gets no account, and an existing account gets no customer.
func accountsAfterErasure(t *testing.T, s Store) {
	require.NoError(t, s.EraseUser(t.Context(), erasedUser))
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		inserted, err := tx.InsertAccount(ctx, ledger.Account{ID: erasedUser, Plan: "free", CreateTime: base})
		require.NoError(t, err)
		require.Equal(t, tx.Assumes(), inserted)
		_, err = tx.LockAccount(ctx, erasedUser)
		require.Equal(t, !tx.Assumes(), errors.Is(err, ledger.ErrNotFound))
	})
	_, err := s.Account(t.Context(), erasedUser)
	require.ErrorIs(t, err, ledger.ErrNotFound)
	openAccount(t, s, "user_known", 0)
	require.NoError(t, s.EraseUser(t.Context(), "user_known"))
	for _, id := range []string{erasedUser, "user_known"} {
		_, err := s.BeginCustomer(t.Context(), customers.Begin{AccountID: id, Time: base})
		_, erased := errors.AsType[*ledger.ErasedError](err)
		require.True(t, erased, "%v", err)
	}
}

// erasureOfHistory: what is folded already names the person no more, and keeps its sums.
func erasureOfHistory(t *testing.T, s Store) {
	openAccount(t, s, "acc", 1000)
	openGrant(t, s, "g1", 1000)
	for i := range 7 {
		h := newHold("h"+strconv.Itoa(i), "acc", 10)
		h.UserID = map[bool]string{true: "user_gone", false: "user_stays"}[i%2 == 0]
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			require.NoError(t, take(ctx, tx, h))
			require.NoError(t, charge(ctx, tx, h, 5))
		})
		if i%3 == 2 {
			require.Equal(t, 3, fold(t, s, strconv.Itoa(i)))
		}
	}
	of := func(user string) (requests, cost int64, records int) {
		t.Helper()
		rows, err := s.Usage(t.Context(), ledger.UsageQuery{AccountID: "acc", From: base, To: base.Add(time.Hour), UserID: user})
		require.NoError(t, err)
		for _, r := range rows {
			requests, cost = requests+r.Requests, cost+r.Cost
		}
		list, err := s.UsageOfUser(t.Context(), user, "", "", 10)
		require.NoError(t, err)
		return requests, cost, len(list)
	}
	check := func(user string, wantRequests, wantCost int64, wantRecords int) {
		t.Helper()
		requests, cost, records := of(user)
		require.Equal(t, wantRequests, requests)
		require.Equal(t, wantCost, cost)
		require.Equal(t, wantRecords, records)
	}
	check("user_gone", 4, 20, 3) // one of them is not folded yet
	check("user_stays", 3, 15, 3)
	require.NoError(t, s.EraseUser(t.Context(), "user_gone"))
	check("user_gone", 0, 0, 0)
	check("user_stays", 3, 15, 3)
	check("", 7, 35, 3)
	require.Equal(t, 1, fold(t, s, "last"))
	check("user_gone", 0, 0, 0)
	check("", 7, 35, 4)
	found, err := s.Violations(t.Context(), 10)
	require.NoError(t, err)
	for _, v := range found { // the suite's grants have no entries
		require.Contains(t, []string{"a grant has an entry of its amount", "an account's balance is the sum of its entries and of what is not folded"}, v.Rule)
	}
}
