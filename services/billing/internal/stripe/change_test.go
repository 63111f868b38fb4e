package stripe_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/checkout"
)

// A change of a price that the subscription does not have is refused, and makes no schedule.
func TestAnImpossibleChangeMakesNoSchedule(t *testing.T) {
	w := newFixture(t, secret)
	price := w.call(t, "/v1/prices", "currency=usd&unit_amount=2000&recurring[interval]=month&product_data[name]=Pro")
	other := w.call(t, "/v1/prices", "currency=usd&unit_amount=3000&recurring[interval]=month&product_data[name]=Team")
	customer := w.call(t, "/v1/customers", "")
	card := w.call(t, "/v1/payment_methods/pm_card_visa/attach", "customer="+customer)
	id := w.call(t, "/v1/subscriptions", "customer="+customer+"&default_payment_method="+card+"&items[0][price]="+price)
	p := checkout.Preview{Subscription: id, FromPrice: other, Price: price, Quantity: 1, Effective: time.Now().AddDate(0, 1, 0)}
	require.ErrorIs(t, w.ScheduleChange(t.Context(), p), checkout.ErrExpired)
	schedules := func() string {
		r := httptest.NewRequest(http.MethodGet, "/v1/subscription_schedules", http.NoBody)
		r.Header.Set("Authorization", "Bearer "+secret)
		answer := httptest.NewRecorder()
		w.fake.ServeHTTP(answer, r)
		return answer.Body.String()
	}
	require.Contains(t, schedules(), `"data": []`)
	p.FromPrice, p.Price = price, other
	require.NoError(t, w.ScheduleChange(t.Context(), p))
	require.Contains(t, schedules(), other)
}
