package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

// seated runs a test with a plan that gives 1001 for each seat.
func seated(t *testing.T, test func(t *testing.T, s *subscriber)) {
	t.Helper()
	subscribed(t, func(t *testing.T, s *subscriber) {
		team := &plans.Plan{ID: "team", Version: 1, Name: "Team", Price: 10_000_000_000, IncludedCredit: 1001, Seats: &plans.Seats{Min: 1, Max: 20}}
		s.plans.all[team.Ref()] = *team
		s.plans.prices["price_pro"] = plans.Sale{Offer: plans.Offer{Plan: team}, Interval: plans.Month}
		s.settle(s.hold("free", s.free()), s.free())
		test(t, s)
	})
}

// seats mirrors the paid invoice of a change of seats within a month.
func (s *subscriber) seats(id string, month int, at time.Time, from, to int64) {
	s.t.Helper()
	line := func(amount, quantity int64) string {
		return fmt.Sprintf(`{"type":"invoiceitem","proration":true,"amount":%d,"quantity":%d,"price":{"id":"price_pro","object":"price"},"period":{"start":%d,"end":%d}}`,
			amount, quantity, at.Unix(), s.month(month+1).Unix())
	}
	s.write(mirror.Invoice, fmt.Sprintf(`{"id":%q,"object":"invoice","customer":"cus_1","subscription":"sub_1","status":"paid","created":%d,"payment_intent":"pi_%[1]s",
		"total":2380,"lines":{"data":[%[3]s,%s]}}`, id, at.Unix(), line(-1000, from), line(2000, to)))
}

// Seats go up, down and up again. Whichever payment is heard of first, the first has bought the seats, so its refund takes their credit and that of the
// second takes nothing.
func TestSeatsThatGoUpTwice(t *testing.T) {
	// The month has 30 days.
	up := func(s *subscriber, n int) { s.seats(fmt.Sprintf("in_up_%d", n), 0, s.day(10*n), 1, 3) }
	refund := func(s *subscriber, n int) {
		s.write(mirror.Refund, fmt.Sprintf(`{"id":"re_%d","object":"refund","status":"succeeded","amount":2380,"payment_intent":"pi_in_up_%[1]d","charge":"ch_1","created":1}`, n))
	}
	both := roundUp(2*1001, 20*24*time.Hour, 30*24*time.Hour)
	for name, c := range map[string]struct {
		do   func(s *subscriber)
		want int64
	}{
		"in order":                              {func(s *subscriber) { up(s, 1); up(s, 2) }, both},
		"late":                                  {func(s *subscriber) { up(s, 2); up(s, 1) }, both},
		"the first is refunded":                 {func(s *subscriber) { up(s, 1); up(s, 2); refund(s, 1) }, 0},
		"late, and the first is refunded":       {func(s *subscriber) { up(s, 2); up(s, 1); refund(s, 1) }, 0},
		"the refund of the first is first":      {func(s *subscriber) { refund(s, 1); up(s, 2); up(s, 1) }, 0},
		"the second is refunded":                {func(s *subscriber) { up(s, 1); up(s, 2); refund(s, 2) }, both},
		"late, and the second is refunded":      {func(s *subscriber) { up(s, 2); up(s, 1); refund(s, 2) }, both},
		"late, after the second was refunded":   {func(s *subscriber) { up(s, 2); refund(s, 2); up(s, 1) }, both},
		"late, after both were refunded":        {func(s *subscriber) { up(s, 2); refund(s, 2); refund(s, 1); up(s, 1) }, 0},
		"refunded, late, and refunded, in turn": {func(s *subscriber) { up(s, 2); refund(s, 2); up(s, 1); refund(s, 1) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			seated(t, func(t *testing.T, s *subscriber) {
				s.invoice(0, "paid")
				s.sub(0, "active")
				s.clock.Set(s.day(25))
				c.do(s)
				require.Equal(t, 1001+c.want, s.account().Balance)
				s.sound()
			})
		})
	}
}

// Whatever changes of seats and their payments, refunds, disputes and credit notes are heard of first: each payment has bought what it buys when they are
// heard of in order, so what is taken back is the same.
func TestChangesAndTheirReversalsInAnyOrder(t *testing.T) {
	months := 40
	if testing.Short() {
		months = 10
	}
	seated(t, func(t *testing.T, s *subscriber) {
		dice := rand.New(rand.NewPCG(5, 8))
		for month := range months {
			s.clock.Set(s.month(month).Add(26 * 24 * time.Hour))
			s.sub(month, "active")
			s.invoice(month, "paid")
			require.EqualValues(t, 1001, s.account().Balance)
			var news []func()
			at, end, seats, highest, plot := s.month(month), s.month(month+1), int64(1), int64(1), ""
			whole, sum, want := int64(end.Sub(at).Seconds()), int64(0), int64(1001)
			for n := range 2 + dice.IntN(3) {
				from, to, id := seats, 1+dice.Int64N(6), fmt.Sprintf("in_%d_up_%d", month, n)
				at = at.Add(time.Duration(dice.IntN(3)*dice.IntN(150)) * time.Hour / 2) // sometimes within the second
				before := (sum + whole - 1) / whole
				sum += 1001 * max(to-highest, 0) * int64(end.Sub(at).Seconds())
				credit := (sum+whole-1)/whole - before
				seats, highest = to, max(highest, to)
				reversals := story(dice, id, "pi_"+id, id, 2380)
				taken := int64(0)
				for _, o := range reversals {
					taken += o.counts()
					news = append(news, func() { s.happens(o, reversals) })
				}
				want += credit - credit*min(taken, 2380)/2380
				plot += fmt.Sprintf("%s from %d to %d at %s for %d, %+v\n", id, from, to, at, credit, reversals)
				made := at
				news = append(news, func() { s.seats(id, month, made, from, to) })
			}
			news = append(news, news[dice.IntN(len(news))]) // one comes twice
			dice.Shuffle(len(news), func(i, j int) { news[i], news[j] = news[j], news[i] })
			for _, tell := range news {
				tell()
				s.sound()
			}
			require.Equal(t, want, s.account().Balance, "month %d:\n%s", month, plot)
		}
	})
}

// happens mirrors an object that takes money back, in its states. others are those of the same payment.
func (s *subscriber) happens(o taken, others []taken) {
	s.t.Helper()
	for _, r := range others {
		if r.id == o.refund {
			o.amount += r.amount // the body says all
		}
	}
	for _, state := range o.states {
		s.write(o.kind, o.body(state))
	}
}
