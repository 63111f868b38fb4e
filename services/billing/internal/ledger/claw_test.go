package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/services/billing/internal/follow"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/rpc"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// paidPack mirrors a session that has paid 120 cents, with tax, for 500 nano-dollars of credit.
func (s *subscriber) paidPack() {
	s.t.Helper()
	s.write(mirror.CheckoutSession, fmt.Sprintf(`{"id":"cs_1","object":"checkout.session","customer":"cus_1","mode":"payment","status":"complete","payment_status":"paid",
		"payment_intent":"pi_1","amount_total":120,"created":%d,"line_items":{"data":[{"quantity":1,"price":{"id":"price_pack","object":"price"}}]}}`, s.begin.Unix()))
}

func (s *subscriber) reversal(kind mirror.Kind, id, status string, amount int) {
	s.t.Helper()
	s.write(kind, fmt.Sprintf(`{"id":%q,"object":%q,"status":%q,"amount":%d,"payment_intent":"pi_1","charge":"ch_1","created":%d}`, id, kind, status, amount,
		s.clock.Now().Unix()))
}

// Refunds and disputes take credit in proportion, once for a payment, in whatever order they come. managoat/fountain#1126 took it twice, and
// elizaOS/eliza#10920 not at all.
func TestRefundsTakeCreditBack(t *testing.T) {
	refund, dispute := mirror.Refund, mirror.Dispute
	for name, c := range map[string]struct {
		do   func(s *subscriber)
		want int64
	}{
		"a part":               {func(s *subscriber) { s.reversal(refund, "re_1", "succeeded", 60) }, 250},
		"a part, rounded down": {func(s *subscriber) { s.reversal(refund, "re_1", "succeeded", 1) }, 496},
		"two parts": {func(s *subscriber) {
			s.reversal(refund, "re_1", "succeeded", 30)
			s.reversal(refund, "re_2", "pending", 30)
		}, 250},
		"the same twice": {func(s *subscriber) {
			s.reversal(refund, "re_1", "succeeded", 60)
			s.reversal(refund, "re_1", "succeeded", 60)
		}, 250},
		"a refund that fails": {func(s *subscriber) {
			s.reversal(refund, "re_1", "pending", 60)
			s.reversal(refund, "re_1", "failed", 60)
		}, 500},
		"a dispute, then a refund": {func(s *subscriber) {
			s.reversal(dispute, "dp_1", "needs_response", 120)
			s.reversal(refund, "re_1", "succeeded", 120)
		}, 0},
		"a dispute that is won": {func(s *subscriber) {
			s.reversal(dispute, "dp_1", "needs_response", 120)
			s.reversal(dispute, "dp_1", "won", 120)
			s.reversal(dispute, "dp_1", "won", 120)
		}, 500},
		"a dispute that is won, lost and won again": {func(s *subscriber) {
			s.reversal(dispute, "dp_1", "needs_response", 120)
			s.reversal(dispute, "dp_1", "won", 120)
			s.reversal(dispute, "dp_1", "lost", 120)
			s.reversal(dispute, "dp_1", "won", 120)
		}, 500},
		"a dispute that is won twice, then a part of it is lost, then it is won": {func(s *subscriber) {
			for _, status := range []string{"needs_response", "won", "needs_response", "won"} {
				s.reversal(dispute, "dp_1", status, 120)
			}
			s.reversal(dispute, "dp_1", "lost", 60)
			s.reversal(dispute, "dp_1", "won", 120)
		}, 500},
		"a dispute that is won, then a refund": {func(s *subscriber) {
			s.reversal(dispute, "dp_1", "needs_response", 120)
			s.reversal(dispute, "dp_1", "won", 120)
			s.reversal(refund, "re_1", "succeeded", 120)
		}, 0},
		"a refund that fails, then another": {func(s *subscriber) {
			s.reversal(refund, "re_1", "pending", 120)
			s.reversal(refund, "re_1", "failed", 120)
			s.reversal(refund, "re_2", "succeeded", 60)
		}, 250},
		"a dispute that is lost": {func(s *subscriber) {
			s.reversal(dispute, "dp_1", "needs_response", 120)
			s.reversal(dispute, "dp_1", "lost", 120)
		}, 0},
		"an inquiry": {func(s *subscriber) { s.reversal(dispute, "dp_1", "warning_needs_response", 120) }, 500},
		"won after a partial refund": {func(s *subscriber) {
			s.reversal(refund, "re_1", "succeeded", 60)
			s.reversal(dispute, "dp_1", "needs_response", 60)
			s.reversal(dispute, "dp_1", "won", 60)
		}, 250},
	} {
		t.Run(name, func(t *testing.T) {
			subscribed(t, func(t *testing.T, s *subscriber) {
				s.paidPack()
				require.Equal(t, s.free()+500, s.account().Balance)
				c.do(s)
				s.paidPack()
				require.Equal(t, s.free()+c.want, s.account().Balance)
			})
		})
		t.Run(name+", first", func(t *testing.T) {
			subscribed(t, func(t *testing.T, s *subscriber) {
				c.do(s)
				s.paidPack()
				require.Equal(t, s.free()+c.want, s.account().Balance)
			})
		})
	}
}

