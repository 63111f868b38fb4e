package ledger_test

import (
	"context"
	"fmt"
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
	s.write(kind, fmt.Sprintf(`{"id":%q,"object":%q,"status":%q,"amount":%d,"payment_intent":"pi_1","charge":"ch_1","created":1}`, id, kind, status, amount))
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
		select {
		case <-paid: // it did not wait for the refund
		case <-time.After(time.Second / 2):
		}
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
		require.NoError(t, databasetest.Open(t, place, database.Migrations{}).Write(t.Context(), alice, func(ctx context.Context, tx database.Tx) error {
			if _, err := tx.ExecContext(ctx, "SELECT 1 FROM account WHERE id = $1 FOR UPDATE", alice); err != nil {
				return err
			}
			go func() { defer close(refunded); s.reversal(mirror.Refund, "re_1", "succeeded", 30) }()
			require.Eventually(t, func() bool {
				return s.count("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") == 1
			}, 30*time.Second, 10*time.Millisecond)
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
