package ledger_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

// A plan is applied after the news of a subscription with its price came. The account gets then what it would have had, without more news.
func TestAPlanIsAppliedAfterItsSubscription(t *testing.T) {
	const credit = 1000
	news := func(s *subscriber) {
		s.invoice(0, "paid")
		s.sub(0, "active")
	}
	for name, c := range map[string]struct {
		before func(s *subscriber)
		plan   string
		want   int64
	}{
		"paid":     {news, "pro@1", credit},
		"refunded": {func(s *subscriber) { news(s); s.taken(mirror.Refund, "succeeded", 1190) }, "pro@1", credit / 2},
		"a lost dispute": {func(s *subscriber) {
			news(s)
			s.taken(mirror.Dispute, "needs_response", 2380)
			s.taken(mirror.Dispute, "lost", 2380)
		}, "pro@1", 0},
		"a refund that was canceled": {func(s *subscriber) {
			news(s)
			s.taken(mirror.Refund, "pending", 2380)
			s.taken(mirror.Refund, "canceled", 2380)
		}, "pro@1", credit},
		"not paid": {func(s *subscriber) { s.invoice(0, "open"); s.sub(0, "incomplete") }, "monthly", 0},
		"over":     {func(s *subscriber) { news(s); s.sub(0, "canceled", fmt.Sprintf(`"ended_at":%d`, s.begin.Unix())) }, "monthly", 0},
	} {
		t.Run(name, func(t *testing.T) {
			subscribed(t, func(t *testing.T, s *subscriber) {
				s.settle(s.hold("free", s.free()), s.free())
				sale := s.plans.prices["price_pro"]
				delete(s.plans.prices, "price_pro")
				c.before(s)
				require.NoError(t, s.FollowSold(t.Context()))
				s.requirePlan("monthly", 0)
				s.plans.prices["price_pro"] = sale
				for range 2 {
					require.NoError(t, s.FollowSold(t.Context()))
					s.requirePlan(c.plan, c.want)
					s.sound()
				}
			})
		})
	}
}

// The end of a subscription was taken back, and the news came late and with a price that no plan has. What ended too early comes back when the plan is applied.
func TestAnEndThatWasTakenBackWithAnUnknownPrice(t *testing.T) {
	subscribed(t, func(t *testing.T, s *subscriber) {
		s.settle(s.hold("free", s.free()), s.free())
		s.invoice(0, "paid")
		s.sub(0, "active")
		s.endsAt(10)
		s.clock.Set(s.day(10))
		s.followed()
		s.requirePlan("monthly", 0)
		s.write(mirror.Subscription, strings.NewReplacer("%CREATED%", fmt.Sprint(s.begin.Unix()), "%END%", fmt.Sprint(s.month(1).Unix())).Replace(
			`{"id":"sub_1","object":"subscription","customer":"cus_1","status":"active","created":%CREATED%,"start_date":%CREATED%,"billing_cycle_anchor":%CREATED%,
			"current_period_start":%CREATED%,"current_period_end":%END%,"items":{"data":[{"quantity":1,"price":{"id":"price_new","object":"price"}}]}}`))
		s.requirePlan("monthly", 0)
		plus := &plans.Plan{ID: "plus", Version: 1, Name: "Plus", IncludedCredit: 3000}
		s.plans.all[plus.Ref()] = *plus
		s.plans.prices["price_new"] = plans.Sale{Offer: plans.Offer{Plan: plus}, Interval: plans.Month}
		require.NoError(t, s.FollowSold(t.Context()))
		s.requirePlan("plus@1", 1000)
		s.sound()
	})
}
