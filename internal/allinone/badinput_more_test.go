package allinone

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// badRequest is a request that must change nothing.
type badRequest struct {
	user, method, path string
	body               any
	status             int
	// says are texts of the answer: the code, and the field or what to do.
	says []string
}

// Input of every kind that people and attackers send. Each gets an error that names the field; nothing changes at Stripe or in the ledger.
func TestMoreBadInputThroughTheEdge(t *testing.T) {
	s, _ := newSeller(t)
	var applied struct{}
	s.must("user_operator", http.MethodPost, "/plans:apply", planFileBody("", ""), &applied)
	s.subscribe("user_ann", "pro")
	var preview struct{ SubscriptionPreview struct{ ID string } }
	s.must("user_ann", http.MethodPost, "/subscription:preview", map[string]any{"planId": "team", "seats": 2}, &preview)
	var limit struct{ SpendLimit struct{ ID string } }
	s.must("user_ann", http.MethodPost, "/spendLimits", map[string]any{"everyMember": true, "window": "SPEND_WINDOW_DAY", "limitNanoUsd": "1"}, &limit)
	s.must("user_ann", http.MethodPost, "/spendLimits", map[string]any{"everyMember": true, "window": "SPEND_WINDOW_HOUR", "limitNanoUsd": "1"}, &limit)
	var limits struct{ NextPageToken string }
	s.must("user_ann", http.MethodGet, "/spendLimits?pageSize=1", nil, &limits)
	require.NotEmpty(t, limits.NextPageToken)
	var entries struct{ NextPageToken string }
	s.must("user_ann", http.MethodGet, "/entries?pageSize=1", nil, &entries)
	require.NotEmpty(t, entries.NextPageToken)
	_, _ = s.send("user_bob", http.MethodGet, "/account", nil) // opens it
	cases := badCheckouts()
	for name, c := range map[string]badRequest{
		"a preview of another account":     {"user_bob", "POST", "/subscription:change", map[string]any{"previewId": preview.SubscriptionPreview.ID}, 409, []string{"CONFLICT", "previewId"}},
		"a preview nobody has":             {"user_ann", "POST", "/subscription:change", map[string]any{"previewId": "preview_" + strings.Repeat("A", 40)}, 409, []string{"CONFLICT", "previewId"}},
		"a change without a preview":       {"user_ann", "POST", "/subscription:change", map[string]any{}, 400, []string{"INVALID_ARGUMENT", "previewId"}},
		"a change with a preview's object": {"user_ann", "POST", "/subscription:change", map[string]any{"previewId": map[string]any{}}, 400, []string{"INVALID_ARGUMENT"}},
		"a preview of the present plan":    {"user_ann", "POST", "/subscription:preview", map[string]any{"planId": "pro"}, 409, []string{"CONFLICT", "already"}},
		"a preview of a free plan":         {"user_ann", "POST", "/subscription:preview", map[string]any{"planId": "free"}, 400, []string{"INVALID_ARGUMENT", "planId"}},
		"a preview of a pack":              {"user_ann", "POST", "/subscription:preview", map[string]any{"planId": "credit_20"}, 404, []string{"NOT_FOUND", "planId"}},
		"a preview by the year of a plan that has none": {
			"user_ann", "POST", "/subscription:preview", map[string]any{"planId": "team", "interval": "BILLING_INTERVAL_YEAR"}, 400, []string{"INVALID_ARGUMENT", "interval"},
		},
		"a preview without a subscription":      {"user_bob", "POST", "/subscription:preview", map[string]any{"planId": "pro"}, 404, []string{"NOT_FOUND", "checkout"}},
		"an unknown interval":                   {"user_ann", "POST", "/subscription:preview", map[string]any{"planId": "team", "interval": "BILLING_INTERVAL_DECADE"}, 400, []string{"INVALID_ARGUMENT", "interval"}},
		"an interval as an unknown number":      {"user_ann", "POST", "/subscription:preview", map[string]any{"planId": "team", "interval": 9}, 400, []string{"INVALID_ARGUMENT", "interval"}},
		"negative seats of a preview":           {"user_ann", "POST", "/subscription:preview", map[string]any{"planId": "team", "seats": -1}, 400, []string{"INVALID_ARGUMENT", "seats"}},
		"resuming what is not canceled":         {"user_bob", "POST", "/subscription:resume", map[string]any{}, 404, []string{"NOT_FOUND"}},
		"canceling what was never bought":       {"user_bob", "POST", "/subscription:cancel", map[string]any{"now": true}, 404, []string{"NOT_FOUND"}},
		"canceling maybe":                       {"user_ann", "POST", "/subscription:cancel", map[string]any{"now": "maybe"}, 400, []string{"INVALID_ARGUMENT", "now"}},
		"a session of another account":          {"user_bob", "GET", "/checkoutSessions/cs_test_unknown", nil, 404, []string{"NOT_FOUND", "checkoutSessionId"}},
		"a session that is not one":             {"user_bob", "GET", "/checkoutSessions/sub_1", nil, 400, []string{"INVALID_ARGUMENT", "checkoutSessionId"}},
		"a session with a path in it":           {"user_bob", "GET", "/checkoutSessions/cs_1%2F..%2Fexpire", nil, 400, []string{"INVALID_ARGUMENT", "checkoutSessionId"}},
		"a page token of another account":       {"user_bob", "GET", "/spendLimits?pageToken=" + limits.NextPageToken, nil, 400, []string{"INVALID_ARGUMENT", "pageToken"}},
		"a page token of another list":          {"user_ann", "GET", "/entries?pageToken=" + limits.NextPageToken, nil, 400, []string{"INVALID_ARGUMENT", "pageToken"}},
		"a page token with other filters":       {"user_ann", "GET", "/usage?pageToken=" + entries.NextPageToken, nil, 400, []string{"INVALID_ARGUMENT", "pageToken"}},
		"a page token of garbage":               {"user_ann", "GET", "/notices?pageToken=%00%ff", nil, 400, []string{"INVALID_ARGUMENT", "pageToken"}},
		"a negative page size":                  {"user_ann", "GET", "/invoices?pageSize=-1", nil, 400, []string{"INVALID_ARGUMENT", "pageSize"}},
		"a page size beyond 32 bits":            {"user_ann", "GET", "/entries?pageSize=2147483648", nil, 400, []string{"INVALID_ARGUMENT", "pageSize"}},
		"a filter twice":                        {"user_ann", "GET", "/usage?model=a&model=b", nil, 400, []string{"INVALID_ARGUMENT", "model"}},
		"an unknown filter":                     {"user_ann", "GET", "/usage?modell=a", nil, 400, []string{"INVALID_ARGUMENT", "modell"}},
		"a day that does not exist":             {"user_ann", "GET", "/usage?startDay=2026-02-30", nil, 400, []string{"INVALID_ARGUMENT", "startDay"}},
		"days in the wrong order":               {"user_ann", "GET", "/usage?startDay=2026-12-31&endDay=2026-12-01", nil, 400, []string{"INVALID_ARGUMENT", "Day"}},
		"more than a year":                      {"user_ann", "GET", "/usage?startDay=2020-01-01&endDay=2026-12-01", nil, 400, []string{"INVALID_ARGUMENT", "366"}},
		"groups twice":                          {"user_ann", "GET", "/usage?groupBy=USAGE_GROUPING_USER&groupBy=USAGE_GROUPING_USER", nil, 400, []string{"INVALID_ARGUMENT", "groupBy"}},
		"an export of days in the wrong order":  {"user_ann", "GET", "/usage:export?startDay=2026-12-31&endDay=2026-12-01", nil, 400, []string{"INVALID_ARGUMENT", "Day"}},
		"an export of ten years":                {"user_ann", "GET", "/usage:export?startDay=2016-01-01&endDay=2026-12-01", nil, 400, []string{"INVALID_ARGUMENT", "366"}},
		"an export with a time":                 {"user_ann", "GET", "/usage:export?startDay=2026-12-01T00:00:00Z", nil, 400, []string{"INVALID_ARGUMENT", "startDay"}},
		"a limit of a member and a key":         {"user_ann", "GET", "/spendLimits?userId=user_ann&apiKeyId=key_1", nil, 400, []string{"INVALID_ARGUMENT", "apiKeyId"}},
		"a limit of nobody":                     {"user_ann", "POST", "/spendLimits", map[string]any{"window": "SPEND_WINDOW_DAY", "limitNanoUsd": "1"}, 400, []string{"INVALID_ARGUMENT", "userId"}},
		"a limit of everybody and one":          {"user_ann", "POST", "/spendLimits", map[string]any{"userId": "user_x", "everyMember": true, "window": "SPEND_WINDOW_DAY", "limitNanoUsd": "1"}, 400, []string{"INVALID_ARGUMENT", "everyMember"}},
		"a limit without a window":              {"user_ann", "POST", "/spendLimits", map[string]any{"everyMember": true, "limitNanoUsd": "1"}, 400, []string{"INVALID_ARGUMENT", "window"}},
		"a limit below nothing":                 {"user_ann", "POST", "/spendLimits", map[string]any{"everyMember": true, "window": "SPEND_WINDOW_DAY", "limitNanoUsd": "-1"}, 400, []string{"INVALID_ARGUMENT", "limitNanoUsd"}},
		"a limit near the end of 64 bits":       {"user_ann", "POST", "/spendLimits", map[string]any{"everyMember": true, "window": "SPEND_WINDOW_DAY", "limitNanoUsd": "9223372036854775807"}, 400, []string{"INVALID_ARGUMENT", "limitNanoUsd"}},
		"a limit beyond 64 bits":                {"user_ann", "POST", "/spendLimits", map[string]any{"everyMember": true, "window": "SPEND_WINDOW_DAY", "limitNanoUsd": "9223372036854775808"}, 400, []string{"INVALID_ARGUMENT", "limitNanoUsd"}},
		"a limit with a fraction":               {"user_ann", "POST", "/spendLimits", map[string]any{"everyMember": true, "window": "SPEND_WINDOW_DAY", "limitNanoUsd": 1.5}, 400, []string{"INVALID_ARGUMENT", "limitNanoUsd"}},
		"a limit of another account":            {"user_ann", "POST", "/spendLimits", map[string]any{"accountId": "user_bob", "everyMember": true, "window": "SPEND_WINDOW_DAY", "limitNanoUsd": "1"}, 403, []string{"PERMISSION_DENIED", "accountId"}},
		"the removal of another account's":      {"user_bob", "DELETE", "/spendLimits/" + limit.SpendLimit.ID, nil, 404, []string{"NOT_FOUND"}},
		"a top-up of a plan without":            {"user_ann", "POST", "/topUp:set", map[string]any{"enabled": true, "packId": "credit_20", "thresholdNanoUsd": "1", "monthlyCapNanoUsd": "20000000000"}, 409, []string{"CONFLICT", "automatic top-up"}},
		"a grant by a person":                   {"user_ann", "POST", "/grants", grantTo("user_ann", nil), 403, []string{"PERMISSION_DENIED"}},
		"a grant to nobody":                     {"user_operator", "POST", "/grants", grantTo("nobody_such", nil), 404, []string{"NOT_FOUND", "accountId"}},
		"a grant of nothing":                    {"user_operator", "POST", "/grants", grantTo("user_ann", map[string]any{"amountNanoUsd": "0"}), 400, []string{"INVALID_ARGUMENT", "amountNanoUsd"}},
		"a grant below nothing":                 {"user_operator", "POST", "/grants", grantTo("user_ann", map[string]any{"amountNanoUsd": "-5"}), 400, []string{"INVALID_ARGUMENT", "amountNanoUsd"}},
		"a grant above a million":               {"user_operator", "POST", "/grants", grantTo("user_ann", map[string]any{"amountNanoUsd": "1000000000000001"}), 400, []string{"INVALID_ARGUMENT", "amountNanoUsd"}},
		"a grant that has expired":              {"user_operator", "POST", "/grants", grantTo("user_ann", map[string]any{"expireTime": "2020-01-01T00:00:00Z"}), 400, []string{"INVALID_ARGUMENT", "expireTime"}},
		"a grant until no time":                 {"user_operator", "POST", "/grants", grantTo("user_ann", map[string]any{"expireTime": "tomorrow"}), 400, []string{"INVALID_ARGUMENT", "expireTime"}},
		"a grant for blanks":                    {"user_operator", "POST", "/grants", grantTo("user_ann", map[string]any{"source": " x "}), 400, []string{"INVALID_ARGUMENT", "source"}},
		"a grant in the name of a subscription": {"user_operator", "POST", "/grants", grantTo("user_ann", map[string]any{"source": "sub:sub_1:1"}), 400, []string{"INVALID_ARGUMENT", "source"}},
		"an empty plan file":                    {"user_operator", "POST", "/plans:apply", map[string]any{"planFile": ""}, 400, []string{"INVALID_ARGUMENT", "planFile"}},
		"a plan file that is not base64":        {"user_operator", "POST", "/plans:apply", map[string]any{"planFile": "plans: []"}, 400, []string{"INVALID_ARGUMENT", "planFile"}},
		"two plan files in one":                 {"user_operator", "POST", "/plans:apply", map[string]any{"planFile": base64.StdEncoding.EncodeToString([]byte(sellingPlans + "---" + sellingPlans))}, 400, []string{"INVALID_ARGUMENT", "second document"}},
		"a plan file of binary":                 {"user_operator", "POST", "/plans:apply", map[string]any{"planFile": base64.StdEncoding.EncodeToString([]byte("\x00\xff"))}, 400, []string{"INVALID_ARGUMENT", "planFile"}},
		"a plan file by a person":               {"user_ann", "POST", "/plans:apply", planFileBody("", ""), 403, []string{"PERMISSION_DENIED"}},
		"a migration to itself":                 {"user_operator", "POST", "/plans:migrate", map[string]any{"from": "pro@1", "to": "pro@1"}, 400, []string{"INVALID_ARGUMENT", `"to"`}},
		"a migration to another plan":           {"user_operator", "POST", "/plans:migrate", map[string]any{"from": "pro@1", "to": "team@1"}, 400, []string{"INVALID_ARGUMENT", `"to"`}},
		"a migration without a version":         {"user_operator", "POST", "/plans:migrate", map[string]any{"from": "pro", "to": "pro@1"}, 400, []string{"INVALID_ARGUMENT", `"from"`}},
		"a migration of version minus one":      {"user_operator", "POST", "/plans:migrate", map[string]any{"from": "pro@-1", "to": "pro@1"}, 400, []string{"INVALID_ARGUMENT", `"from"`}},
		"a body that is not JSON":               {"user_ann", "POST", "/subscription:cancel", "now", 400, []string{"MALFORMED_BODY", "JSON object"}},
		"a body with an unknown field":          {"user_ann", "POST", "/subscription:cancel", map[string]any{"immediately": true}, 400, []string{"INVALID_ARGUMENT", "immediately"}},
	} {
		cases[name] = c
	}
	before := s.state()
	s.writes.Store(0)
	for name, c := range cases {
		status, answer := s.send(c.user, c.method, c.path, c.body)
		if status != c.status {
			t.Errorf("%s: %d, not %d: %s", name, status, c.status, answer)
			continue
		}
		for _, text := range c.says {
			if !strings.Contains(answer, text) {
				t.Errorf("%s: %q is not in %s", name, text, answer)
			}
		}
	}
	require.Zero(t, s.writes.Load(), "requests to Stripe that change something")
	require.Equal(t, before, s.state())
	s.now = s.now.Add(time.Second)
	var changed struct{ Subscription struct{ PlanID string } }
	s.must("user_ann", http.MethodPost, "/subscription:change", map[string]any{"previewId": preview.SubscriptionPreview.ID}, &changed)
}

