package stripe_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/health"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/stripe"
)

// answering is a client of a server that answers as a test says.
func answering(t *testing.T, answer http.HandlerFunc) (*stripe.Client, *[]string) {
	t.Helper()
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.RequestURI)
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	return stripe.New(stripe.Config{
		Key: settings.NewSecret(secret), URL: server.URL, HTTP: server.Client(), Logger: slog.New(slog.DiscardHandler), ReadsPerSecond: 10_000,
	}), &asked
}

func (w *fixture) call(t *testing.T, path, form string) string {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form))
	r.Header.Set("Authorization", "Bearer "+secret)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rec := httptest.NewRecorder()
	w.fake.ServeHTTP(rec, r)
	require.Equal(t, http.StatusOK, rec.Code, rec.Body)
	var made struct {
		ID string `json:"id"`
	}
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &made))
	return made.ID
}

// TestObjectsAreWhole: Stripe shows ten rows of a list that is part of an object.
func TestObjectsAreWhole(t *testing.T) {
	w := newFixture(t, secret)
	price := w.call(t, "/v1/prices", "currency=usd&unit_amount=9007199254&recurring[interval]=month&product_data[name]=Pro")
	customer := w.call(t, "/v1/customers", "")
	for _, rows := range []int{1, 10, 11, 100, 101, 230} {
		var items strings.Builder
		for i := range rows {
			fmt.Fprintf(&items, "&items[%d][price]=%s", i, price)
		}
		id := w.call(t, "/v1/subscriptions", "payment_behavior=default_incomplete&customer="+customer+items.String())
		var sub struct {
			Latest string                    `json:"latest_invoice"`
			Items  struct{ Data []struct{} } `json:"items"`
		}
		require.NoError(t, json.Unmarshal(whole(t, w, mirror.Subscription, id, 1+pages(rows)), &sub))
		require.Len(t, sub.Items.Data, rows)
		var invoice struct {
			Lines struct{ Data []struct{} } `json:"lines"`
		}
		require.NoError(t, json.Unmarshal(whole(t, w, mirror.Invoice, sub.Latest, 1+pages(rows)), &invoice))
		require.Len(t, invoice.Lines.Data, rows)
	}
	once := w.call(t, "/v1/prices", "currency=usd&unit_amount=9007199254&product_data[name]=Credits")
	for _, rows := range []int{1, 11} { // Stripe sells no more than 20 things at once
		form := "mode=payment&success_url=https://x.test"
		for i := range rows {
			form += fmt.Sprintf("&line_items[%d][price]=%s&line_items[%d][quantity]=2", i, once, i)
		}
		id := w.call(t, "/v1/checkout/sessions", form)
		var session struct {
			Lines struct {
				Data []struct {
					Price    struct{ ID string }
					Quantity int
				}
			} `json:"line_items"`
		}
		require.NoError(t, json.Unmarshal(whole(t, w, mirror.CheckoutSession, id, 1+pages(rows)), &session))
		require.Len(t, session.Lines.Data, rows)
		require.Equal(t, once, session.Lines.Data[0].Price.ID, "what was bought")
		require.Equal(t, 2, session.Lines.Data[0].Quantity)
		page, err := w.List(t.Context(), mirror.Query{Kind: mirror.CheckoutSession})
		require.NoError(t, err)
		listed, err := mirror.Parse(mirror.CheckoutSession, page.Bodies[0])
		require.NoError(t, err)
		require.Equal(t, rows > 10, listed.Partial)
		require.Contains(t, string(listed.Body), once)
	}
}

// pages are the calls for a list that is longer than what its object shows.
func pages(rows int) int {
	if rows <= 10 {
		return 0
	}
	return (rows + 99) / 100
}

func whole(t *testing.T, w *fixture, kind mirror.Kind, id string, calls int) []byte {
	t.Helper()
	before := len(w.requests)
	body, err := w.Get(t.Context(), kind, id)
	require.NoError(t, err)
	require.Len(t, w.requests[before:], calls)
	o, err := mirror.Parse(kind, body)
	require.NoError(t, err)
	require.False(t, o.Partial)
	require.Contains(t, string(body), "9007199254", "amounts are exact")
	return body
}

