package storetest

import (
	"context"
	"errors"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

func grants(t *testing.T, s Store) {
	openAccount(t, s, "acc", 0)
	openAccount(t, s, "bee", 0)
	day := 24 * time.Hour
	names := []string{"never", "late", "younger", "soon"}
	for i, g := range []ledger.Grant{
		{ExpireTime: ledger.Never, CreateTime: base},
		{ExpireTime: base.Add(2 * day), CreateTime: base},
		{ExpireTime: base.Add(2 * day), CreateTime: base.Add(time.Microsecond)},
		{ExpireTime: base.Add(day), CreateTime: base.Add(day)},
	} {
		g.ID, g.Source, g.AccountID, g.Amount, g.Remaining = names[i], names[i], "acc", 10, int64(i+1)
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			inserted, err := tx.InsertGrant(ctx, g)
			require.NoError(t, err)
			require.True(t, inserted)
			got, err := tx.Grant(ctx, g.ID)
			require.NoError(t, err)
			require.Equal(t, g, got)
			got, err = tx.GrantBySource(ctx, "acc", g.Source)
			require.NoError(t, err)
			require.Equal(t, g, got)
		})
	}
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		inserted, err := tx.InsertGrant(ctx, ledger.Grant{ID: "other", AccountID: "acc", Source: "soon", Amount: 1, Remaining: 1, ExpireTime: ledger.Never})
		require.NoError(t, err)
		require.False(t, inserted, "a source is granted once")
		inserted, err = tx.InsertGrant(ctx, ledger.Grant{ID: "bees", AccountID: "bee", Source: "soon", Amount: 1, Remaining: 1, ExpireTime: ledger.Never})
		require.NoError(t, err)
		require.True(t, inserted, "to each account")
		_, err = tx.Grant(ctx, "other")
		require.ErrorIs(t, err, ledger.ErrNotFound)
		_, err = tx.GrantBySource(ctx, "acc", "none")
		require.ErrorIs(t, err, ledger.ErrNotFound)
	})
	live := func() (ids []string) {
		t.Helper()
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			all, err := tx.LiveGrants(ctx, "acc")
			require.NoError(t, err)
			ids = nil
			for _, g := range all {
				ids = append(ids, g.ID)
			}
		})
		return ids
	}
	require.Equal(t, []string{"soon", "late", "younger", "never"}, live())
	write(t, s, func(ctx context.Context, tx ledger.Tx) { require.NoError(t, tx.SetRemaining(ctx, "late", 0)) })
	require.Equal(t, []string{"soon", "younger", "never"}, live())
	require.Equal(t, map[string]int64{"never": 1, "late": 0, "younger": 3, "soon": 4}, remaining(t, s, "acc"))
}

func entries(t *testing.T, s Store) {
	var want []ledger.Entry
	for i := range 5 {
		e := ledger.Entry{
			ID: "ent_" + strconv.Itoa(i), AccountID: "acc", Kind: "usage", Debit: "customer:acc", Credit: "revenue:usage", Amount: int64(i + 1),
			Reference: "h", CreateTime: base.Add(time.Duration(i)),
		}
		e.CreateTime = e.CreateTime.Truncate(time.Microsecond)
		want = append([]ledger.Entry{e}, want...)
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			require.NoError(t, tx.InsertEntry(ctx, e))
			e.AccountID = "bee"
			require.NoError(t, tx.InsertEntry(ctx, e))
		})
	}
	page := func(before string, limit int) []ledger.Entry {
		t.Helper()
		list, err := s.Entries(t.Context(), "acc", before, limit)
		require.NoError(t, err)
		return list
	}
	require.Equal(t, want, page("", 10))
	require.Equal(t, want[:2], page("", 2))
	require.Equal(t, want[2:4], page(want[1].ID, 2))
	require.Empty(t, page(want[4].ID, 2))

	grant := ledger.Grant{ID: "g", AccountID: "acc", Source: "pack:cs_1", Amount: 7, Remaining: 7, CreateTime: base, ExpireTime: ledger.Never}
	granted := ledger.Entry{
		ID: "ent_9", AccountID: "acc", Kind: "grant", Debit: "equity:grants", Credit: "customer:acc", Amount: 7, Reference: "g", GrantSource: "pack:cs_1",
		CreateTime: base.Truncate(time.Microsecond),
	}
	openAccount(t, s, "acc", 0)
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		inserted, err := tx.InsertGrant(ctx, grant)
		require.NoError(t, err)
		require.True(t, inserted)
		require.NoError(t, tx.InsertEntry(ctx, granted))
	})
	require.Equal(t, append([]ledger.Entry{granted}, want...), page("", 10))
}

