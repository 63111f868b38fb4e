package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

func TestGrant(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
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
		_, err := b.Grant(t.Context(), ledger.NewGrant{AccountID: "user_bob", Create: true, Source: "promo", Amount: 1})
		require.NoError(t, err, "sources are the account's own")
		require.EqualValues(t, 50, b.account().Balance)
	})
}

func TestGrantRefuses(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		now := b.clock.Now()
		b.account()
		for name, c := range map[string]struct {
			field  string
			change func(*ledger.NewGrant)
		}{
			"nothing":                        {"amountNanoUsd", func(n *ledger.NewGrant) { n.Amount = 0 }},
			"less than nothing":              {"amountNanoUsd", func(n *ledger.NewGrant) { n.Amount = -1 }},
			"too much":                       {"amountNanoUsd", func(n *ledger.NewGrant) { n.Amount = ledger.MaxAmount + 1 }},
			"expiry now":                     {"expireTime", func(n *ledger.NewGrant) { n.ExpireTime = now }},
			"no source":                      {"source", func(n *ledger.NewGrant) { n.Source = "" }},
			"the plan's source":              {"source", func(n *ledger.NewGrant) { n.Source = "plan:free:2026-11-01" }},
			"a refund's source":              {"source", func(n *ledger.NewGrant) { n.Source = "refund:hold_1" }},
			"a subscription's source":        {"source", func(n *ledger.NewGrant) { n.Source = "sub:sub_1:1795600000" }},
			"a pack's source":                {"source", func(n *ledger.NewGrant) { n.Source = "pack:cs_1" }},
			"a top-up's source":              {"source", func(n *ledger.NewGrant) { n.Source = "topup:in_1" }},
			"a returned grant's source":      {"source", func(n *ledger.NewGrant) { n.Source = "return:re_1" }},
			"white space as a source":        {"source", func(n *ledger.NewGrant) { n.Source = " " }},
			"white space before the source":  {"source", func(n *ledger.NewGrant) { n.Source = "\tgift" }},
			"white space after the source":   {"source", func(n *ledger.NewGrant) { n.Source = "gift\u00a0" }},
			"an escape in the source":        {"source", func(n *ledger.NewGrant) { n.Source = "gift\x1b[2J" }},
			"a direction mark in the source": {"source", func(n *ledger.NewGrant) { n.Source = "gift\u202e" }},
			"no account":                     {"accountId", func(n *ledger.NewGrant) { n.AccountID = "" }},
			"white space before the account": {"accountId", func(n *ledger.NewGrant) { n.AccountID = " " + alice }},
			"white space after the account":  {"accountId", func(n *ledger.NewGrant) { n.AccountID = alice + "\n" }},
			"a control character of C1":      {"accountId", func(n *ledger.NewGrant) { n.AccountID = alice + "\u009b1" }},
		} {
			n := ledger.NewGrant{AccountID: alice, Create: true, Source: "gift", Amount: 1}
			c.change(&n)
			_, err := b.Grant(t.Context(), n)
			e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err)
			require.Len(t, e.Fields, 1, name)
			require.Equal(t, c.field, e.Fields[0].Name, name)
		}
		require.Equal(t, map[string]int64{"plan:monthly:2026-11-23": 1000}, b.remaining())
		require.EqualValues(t, 1, b.count("SELECT COUNT(*) FROM account"), "none of them opened an account")
		b.give("gift", ledger.MaxAmount, now.Add(time.Microsecond))
	})
}

// A mistyped id opens no account: no credit of a plan, no customer at Stripe.
func TestAGrantOpensNoAccountUnlessAsked(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		n := ledger.NewGrant{AccountID: "user_alcie", Source: "gift", Amount: 5}
		_, err := b.Grant(t.Context(), n)
		e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, err)
		require.Equal(t, "accountId", e.Fields[0].Name)
		require.Zero(t, b.count("SELECT COUNT(*) FROM account"))
		require.Zero(t, b.count("SELECT COUNT(*) FROM customer"))
		n.Create = true
		first, err := b.Grant(t.Context(), n)
		require.NoError(t, err)
		n.Create = false
		again, err := b.Grant(t.Context(), n)
		require.NoError(t, err)
		require.Equal(t, first.ID, again.ID)
		n.Source = "another"
		_, err = b.Grant(t.Context(), n)
		require.NoError(t, err, "the account is there")
		a, err := b.Account(t.Context(), "user_alcie", "")
		require.NoError(t, err)
		require.EqualValues(t, 1010, a.Balance)
	})
}

// A retry of a lost answer comes at any time: after the grant has expired, and after what is allowed has changed.
func TestARepeatedGrantIsAnsweredWithTheFirst(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		end := b.clock.Now().Add(time.Hour)
		first := b.give("promo", 100, end)
		for _, at := range []time.Time{end, end.Add(time.Hour), end.AddDate(1, 0, 0)} {
			b.clock.Set(at)
			again := b.give("promo", 100, end)
			require.Equal(t, first.ID, again.ID)
			require.EqualValues(t, 100, again.Amount)
			require.Equal(t, end, again.ExpireTime)
		}
		require.Zero(t, b.account().Balance)
		_, err := b.Grant(t.Context(), ledger.NewGrant{AccountID: alice, Source: "promo", Amount: 99, ExpireTime: end})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err)

		b.exec("UPDATE credit_grant SET amount = $1 WHERE source = 'promo'", int64(2*ledger.MaxAmount))
		require.Equal(t, first.ID, b.give("promo", 2*ledger.MaxAmount, end).ID, "given when more was allowed")
		b.exec("UPDATE credit_grant SET amount = 100 WHERE source = 'promo'")
	})
}

// An account takes credit up to MaxBalance, to the nano-dollar, and a repetition adds no credit.
func TestGrantsAreBounded(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		for i := range ledger.MaxBalance/ledger.MaxAmount - 1 {
			b.give(fmt.Sprint(i), ledger.MaxAmount)
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
