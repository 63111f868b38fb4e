package stripe_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	stripesdk "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"
	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/sandbox/stripe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is an account on a real socket, with the SDK's client and a plain one.
type server struct {
	*stripe.Fake
	url    string
	http   *http.Client
	client *client.API
}

// clock is a time that the test moves.
type clock struct{ at time.Time }

func (c *clock) Now() time.Time { return c.at }

func newClock() *clock { return &clock{time.Unix(1_700_000_000, 0)} }

func serve(t *testing.T, cfg stripe.Config) *server {
	t.Helper()
	fake, err := stripe.New(cfg)
	require.NoError(t, err)
	httpServer := httptest.NewServer(fake)
	t.Cleanup(func() {
		httpServer.Close()
		require.NoError(t, fake.Close())
	})
	backends := stripesdk.NewBackendsWithConfig(&stripesdk.BackendConfig{
		URL: stripesdk.String(httpServer.URL), HTTPClient: httpServer.Client(), MaxNetworkRetries: stripesdk.Int64(0),
		EnableTelemetry: stripesdk.Bool(false), LeveledLogger: &stripesdk.LeveledLogger{Level: stripesdk.LevelNull},
	})
	return &server{fake, httpServer.URL, httpServer.Client(), client.New("sk_test_any", backends)}
}

// reply is an answer that has been read.
type reply struct {
	status int
	header http.Header
	body   string
}

func (s *server) do(t *testing.T, method, path, body string, headers ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer sk_test_any")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := s.http.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return reply{resp.StatusCode, resp.Header, string(raw)}
}

