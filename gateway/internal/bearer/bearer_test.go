package bearer_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway/internal/bearer"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

func TestCredential(t *testing.T) {
	const (
		none     = errorsv1.ErrorReason_ERROR_REASON_UNAUTHORIZED
		invalid  = errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN
		argument = errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT
		good     = errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED
	)
	longest := strings.Repeat("a", bearer.MaxBytes)
	cases := map[string]struct {
		query  string
		values []string
		token  string
		reason errorsv1.ErrorReason
	}{
		"JWT":                      {"", []string{"Bearer aA0.b-_c.d+/~=="}, "aA0.b-_c.d+/~==", good},
		"scheme in small letters":  {"", []string{"bearer tvt_live_x"}, "tvt_live_x", good},
		"two spaces":               {"", []string{"Bearer  x "}, "x", good},
		"longest":                  {"", []string{"Bearer " + longest}, longest, good},
		"harmless query":           {"page_token=a&tokens=1", []string{"Bearer x"}, "x", good},
		"none":                     {"", nil, "", none},
		"empty":                    {"", []string{""}, "", invalid},
		"scheme only":              {"", []string{"Bearer"}, "", invalid},
		"scheme and a space":       {"", []string{"Bearer "}, "", invalid},
		"other scheme":             {"", []string{"Basic canary"}, "", invalid},
		"no scheme":                {"", []string{"canary"}, "", invalid},
		"twice":                    {"", []string{"Bearer canary", "Bearer canary"}, "", invalid},
		"two in one":               {"", []string{"Bearer canary, Bearer canary"}, "", invalid},
		"too long":                 {"", []string{"Bearer a" + longest}, "", invalid},
		"tab":                      {"", []string{"Bearer can\tary"}, "", invalid},
		"line break":               {"", []string{"Bearer canary\r\nX: y"}, "", invalid},
		"NUL":                      {"", []string{"Bearer canary\x00"}, "", invalid},
		"beyond ASCII":             {"", []string{"Bearer canaryé"}, "", invalid},
		"space inside":             {"", []string{"Bearer canary canary"}, "", invalid},
		"token in the URL":         {"token=canary", []string{"Bearer x"}, "", argument},
		"access_token in the URL":  {"a=1&access_token=canary", nil, "", argument},
		"api_key in the URL":       {"api_key=canary", nil, "", argument},
		"in capitals":              {"API_KEY=canary", nil, "", argument},
		"escaped":                  {"%74oken=canary", nil, "", argument},
		"after a semicolon":        {"a=1;token=canary", nil, "", argument},
		"without a value":          {"token", nil, "", argument},
		"authorization in the URL": {"Authorization=Bearer+canary", nil, "", argument},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/x", nil)
			r.URL.RawQuery = tc.query
			if tc.values != nil {
				r.Header["Authorization"] = tc.values
			}
			token, err := bearer.Credential(r)
			require.Equal(t, tc.reason, errs.ReasonOf(err))
			require.Equal(t, tc.token, token)
			if err != nil {
				require.NotContains(t, err.Error(), "canary")
			}
		})
	}
}

// The detail says which part of the header is wrong.
func TestProblems(t *testing.T) {
	for value, want := range map[string]string{
		"Bearer": "must have the scheme Bearer", "Bearer ": "has no token after Bearer", "Bearer    ": "has no token after Bearer",
		"Basic x": "must have the scheme Bearer",
	} {
		r := httptest.NewRequest(http.MethodGet, "/x", nil)
		r.Header["Authorization"] = []string{value}
		_, err := bearer.Credential(r)
		require.Equal(t, want, errs.From(err).Fields[0].Problem, "%q", value)
	}
}
