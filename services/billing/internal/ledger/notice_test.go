package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/services/billing/internal/follow"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/notices"
)

// told lists the account's notices, the oldest first.
func (s *subscriber) told() (kinds []notices.Kind) {
	s.t.Helper()
	all, err := s.store.Notices(s.t.Context(), alice, "", "", 100)
	require.NoError(s.t, err)
	for _, n := range all {
		kinds = append([]notices.Kind{n.Kind}, kinds...)
	}
	return kinds
}

func (s *subscriber) attempted(month int, status string) {
	s.t.Helper()
	s.write(mirror.Invoice, fmt.Sprintf(`{"id":"in_%d","object":"invoice","customer":"cus_1","subscription":"sub_1","status":%q,"attempted":true,"created":%d,"total":2380,
		"lines":{"data":[{"type":"subscription","amount":2000,"quantity":1,"price":{"id":"price_pro","object":"price"},"period":{"start":%[3]d,"end":%d}}]}}`,
		month, status, s.month(month).Unix(), s.month(month+1).Unix()))
}

// A failed payment, the end of its grace and its late payment are told once each, whatever comes twice and whatever the clock does.
func TestEachEventIsToldOnce(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.invoice(0, "paid")
		s.sub(0, "active")
		require.Empty(t, s.told())
		s.clock.Set(s.month(1).Add(2 * time.Hour))
		for range 2 {
			s.attempted(1, "open")
			s.sub(1, "past_due")
		}
		require.Equal(t, []notices.Kind{notices.PaymentFailed}, s.told())
		s.clock.Set(s.month(1).AddDate(0, 0, 7))
		for range 2 {
			_, err := s.FollowDue(t.Context(), 10)
			require.NoError(t, err)
		}
		s.clock.Set(s.month(1).AddDate(0, 0, 7).Add(-time.Second)) // a replica whose clock is behind
		s.sub(1, "past_due")
		s.clock.Set(s.month(1).AddDate(0, 0, 7))
		s.sub(1, "past_due")
		require.Equal(t, []notices.Kind{notices.PaymentFailed, notices.Downgraded}, s.told())
		for range 2 {
			s.attempted(1, "paid")
			s.sub(1, "active")
		}
		s.sub(1, "active", `"cancel_at_period_end":true`)
		s.sub(1, "active")
		s.sub(1, "active", `"cancel_at_period_end":true`)
		s.sub(1, "canceled", fmt.Sprintf(`"ended_at":%d`, s.clock.Now().Unix()))
		s.sub(1, "canceled", fmt.Sprintf(`"ended_at":%d`, s.clock.Now().Unix()))
		require.Equal(t, []notices.Kind{notices.PaymentFailed, notices.Downgraded, notices.Recovered, notices.WillEnd, notices.Ended}, s.told())
		failed, err := s.store.Notices(t.Context(), alice, notices.PaymentFailed, "", 100)
		require.NoError(t, err)
		require.Len(t, failed, 1)
		require.Equal(t, "in_1", failed[0].Data.InvoiceID)
		require.EqualValues(t, 23_800_000_000, failed[0].Data.Amount)
	})
}

// A trial's end is announced by the own clock, without any event.
func TestATrialsEndIsAnnounced(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.sub(0, "trialing", fmt.Sprintf(`"trial_end":%d`, s.month(1).Unix()))
		require.Equal(t, []notices.Kind{notices.TrialStarted}, s.told())
		s.clock.Set(s.month(1).AddDate(0, 0, -3).Add(-time.Second))
		_, err := s.FollowDue(t.Context(), 10)
		require.NoError(t, err)
		require.Equal(t, []notices.Kind{notices.TrialStarted}, s.told())
		s.clock.Set(s.month(1).AddDate(0, 0, -3))
		done, err := s.FollowDue(t.Context(), 10)
		require.NoError(t, err)
		require.Equal(t, 1, done)
		require.Equal(t, []notices.Kind{notices.TrialStarted, notices.TrialWillEnd}, s.told())
	})
}

// A refund is told once, also one that comes before what was bought; a dispute has a kind of its own.
func TestRefundsAreTold(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.reversal(mirror.Refund, "re_1", "succeeded", 500)
		require.Empty(t, s.told())
		s.paidPack()
		s.reversal(mirror.Refund, "re_1", "succeeded", 500)
		s.reversal(mirror.Dispute, "dp_1", "needs_response", 700)
		s.reversal(mirror.Dispute, "dp_1", "won", 700)
		s.reversal(mirror.Refund, "re_2", "failed", 100)
		require.Equal(t, []notices.Kind{notices.Refunded, notices.Disputed}, s.told())
	})
}