func usage(t *testing.T, s Store) {
	openAccount(t, s, "acc", 0)
	openAccount(t, s, "bee", 0)
	add := func(id string, at time.Time, account, model, user string, n int64) {
		t.Helper()
		h := newHold(id, account, 0)
		h.UserID, h.Model, h.APIKeyID = user, model, map[string]string{"c": "k1", "d": "k2"}[id]
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			_, err := tx.InsertHold(ctx, h)
			require.NoError(t, err)
			h.Used = ledger.Usage{Input: n, CachedInput: 2 * n, Output: 3 * n, Reasoning: 4 * n}
			require.NoError(t, closeHold(ctx, tx, h, ledger.Closing{
				Cost: 5 * n, Outcome: ledger.OutcomeCallerLeft, ProviderRequestID: "p", UsageTime: at, SettleTime: at,
			}))
		})
	}
	midnight := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	add("a", midnight.Add(-time.Millisecond), "acc", "m2", "u1", 1)
	add("b", midnight, "acc", "m2", "u1", 10)
	add("c", midnight.Add(time.Hour), "acc", "m1", "u2", 100)
	add("d", midnight.Add(2*time.Hour), "acc", "m2", "u2", 1000)
	add("e", midnight.Add(24*time.Hour), "acc", "m1", "u1", 10_000)
	add("f", midnight, "bee", "m1", "u1", 100_000)

	row := func(day, model string, requests, n int64) ledger.UsageRow {
		return ledger.UsageRow{Day: day, Model: model, UsageTotal: ledger.UsageTotal{
			Requests: requests, Usage: ledger.Usage{Input: n, CachedInput: 2 * n, Output: 3 * n, Reasoning: 4 * n}, Cost: 5 * n,
		}}
	}
	check := func(q ledger.UsageQuery, want ...ledger.UsageRow) {
		t.Helper()
		q.AccountID = "acc"
		got, err := s.Usage(t.Context(), q)
		require.NoError(t, err)
		require.ElementsMatch(t, want, got)
		require.Equal(t, append([]ledger.UsageRow{}, want...), got, "in order")
	}
	day := midnight.Add(24 * time.Hour)
	all := func() {
		t.Helper()
		check(ledger.UsageQuery{From: midnight, To: day}, row("2026-11-24", "m1", 1, 100), row("2026-11-24", "m2", 2, 1010))
		check(ledger.UsageQuery{From: midnight.Add(-time.Hour), To: day.Add(time.Hour)},
			row("2026-11-23", "m2", 1, 1), row("2026-11-24", "m1", 1, 100), row("2026-11-24", "m2", 2, 1010), row("2026-11-25", "m1", 1, 10_000))
		check(ledger.UsageQuery{From: midnight, To: day, Model: "m2"}, row("2026-11-24", "m2", 2, 1010))
		check(ledger.UsageQuery{From: midnight, To: day, UserID: "u2"}, row("2026-11-24", "m1", 1, 100), row("2026-11-24", "m2", 1, 1000))
		check(ledger.UsageQuery{From: midnight, To: day, UserID: "u2", Model: "m3"})
		groups(t, s, ledger.UsageQuery{AccountID: "acc", From: midnight, To: day}, row)
	}
	all() // before anything is folded
	n, err := s.Fold(t.Context(), []string{"acc"}, 2, ledger.Folding{SegmentID: func(time.Time) string { return "usage_1" }, EntryID: func(time.Time) string { return "ent_1" }})
	require.NoError(t, err)
	require.Equal(t, 2, n)
	all() // when some is
	require.Equal(t, 4, fold(t, s, "2"))
	all()
	require.Zero(t, fold(t, s, "3"))
	records, err := s.UsageOfUser(t.Context(), "u2", "", "", 10)
	require.NoError(t, err)
	require.Len(t, records, 2)
	for i, id := range []string{"c", "d"} {
		r := records[i]
		if r.HoldID != id {
			r = records[1-i]
		}
		require.Regexp(t, `^usage_\w+\.\d$`, r.ID)
		n := map[string]int64{"c": 100, "d": 1000}[id]
		r.ID = ""
		require.Equal(t, ledger.UsageRecord{
			HoldID: id, RequestID: "request of " + id, AccountID: "acc", UserID: "u2", APIKeyID: map[string]string{"c": "k1", "d": "k2"}[id], Model: map[string]string{"c": "m1", "d": "m2"}[id],
			Usage: ledger.Usage{Input: n, CachedInput: 2 * n, Output: 3 * n, Reasoning: 4 * n}, Cost: 5 * n, Outcome: ledger.OutcomeCallerLeft,
			ProviderRequestID: "p", SettleTime: midnight.Add(map[string]time.Duration{"c": time.Hour, "d": 2 * time.Hour}[id]),
		}, r)
	}
	require.ElementsMatch(t, []string{"a", "b", "e", "f"}, recordsOneByOne(t, s, "u1"), "each record once")
}