// The credit of a month that is over comes back to the calls that were made within it, and to no others. The books say that it came back, so that
// a part of the payment can be taken again.
func TestADisputeWonAfterTheMonth(t *testing.T) {
	dispute := func(s *subscriber, status string, amount int) {
		s.write(mirror.Dispute, fmt.Sprintf(`{"id":"dp_1","object":"dispute","status":%q,"amount":%d,"payment_intent":"pi_in_0","charge":"ch_1","created":1}`, status, amount))
	}
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.invoice(0, "paid")
		s.sub(0, "active")
		credit := s.account().Balance
		dispute(s, "needs_response", 2380)
		left := s.account().Balance
		require.Equal(t, credit-1000, left)
		dispute(s, "won", 2380)
		require.Equal(t, credit, s.account().Balance)
		dispute(s, "lost", 2380)
		s.sub(0, "canceled", fmt.Sprintf(`"ended_at":%d`, s.clock.Now().Unix()))
		require.Equal(t, left, s.account().Balance)
		s.clock.Add(time.Second)
		dispute(s, "won", 2380)
		require.Equal(t, left, s.account().Balance, "its time is over")
		dispute(s, "lost", 1)
		require.Equal(t, left, s.account().Balance)
		require.Zero(t, s.account().Debt)
		require.Zero(t, s.count("SELECT clawed FROM purchase"))
	})
}

// A refund takes what is left of the credit that it paid for. It never makes the balance negative, and it takes no other credit: elizaOS/eliza#10963 had a
// balance that its own rule forbids.
func TestARefundOfUsedCredit(t *testing.T) {
	for _, used := range []int64{0, 200, 500, 620} {
		subscribed(t, func(t *testing.T, s *subscriber) {
			s.settle(s.hold("free", s.free()), s.free())
			s.paidPack()
			s.give("gift", 300)
			if used > 0 {
				s.settle(s.hold("1", used), used)
			}
			s.reversal(mirror.Refund, "re_1", "succeeded", 120)
			kept := 300 - max(used-500, 0)
			require.Zero(t, s.remaining()["pack:cs_1"])
			require.Equal(t, kept, s.remaining()["gift"])
			require.Equal(t, kept, s.account().Balance)
			require.Zero(t, s.account().Debt)
			s.sound()
		})
	}
}

