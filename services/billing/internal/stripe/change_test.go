package stripe_test

import (
	"encoding/json"
	"fmt"
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
	require.Contains(t, w.read(t, "/v1/subscription_schedules"), `"data": []`)
	p.FromPrice, p.Price = price, other
	require.NoError(t, w.ScheduleChange(t.Context(), p))
	require.Contains(t, w.read(t, "/v1/subscription_schedules"), other)
}

// Stripe may refuse a price that was taken off sale in the phases of a schedule, also in the present one. It is on sale for the call alone.
func TestAScheduledChangeFromAPriceThatIsOffSale(t *testing.T) {
	w := newFixture(t, secret)
	price := w.call(t, "/v1/prices", "currency=usd&unit_amount=2000&recurring[interval]=month&product_data[name]=Pro")
	other := w.call(t, "/v1/prices", "currency=usd&unit_amount=3000&recurring[interval]=month&product_data[name]=Team")
	customer := w.call(t, "/v1/customers", "")
	card := w.call(t, "/v1/payment_methods/pm_card_visa/attach", "customer="+customer)
	id := w.call(t, "/v1/subscriptions", "customer="+customer+"&default_payment_method="+card+"&items[0][price]="+price)
	_ = w.call(t, "/v1/prices/"+price, "active=false")
	p := checkout.Preview{Subscription: id, FromPrice: price, Price: other, Quantity: 1, Effective: w.periodEnd(t, id)}
	for range 2 { // the second time it has a schedule
		require.NoError(t, w.ScheduleChange(t.Context(), p))
		require.Contains(t, w.read(t, "/v1/subscription_schedules"), other)
		require.Contains(t, w.read(t, "/v1/prices/"+price), `"active": false`)
		require.Contains(t, w.read(t, "/v1/prices/"+other), `"active": true`)
	}
	p.Price, p.Quantity = price, 4
	require.NoError(t, w.ScheduleChange(t.Context(), p), "more of the same price")
	require.Contains(t, w.read(t, "/v1/subscription_schedules"), `"quantity": 4`)
	require.Contains(t, w.read(t, "/v1/prices/"+price), `"active": false`)
	p.Price = "price_none"
	require.Error(t, w.ScheduleChange(t.Context(), p))
	require.Contains(t, w.read(t, "/v1/prices/"+price), `"active": false`)
}

// read returns what the fake Stripe shows at a path.
func (w *fixture) read(t *testing.T, path string) string {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
	r.Header.Set("Authorization", "Bearer "+secret)
	answer := httptest.NewRecorder()
	w.fake.ServeHTTP(answer, r)
	return answer.Body.String()
}

// periodEnd is the end of a subscription's period.
func (w *fixture) periodEnd(t *testing.T, id string) time.Time {
	t.Helper()
	var sub struct {
		End int64 `json:"current_period_end"`
	}
	require.NoError(t, json.Unmarshal([]byte(w.read(t, "/v1/subscriptions/"+id)), &sub))
	return time.Unix(sub.End, 0)
}

// A change says what becomes of a trial: it ends now, or at the time that is given.
func TestAChangeSaysWhatBecomesOfATrial(t *testing.T) {
	w := newFixture(t, secret)
	price := w.call(t, "/v1/prices", "currency=usd&unit_amount=2000&recurring[interval]=month&product_data[name]=Pro")
	other := w.call(t, "/v1/prices", "currency=usd&unit_amount=3000&recurring[interval]=month&product_data[name]=Team")
	customer := w.call(t, "/v1/customers", "")
	card := w.call(t, "/v1/payment_methods/pm_card_visa/attach", "customer="+customer)
	end := time.Now().Add(14 * 24 * time.Hour).Truncate(time.Second)
	id := w.call(t, "/v1/subscriptions", fmt.Sprintf("customer=%s&default_payment_method=%s&items[0][price]=%s&trial_end=%d", customer, card, price, end.Unix()))
	item := w.itemOf(t, id)
	p := checkout.Preview{Subscription: id, Item: item, FromPrice: price, Price: other, Quantity: 1, Date: time.Now(), TrialEnd: end.Add(time.Hour)}
	_, err := w.Change(t.Context(), p, "key_1")
	require.NoError(t, err)
	require.Contains(t, w.sent, "proration_behavior=none")
	require.NotContains(t, w.sent, "proration_date", "nothing is charged")
	require.Contains(t, w.read(t, "/v1/subscriptions/"+id), fmt.Sprintf(`"trial_end": %d`, end.Add(time.Hour).Unix()))
	require.Contains(t, w.read(t, "/v1/subscriptions/"+id), `"status": "trialing"`)
	p = checkout.Preview{Subscription: id, Item: item, FromPrice: other, Price: price, Quantity: 1, Date: time.Now(), EndTrial: true}
	amount, currency, err := w.PreviewChange(t.Context(), p)
	require.NoError(t, err)
	require.EqualValues(t, 2_000, amount)
	require.Equal(t, "usd", currency)
	done, err := w.Change(t.Context(), p, "key_2")
	require.NoError(t, err)
	require.Empty(t, done.PaymentURL)
	require.Contains(t, w.read(t, "/v1/subscriptions/"+id), `"status": "active"`)
	require.Contains(t, w.read(t, "/v1/invoices/"+done.Invoice), `"amount_paid": 2000`)
}

// itemOf is the id of a subscription's item.
func (w *fixture) itemOf(t *testing.T, id string) string {
	t.Helper()
	var sub struct {
		Items struct{ Data []struct{ ID string } }
	}
	require.NoError(t, json.Unmarshal([]byte(w.read(t, "/v1/subscriptions/"+id)), &sub))
	return sub.Items.Data[0].ID
}