// recordsOneByOne reads a user's records in pages of one and returns their holds.
func recordsOneByOne(t *testing.T, s Store, user string) (holds []string) {
	t.Helper()
	for account, id := "", ""; ; {
		page, err := s.UsageOfUser(t.Context(), user, account, id, 1)
		require.NoError(t, err)
		if len(page) == 0 {
			return holds
		}
		account, id = page[0].AccountID, page[0].ID
		holds = append(holds, page[0].HoldID)
	}
}

// audit: a sound ledger has no violations, and each way to break it is found.
func audit(t *testing.T, s Store) {
	openAccount(t, s, "acc", 0)
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		_, err := tx.InsertGrant(ctx, ledger.Grant{ID: "g1", AccountID: "acc", Source: "s", Amount: 70, Remaining: 70, CreateTime: base, ExpireTime: ledger.Never})
		require.NoError(t, err)
		require.NoError(t, tx.InsertEntry(ctx, ledger.Entry{
			ID: "ent_1", AccountID: "acc", Kind: "grant", Debit: "equity:grants", Credit: "customer:acc", Amount: 70, Reference: "g1", CreateTime: base,
		}))
		a, err := tx.LockAccount(ctx, "acc")
		require.NoError(t, err)
		a.Balance = 70
		require.NoError(t, tx.SaveAccount(ctx, a))
	})
	h := openHold(t, s, "h1", 30)
	open := openHold(t, s, "h2", 30)
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		require.NoError(t, charge(ctx, tx, h, 20))
	})
	found, err := s.Violations(t.Context(), 100)
	require.NoError(t, err)
	require.Empty(t, found)
	require.Equal(t, 1, fold(t, s, "audit"))
	found, err = s.Violations(t.Context(), 100)
	require.NoError(t, err)
	require.Empty(t, found, "after folding too")

	a := readAccount(t, s, "acc")
	account := func(change func(*ledger.Account)) func(context.Context, ledger.Tx) error {
		changed := a
		change(&changed)
		return func(ctx context.Context, tx ledger.Tx) error { return tx.SaveAccount(ctx, changed) }
	}
	for rule, damage := range map[string]func(context.Context, ledger.Tx) error{
		"an account's balance is the sum of its entries and of what is not folded": account(func(a *ledger.Account) { a.Balance++ }),
		"an account's balance is what remains of its grants, less its debt":        account(func(a *ledger.Account) { a.Debt++ }),
		"what an account holds is the sum of its open holds":                       account(func(a *ledger.Account) { a.Held++ }),
		"a period's cost is the sum of its days":                                   account(func(a *ledger.Account) { a.Period.Cost++ }),
		"a period's requests are those of its days":                                account(func(a *ledger.Account) { a.Period.Requests++ }),
		"the cost of a hold that has entries of its own is their sum": func(ctx context.Context, tx ledger.Tx) error {
			return tx.CloseHold(ctx, closed(open, ledger.Closing{Cost: 5}, ledger.StateSwept), ledger.StateOpen)
		},
		"what an API key holds in a window is the sum of its open holds": keyDamage(ledger.Spend{Held: 1}),
		"what an API key spent in a window is the cost of its holds":     keyDamage(ledger.Spend{Spent: 1}),
		"what a member holds in a window is the sum of its open holds":   keyDamage(ledger.Spend{Held: 1}),
		"what a member spent in a window is the cost of its holds":       keyDamage(ledger.Spend{Spent: 1}),
		"a hold owes at most its cost": func(ctx context.Context, tx ledger.Tx) error {
			return tx.PayHold(ctx, ledger.HoldDebt{HoldID: "h1", Owed: 21})
		},
		"an account's debt covers what its holds owe": func(ctx context.Context, tx ledger.Tx) error {
			a, err := tx.LockAccount(ctx, "acc")
			if err != nil {
				return err
			}
			a.Debt = 0
			return errors.Join(tx.SaveAccount(ctx, a), tx.PayHold(ctx, ledger.HoldDebt{HoldID: "h1", Owed: 1}))
		},
		"a grant has an entry of its amount": func(ctx context.Context, tx ledger.Tx) error {
			_, err := tx.InsertGrant(ctx, ledger.Grant{ID: "g2", AccountID: "acc", Source: "s2", Amount: 70, Remaining: 0, CreateTime: base, ExpireTime: ledger.Never})
			return err
		},
		"an entry moves its account's balance once": func(ctx context.Context, tx ledger.Tx) error {
			return tx.InsertEntry(ctx, ledger.Entry{
				ID: "ent_2", AccountID: "acc", Kind: "usage", Debit: "customer:bee", Credit: "revenue:usage", Amount: 7, Reference: "h1", CreateTime: base,
			})
		},
	} {
		require.NoError(t, s.Write(t.Context(), "acc", damage), rule)
		found, err := s.Violations(t.Context(), 100)
		require.NoError(t, err)
		require.True(t, has(found, rule), "%s: %v", rule, found)
	}
	found, err = s.Violations(t.Context(), 1)
	require.NoError(t, err)
	require.Len(t, found, 1)
}