// What calls hold is taken when they end, and what was used is not taken.
func TestARefundTakesWhatCallsRelease(t *testing.T) {
	refund := func(s *subscriber) { s.reversal(mirror.Refund, "re_1", "succeeded", 120) }
	for name, c := range map[string]struct {
		// end ends a call that holds all of the free credit and 400 of the pack's 500, whose payment was refunded.
		end  func(s *subscriber, h ledger.Hold)
		want func(free int64) int64
	}{
		"it used little":   {func(s *subscriber, h ledger.Hold) { s.settle(h, 100) }, func(free int64) int64 { return free - 100 }},
		"it used the pack": {func(s *subscriber, h ledger.Hold) { s.settle(h, s.free()+150) }, func(int64) int64 { return 0 }},
		"it used nothing":  {func(s *subscriber, h ledger.Hold) { s.settle(h, 0) }, func(free int64) int64 { return free }},
		"it was abandoned and is charged its input": {func(s *subscriber, _ ledger.Hold) {
			s.clock.Add(lease)
			_, err := s.Sweep(s.t.Context())
			require.NoError(s.t, err)
		}, func(int64) int64 { return 0 }},
		"the refund comes again": {func(s *subscriber, h ledger.Hold) {
			refund(s)
			s.settle(h, 100)
			refund(s)
		}, func(free int64) int64 { return free - 100 }},
		"the refund fails first": {func(s *subscriber, h ledger.Hold) {
			s.reversal(mirror.Refund, "re_1", "failed", 120)
			s.settle(h, 100)
		}, func(free int64) int64 { return free + 400 }},
		"the refund fails then": {func(s *subscriber, h ledger.Hold) {
			s.settle(h, 100)
			s.reversal(mirror.Refund, "re_1", "failed", 120)
		}, func(free int64) int64 { return free + 400 }},
		"another call ends before": {func(s *subscriber, h ledger.Hold) {
			_, err := s.Reserve(s.t.Context(), ledger.Reservation{RequestID: "r2", AccountID: alice, UserID: alice, Model: "embed", InputTokens: 1})
			_ = requireReason(s.t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, rpc.Public(err)) // nothing of it can be used again
			s.settle(h, 100)
		}, func(free int64) int64 { return free - 100 }},
	} {
		t.Run(name, func(t *testing.T) {
			subscribed(t, func(t *testing.T, s *subscriber) {
				s.paidPack()
				h := s.hold("r1", s.free()+400)
				refund(s)
				a := s.account()
				require.EqualValues(t, 0, a.Available())
				require.Equal(t, s.free()+400, a.Balance)
				c.end(s, h)
				a = s.account()
				require.Equal(t, c.want(s.free()), a.Balance)
				require.Zero(t, a.Held)
				require.Zero(t, s.count("SELECT COUNT(*) FROM purchase WHERE waiting > 0"))
			})
		})
	}
}

// A late settlement returns what the sweeper charged too much. Credit whose payment was taken back meanwhile does not come back with it.
func TestALateSettlementReturnsNoRefundedCredit(t *testing.T) {
	refund := func(s *subscriber, amount int) { s.reversal(mirror.Refund, "re_1", "succeeded", amount) }
	for name, c := range map[string]struct {
		// before are the reversals before the call, which then uses so much of the pack until it is swept, and after those of then.
		before, after func(s *subscriber)
		swept         int64
		// used is what the call has used of the pack and the free credit, of which there is enough for the rest.
		used func(free int64) int64
		want func(free int64) int64
	}{
		"a refund of all": {
			after: func(s *subscriber) { refund(s, 120) }, swept: 60,
			used: func(int64) int64 { return 10 }, want: func(free int64) int64 { return free - 10 },
		},
		"a refund of all of which the call has used a part": {
			after: func(s *subscriber) { refund(s, 120) }, swept: 60,
			used: func(free int64) int64 { return free + 20 }, want: func(int64) int64 { return 0 },
		},
		"a refund of half, of which the call has used more": {
			after: func(s *subscriber) { refund(s, 60) }, swept: 400,
			used: func(free int64) int64 { return free + 350 }, want: func(int64) int64 { return 0 },
		},
		"a refund of half, of which the call has used less": {
			after: func(s *subscriber) { refund(s, 60) }, swept: 400,
			used: func(free int64) int64 { return free + 100 }, want: func(int64) int64 { return 150 },
		},
		"a dispute that is won, then a refund": {
			before: func(s *subscriber) {
				s.reversal(mirror.Dispute, "dp_1", "needs_response", 120)
				s.reversal(mirror.Dispute, "dp_1", "won", 120)
			},
			after: func(s *subscriber) { refund(s, 120) }, swept: 60,
			used: func(int64) int64 { return 10 }, want: func(free int64) int64 { return free - 10 },
		},
		"a refund that fails": {
			after: func(s *subscriber) {
				refund(s, 120)
				s.reversal(mirror.Refund, "re_1", "failed", 120)
			}, swept: 60,
			used: func(int64) int64 { return 10 }, want: func(free int64) int64 { return free + 490 },
		},
	} {
		t.Run(name, func(t *testing.T) {
			subscribed(t, func(t *testing.T, s *subscriber) {
				s.paidPack()
				if c.before != nil {
					c.before(s)
				}
				h := s.hold("r1", s.free()+c.swept)
				s.clock.Add(lease)
				s.sweep(1)
				c.after(s)
				s.settle(h, c.used(s.free()))
				require.Equal(t, c.want(s.free()), s.account().Balance)
				require.Zero(t, s.count("SELECT COUNT(*) FROM purchase WHERE waiting > 0"))
			})
		})
	}
	t.Run("another call holds what comes back", func(t *testing.T) {
		subscribed(t, func(t *testing.T, s *subscriber) {
			s.paidPack()
			h := s.hold("r1", s.free()+60)
			s.clock.Add(lease)
			s.sweep(1)
			other := s.hold("r2", 440)
			refund(s, 120)
			s.settle(h, s.free()+20)
			require.EqualValues(t, 440, s.account().Balance)
			s.settle(other, 0)
			require.Zero(t, s.account().Balance)
		})
	})
}

