package clerk_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	clerksdk "github.com/clerk/clerk-sdk-go/v2"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/sandbox/clerk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is an instance on a real socket, with what the SDK's clients need.
type server struct {
	*clerk.Fake
	url    string
	http   *http.Client
	config *clerksdk.ClientConfig
}

func serve(t *testing.T, cfg clerk.Config) *server {
	t.Helper()
	fake, err := clerk.New(cfg)
	require.NoError(t, err)
	httpServer := httptest.NewServer(fake)
	t.Cleanup(func() {
		httpServer.Close()
		require.NoError(t, fake.Close())
	})
	config := &clerksdk.ClientConfig{}
	config.URL, config.Key = clerksdk.String(httpServer.URL+"/v1"), clerksdk.String(fake.SecretKey())
	config.HTTPClient = httpServer.Client()
	return &server{fake, httpServer.URL, httpServer.Client(), config}
}

// clock is a time that the test moves.
type clock struct{ at time.Time }

func (c *clock) Now() time.Time { return c.at }

func newClock() *clock { return &clock{time.UnixMilli(1_700_000_000_000)} }

func (s *server) mint(t *testing.T, spec clerk.TokenSpec) string {
	t.Helper()
	token, err := s.MintToken(t.Context(), spec)
	require.NoError(t, err)
	return token
}

func (s *server) call(t *testing.T, method, path, key, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	require.NoError(t, err)
	if key != "" {
		req.Header.Set("Authorization", key)
	}
	resp, err := s.http.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(raw)
}

// code is the first error's code; it also checks the envelope.
func code(t *testing.T, body string) string {
	t.Helper()
	var e struct {
		Errors []struct {
			Message     string `json:"message"`
			LongMessage string `json:"long_message"`
			Code        string `json:"code"`
		} `json:"errors"`
		TraceID string `json:"clerk_trace_id"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &e), body)
	require.Len(t, e.Errors, 1)
	require.NotEmpty(t, e.Errors[0].Message)
	require.NotEmpty(t, e.Errors[0].LongMessage)
	require.NotEmpty(t, e.TraceID)
	return e.Errors[0].Code
}

// sdkCode is the first code of an error from the SDK.
func sdkCode(t *testing.T, err error) string {
	t.Helper()
	var apiErr *clerksdk.APIErrorResponse
	require.ErrorAs(t, err, &apiErr)
	require.Len(t, apiErr.Errors, 1)
	return apiErr.Errors[0].Code
}

func TestSecretKeyIsChecked(t *testing.T) {
	s := serve(t, clerk.Config{SecretKey: "sk_test_own"})
	for key, want := range map[string]string{
		"": "authorization_header_format_invalid", "sk_test_own": "authorization_header_format_invalid", "Bearer sk_test_other": "clerk_key_invalid",
	} {
		for _, path := range []string{"/v1/users", "/v1/jwks"} {
			status, body := s.call(t, "GET", path, key, "")
			require.Equal(t, http.StatusUnauthorized, status)
			require.Equal(t, want, code(t, body))
		}
	}
	status, _ := s.call(t, "GET", "/v1/users", "Bearer sk_test_own", "")
	require.Equal(t, http.StatusOK, status)
	status, body := s.call(t, "GET", "/.well-known/jwks.json", "", "")
	require.Equal(t, http.StatusOK, status, "the front end's keys are public")
	require.NotContains(t, body, `"d"`, "no private part")
}

func TestPublishableKey(t *testing.T) {
	s := serve(t, clerk.Config{Host: "my-app-12.clerk.accounts.dev"})
	encoded, ok := strings.CutPrefix(s.PublishableKey(), "pk_test_")
	require.True(t, ok)
	host, err := base64.StdEncoding.DecodeString(encoded)
	require.NoError(t, err)
	require.Equal(t, "my-app-12.clerk.accounts.dev$", string(host))
	require.Equal(t, "https://my-app-12.clerk.accounts.dev", s.Issuer())
}

func TestUnknownPathsAndBodies(t *testing.T) {
	s := serve(t, clerk.Config{})
	key := "Bearer " + s.SecretKey()
	for name, test := range map[string]struct {
		method, path, body, code string
		status                   int
	}{
		"no such path":    {"GET", "/v1/nowhere", "", "resource_not_found", 404},
		"no such user":    {"GET", "/v1/users/nobody", "", "resource_not_found", 404},
		"no such org":     {"GET", "/v1/organizations/none", "", "resource_not_found", 404},
		"no such session": {"POST", "/v1/sessions/none/revoke", "", "resource_not_found", 404},
		"not JSON":        {"POST", "/v1/users", "{", "request_body_invalid", 400},
		"unknown field":   {"POST", "/v1/users", `{"emial":"x"}`, "form_param_unknown", 422},
		"wrong type":      {"POST", "/v1/users", `{"email_address":"x"}`, "form_param_format_invalid", 422},
		"no address":      {"POST", "/v1/users", `{}`, "form_param_missing", 422},
		"bad address":     {"POST", "/v1/users", `{"email_address":["x"]}`, "form_param_format_invalid", 422},
		"bad limit":       {"GET", "/v1/users?limit=many", "", "form_param_format_invalid", 422},
		"limit 501":       {"GET", "/v1/users?limit=501", "", "form_param_format_invalid", 422},
		"bad order":       {"GET", "/v1/users?order_by=-height", "", "form_param_value_invalid", 422},
		"too large":       {"POST", "/v1/users", strings.Repeat(" ", 1<<20+1), "request_body_too_large", 413},
	} {
		t.Run(name, func(t *testing.T) {
			status, body := s.call(t, test.method, test.path, key, test.body)
			require.Equal(t, test.status, status, body)
			if test.status != http.StatusRequestEntityTooLarge {
				require.Equal(t, test.code, code(t, body))
			}
		})
	}
}