func keyDamage(more ledger.Spend) func(context.Context, ledger.Tx) error {
	return func(ctx context.Context, tx ledger.Tx) error {
		w := ledger.Window{Period: time.Hour, Start: base, End: base.Add(time.Hour)}
		limit := ledger.SpendLimit{ID: "l", AccountID: "acc", Subject: ledger.MemberSubject("u"), Period: w.Period, Amount: 1, UpdateTime: base}
		if _, err := tx.SaveSpendLimit(ctx, limit, 1); err != nil {
			return err
		}
		for _, s := range []ledger.Subject{ledger.KeySubject("k"), ledger.MemberSubject("u")} {
			if _, err := tx.SpendWindow(ctx, "acc", s, w, 0); err != nil {
				return err
			}
		}
		return tx.AddSpend(ctx, newHold("h1", "acc", 1), more)
	}
}

// hugeSums: single amounts are within 64 bits, their sums are not; the audit and the sums of usage still can be read.
func hugeSums(t *testing.T, s Store) {
	const huge = 8_000_000_000_000_000_000
	openAccount(t, s, "acc", 0)
	for _, id := range []string{"a", "b", "c"} {
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			h := newHold(id, "acc", 0)
			_, err := tx.InsertHold(ctx, h)
			require.NoError(t, err)
			h.Used = ledger.Usage{Input: huge, CachedInput: huge, Output: 1, Reasoning: huge}
			require.NoError(t, closeHold(ctx, tx, h, ledger.Closing{Cost: huge, UsageTime: base.Add(time.Second), SettleTime: base}))
			_, err = tx.InsertGrant(ctx, ledger.Grant{ID: id, AccountID: "acc", Source: id, Amount: huge, Remaining: huge, CreateTime: base, ExpireTime: ledger.Never})
			require.NoError(t, err)
		})
	}
	found, err := s.Violations(t.Context(), 100)
	require.NoError(t, err)
	for rule, want := range map[string]int64{
		"an account's balance is the sum of its entries and of what is not folded": math.MinInt64, // -2.4e19
		"an account's balance is what remains of its grants, less its debt":        math.MaxInt64,
		"a period's cost is the sum of its days":                                   math.MaxInt64,
	} {
		require.Contains(t, found, ledger.Violation{Rule: rule, Subject: "acc", Want: want})
	}
	rows, err := s.Usage(t.Context(), ledger.UsageQuery{AccountID: "acc", From: base, To: base.Add(time.Hour)})
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.Equal(t, ledger.UsageTotal{
		Requests: 3, Cost: math.MaxInt64,
		Usage: ledger.Usage{Input: math.MaxInt64, CachedInput: math.MaxInt64, Output: 3, Reasoning: math.MaxInt64},
	}, rows[0].UsageTotal)
	window := ledger.Window{Period: time.Hour, Start: base, End: base.Add(time.Hour)}
	require.Equal(t, ledger.Spend{Spent: 8_000_000_000_000_000_000}, spendWindow(t, s, ledger.KeySubject("k"), window, 0))
}