// problem is Stripe's error object.
type problem struct {
	Type    string `json:"type"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Param   string `json:"param"`
	DocURL  string `json:"doc_url"`
}

func (r reply) problem(t *testing.T) problem {
	t.Helper()
	var e struct {
		Error problem `json:"error"`
	}
	require.NoError(t, json.Unmarshal([]byte(r.body), &e), r.body)
	require.NotEmpty(t, e.Error.Type)
	require.NotEmpty(t, e.Error.Message)
	return e.Error
}

func sdkError(t *testing.T, err error) *stripesdk.Error {
	t.Helper()
	var e *stripesdk.Error
	require.ErrorAs(t, err, &e)
	require.NotEmpty(t, e.RequestID)
	return e
}

func TestKeys(t *testing.T) {
	s := serve(t, stripe.Config{})
	for name, test := range map[string]struct {
		authorization string
		status        int
	}{
		"none":       {"", http.StatusUnauthorized},
		"live":       {"Bearer sk_live_0123456789abcdef", http.StatusUnauthorized},
		"test":       {"Bearer sk_test_x", http.StatusOK},
		"restricted": {"Bearer rk_test_x", http.StatusOK},
		"basic":      {"Basic c2tfdGVzdF94Og==", http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.do(t, "GET", "/v1/customers", "", "Authorization", test.authorization)
			require.Equal(t, test.status, r.status)
			if r.status != http.StatusOK {
				require.NotContains(t, r.problem(t).Message, "0123456789")
			}
		})
	}
	own := serve(t, stripe.Config{Keys: []string{"sk_test_own"}})
	require.Equal(t, http.StatusUnauthorized, own.do(t, "GET", "/v1/customers", "").status)
}

func TestUnknownPaths(t *testing.T) {
	s := serve(t, stripe.Config{})
	for _, path := range []string{"/v1/quotes", "/"} {
		r := s.do(t, "GET", path, "")
		require.Equal(t, http.StatusNotFound, r.status)
		require.Equal(t, "Unrecognized request URL (GET: "+path+"). Please see https://stripe.com/docs or we can help at https://support.stripe.com/.", r.problem(t).Message)
	}
	r := s.do(t, "GET", "/v1/customers", "")
	require.Equal(t, stripe.APIVersion, stripesdk.APIVersion, "the SDK pins what the fake speaks")
	require.Regexp(t, `^req_[0-9A-Za-z]{14}$`, r.header.Get("Request-Id"))
}

// TestInvalidForms has a line per rule of the parameters.
func TestInvalidForms(t *testing.T) {
	s := serve(t, stripe.Config{})
	for name, test := range map[string]struct{ path, body, code, param string }{
		"unknown":           {"/v1/customers", "emial=x", "parameter_unknown", "emial"},
		"unknown, nested":   {"/v1/customers", "address[planet]=x", "parameter_unknown", "address[planet]"},
		"unknown, in list":  {"/v1/prices", "product_data[name]=x&currency=usd&tiers[0][odd]=1&unit_amount=1", "parameter_unknown", "tiers[0][odd]"},
		"JSON":              {"/v1/customers", `{"name":"x"}`, "", ""},
		"malformed":         {"/v1/customers", "na%ZZme=x", "", ""},
		"half a bracket":    {"/v1/customers", "metadata[a=x", "", ""},
		"too deep":          {"/v1/customers", "a" + strings.Repeat("[b]", 20) + "=x", "", ""},
		"too many":          {"/v1/customers", strings.Repeat("a=b&", 1001), "", ""},
		"not a number":      {"/v1/customers", "balance=much", "parameter_invalid_integer", "balance"},
		"not a flag":        {"/v1/products", "name=x&active=yes", "", "active"},
		"not in the list":   {"/v1/customers", "tax_exempt=maybe", "", "tax_exempt"},
		"bad address":       {"/v1/customers", "email=nowhere", "email_invalid", "email"},
		"metadata too long": {"/v1/customers", "metadata[a]=" + strings.Repeat("x", 501), "", "metadata[a]"},
		"no name":           {"/v1/products", "", "parameter_missing", "name"},
		"no product":        {"/v1/prices", "currency=usd&unit_amount=1", "parameter_missing", "product"},
		"no such product":   {"/v1/prices", "currency=usd&unit_amount=1&product=prod_x", "resource_missing", "product"},
		"no currency":       {"/v1/prices", "unit_amount=1&product_data[name]=x", "parameter_missing", "currency"},
		"no amount":         {"/v1/prices", "currency=usd&product_data[name]=x", "parameter_missing", "unit_amount"},
		"negative amount":   {"/v1/prices", "currency=usd&unit_amount=-1&product_data[name]=x", "parameter_invalid_integer", "unit_amount"},
		"two amounts":       {"/v1/prices", "currency=usd&unit_amount=1&unit_amount_decimal=1&product_data[name]=x", "parameters_exclusive", "unit_amount"},
		"13 places":         {"/v1/prices", "currency=usd&unit_amount_decimal=0.0000000000001&product_data[name]=x", "parameter_invalid_decimal", "unit_amount_decimal"},
		"an exponent":       {"/v1/prices", "currency=usd&unit_amount_decimal=1e400&product_data[name]=x", "parameter_invalid_decimal", "unit_amount_decimal"},
		"no interval":       {"/v1/prices", "currency=usd&unit_amount=1&product_data[name]=x&recurring[usage_type]=metered", "parameter_missing", "recurring[interval]"},
		"no tiers":          {"/v1/prices", "currency=usd&product_data[name]=x&billing_scheme=tiered&tiers_mode=volume", "parameter_missing", "tiers"},
		"tiers that end":    {"/v1/prices", "currency=usd&product_data[name]=x&billing_scheme=tiered&tiers_mode=volume&tiers[0][up_to]=5&tiers[0][unit_amount]=1", "", "tiers"},
		"two products":      {"/v1/prices", "currency=usd&unit_amount=1&product_data[name]=x&product=prod_x", "parameters_exclusive", "product_data"},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.do(t, "POST", test.path, test.body)
			require.Equal(t, http.StatusBadRequest, r.status, r.body)
			e := r.problem(t)
			require.Equal(t, "invalid_request_error", e.Type)
			require.Equal(t, test.code, e.Code)
			require.Equal(t, test.param, e.Param)
			if e.Code != "" {
				require.Equal(t, "https://stripe.com/docs/error-codes/"+strings.ReplaceAll(e.Code, "_", "-"), e.DocURL)
			}
		})
	}
	for _, resource := range []string{"customers", "products", "prices"} {
		require.Contains(t, s.do(t, "GET", "/v1/"+resource, "").body, `"data": []`, "a refused request leaves nothing behind")
	}
	require.Equal(t, http.StatusRequestEntityTooLarge, s.do(t, "POST", "/v1/customers", strings.Repeat("x", 1<<20+1)).status)
}
