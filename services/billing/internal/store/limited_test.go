package store_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

const ruleFound = "a hold of an account with windows of limits is found by them"

// limitedCase is a store with calls of the account "acc", made by a key and a member who have no limit yet, and of the account "other".
type limitedCase struct {
	t  *testing.T
	db *database.DB
	s  *store.Store
}

func onBoth(t *testing.T, test func(c limitedCase)) {
	t.Helper()
	databasetest.Each(t, store.Migrations(), func(t *testing.T, db *database.DB) {
		c := limitedCase{t, db, store.New(db)}
		c.s.SetLimitedPage(2)
		for _, account := range []string{"acc", "other"} {
			decide(t, c.s, func(ctx context.Context, tx ledger.Tx) error {
				_, err := tx.InsertAccount(ctx, ledger.Account{
					ID: account, Plan: "free", CreateTime: cacheTime, PeriodStart: cacheTime, PeriodEnd: cacheTime.AddDate(0, 1, 0), Due: cacheTime.AddDate(0, 1, 0),
				})
				return err
			})
		}
		test(c)
	})
}

func (c limitedCase) hold(id, account string, amount int64) ledger.Hold {
	c.t.Helper()
	h := ledger.Hold{
		ID: id, AccountID: account, RequestID: id, UserID: "u", APIKeyID: "k", Model: "m", Amount: amount, State: ledger.StateOpen,
		CreateTime: cacheTime.Add(time.Minute), LeaseTime: cacheTime.Add(time.Hour),
	}
	require.NoError(c.t, c.s.Write(c.t.Context(), account, func(ctx context.Context, tx ledger.Tx) error {
		if _, err := tx.LockAccount(ctx, account); err != nil {
			return err
		}
		if _, err := tx.InsertHold(ctx, h); err != nil {
			return err
		}
		return tx.AddSpend(ctx, h, ledger.Spend{Held: amount})
	}))
	return h
}

func (c limitedCase) close(h ledger.Hold, cost int64, state ledger.State) {
	c.t.Helper()
	require.NoError(c.t, c.s.Write(c.t.Context(), h.AccountID, func(ctx context.Context, tx ledger.Tx) error {
		if _, err := tx.LockAccount(ctx, h.AccountID); err != nil {
			return err
		}
		closed := h
		closed.State, closed.Closing = state, ledger.Closing{Cost: cost, SettleTime: cacheTime.Add(2 * time.Minute), UsageTime: cacheTime.Add(2 * time.Minute)}
		if err := tx.CloseHold(ctx, closed, ledger.StateOpen); err != nil {
			return err
		}
		return tx.AddSpend(ctx, h, ledger.Spend{Held: -h.Amount, Spent: cost})
	}))
}

func (c limitedCase) spend(s *store.Store, subject ledger.Subject) (spend ledger.Spend) {
	c.t.Helper()
	err := s.Write(c.t.Context(), "acc", func(ctx context.Context, tx ledger.Tx) (err error) {
		if _, err := tx.LockAccount(ctx, "acc"); err != nil {
			return err
		}
		spend, err = tx.SpendWindow(ctx, "acc", subject, hourly, 0)
		return err
	})
	if err != nil {
		c.t.Error(err)
	}
	return spend
}

// marked lists the holds that are in the indexes of limits.
func (c limitedCase) marked() (ids []string) {
	c.t.Helper()
	rows, err := c.db.Read().QueryContext(c.t.Context(), "SELECT id FROM hold WHERE limited ORDER BY id")
	require.NoError(c.t, err)
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id string
		require.NoError(c.t, rows.Scan(&id))
		ids = append(ids, id)
	}
	require.NoError(c.t, rows.Err())
	return ids
}

func (c limitedCase) notFound() (ids []string) {
	c.t.Helper()
	found, err := c.s.Violations(c.t.Context(), 100)
	require.NoError(c.t, err)
	for _, v := range found {
		if v.Rule == ruleFound {
			require.EqualValues(c.t, 1, v.Want)
			require.Zero(c.t, v.Got)
			ids = append(ids, v.Subject)
		}
	}
	return ids
}

