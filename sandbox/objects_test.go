package sandbox_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	stripesdk "github.com/stripe/stripe-go/v76"

	"github.com/trivet-dev/trivet/sandbox"
	"github.com/trivet-dev/trivet/sandbox/fault"
)

func TestBulkCreation(t *testing.T) {
	e, url := newEdge(t)
	s, base := serve(t, sandbox.Config{EdgeURL: url})
	status, body := fetch(t, "POST", base+"/control/clerk/users", `{"count":1000,"org":"acme","quiet":true}`)
	require.Equal(t, http.StatusCreated, status, body)
	var made struct {
		Created int      `json:"created"`
		IDs     []string `json:"ids"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &made))
	require.Equal(t, 1000, made.Created)
	require.Equal(t, "user_bulk_000001", made.IDs[0])
	u, ok := s.Clerk().User("user_bulk_001000")
	require.True(t, ok)
	require.Equal(t, "user_bulk_001000@example.test", u.PrimaryEmail())
	_, body = fetch(t, "POST", base+"/control/clerk/users", `{"count":2,"prefix":"user_bulk_"}`)
	require.Contains(t, body, `["user_bulk_001001","user_bulk_001002"]`, "more of them")
	_, err := s.FlushWebhooks(t.Context())
	require.NoError(t, err)
	require.Len(t, e.take(), 2, "only of the two that were not quiet")

	client := stripeClient(base+"/stripe", 0)
	price, err := client.Prices.New(&stripesdk.PriceParams{
		Currency: stripesdk.String("usd"), UnitAmount: stripesdk.Int64(500), ProductData: &stripesdk.PriceProductDataParams{Name: stripesdk.String("Pro")},
		Recurring: &stripesdk.PriceRecurringParams{Interval: stripesdk.String("month")},
	})
	require.NoError(t, err)
	status, body = fetch(t, "POST", base+"/control/stripe/customers", `{"count":1000,"price":"`+price.ID+`","quiet":true}`)
	require.Equal(t, http.StatusCreated, status, body)
	subs := client.Subscriptions.List(&stripesdk.SubscriptionListParams{ListParams: stripesdk.ListParams{Limit: stripesdk.Int64(100)}})
	n := 0
	for ; subs.Next(); n++ {
		require.Equal(t, stripesdk.SubscriptionStatusActive, subs.Subscription().Status)
	}
	require.NoError(t, subs.Err())
	require.Equal(t, 1000, n)
	events := client.Events.List(nil)
	require.True(t, events.Next())
	require.Equal(t, stripesdk.EventTypePriceCreated, events.Event().Type, "the quiet ones left no event")

	for path, body := range map[string]string{
		"clerk/users": `{"count":0}`, "clerk/users ": `{"count":100001}`, "clerk/users  ": `{"count":1,"prefix":"a\u0000"}`,
		"stripe/customers": `{"count":0}`, "stripe/customers ": `{"count":1,"price":"price_x"}`,
	} {
		status, _ := fetch(t, "POST", base+"/control/"+strings.TrimSpace(path), body)
		require.Equal(t, http.StatusBadRequest, status, body)
	}
}

func TestApplyIgnoresFaultsAndMayBeQuiet(t *testing.T) {
	e, url := newEdge(t)
	s, base := serve(t, sandbox.Config{EdgeURL: url})
	for _, set := range []*fault.Set{s.Clerk().Faults(), s.Stripe().Faults()} {
		_, err := set.Add(fault.Fault{Kind: fault.Status, Status: 503})
		require.NoError(t, err)
	}
	apply := func(body string) (int, string) { return fetch(t, "POST", base+"/control/apply", body) }
	status, body := apply(`{"provider":"clerk","method":"POST","path":"/v1/users","body":{"email_address":["a@example.test"]}}`)
	require.Equal(t, http.StatusOK, status, body)
	var user struct {
		ID string `json:"id"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &user))
	status, body = apply(`{"provider":"clerk","method":"PATCH","path":"/v1/users/` + user.ID + `","body":{"first_name":"Quiet"},"quiet":true}`)
	require.Equal(t, http.StatusOK, status, body)
	status, body = apply(`{"provider":"stripe","method":"POST","path":"/v1/customers","quiet":true,"body":{"name":"Ada","balance":-500,"preferred_locales":["en"],"metadata":{"a":"b"},"phone":null}}`)
	require.Equal(t, http.StatusOK, status, body)
	require.Contains(t, body, `"balance": -500`)
	status, body = apply(`{"provider":"stripe","method":"POST","path":"/v1/customers","body":"name=Bob&metadata[x]=y"}`)
	require.Equal(t, http.StatusOK, status, body)
	status, body = apply(`{"provider":"stripe","method":"GET","path":"/v1/customers?limit=1"}`)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, `"has_more": true`)
	status, body = apply(`{"provider":"stripe","method":"POST","path":"/v1/customers","body":{"emial":"x"}}`)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, body, "parameter_unknown")
	_, err := s.FlushWebhooks(t.Context())
	require.NoError(t, err)
	var types []string
	for _, a := range e.take() {
		if strings.Contains(a.body, "user.created") {
			types = append(types, "user.created")
		}
		if strings.Contains(a.body, "customer.created") {
			types = append(types, "customer.created")
		}
	}
	require.ElementsMatch(t, []string{"user.created", "customer.created"}, types)
	for want, body := range map[string]string{
		"use clerk or stripe":          `{"provider":"openai","method":"GET","path":"/v1/models"}`,
		"method must be an HTTP":       `{"provider":"clerk","path":"/v1/users"}`,
		"path must start with /v1/":    `{"provider":"clerk","method":"GET","path":"http://elsewhere.test/v1/users"}`,
		"must be an object or a strin": `{"provider":"stripe","method":"POST","path":"/v1/customers","body":[1]}`,
	} {
		status, got := apply(body)
		require.Equal(t, http.StatusBadRequest, status)
		require.Contains(t, got, want)
	}
}

