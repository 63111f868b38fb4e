package stripe_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	stripesdk "github.com/stripe/stripe-go/v76"

	"github.com/trivet-dev/trivet/sandbox/stripe"
)

func TestIdempotencyKeyRunsARequestOnce(t *testing.T) {
	now := newClock()
	s := serve(t, stripe.Config{Now: now.Now})
	post := func(body string) reply {
		return s.do(t, "POST", "/v1/customers", body, "Idempotency-Key", "key-1")
	}
	first := post("name=Ada")
	require.Equal(t, http.StatusOK, first.status)
	require.Empty(t, first.header.Get("Idempotent-Replayed"))
	require.Equal(t, "key-1", first.header.Get("Idempotency-Key"))
	again := post("name=Ada")
	require.Equal(t, first.body, again.body)
	require.Equal(t, "true", again.header.Get("Idempotent-Replayed"))
	require.Equal(t, first.header.Get("Request-Id"), again.header.Get("Original-Request"))

	other := post("name=Bob")
	require.Equal(t, http.StatusBadRequest, other.status)
	require.Equal(t, "idempotency_error", other.problem(t).Type)
	require.Equal(t, "idempotency_error", s.do(t, "POST", "/v1/products", "name=Ada", "Idempotency-Key", "key-1").problem(t).Type, "another path is another request")

	now.at = now.at.Add(25 * time.Hour)
	later := post("name=Ada")
	require.NotEqual(t, first.body, later.body, "a key is forgotten after a day")
}

func TestRejectedRequestMayBeCorrected(t *testing.T) {
	s := serve(t, stripe.Config{})
	require.Equal(t, http.StatusBadRequest, s.do(t, "POST", "/v1/customers", "emial=x", "Idempotency-Key", "k").status)
	require.Equal(t, http.StatusOK, s.do(t, "POST", "/v1/customers", "email=x%40y", "Idempotency-Key", "k").status)
	require.Equal(t, http.StatusBadRequest, s.do(t, "POST", "/v1/customers", "", "Idempotency-Key", strings.Repeat("k", 256)).status)
}

func TestConcurrentMintsCreateOneUser(t *testing.T) {
	s := serve(t, stripe.Config{})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			params := &stripesdk.CustomerParams{Name: stripesdk.String("Ada")}
			params.SetIdempotencyKey("one")
			_, err := s.client.Customers.New(params)
			if err != nil && sdkError(t, err).HTTPStatusCode != http.StatusConflict {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	n := 0
	for it := s.client.Customers.List(&stripesdk.CustomerListParams{}); it.Next(); {
		n++
	}
	require.Equal(t, 1, n)
}

// What the bank has declined is answered again for its key, also when the card is good by then.
func TestADeclineIsReplayed(t *testing.T) {
	s := openShop(t)
	sub := s.subscribe(t, s.params(s.basic))
	s.useCard(t, "pm_card_chargeCustomerFail")
	s.reach(t, time.Unix(sub.CurrentPeriodEnd, 0).Add(time.Hour))
	open := s.invoices(t, sub.ID)[0].ID
	pay := func(key string) error {
		p := &stripesdk.InvoicePayParams{}
		p.SetIdempotencyKey(key)
		_, err := s.client.Invoices.Pay(open, p)
		return err
	}
	require.Equal(t, http.StatusPaymentRequired, sdkError(t, pay("k")).HTTPStatusCode)
	s.useCard(t, "pm_card_visa")
	require.Equal(t, http.StatusPaymentRequired, sdkError(t, pay("k")).HTTPStatusCode)
	require.NoError(t, pay("l"))
}