func has(found []ledger.Violation, rule string) bool {
	for _, v := range found {
		if v.Rule == rule {
			return true
		}
	}
	return false
}

// groups divides the calls b, c and d by what can be asked for.
func groups(t *testing.T, s Store, q ledger.UsageQuery, row func(day, model string, requests, n int64) ledger.UsageRow) {
	t.Helper()
	of := func(model, user, key string, requests, n int64) ledger.UsageRow {
		r := row("2026-11-24", model, requests, n)
		r.UserID, r.APIKeyID = user, key
		return r
	}
	for by, want := range map[ledger.Grouping][]ledger.UsageRow{
		ledger.ByDay:                     {of("", "", "", 3, 1110)},
		ledger.ByModel:                   {of("m1", "", "", 1, 100), of("m2", "", "", 2, 1010)},
		ledger.ByUser:                    {of("", "u1", "", 1, 10), of("", "u2", "", 2, 1100)},
		ledger.ByAPIKey:                  {of("", "", "", 1, 10), of("", "", "k1", 1, 100), of("", "", "k2", 1, 1000)},
		ledger.ByModel | ledger.ByUser:   {of("m1", "u2", "", 1, 100), of("m2", "u1", "", 1, 10), of("m2", "u2", "", 1, 1000)},
		ledger.ByUser | ledger.ByAPIKey:  {of("", "u1", "", 1, 10), of("", "u2", "k1", 1, 100), of("", "u2", "k2", 1, 1000)},
		ledger.ByModel | ledger.ByAPIKey: {of("m1", "", "k1", 1, 100), of("m2", "", "", 1, 10), of("m2", "", "k2", 1, 1000)},
	} {
		q.By = by
		got, err := s.Usage(t.Context(), q)
		require.NoError(t, err)
		require.Equal(t, want, got, "%b", by)
	}
	q.By, q.Limit = ledger.ByAPIKey, 2
	got, err := s.Usage(t.Context(), q)
	require.NoError(t, err)
	require.Len(t, got, 2)
	q.Limit, q.APIKeyID = 0, "k2"
	got, err = s.Usage(t.Context(), q)
	require.NoError(t, err)
	require.Equal(t, []ledger.UsageRow{of("", "", "k2", 1, 1000)}, got)
}