func TestCallsAreCounted(t *testing.T) {
	s, base := serve(t, sandbox.Config{})
	for _, g := range targets(s) {
		_, err := g.set.Add(fault.Fault{Kind: fault.Status, Status: 500, Count: 1})
		require.NoError(t, err)
		for range 2 {
			_, _, _, err := g.send(t.Context(), base)
			require.NoError(t, err)
		}
	}
	fetch(t, "GET", base+"/clerk/v1/users/alice", "")
	fetch(t, "GET", base+"/clerk/v1/users/bob", "")
	fetch(t, "GET", base+"/clerk/v1/nowhere", "")
	fetch(t, "GET", base+"/openai/v1/chat/completions", "")
	fetch(t, "GET", base+"/stripe/pay/cs_1", "")
	fetch(t, "GET", base+"/stripe/v1/subscriptions/sub_1", "")
	_, body := fetch(t, "GET", base+"/control/calls", "")
	require.JSONEq(t, `{"totals":{"clerk":5,"openai":3,"stripe":4,"email":0},"calls":[
		{"provider":"clerk","route":"GET /v1/jwks","count":2},
		{"provider":"clerk","route":"GET /v1/users/{user}","count":2},
		{"provider":"clerk","route":"unknown","count":1},
		{"provider":"openai","route":"GET /v1/chat/completions","count":1},
		{"provider":"openai","route":"POST /v1/chat/completions","count":2},
		{"provider":"stripe","route":"GET /pay/{id}","count":1},
		{"provider":"stripe","route":"GET /v1/subscriptions/{id}","count":1},
		{"provider":"stripe","route":"POST /v1/customers","count":2}]}`, body)
	require.EqualValues(t, 2, s.Calls()[0].Count)
	_, body = fetch(t, "DELETE", base+"/control/calls", "")
	require.JSONEq(t, `{"totals":{"clerk":0,"openai":0,"stripe":0,"email":0},"calls":[]}`, body)
}

