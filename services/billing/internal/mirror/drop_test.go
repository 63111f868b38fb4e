package mirror_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/sandbox/webhook"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/reconcile"
)

// TestLostWebhooks is the drill of the issue: of the webhooks of an account with about a thousand objects one in ten is lost,
// some come twice, and all out of order. One reconciliation leaves no difference. It logs what that costs.
func TestLostWebhooks(t *testing.T) {
	both(t, func(t *testing.T, db *database.DB) {
		c := newCopy(t, db)
		edge := httptest.NewServer(http.HandlerFunc(c.post))
		t.Cleanup(edge.Close)
		sender, err := webhook.New(webhook.Config{
			Name: "stripe", Sign: webhook.Stripe, Schedule: webhook.StripeSchedule(), Now: c.now,
			Settings: webhook.Settings{Seed: 7, LoseFraction: 0.1, DoubleFraction: 0.1, Shuffle: 50, RetryScale: 0.0001},
		})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, sender.Close(context.Background())) })
		_, err = sender.Add(webhook.Endpoint{URL: edge.URL, Secrets: []string{webhookSecret}})
		require.NoError(t, err)
		c.emit = sender.Send
		for _, does := range []func(*replica){business, later} {
			does(c)
			_, err = sender.Flush(t.Context())
			require.NoError(t, err)
			c.drain()
		}
		counts := sender.Counts()
		require.Positive(t, counts[webhook.Lost])
		require.Equal(t, counts[webhook.Lost]+counts[webhook.Delivered], sumOf(counts), "%v", counts)

		objects := 0
		for _, kind := range mirror.Kinds() {
			objects += len(c.living(kind))
		}
		t.Logf("%d objects, %d webhooks delivered, %d lost, applied with %d calls", objects, counts[webhook.Delivered], counts[webhook.Lost], sum(c.count()))
		require.NotEmpty(t, c.differences(true))
		c.count()
		for n := range 2 {
			found := c.reconcile(time.Time{})
			calls := c.count()
			t.Logf("reconciliation %d: %+v", n+1, total(found))
			report(t, calls, objects)
			if n == 0 {
				all := total(found)
				require.Positive(t, min(all.Same, all.Repaired, all.Created, all.Removed), "%+v", all)
				require.Empty(t, c.differences(true), "0 differences after one reconciliation")
				c.count()
				continue
			}
			c.same(found)
			require.Less(t, sum(calls), objects, "no call for each object")
		}

		// An outage that somebody knows the beginning of.
		c.pass(time.Hour)
		since := c.now()
		c.emit = func(webhook.Event) {}
		outage(c)
		require.NotEmpty(t, c.differences(true))
		c.count()
		found := c.reconcile(since)
		calls := c.count()
		t.Logf("since the outage: %+v", total(found))
		report(t, calls, objects)
		require.Empty(t, c.differences(true), "0 differences after the outage")
		c.same(c.reconcile(time.Time{}))
	})
}

// business makes about a thousand objects.
func business(c *replica) {
	price := c.must("POST", "/v1/prices", form("currency", "usd", "unit_amount", "2000", "recurring[interval]", "month", "product_data[name]", "Pro"))
	for n := range 290 {
		c.pass(time.Second)
		customer := c.must("POST", "/v1/customers", form("email", fmt.Sprintf("c%d@example.test", n)))
		if n%10 == 9 {
			c.must("DELETE", "/v1/customers/"+customer, "")
			continue
		}
		card := c.must("POST", "/v1/payment_methods/pm_card_visa/attach", form("customer", customer))
		c.must("POST", "/v1/customers/"+customer, form("invoice_settings[default_payment_method]", card))
		items := form("customer", customer, "items[0][price]", price)
		if n%50 == 1 {
			for i := range 12 {
				items += "&" + form(fmt.Sprintf("items[%d][price]", i), price)
			}
		}
		sub := c.must("POST", "/v1/subscriptions", items)
		switch n % 7 {
		case 0:
			c.must("POST", "/v1/subscriptions/"+sub, form("metadata[n]", fmt.Sprint(n)))
		case 1:
			c.must("POST", "/v1/customers/"+customer, form("metadata[n]", fmt.Sprint(n)))
		case 2:
			c.must("DELETE", "/v1/subscriptions/"+sub, "")
		case 3:
			_, err := c.Renew(sub)
			require.NoError(c.t, err)
		case 4:
			c.must("POST", "/v1/checkout/sessions", form("mode", "subscription", "success_url", "https://example.test/ok", "line_items[0][price]", price))
		case 5:
			c.must("POST", "/v1/payment_methods/"+card+"/detach", "")
		}
	}
}

// later changes what was made a while ago.
func later(c *replica) {
	for n, customer := range c.ids("/v1/customers?") {
		switch n % 4 {
		case 0:
			c.must("POST", "/v1/customers/"+customer, form("metadata[later]", "yes"))
		case 1:
			c.must("POST", "/v1/invoices/"+c.ids("/v1/invoices?customer=" + customer + "&")[0], form("metadata[later]", "yes"))
		case 2:
			c.must("DELETE", "/v1/customers/"+customer, "")
		}
	}
	for n, charge := range c.ids("/v1/charges?") {
		switch n % 9 {
		case 0, 1:
			c.must("POST", "/v1/refunds", form("charge", charge, "amount", "100"))
		case 2:
			_, err := c.OpenDispute(charge, "")
			require.NoError(c.t, err)
		}
	}
}

// outage changes old objects and makes new ones.
func outage(c *replica) {
	customers, subs := c.ids("/v1/customers?"), c.ids("/v1/subscriptions?")
	for n := range 10 {
		c.must("POST", "/v1/customers/"+customers[n], form("metadata[late]", "yes"))
		c.must("POST", "/v1/subscriptions/"+subs[n], form("metadata[late]", "yes"))
		c.must("DELETE", "/v1/customers/"+customers[50+n], "")
		c.must("POST", "/v1/payment_methods/pm_card_visa/attach", form("customer", customers[20+n]))
		c.must("POST", "/v1/customers", form("email", fmt.Sprintf("late%d@example.test", n)))
	}
}

func total(found map[mirror.Kind]reconcile.Counts) (all reconcile.Counts) {
	for _, c := range found {
		all.Same, all.Repaired, all.Created, all.Removed = all.Same+c.Same, all.Repaired+c.Repaired, all.Created+c.Created, all.Removed+c.Removed
	}
	return all
}

func report(t *testing.T, calls map[string]int, objects int) {
	t.Helper()
	t.Logf("  %d calls, %.0f per 1,000 objects", sum(calls), float64(sum(calls))*1000/float64(objects))
	for _, route := range slices.Sorted(maps.Keys(calls)) {
		t.Logf("  %4d %s", calls[route], route)
	}
}

func sumOf(counts map[webhook.State]int) (n int) {
	for _, one := range counts {
		n += one
	}
	return n
}