// A refund that fails twice gives its credit back twice, also when calls hold some of it.
func TestRefundsThatFailWhileCallsHoldCredit(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.paidPack()
		s.hold("r1", s.free()+100)
		for n := range 3 {
			id := fmt.Sprint("re_", n)
			s.reversal(mirror.Refund, id, "pending", 120)
			require.Zero(t, s.account().Available())
			s.reversal(mirror.Refund, id, "failed", 120)
			require.EqualValues(t, 400, s.account().Available())
		}
	})
}

// While refunded credit waits for a call, the account's other calls neither follow its subscription nor repeat the warning.
func TestWaitingCreditIsQuiet(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.write(mirror.Subscription, fmt.Sprintf(`{"id":"sub_1","object":"subscription","customer":"cus_1","status":"active","created":1,"current_period_start":%d,
			"current_period_end":%d,"items":{"data":[{"quantity":1,"price":{"id":"price_unknown","object":"price"}}]}}`, s.begin.Unix(), s.month(1).Unix()))
		s.paidPack()
		s.settle(s.hold("r1", s.free()+50), s.free()+50)
		h := s.hold("r2", 200)
		var logs strings.Builder
		s.logs = slog.NewTextHandler(&logs, nil)
		s.Ledger = s.again()
		warned := func() []int {
			return []int{strings.Count(logs.String(), "a payment was taken back"), strings.Count(logs.String(), "no applied plan has")}
		}
		calls := func(name string) {
			t.Helper()
			for n := range 3 {
				free, err := s.Reserve(t.Context(), ledger.Reservation{RequestID: fmt.Sprint(name, n), AccountID: alice, UserID: alice, Model: "gratis", InputTokens: 1})
				require.NoError(t, err)
				s.settle(free, 1)
			}
		}
		s.reversal(mirror.Refund, "re_1", "succeeded", 120)
		require.Equal(t, []int{1, 0}, warned())
		calls("waits")
		require.Equal(t, []int{1, 0}, warned())
		s.settle(h, 150)
		require.Equal(t, []int{2, 0}, warned(), "more is used")
		require.Zero(t, s.account().Balance)
		calls("done")
		require.Equal(t, []int{2, 0}, warned())
	})
}

// A period ends and another begins also while refunded credit waits.
func TestAPeriodEndsWhileCreditWaits(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.paidPack()
		h := s.hold("r1", s.free()+400)
		s.reversal(mirror.Refund, "re_1", "succeeded", 120)
		s.clock.Set(s.account().PeriodEnd)
		_, err := s.Reserve(t.Context(), ledger.Reservation{RequestID: "r2", AccountID: alice, UserID: alice, Model: "gratis", InputTokens: 1})
		require.NoError(t, err)
		require.Equal(t, s.clock.Now(), s.account().PeriodStart)
		s.settle(h, 0)
		require.Equal(t, s.free(), s.account().Balance)
	})
}

func TestClawOf(t *testing.T) {
	of := func(amounts ...int64) (all []subscriptions.Reversal) {
		for _, amount := range amounts {
			all = append(all, subscriptions.Reversal{Amount: amount})
		}
		return all
	}
	require.EqualValues(t, 4, subscriptions.ClawOf(7, 3, of(1, 1)))
	require.EqualValues(t, 999_999_989_999_999, subscriptions.ClawOf(1_000_000_000_000_000, 99_999_999, of(99_999_998, 0)))
	require.EqualValues(t, 7, subscriptions.ClawOf(7, 3, of(1<<62, 1<<62, 1<<62)), "never more than the credit")
}