func TestStripeByControl(t *testing.T) {
	_, base := serve(t, sandbox.Config{BaseURL: "http://sandbox.test:8090"})
	client := stripeClient(base+"/stripe", 0)
	session, err := client.CheckoutSessions.New(&stripesdk.CheckoutSessionParams{
		Mode: stripesdk.String("subscription"), SuccessURL: stripesdk.String("http://app.test/?s={CHECKOUT_SESSION_ID}"),
		LineItems: []*stripesdk.CheckoutSessionLineItemParams{{Quantity: stripesdk.Int64(1), PriceData: &stripesdk.CheckoutSessionLineItemPriceDataParams{
			Currency: stripesdk.String("usd"), UnitAmount: stripesdk.Int64(2500), ProductData: &stripesdk.CheckoutSessionLineItemPriceDataProductDataParams{Name: stripesdk.String("Pro")},
			Recurring: &stripesdk.CheckoutSessionLineItemPriceDataRecurringParams{Interval: stripesdk.String("month")},
		}}},
	})
	require.NoError(t, err)
	require.Equal(t, "http://sandbox.test:8090/stripe/pay/"+session.ID, session.URL)
	post := func(path, body string) (int, string) { return fetch(t, "POST", base+"/control/stripe/"+path, body) }
	status, body := post("checkout/"+session.ID+"/pay", `{"card":"chargeDeclined"}`)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, body, "declined")
	status, body = post("checkout/"+session.ID+"/pay", `{"email":"ada@example.test"}`)
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"url":"http://app.test/?s=`+session.ID+`"}`, body)
	get := &stripesdk.CheckoutSessionParams{}
	get.AddExpand("subscription.latest_invoice")
	done, err := client.CheckoutSessions.Get(session.ID, get)
	require.NoError(t, err)
	status, body = post("subscriptions/"+done.Subscription.ID+"/renew", "")
	require.Equal(t, http.StatusOK, status, body)
	require.Contains(t, body, `"status":"active"`)
	status, body = post("disputes", `{"charge":"`+done.Subscription.LatestInvoice.Charge.ID+`"}`)
	require.Equal(t, http.StatusOK, status, body)
	var d struct {
		ID string `json:"id"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &d))
	_, body = post("disputes/"+d.ID+"/close", `{"won":true}`)
	require.Contains(t, body, `"status":"won"`)
	_, body = post("advance", "")
	require.JSONEq(t, `{"changed":0}`, body)
	for _, path := range []string{"subscriptions/x/renew", "checkout/x/pay", "payment_intents/x/authenticate", "disputes/x/close"} {
		status, body := post(path, `{}`)
		require.Equal(t, http.StatusBadRequest, status)
		require.Contains(t, body, "No such")
	}
}

// TestUserStatesByControl: what a directory sync and a lockout do, which no call to Clerk's API does.
func TestUserStatesByControl(t *testing.T) {
	s, base := serve(t, sandbox.Config{})
	fetch(t, "POST", base+"/control/clerk/tokens", `{"user":"alice"}`)
	status, body := fetch(t, "PATCH", base+"/control/clerk/users/alice", `{"deprovisioned":true,"locked":true}`)
	require.Equal(t, http.StatusOK, status, body)
	require.Contains(t, body, `"deprovisioned":true`)
	u, _ := s.Clerk().User("alice")
	require.True(t, u.Deprovisioned)
	require.True(t, u.Locked)
	require.False(t, u.Banned)
	status, body = fetch(t, "PATCH", base+"/control/clerk/users/alice", `{"banned":true,"deprovisioned":false}`)
	require.Equal(t, http.StatusOK, status, body)
	u, _ = s.Clerk().User("alice")
	require.True(t, u.Banned)
	require.False(t, u.Deprovisioned)
	for path, test := range map[string]struct {
		body   string
		status int
		want   string
	}{
		"alice":  {`{"quiet":true}`, http.StatusBadRequest, "set at least one"},
		"nobody": {`{"banned":true}`, http.StatusNotFound, "user nobody not found"},
		"bob":    {`{"admin":true}`, http.StatusBadRequest, "unknown field"},
	} {
		status, body := fetch(t, "PATCH", base+"/control/clerk/users/"+path, test.body)
		require.Equal(t, test.status, status)
		require.Contains(t, body, test.want)
	}
}
