package stripe_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox/stripe"
)

// TestAPIVersions: current SDKs send the version they were made for; all get the answers of the sandbox's version.
func TestAPIVersions(t *testing.T) {
	s := serve(t, stripe.Config{})
	for _, version := range []string{"", "2023-10-16", "2026-10-28.endive", "2020-08-27", "2026-08-26.preview", "2023-10-16; orders_beta=v4"} {
		r := s.do(t, "GET", "/v1/customers", "", "Stripe-Version", version)
		require.Equal(t, http.StatusOK, r.status, version)
		require.Equal(t, stripe.APIVersion, r.header.Get("Stripe-Version"), version)
	}
	for _, version := range []string{"latest", "2023", "2023-10-16.", "2023-10-16x", "v1", "2023-10-16 "} {
		r := s.do(t, "GET", "/v1/customers", "", "Stripe-Version", version+"!")
		require.Equal(t, http.StatusBadRequest, r.status, version)
		require.Equal(t, "Invalid Stripe API version: "+version+"!", r.problem(t).Message)
	}
}

// TestSubResourcesAreNotObjects: a part of the API that the sandbox does not have is not taken for an object.
func TestSubResourcesAreNotObjects(t *testing.T) {
	s := serve(t, stripe.Config{})
	for _, call := range [][2]string{
		{"POST", "/v1/invoices/create_preview"},
		{"GET", "/v1/invoices/upcoming/lines"},
		{"GET", "/v1/invoices/search"},
		{"GET", "/v1/customers/search"},
		{"GET", "/v1/products/search"},
		{"GET", "/v1/prices/search"},
		{"GET", "/v1/subscriptions/search"},
		{"GET", "/v1/charges/search"},
		{"GET", "/v1/payment_intents/search"},
		{"POST", "/v1/subscriptions/some_new_verb"},
		{"DELETE", "/v1/customers/search"},
		{"POST", "/v1/subscriptions/sub_1/pause"},
		{"POST", "/v1/payment_intents/pi_1/capture"},
		{"PUT", "/v1/customers/cus_1"},
		{"GET", "/v1/quotes"},
		{"GET", "/v1/customers/cus_1/balance_transactions"},
		{"GET", "/v1/balance_transactions"},
		{"POST", "/v1/subscription_items"},
		{"POST", "/v1/setup_intents"},
		{"POST", "/v1/webhook_endpoints"},
		{"GET", "/v1/webhook_endpoints"},
		{"POST", "/v1/entitlements/features"},
		{"GET", "/v1/entitlements/active_entitlements"},
		{"GET", "/v1/tax/settings"},
		{"POST", "/v1/tax_rates"},
		{"POST", "/v1/subscription_schedules/sub_sched_1/cancel"},
		{"GET", "/v1/credit_notes/preview"},
		{"POST", "/v2/billing/meter_events"},
		{"GET", "/v1"},
		{"GET", "/v1/"},
	} {
		r := s.do(t, call[0], call[1], "")
		require.Equal(t, http.StatusNotFound, r.status, call)
		require.Contains(t, r.problem(t).Message, "Unrecognized request URL ("+call[0]+": "+call[1]+")", call)
		require.Empty(t, r.problem(t).Code, call)
	}
	for path, message := range map[string]string{
		"/v1/invoices/in_missing": "No such invoice: 'in_missing'", "/v1/invoices/nothing": "No such invoice: 'nothing'",
		"/v1/subscriptions/sub_not_there": "No such subscription: 'sub_not_there'", "/v1/products/my_own_id": "No such product: 'my_own_id'",
		"/v1/customers/cus_x": "No such customer: 'cus_x'",
	} {
		r := s.do(t, "GET", path, "")
		require.Equal(t, http.StatusNotFound, r.status, path)
		require.Equal(t, message, r.problem(t).Message)
		require.Equal(t, "resource_missing", r.problem(t).Code, path)
	}
}

// TestChosenIDs: a product's identifier may have any character; a path has it percent-encoded.
func TestChosenIDs(t *testing.T) {
	s := serve(t, stripe.Config{})
	for _, id := range []string{
		"gold/monthly", "50%off", "x#y", "x?y", `a\b`, "a b", "a&b", "a+b", "a;b", "ë", "🙂", "a//b", "a/../b", "%2F", "a/", "/a", ".a", "a.", "...", "search!", "a%00b", "a:b", "a=b", "@",
	} {
		t.Run(id, func(t *testing.T) {
			path := "/v1/products/" + url.PathEscape(id)
			r := s.do(t, "POST", "/v1/products", url.Values{"id": {id}, "name": {"Gold"}}.Encode())
			require.Equal(t, http.StatusOK, r.status, r.body)
			require.Equal(t, id, productID(t, s.do(t, "GET", path, "")))
			require.Equal(t, id, productID(t, s.do(t, "POST", path, "name=Silver")))
			price := s.do(t, "POST", "/v1/prices", url.Values{"product": {id}, "currency": {"usd"}, "unit_amount": {"100"}}.Encode())
			require.Equal(t, http.StatusOK, price.status, price.body)
			list := s.do(t, "GET", "/v1/prices?"+url.Values{"product": {id}}.Encode(), "")
			require.Contains(t, list.body, `"unit_amount": 100`)
			list = s.do(t, "GET", "/v1/products?"+url.Values{"ending_before": {id}, "limit": {"100"}}.Encode(), "")
			require.Equal(t, http.StatusOK, list.status, "as a cursor")
		})
	}
	for _, id := range []string{".", "..", "search"} {
		r := s.do(t, "POST", "/v1/products", url.Values{"id": {id}, "name": {"x"}}.Encode())
		require.Equal(t, http.StatusBadRequest, r.status, "%q cannot stand in a path", id)
		require.Equal(t, "id", r.problem(t).Param)
	}
}

func productID(t *testing.T, r reply) string {
	t.Helper()
	require.Equal(t, http.StatusOK, r.status, r.body)
	var p struct{ ID string }
	require.NoError(t, json.Unmarshal([]byte(r.body), &p))
	return p.ID
}