// A refund that is written while its purchase commits is not missed: neither of the two sees what the other has not committed.
func TestARefundWhileThePurchaseCommits(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		if s.db.Dialect() == database.SQLite {
			s.reversal(mirror.Refund, "re_1", "succeeded", 120)
			s.paidPack()
			require.Equal(t, s.free(), s.account().Balance)
			return // its writes take turns
		}
		o, err := mirror.Parse(mirror.Refund, []byte(`{"id":"re_1","object":"refund","status":"succeeded","amount":120,"payment_intent":"pi_1","charge":"ch_1","created":1}`))
		require.NoError(t, err)
		o.Sequence, err = s.store.TakeSequence(t.Context(), o.Kind, o.ID)
		require.NoError(t, err)
		f := &follow.Follower{Store: s.store, Ledger: s.Ledger}
		followed, commit, refunded, paid := make(chan struct{}), make(chan struct{}), make(chan error, 1), make(chan struct{})
		go func() {
			_, err := s.store.WriteObject(t.Context(), o, func(ctx context.Context, tx database.Tx, o mirror.Object) error {
				err := f.Written(ctx, tx, o)
				close(followed)
				<-commit
				return err
			})
			refunded <- err
		}()
		<-followed
		other := *s.fixture // a process of its own: the writes of one take turns
		other.store = store.New(databasetest.Open(t, s.place, database.Migrations{}))
		other.Ledger = other.on(other.store)
		buyer := &subscriber{fixture: &other, begin: s.begin}
		go func() { defer close(paid); buyer.paidPack() }()
		require.Eventually(t, func() bool {
			return s.count("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") == 1
		}, 30*time.Second, 10*time.Millisecond)
		close(commit)
		require.NoError(t, <-refunded)
		<-paid
		require.Equal(t, s.free(), s.account().Balance)
	})
}

// A refund of a known purchase locks the account before the payment, as calls and renewals do. In the other order the two wait for each other.
func TestARefundLocksTheAccountBeforeThePayment(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.paidPack()
		if s.db.Dialect() == database.SQLite {
			return // its writes take turns
		}
		s.reversal(mirror.Refund, "re_0", "succeeded", 30)
		place := s.place
		place.Beside = true
		refunded := make(chan struct{})
		refund := sync.OnceFunc(func() {
			go func() { defer close(refunded); s.reversal(mirror.Refund, "re_1", "succeeded", 30) }()
		})
		require.NoError(t, databasetest.Open(t, place, database.Migrations{}).Write(t.Context(), alice, func(ctx context.Context, tx database.Tx) error {
			if _, err := tx.ExecContext(ctx, "SELECT 1 FROM account WHERE id = $1 FOR UPDATE", alice); err != nil {
				return err
			}
			refund()
			for end := time.Now().Add(30 * time.Second); s.count("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") != 1; {
				if time.Now().After(end) {
					return errors.New("the refund does not wait for the account")
				}
				if _, err := tx.ExecContext(ctx, "SELECT 1"); err != nil { // PostgreSQL ends a transaction that pauses for 3 s
					return err
				}
				time.Sleep(10 * time.Millisecond)
			}
			var unlocked int
			err := tx.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM reversal WHERE id = 'payment:pi_1' FOR UPDATE SKIP LOCKED) AS r").Scan(&unlocked)
			require.Equal(t, 1, unlocked)
			return err
		}))
		<-refunded
		require.Equal(t, s.free()+250, s.account().Balance)
	})
}

// An account that is followed again does not lock the payments of the purchases that it has.
func TestAKnownPurchaseLocksNoPayment(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.invoice(0, "paid")
		s.sub(0, "active")
		require.Positive(t, s.count("SELECT COUNT(*) FROM purchase"))
		s.exec("DELETE FROM reversal") // what is locked is written
		s.sub(0, "active")
		require.Zero(t, s.count("SELECT COUNT(*) FROM reversal"))
	})
}

// A refund that a version without this rule has stored takes its credit when the account's next period begins.
func TestAStoredRefundIsTakenLater(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.paidPack()
		s.exec("INSERT INTO reversal (id, payment_intent, amount, refund) VALUES ('re_1', 'pi_1', 120, '')")
		require.Equal(t, s.free()+500, s.account().Balance)
		s.clock.Set(s.account().PeriodEnd)
		require.Equal(t, s.free(), s.account().Balance)
	})
}
