package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

func TestGrant(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *book) {
		end := b.clock.Now().Add(time.Hour)
		g := b.give("promo", 70, end)
		require.Regexp(t, "^grant_[0-9a-v]{26}$", g.ID)
		g.ID = ""
		require.Equal(t, ledger.Grant{AccountID: alice, Source: "promo", Amount: 70, Remaining: 70, CreateTime: b.clock.Now(), ExpireTime: end}, g)

		b.settle(b.hold("r1", 20), 20)
		again := b.give("promo", 70, end.Add(999*time.Nanosecond)) // the database keeps microseconds
		require.EqualValues(t, 50, again.Remaining)
		require.EqualValues(t, 50, b.account().Balance)

		for _, other := range []ledger.NewGrant{
			{AccountID: alice, Source: "promo", Amount: 71, ExpireTime: end},
			{AccountID: alice, Source: "promo", Amount: 70, ExpireTime: end.Add(time.Microsecond)},
			{AccountID: alice, Source: "promo", Amount: 70},
		} {
			_, err := b.Grant(t.Context(), other)
			e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err)
			require.Equal(t, "source", e.Fields[0].Name)
		}
		_, err := b.Grant(t.Context(), ledger.NewGrant{AccountID: "user_bob", Source: "promo", Amount: 1})
		require.NoError(t, err, "sources are the account's own")
		require.EqualValues(t, 50, b.account().Balance)
	})
}

func TestGrantRefuses(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *book) {
		now := b.clock.Now()
		cases := map[string]ledger.NewGrant{
			"amountNanoUsd": {Source: "s", Amount: 0},
			"source":        {Source: "", Amount: 1},
			"expireTime":    {Source: "s", Amount: 1, ExpireTime: now},
		}
		more := []struct {
			field string
			grant ledger.NewGrant
		}{
			{"amountNanoUsd", ledger.NewGrant{Source: "s", Amount: -1}},
			{"amountNanoUsd", ledger.NewGrant{Source: "s", Amount: ledger.MaxAmount + 1}},
			{"source", ledger.NewGrant{Source: "plan:free:2026-11-01", Amount: 1}},
			{"source", ledger.NewGrant{Source: "refund:hold_1", Amount: 1}},
		}
		for field, grant := range cases {
			more = append(more, struct {
				field string
				grant ledger.NewGrant
			}{field, grant})
		}
		for _, c := range more {
			c.grant.AccountID = alice
			_, err := b.Grant(t.Context(), c.grant)
			e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err)
			require.Len(t, e.Fields, 1, "%+v", c.grant)
			require.Equal(t, c.field, e.Fields[0].Name)
		}
		require.Empty(t, b.remaining())
		_, err := b.Grant(t.Context(), ledger.NewGrant{AccountID: alice, Source: "s", Amount: 1, ExpireTime: now.Add(time.Microsecond)})
		require.NoError(t, err)
	})
}

// An account takes credit up to MaxBalance, to the nano-dollar, and a repetition is no new credit.
func TestGrantsAreBounded(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *book) {
		for _, source := range []string{"a", "b", "c"} {
			b.give(source, ledger.MaxAmount)
		}
		b.give("d", ledger.MaxAmount-1)
		_, err := b.Grant(t.Context(), ledger.NewGrant{AccountID: alice, Source: "e", Amount: 2})
		e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err)
		require.Equal(t, "amountNanoUsd", e.Fields[0].Name)
		b.give("f", 1)
		require.Equal(t, int64(ledger.MaxBalance), b.account().Balance)
		require.EqualValues(t, 1, b.give("f", 1).Remaining)
		require.Equal(t, int64(ledger.MaxBalance), b.account().Balance)
	})
}
