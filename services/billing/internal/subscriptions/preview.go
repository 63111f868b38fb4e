package subscriptions

import (
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

// Item finds what a subscription buys of a plan; false when it buys none.
func (s Subscription) Item(catalog Catalog) (Item, plans.Sale, bool) {
	for _, item := range s.Items.Data {
		if sale, ok := catalog.ByPrice(item.Price.ID); ok && sale.Plan != nil {
			return item, sale, true
		}
	}
	return Item{}, plans.Sale{}, false
}

// Period returns the period that is billed.
func (s Subscription) Period() (start, end time.Time) {
	return s.CurrentPeriodStart.time(), s.CurrentPeriodEnd.time()
}

// CreditOfChange is the credit that a change at a moment adds: a share of the difference for the rest of the month, or the whole credit when
// the change begins a new period.
func CreditOfChange(from, to plans.Plan, fromSeats, toSeats int64, st State, at time.Time, restart bool) int64 {
	fresh := credit(to, toSeats, to.IncludedCredit)
	if restart {
		return fresh
	}
	more := fresh - credit(from, fromSeats, from.IncludedCredit)
	if more <= 0 || !at.Before(st.CreditEnd) {
		return 0
	}
	return share(more, st.CreditEnd.Sub(at), st.CreditEnd.Sub(st.CreditStart))
}
