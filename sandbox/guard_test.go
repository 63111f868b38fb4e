package sandbox_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox"
)

// sent is a request as a browser, or a program, makes it. "Host" among the headers is the Host header.
type sent struct {
	method, path, body string
	headers            map[string]string
}

func (s sent) to(t *testing.T, base string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), s.method, base+s.path, strings.NewReader(s.body))
	require.NoError(t, err)
	for name, value := range s.headers {
		req.Header.Set(name, value)
	}
	if host := s.headers["Host"]; host != "" {
		req.Host = host
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(raw)
}

var (
	mint  = sent{method: "POST", path: "/control/clerk/tokens", body: `{"user":"user_operator"}`}
	reset = sent{method: "POST", path: "/control/reset"}
	read  = sent{method: "GET", path: "/control/environment"}
)

func with(s sent, headers ...string) sent {
	s.headers = map[string]string{}
	for i := 0; i < len(headers); i += 2 {
		s.headers[headers[i]] = headers[i+1]
	}
	return s
}

// TestControlRejectsForeignPages has what a browser sends for a page of another site.
func TestControlRejectsForeignPages(t *testing.T) {
	_, base := serve(t, sandbox.Config{})
	for name, headers := range map[string][]string{
		"foreign origin":            {"Origin", "http://evil.test", "Content-Type", "text/plain"},
		"opaque origin":             {"Origin", "null"},
		"foreign origin, https":     {"Origin", "https://evil.test:443"},
		"a name like localhost":     {"Origin", "http://localhost.evil.test"},
		"rebound name":              {"Host", "rebind.evil.test"},
		"rebound name and port":     {"Host", "rebind.evil.test:8090", "Origin", "http://rebind.evil.test:8090", "Sec-Fetch-Site", "same-origin"},
		"address of the network":    {"Host", "192.168.1.5:8090"},
		"cross-site, no origin":     {"Sec-Fetch-Site", "cross-site"},
		"cross-site, local origin":  {"Sec-Fetch-Site", "cross-site", "Origin", "http://localhost:3000"},
		"extension":                 {"Origin", "chrome-extension://abcdef"},
		"origin with a local user":  {"Origin", "http://localhost@evil.test"},
		"no host, as before HTTP/1": {"Host", ":80"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, request := range []sent{mint, reset, read, {method: "GET", path: "/control/nothing"}} {
				status, body := with(request, headers...).to(t, base)
				require.Equal(t, http.StatusForbidden, status, request.path)
				require.Contains(t, body, "TRIVET_SANDBOX_ALLOWED_HOSTS", request.path)
				var answer struct{ Error string }
				require.NoError(t, json.Unmarshal([]byte(body), &answer), body)
				require.NotEmpty(t, answer.Error)
			}
		})
	}
}

func TestControlServesThisMachine(t *testing.T) {
	_, base := serve(t, sandbox.Config{AllowedHosts: []string{"sandbox", "app.test"}, BaseURL: "http://dev.test:8090"})
	for name, headers := range map[string][]string{
		"a program":                        nil,
		"localhost":                        {"Host", "localhost:8090"},
		"IPv6":                             {"Host", "[::1]:8090"},
		"all addresses":                    {"Host", "0.0.0.0:8090"},
		"a page of this machine":           {"Origin", "http://localhost:3000", "Sec-Fetch-Site", "same-site"},
		"the address bar":                  {"Sec-Fetch-Site", "none"},
		"an allowed host":                  {"Host", "sandbox:8090"},
		"the host of BaseURL":              {"Host", "dev.test:8090", "Origin", "http://dev.test:8090", "Sec-Fetch-Site", "same-origin"},
		"an allowed page":                  {"Origin", "https://app.test", "Sec-Fetch-Site", "cross-site"},
		"an allowed host in capitals, dot": {"Host", "SANDBOX.:8090"},
	} {
		t.Run(name, func(t *testing.T) {
			status, body := with(mint, headers...).to(t, base)
			require.Equal(t, http.StatusOK, status, body)
		})
	}
}

// TestProvidersRejectForeignPages is about the rest of the sandbox: its keys are known to all, so a rebound page
// could use any API, and a form of another page could pay or sign in.
func TestProvidersRejectForeignPages(t *testing.T) {
	s, base := serve(t, sandbox.Config{})
	bearer := "Bearer " + s.Clerk().SecretKey()
	for name, test := range map[string]struct {
		request sent
		field   string // of the provider's own error
	}{
		"Clerk's API, rebound":       {with(sent{method: "GET", path: "/clerk/v1/users"}, "Host", "evil.test", "Authorization", bearer), "errors"},
		"a session, rebound":         {with(sent{method: "POST", path: "/clerk/v1/sessions"}, "Host", "evil.test", "Authorization", bearer), "errors"},
		"OpenAI's API, rebound":      {with(sent{method: "GET", path: "/openai/v1/models"}, "Host", "evil.test"), "error"},
		"Stripe's API, rebound":      {with(sent{method: "GET", path: "/stripe/v1/customers"}, "Host", "evil.test"), "error"},
		"Stripe at the root":         {with(sent{method: "GET", path: "/v1/customers"}, "Host", "evil.test"), "error"},
		"the sign-in page, rebound":  {with(sent{method: "GET", path: "/clerk/sign-in"}, "Host", "evil.test"), "errors"},
		"a form that signs in":       {with(sent{method: "POST", path: "/clerk/sign-in", body: "user=alice"}, "Origin", "http://evil.test"), "errors"},
		"a form that pays":           {with(sent{method: "POST", path: "/stripe/pay/cs_1"}, "Origin", "http://evil.test"), "error"},
		"a form without its origin":  {with(sent{method: "POST", path: "/stripe/portal/bps_1"}, "Sec-Fetch-Site", "cross-site"), "error"},
		"a form for an invoice":      {with(sent{method: "POST", path: "/stripe/invoice/in_1"}, "Origin", "null"), "error"},
		"a call with the key in it":  {with(sent{method: "POST", path: "/stripe/v1/customers"}, "Sec-Fetch-Site", "cross-site"), "error"},
		"a browser's script":         {with(sent{method: "DELETE", path: "/clerk/v1/client"}, "Origin", "http://evil.test"), "errors"},
		"anything that is not there": {with(sent{method: "GET", path: "/"}, "Host", "evil.test"), "error"},
	} {
		t.Run(name, func(t *testing.T) {
			status, body := test.request.to(t, base)
			require.Equal(t, http.StatusForbidden, status, body)
			var fields map[string]any
			require.NoError(t, json.Unmarshal([]byte(body), &fields), body)
			require.Contains(t, fields, test.field)
			require.Contains(t, body, "TRIVET_SANDBOX_ALLOWED_HOSTS")
		})
	}
	for name, request := range map[string]sent{
		"a link to the sign-in page":           with(sent{method: "GET", path: "/clerk/sign-in"}, "Sec-Fetch-Site", "cross-site"),
		"health, under any name":               with(sent{method: "GET", path: "/healthz"}, "Host", "10.0.0.7:8090"),
		"a local page that names the loopback": with(sent{method: "POST", path: "/clerk/sign-out"}, "Origin", "http://"+strings.TrimPrefix(base, "http://"), "Sec-Fetch-Site", "same-origin"),
	} {
		t.Run(name, func(t *testing.T) {
			status, body := request.to(t, base)
			require.Less(t, status, http.StatusBadRequest, body)
		})
	}
}