// A refund of long ago is history, whether what was bought is known before it or not.
func TestOldRefundsAreNotTold(t *testing.T) {
	refund := func(s *subscriber, id string, age time.Duration) {
		s.write(mirror.Refund, fmt.Sprintf(`{"id":%q,"object":"refund","status":"succeeded","amount":1,"payment_intent":"pi_1","charge":"ch_1","created":%d}`,
			id, s.clock.Now().Add(-age).Unix()))
	}
	const week = 7 * 24 * time.Hour
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.clock.Set(s.begin.AddDate(0, 2, 0))
		refund(s, "re_1", week+time.Second)
		refund(s, "re_2", week-time.Second)
		s.paidPack()
		require.Equal(t, []notices.Kind{notices.Refunded}, s.told())
		refund(s, "re_3", week+time.Second)
		require.Len(t, s.told(), 1)
		refund(s, "re_4", week-time.Second)
		require.Len(t, s.told(), 2)
		all, err := s.store.Notices(t.Context(), alice, "", "", 100)
		require.NoError(t, err)
		for i, n := range all {
			require.Equal(t, []string{"re_4", "re_2"}[i], n.Data.ObjectID)
			require.True(t, s.clock.Now().Add(time.Second-week).Truncate(time.Second).Equal(n.Data.Time), n.Data.Time)
		}
	})
}

// A credit note that refunds money is told by its refund, also when both come before what was bought.
func TestACreditNotesRefundIsToldOnce(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		at := s.clock.Now().Unix()
		s.write(mirror.CreditNote, fmt.Sprintf(`{"id":"cn_1","object":"credit_note","status":"issued","amount":100,"invoice":"in_0","refund":"re_1","customer":"cus_1","created":%d}`, at))
		s.write(mirror.Refund, fmt.Sprintf(`{"id":"re_1","object":"refund","status":"succeeded","amount":60,"payment_intent":"pi_in_0","charge":"ch_1","created":%d}`, at))
		s.invoice(0, "paid")
		s.sub(0, "active")
		all, err := s.store.Notices(t.Context(), alice, "", "", 100)
		require.NoError(t, err)
		require.Len(t, all, 1)
		require.Equal(t, "re_1", all[0].Data.ObjectID)
	})
}

// What a decision that fails has told was not told, and a notice is queued in the transaction that writes it.
func TestNoticesAreQueuedWithTheirWrite(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		var queued []string
		fail := true
		s.store.Deliver(func(_ context.Context, _ database.Tx, n notices.Notice) error {
			if fail {
				return errors.New("no room")
			}
			queued = append(queued, n.ID)
			return nil
		})
		trial := fmt.Sprintf(`{"id":"sub_1","object":"subscription","customer":"cus_1","status":"trialing","created":%d,"start_date":%[1]d,"billing_cycle_anchor":%[1]d,
			"current_period_start":%[1]d,"current_period_end":%d,"trial_end":%[2]d,"items":{"data":[{"quantity":1,"price":{"id":"price_pro","object":"price"}}]}}`,
			s.begin.Unix(), s.month(1).Unix())
		o, err := mirror.Parse(mirror.Subscription, []byte(trial))
		require.NoError(t, err)
		o.Sequence, err = s.store.TakeSequence(t.Context(), o.Kind, o.ID)
		require.NoError(t, err)
		follower := &follow.Follower{Store: s.store, Ledger: s.Ledger}
		_, err = s.store.WriteObject(t.Context(), o, follower.Written)
		require.Error(t, err)
		require.Empty(t, s.told())
		fail = false
		_, err = s.store.WriteObject(t.Context(), o, follower.Written)
		require.NoError(t, err)
		all, err := s.store.Notices(t.Context(), alice, "", "", 100)
		require.NoError(t, err)
		require.Len(t, all, 1)
		require.Equal(t, []string{all[0].ID}, queued)
	})
}

// An erased person's notices are gone, and none comes afterwards.
func TestAnErasedPersonIsToldNothing(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		require.NoError(t, database.Migrate(t.Context(), s.db, inbox.Migrations()))
		s.invoice(0, "paid")
		s.sub(0, "active", `"cancel_at_period_end":true`)
		require.Equal(t, []notices.Kind{notices.WillEnd}, s.told())
		require.NoError(t, s.store.EraseUser(t.Context(), alice))
		require.Empty(t, s.told())
		s.sub(0, "canceled", fmt.Sprintf(`"ended_at":%d`, s.clock.Now().Unix()))
		require.Empty(t, s.told())
	})
}