// TestHoldsAreFoundByTheFirstLimit: calls of an account without limits are in no index of limits. The first window of a limit counts all of them.
func TestHoldsAreFoundByTheFirstLimit(t *testing.T) {
	onBoth(t, func(c limitedCase) {
		for i := range 5 {
			c.close(c.hold(fmt.Sprint("h", i), "acc", 100), int64(1+i), ledger.StateSettled)
		}
		c.hold("h5", "acc", 40)
		c.hold("o1", "other", 9)
		require.Empty(c.t, c.marked())
		require.Equal(c.t, ledger.Spend{Held: 40, Spent: 15}, c.spend(c.s, ledger.KeySubject("k")))
		require.Equal(c.t, []string{"h0", "h1", "h2", "h3", "h4", "h5"}, c.marked())
		require.Equal(c.t, ledger.Spend{Held: 40, Spent: 15}, c.spend(c.s, ledger.MemberSubject("u")))
		c.hold("h6", "acc", 2)
		c.hold("o2", "other", 9)
		require.Equal(c.t, []string{"h0", "h1", "h2", "h3", "h4", "h5", "h6"}, c.marked())
		require.Equal(c.t, ledger.Spend{Held: 42, Spent: 15}, c.spend(store.New(c.db), ledger.KeySubject("k")))
		require.Empty(c.t, c.notFound())
		exec(c.t, c.db, "UPDATE hold SET limited = FALSE WHERE id IN ('h5', 'h2')")
		require.ElementsMatch(c.t, []string{"h2", "h5"}, c.notFound())
	})
}

// TestASpendLimitFindsTheHolds: who sets the first limit waits, and no call does.
func TestASpendLimitFindsTheHolds(t *testing.T) {
	onBoth(t, func(c limitedCase) {
		for i := range 5 {
			c.close(c.hold(fmt.Sprint("h", i), "acc", 100), 10, ledger.StateSettled)
		}
		limit := ledger.SpendLimit{ID: "l", AccountID: "acc", Subject: ledger.MemberSubject("u"), Period: time.Hour, Amount: 1, UpdateTime: cacheTime}
		for range 2 {
			decide(c.t, c.s, func(ctx context.Context, tx ledger.Tx) error {
				_, err := tx.SaveSpendLimit(ctx, limit, 1)
				return err
			})
			require.Equal(c.t, []string{"h0", "h1", "h2", "h3", "h4"}, c.marked())
		}
		calls := 0
		decide(c.t, c.s, func(ctx context.Context, tx ledger.Tx) error {
			calls++
			spend, err := tx.SpendWindow(ctx, "acc", limit.Subject, hourly, limit.Amount)
			if err == nil && spend != (ledger.Spend{Spent: 50}) {
				err = fmt.Errorf("the member has %+v", spend)
			}
			return err
		})
		require.Equal(c.t, 1, calls, "the decision about a call was made once")
	})
}

// TestATransactionMarksOnePage: many callers may wait for the marks of one account, and their decisions share transactions.
func TestATransactionMarksOnePage(t *testing.T) {
	onBoth(t, func(c limitedCase) {
		for i := range 5 {
			c.close(c.hold(fmt.Sprint("h", i), "acc", 100), 10, ledger.StateSettled)
		}
		for _, want := range [][]string{nil, {"h0", "h1"}, {"h0", "h1", "h2", "h3"}, {"h0", "h1", "h2", "h3", "h4"}} {
			decide(c.t, c.s, func(ctx context.Context, tx ledger.Tx) error {
				last, err := store.LimitPage(ctx, tx, "acc")
				for range 10 {
					if again, err := store.LimitPage(ctx, tx, "acc"); again || err != nil {
						return fmt.Errorf("a second page of the transaction: %t, %w", again, err)
					}
				}
				if last != (len(want) == 5) {
					err = fmt.Errorf("last is %t after %v", last, want)
				}
				return err
			})
			require.Equal(c.t, want, c.marked())
		}
	})
}

