package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// A person who is erased while calls run comes back with none of them, whichever way they are charged, nor with a call under a passport
// that still lives.
func TestAnErasedPersonStaysErased(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		const gone = "user_gone"
		b.give("first", 50)
		b.give("second", 1000)
		reserve := func(request string) ledger.Hold {
			h, err := b.Reserve(t.Context(), ledger.Reservation{RequestID: request, AccountID: alice, UserID: gone, Model: "embed", InputTokens: 100})
			require.NoError(t, err)
			return h
		}
		oneGrant, twoGrants, swept, late := reserve("one"), reserve("two"), reserve("swept"), reserve("late")
		require.NoError(t, b.store.EraseUser(t.Context(), gone))
		b.settle(oneGrant, 10)
		b.settle(twoGrants, 100) // the rest of the first and some of the second
		b.clock.Add(lease)
		b.sweep(2)
		b.settle(late, 30) // an adjustment writes the usage record anew
		b.settle(reserve("living passport"), 20)
		for range 2 { // before and after the calls are folded
			require.Zero(t, b.count("SELECT COUNT(*) FROM hold WHERE user_id = $1", gone))
			require.Zero(t, b.count("SELECT COUNT(*) FROM usage_day WHERE user_id = $1", gone))
			records, err := b.UsageOfUser(t.Context(), gone, "", "", 10)
			require.NoError(t, err)
			require.Empty(t, records)
		}
		records, err := b.UsageOfUser(t.Context(), "", "", "", 10)
		require.NoError(t, err)
		require.Len(t, records, 5)
		require.Equal(t, ledger.StateSwept, b.read(swept).State)
		require.EqualValues(t, 1050-10-100-100-30-20, b.account().Balance, "what was used stays charged")
	})
}

// An account that the erased person did not have is not opened for them.
func TestAnErasedPersonGetsNoAccount(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		require.NoError(t, b.store.EraseUser(t.Context(), alice))
		_, err := b.Account(t.Context(), alice, "")
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_USER_DISABLED, err)
		_, err = b.Reserve(t.Context(), ledger.Reservation{RequestID: "r1", AccountID: alice, UserID: alice, Model: "embed", InputTokens: 1})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_USER_DISABLED, err)
		_, err = b.Grant(t.Context(), ledger.NewGrant{AccountID: alice, Create: true, Source: "gift", Amount: 1})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_USER_DISABLED, err)
		require.Zero(t, b.count("SELECT COUNT(*) FROM account"))
		require.Zero(t, b.count("SELECT COUNT(*) FROM customer"))
	})
}

// A decision runs again when another one of its batch fails. The page of segments that it looks through must be the same then.
func TestAnErasureBesideFailingWrites(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		b.give("gift", 1000)
		people := make([]string, 20)
		for i := range people {
			people[i] = fmt.Sprintf("user_%d", i)
			h, err := b.Reserve(t.Context(), ledger.Reservation{RequestID: people[i], AccountID: alice, UserID: people[i], Model: "embed", InputTokens: 1})
			require.NoError(t, err)
			b.settle(h, 1)
		}
		_, err := b.Fold(t.Context(), always)
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		var failing sync.WaitGroup
		for range 8 {
			failing.Go(func() {
				for ctx.Err() == nil {
					_ = b.store.Write(ctx, alice, func(context.Context, ledger.Tx) error { return errors.New("this decision fails") })
				}
			})
		}
		for _, user := range people {
			require.NoError(t, b.store.EraseUser(t.Context(), user))
		}
		stop()
		failing.Wait()
		for _, user := range people {
			records, err := b.UsageOfUser(t.Context(), user, "", "", 1)
			require.NoError(t, err)
			require.Empty(t, records)
		}
	})
}