// An account may have many notices of thresholds and top-ups after a failed payment. They do not hide that it failed, and the query does not read them.
func TestManyOtherNoticesHideNoFailedPayment(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.invoice(0, "paid")
		s.sub(0, "active")
		s.clock.Set(s.month(1))
		s.attempted(1, "open")
		s.sub(1, "past_due")
		require.Equal(t, []notices.Kind{notices.PaymentFailed}, s.told())
		others := []notices.Kind{
			notices.CreditThreshold, notices.LimitThreshold, notices.OverageThreshold,
			notices.TopUpSucceeded, notices.TopUpFailed, notices.TopUpDisabled, notices.TopUpAuthentication,
		}
		for _, kind := range others {
			s.exec(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 501)
				INSERT INTO notice (id, account_id, source, kind, user_id, data, create_time)
				SELECT 'ntc_z' || CAST($2 AS TEXT) || CAST(i AS TEXT), CAST($1 AS TEXT), CAST($2 AS TEXT) || CAST(i AS TEXT), CAST($2 AS TEXT), '', '{}', 1 FROM n`, alice, string(kind))
		}
		s.exec("ANALYZE")
		s.attempted(1, "paid")
		s.sub(1, "active")
		recovered, err := s.store.Notices(t.Context(), alice, notices.Recovered, "", 10)
		require.NoError(t, err)
		require.Len(t, recovered, 1)

		explain := "EXPLAIN "
		if s.db.Dialect() == database.SQLite {
			explain = "EXPLAIN QUERY PLAN "
		}
		rows, err := s.db.Read().QueryContext(t.Context(), explain+`SELECT source FROM notice WHERE account_id = 'user_alice' AND kind NOT IN (
			'credit_threshold', 'limit_threshold', 'overage_threshold', 'top_up_succeeded', 'top_up_failed', 'top_up_disabled', 'top_up_authentication'
		) ORDER BY id DESC LIMIT 500`)
		require.NoError(t, err)
		defer func() { require.NoError(t, rows.Close()) }()
		columns, err := rows.Columns()
		require.NoError(t, err)
		plan, cells := "", make([]any, len(columns))
		for i := range cells {
			cells[i] = new(string)
		}
		for rows.Next() {
			require.NoError(t, rows.Scan(cells...))
			plan += *cells[len(cells)-1].(*string) + "\n" //nolint:forcetypeassert // set above
		}
		require.NoError(t, rows.Err())
		require.Contains(t, plan, "notice_of_subscription")
	})
}

// Notices are deleted when they are older than their retention, a page at a time.
func TestNoticesArePruned(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.invoice(0, "paid")
		s.sub(0, "active", `"cancel_at_period_end":true`)
		for _, c := range []struct {
			before time.Time
			want   int64
		}{{s.clock.Now(), 0}, {s.clock.Now().Add(time.Second), 1}, {s.clock.Now().Add(time.Second), 0}} {
			n, err := s.store.PruneNotices(t.Context(), c.before, c.before, 10)
			require.NoError(t, err)
			require.Equal(t, c.want, n)
		}
	})
}

// Notices that expire have pages of their own.
func TestNoticesThatExpireArePruned(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		now := s.clock.Now()
		for i, expires := range []bool{true, true, true, false, false} {
			at, end := now.Add(time.Duration(i)*time.Second).UnixMicro(), int64(0)
			if expires {
				end = at
			}
			s.exec(`INSERT INTO notice (id, account_id, source, kind, user_id, data, create_time, expire_time) VALUES ($1, $2, $1, $3, '', '{}', $4, $5)`,
				fmt.Sprint("ntc_", i), alice, string(notices.LimitThreshold), at, end)
		}
		left := func() (ids []string) {
			all, err := s.store.Notices(t.Context(), alice, "", "", 10)
			require.NoError(t, err)
			for _, n := range all {
				ids = append(ids, n.ID)
			}
			return ids
		}
		for _, c := range []struct {
			before, now time.Duration
			want        int64
			left        []string
		}{
			{0, 2 * time.Second, 1, []string{"ntc_4", "ntc_3", "ntc_2", "ntc_1"}},
			{0, 2 * time.Second, 1, []string{"ntc_4", "ntc_3", "ntc_2"}},
			{0, 2 * time.Second, 0, []string{"ntc_4", "ntc_3", "ntc_2"}},
			{4 * time.Second, 3 * time.Second, 1, []string{"ntc_4"}},
		} {
			n, err := s.store.PruneNotices(t.Context(), now.Add(c.before), now.Add(c.now), 1)
			require.NoError(t, err)
			require.Equal(t, c.want, n)
			require.Equal(t, c.left, left())
		}
	})
}
