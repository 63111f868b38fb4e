package stripe_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	stripesdk "github.com/stripe/stripe-go/v76"
)

// TestEmbeddedListsAreTruncated: an object shows ten rows of a list that is part of it, wherever it is shown, and the list's
// own endpoint shows all.
func TestEmbeddedListsAreTruncated(t *testing.T) {
	s := openShop(t)
	params := s.params(s.basic)
	for n := range 11 {
		price, err := s.client.Prices.New(&stripesdk.PriceParams{
			Currency: stripesdk.String("usd"), UnitAmount: stripesdk.Int64(int64(n + 1)), Product: &s.basic.Product.ID,
			Recurring: &stripesdk.PriceRecurringParams{Interval: stripesdk.String("month")},
		})
		require.NoError(t, err)
		params.Items = append(params.Items, &stripesdk.SubscriptionItemsParams{Price: &price.ID})
	}
	sub := s.subscribe(t, params)
	require.Len(t, sub.Items.Data, 10)
	require.True(t, sub.Items.HasMore)
	for _, e := range s.recorded.take(t) {
		switch object := e.Data.Object; object["object"] {
		case "subscription":
			require.Len(t, object["items"].(map[string]any)["data"], 10, e.Type)
		case "invoice":
			require.Len(t, object["lines"].(map[string]any)["data"], 10, e.Type)
		}
	}
	for _, path := range []string{
		"/v1/subscriptions/" + sub.ID, "/v1/subscriptions?customer=" + s.customer, "/v1/customers/" + s.customer + "?expand[]=subscriptions",
	} {
		body := s.do(t, "GET", path, "").body
		require.Equal(t, 10, strings.Count(body, `"object": "subscription_item"`), path)
		require.Contains(t, body, `"has_more": true`, path)
	}
	for _, path := range []string{"/v1/invoices/" + sub.LatestInvoice.ID, "/v1/invoices?subscription=" + sub.ID} {
		require.Equal(t, 10, strings.Count(s.do(t, "GET", path, "").body, `"object": "line_item"`), path)
	}
	require.Equal(t, 12, strings.Count(s.do(t, "GET", "/v1/subscription_items?limit=100&subscription="+sub.ID, "").body, `"object": "subscription_item"`))
	require.Equal(t, 12, strings.Count(s.do(t, "GET", "/v1/invoices/"+sub.LatestInvoice.ID+"/lines?limit=100", "").body, `"object": "line_item"`))

	// A change that the API does not show emits an event anyway.
	last := s.do(t, "GET", "/v1/subscription_items?limit=100&subscription="+sub.ID, "").body
	id := last[strings.LastIndex(last, `"id": "si_`)+len(`"id": "`):]
	id, _, _ = strings.Cut(id, `"`)
	changed := s.do(t, "POST", "/v1/subscriptions/"+sub.ID, fmt.Sprintf("proration_behavior=none&items[0][id]=%s&items[0][quantity]=3", id))
	require.Equal(t, 200, changed.status, changed.body)
	require.Contains(t, s.recorded.types(t), "customer.subscription.updated")
}