func TestTruncatedList(t *testing.T) {
	for name, status := range map[string]int{"gone meanwhile": http.StatusBadRequest, "not found": http.StatusNotFound, "down": http.StatusInternalServerError} {
		c, _ := answering(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/subscriptions/sub_1" {
				_, _ = io.WriteString(w, `{"id":"sub_1","object":"subscription","items":{"object":"list","data":[],"has_more":true}}`)
				return
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"error":{"type":"invalid_request_error","code":"resource_missing","param":"subscription"}}`)
		})
		_, err := c.Get(t.Context(), mirror.Subscription, "sub_1")
		require.Error(t, err, name)
		require.NotErrorIs(t, err, mirror.ErrGone, "%s: the object itself was there", name)
	}
}

func TestReadErrors(t *testing.T) {
	const missing = `{"error":{"type":"invalid_request_error","code":"resource_missing","message":"No such customer: ada@example.test","param":"id"}}`
	for name, c := range map[string]struct {
		status        int
		header, body  string
		gone, goneOff bool // of a fetch, of a list
		after         time.Duration
		says          string
	}{
		"gone":                        {status: 404, body: missing, gone: true, goneOff: true, says: "404"},
		"a parameter names it":        {status: 400, body: missing, goneOff: true, says: "400"},
		"an unknown address":          {status: 404, body: `{"error":{"type":"invalid_request_error","message":"Unrecognized request URL ada@example.test"}}`, says: "404"},
		"not found, without a reason": {status: 404, body: `<html>ada@example.test`, says: "404"},
		"too many":                    {status: 429, header: "7", body: `{"error":{"type":"invalid_request_error","code":"rate_limit"}}`, after: 7 * time.Second, says: "429"},
		"too many, says a proxy":      {status: 429, header: "7", body: `<html>ada@example.test`, after: 7 * time.Second, says: "429"},
		"too many for now":            {status: 429, body: `{"error":{"type":"invalid_request_error"}}`, says: "429"},
		"too many, for nobody knows":  {status: 429, header: "soon", body: `{"error":{"type":"invalid_request_error"}}`, says: "429"},
		"down":                        {status: 503, header: "3600", body: ``, after: time.Hour, says: "503"},
		"down until a date":           {status: 503, header: "Fri, 31 Dec 2100 23:59:59 GMT", body: `{"error":{"type":"api_error"}}`, after: 24 * time.Hour, says: "503"},
		"a date that has been":        {status: 503, header: "Fri, 31 Dec 1999 23:59:59 GMT", body: `{"error":{"type":"api_error"}}`, says: "503"},
		"broken, with a header":       {status: 500, header: "7", body: `{"error":{"type":"api_error"}}`, says: "500"},
		"broken, without a message":   {status: 500, body: `{}`, says: "500"},
		"broken, with other words":    {status: 502, body: `{"message":"ada@example.test"}`, says: "502"},
		"garbage":                     {status: 200, body: `<html>ada@example.test`, says: "200"},
		"elsewhere":                   {status: 302, header: "", body: `ada@example.test`, says: "302"},
		"a wrong key":                 {status: 401, body: `{"error":{"type":"invalid_request_error","message":"ada@example.test"}}`, says: "rejected STRIPE_SECRET_KEY"},
		"a key that may not":          {status: 403, body: `{"error":{"type":"invalid_request_error","message":"ada@example.test"}}`, says: "rejected STRIPE_SECRET_KEY"},
	} {
		client, asked := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			if c.header != "" {
				w.Header().Set("Retry-After", c.header)
			}
			w.Header().Set("Location", "/v1/elsewhere")
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		})
		_, fetch := client.Get(t.Context(), mirror.Customer, "cus_1")
		_, list := client.List(t.Context(), mirror.Query{Kind: mirror.PaymentMethod, Customer: "cus_1"})
		_, events := client.Events(t.Context(), time.Time{}, "evt_1")
		require.Len(t, *asked, 3, "%s: nobody is followed elsewhere", name)
		for i, err := range []error{fetch, list, events} {
			require.ErrorContains(t, err, c.says, name)
			require.NotContains(t, err.Error(), "ada@", name)
			require.Equal(t, i == 0 && c.gone || i > 0 && c.goneOff, isGone(err), "%s: %v", name, err)
			later := &mirror.LaterError{}
			require.Equal(t, c.after > 0, asLater(err, &later), name)
			require.GreaterOrEqual(t, later.After, c.after, name)
		}
	}
}

func isGone(err error) bool { return errors.Is(err, mirror.ErrGone) }

func asLater(err error, later **mirror.LaterError) bool { return errors.As(err, later) }

func TestIDsLeadNowhereElse(t *testing.T) {
	c, asked := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"id":"x","object":"product"}`)
	})
	for _, id := range []string{"", ".", "..", "../x", "a/../b", "a/.", `..\x`, `a\..`, "a\x00", "a\nb", "a\u009bb", "a\u202eb", strings.Repeat("x", 256)} {
		_, err := c.Get(t.Context(), mirror.Product, id)
		require.Error(t, err, id)
	}
	require.Empty(t, *asked)
	for id, path := range map[string]string{
		"prod_1": "prod_1", "Gold plan": "Gold%20plan", "a.b": "a.b", "é": "%C3%A9", "a+b&c": "a+b&c",
		"gold/monthly": "gold%2Fmonthly", "/x": "%2Fx", `a\b`: "a%5Cb", "50%off": "50%25off", "x#y": "x%23y", "x?y=z": "x%3Fy=z", "%2e%2e": "%252e%252e",
		"a..b": "a..b", "...": "...",
	} {
		*asked = nil
		_, err := c.Get(t.Context(), mirror.Product, id)
		require.NoError(t, err)
		require.Equal(t, []string{"/v1/products/" + path}, *asked)
	}
	_, err := c.Get(t.Context(), "charge", "ch_1")
	require.ErrorContains(t, err, "not read")
}

func TestSilenceIsBounded(t *testing.T) {
	w := newFixture(t, secret)
	w.Client = stripe.New(stripe.Config{
		Key: settings.NewSecret(secret), URL: w.url, HTTP: http.DefaultClient, Logger: slog.New(slog.DiscardHandler), ReadTimeout: 50 * time.Millisecond,
	})
	w.fail(t, fault.Fault{Kind: fault.Hang})
	_, err := w.Get(t.Context(), mirror.Customer, "cus_1")
	require.ErrorContains(t, err, "did not answer")
	require.Equal(t, health.Degraded, w.state())
}

func TestReadsByMode(t *testing.T) {
	for key, want := range map[string]int{"sk_live_x": 80, "rk_live_x": 80, "sk_test_x": 20, "rk_test_x": 20, "x": 20} {
		require.Equal(t, want, stripe.ReadsOf(key), key)
	}
}