// TestMarkingContinues: a process that ended while it marked holds leaves the rest to the next one.
func TestMarkingContinues(t *testing.T) {
	onBoth(t, func(c limitedCase) {
		for i := range 5 {
			c.close(c.hold(fmt.Sprint("h", i), "acc", 100), 10, ledger.StateSettled)
		}
		exec(c.t, c.db, "UPDATE account SET limited_up_to = 'after h1' WHERE id = 'acc'")
		exec(c.t, c.db, "UPDATE hold SET limited = TRUE WHERE id IN ('h0', 'h1')")
		next := limitedCase{c.t, c.db, store.New(c.db)}
		next.s.SetLimitedPage(1)
		next.hold("a new hold", "acc", 7)
		require.Equal(c.t, []string{"a new hold", "h0", "h1"}, c.marked())
		require.Equal(c.t, ledger.Spend{Held: 7, Spent: 50}, next.spend(next.s, ledger.KeySubject("k")))
		require.Equal(c.t, []string{"a new hold", "h0", "h1", "h2", "h3", "h4"}, c.marked())
	})
}

// TestFirstLimitsAtOnce: many callers need the first window at the same time, while calls are made, on PostgreSQL by another process.
func TestFirstLimitsAtOnce(t *testing.T) {
	onBoth(t, func(c limitedCase) {
		for i := range 20 {
			c.close(c.hold(fmt.Sprintf("h%02d", i), "acc", 100), 10, ledger.StateSettled)
		}
		other := c
		if c.db.Dialect() == database.Postgres {
			other.s = store.New(c.db)
		}
		var group sync.WaitGroup
		for range 8 {
			for _, s := range []*store.Store{c.s, other.s} {
				group.Go(func() { c.spend(s, ledger.KeySubject("k")) })
			}
		}
		for i := range 10 {
			other.hold(fmt.Sprintf("n%02d", i), "acc", 1)
		}
		group.Wait()
		require.Len(c.t, c.marked(), 30)
		require.Equal(c.t, ledger.Spend{Held: 10, Spent: 200}, c.spend(c.s, ledger.KeySubject("k")))
		require.Equal(c.t, ledger.Spend{Held: 10, Spent: 200}, other.spend(other.s, ledger.KeySubject("k")))
		require.Empty(c.t, c.notFound())
	})
}

// TestLateCostIsFound: holds are not marked while the only call of an account was swept and used nothing. Its correction is found.
func TestLateCostIsFound(t *testing.T) {
	onBoth(t, func(c limitedCase) {
		h := c.hold("h1", "acc", 100)
		h.UserID = ""
		c.close(h, 0, ledger.StateSwept)
		exec(c.t, c.db, "UPDATE hold SET user_id = ''")
		exec(c.t, c.db, "UPDATE unfolded_call SET user_id = ''")
		n, err := c.s.Fold(c.t.Context(), []string{"acc"}, 10, ledger.Folding{
			SegmentID: func(time.Time) string { return "usage_1" }, EntryID: func(time.Time) string { return "ent_1" },
		})
		require.NoError(c.t, err)
		require.Equal(c.t, 1, n)
		require.Zero(c.t, c.spend(c.s, ledger.KeySubject("k")))
		require.Empty(c.t, c.marked())
		require.Empty(c.t, c.notFound())
		decide(c.t, c.s, func(ctx context.Context, tx ledger.Tx) error {
			if _, err := tx.LockAccount(ctx, "acc"); err != nil {
				return err
			}
			swept, err := tx.Hold(ctx, "h1")
			if err != nil {
				return err
			}
			if _, _, err := tx.Unfold(ctx, "h1"); err != nil {
				return err
			}
			settled := swept
			settled.State, settled.Cost = ledger.StateSettled, 30
			if err := tx.CloseHold(ctx, settled, ledger.StateSwept); err != nil {
				return err
			}
			return tx.AddSpend(ctx, swept, ledger.Spend{Spent: 30})
		})
		require.Equal(c.t, []string{"h1"}, c.marked())
		require.Equal(c.t, ledger.Spend{Spent: 30}, c.spend(c.s, ledger.KeySubject("k")))
		require.Empty(c.t, c.notFound())
	})
}