// badCheckouts are purchases that are refused.
func badCheckouts() map[string]badRequest {
	cases := map[string]badRequest{}
	checkout := func(name string, status int, change map[string]any, says ...string) {
		cases[name] = badRequest{"user_bob", "POST", "/checkoutSessions", checkoutOf("pro", change), status, says}
	}
	checkout("a plan and a pack", 400, map[string]any{"packId": "credit_20"}, "INVALID_ARGUMENT", "planId")
	checkout("a plan of nothing", 400, map[string]any{"planId": ""}, "INVALID_ARGUMENT", "planId")
	checkout("a pack as a plan", 404, map[string]any{"planId": "credit_20"}, "NOT_FOUND", "planId")
	checkout("a free plan", 400, map[string]any{"planId": "free"}, "INVALID_ARGUMENT", "planId")
	checkout("a plan with its version", 404, map[string]any{"planId": "pro@1"}, "NOT_FOUND", "planId")
	checkout("a plan by a long name", 400, map[string]any{"planId": strings.Repeat("p", 65)}, "INVALID_ARGUMENT", "planId")
	checkout("a plan as a number", 400, map[string]any{"planId": 1}, "INVALID_ARGUMENT", "planId")
	for name, seats := range map[string]any{"minus one": -1, "two to the 31st": 1 << 31, "too many": 6, "one": 1, "a hundred thousand and one": 100_001, "half": 2.5, "text": "two"} {
		checkout("seats: "+name, 400, map[string]any{"planId": "team", "seats": seats}, "INVALID_ARGUMENT", "seats")
	}
	checkout("seats of a plan without", 400, map[string]any{"seats": 2}, "INVALID_ARGUMENT", "seats")
	checkout("a year of a plan without", 400, map[string]any{"planId": "team", "interval": "BILLING_INTERVAL_YEAR"}, "INVALID_ARGUMENT", "interval")
	checkout("a field of a card", 400, map[string]any{"cardNumber": "4242424242424242"}, "INVALID_ARGUMENT", "cardNumber")
	for i, address := range []string{
		"", "/paid", "//evil.example.com/", "https:evil.example.com", "https:///app.example.com", "javascript:alert(1)", "data:text/html,x", "ftp://app.example.com/", "https://app.example.com.evil.example/",
		"https://app.example.com@evil.example/", "https://app.example.com:8443/", `https://app.example.com\@evil.example/`, `https:\\app.example.com`, "https://evil.example/?https://app.example.com/",
		"https://evil.example#https://app.example.com/", "http://app.example.com/", "https://APP.example.com./", "https://xn--pp-yia.example.com/", "https://app.example.com\n.evil.example/", " https://app.example.com/",
		"https://app.example.com%2eevil.example/", "https://аpp.example.com/", "https://user:password@app.example.com/", "https://[::1", "https://app.example.com/" + strings.Repeat("a", 2100),
	} {
		checkout(fmt.Sprintf("address %d of the purchase: %.60q", i, address), 400, map[string]any{"successUrl": address}, "INVALID_ARGUMENT", "successUrl")
		cases[fmt.Sprintf("address %d of the portal: %.60q", i, address)] = badRequest{"user_ann", "POST", "/portalSessions", map[string]any{"returnUrl": address}, 400, []string{"INVALID_ARGUMENT", "returnUrl"}}
	}
	return cases
}

func grantTo(account string, change map[string]any) map[string]any {
	body := map[string]any{"accountId": account, "amountNanoUsd": "1000", "source": "ticket 7"}
	for name, value := range change {
		body[name] = value
	}
	return body
}
