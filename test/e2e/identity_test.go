package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAPIKeys(t *testing.T) {
	inEachMode(t, func(t *testing.T, in *installation) {
		owner := in.token("user_owner", nil)
		var made struct {
			APIKey struct{ ID, Prefix string }
			Secret string
		}
		in.post("/api/v1/apiKeys", owner, `{"name":"server"}`, &made)
		require.True(t, strings.HasPrefix(made.Secret, "tvt_test_"), "keys of a test instance say so")
		require.True(t, strings.HasPrefix(made.Secret, made.APIKey.Prefix))

		var got struct{ Usage openAIUsage }
		in.post("/v1/chat/completions", made.Secret, `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hi"}]}`, &got)
		require.Equal(t, 5_000_000_000-got.Usage.price(t, model), in.account(owner).Balance, "the key's account pays")

		denied := in.call(t.Context(), http.MethodGet, "/api/v1/billing/account", made.Secret, "")
		require.Equal(t, http.StatusForbidden, denied.status, "%s", denied.body)
		require.Contains(t, string(denied.body), "billing.read")

		var list struct {
			APIKeys []struct{ ID, Name string } `json:"apiKeys"`
		}
		in.get("/api/v1/apiKeys", owner, &list)
		require.Len(t, list.APIKeys, 1)
		stranger := in.token("user_stranger", nil)
		other := in.call(t.Context(), http.MethodDelete, "/api/v1/apiKeys/"+made.APIKey.ID, stranger, "")
		require.Equal(t, http.StatusNotFound, other.status, "somebody else's key does not exist")

		gone := in.call(t.Context(), http.MethodDelete, "/api/v1/apiKeys/"+made.APIKey.ID, owner, "")
		require.Equal(t, http.StatusOK, gone.status, "%s", gone.body)
		revoked := time.Now()
		require.Eventually(t, func() bool {
			return in.call(t.Context(), http.MethodGet, "/v1/models", made.Secret, "").status == http.StatusUnauthorized
		}, 10*time.Second, 10*time.Millisecond)
		t.Logf("refused %s after the revocation", time.Since(revoked))
		require.NotContains(t, in.log.String(), made.Secret)

		var narrow struct{ Secret string }
		in.post("/api/v1/apiKeys", owner, `{"name":"narrow","models":["gpt-5-nano"],"spendLimitNanoUsd":"1000"}`, &narrow)
		wrong := in.call(t.Context(), http.MethodPost, "/v1/chat/completions", narrow.Secret, `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hi"}]}`)
		require.Equal(t, http.StatusForbidden, wrong.status, "%s", wrong.body)
		over := in.call(t.Context(), http.MethodPost, "/v1/chat/completions", narrow.Secret, `{"model":"gpt-5-nano","max_completion_tokens":5000,"messages":[{"role":"user","content":"Hi"}]}`)
		// What the key's thousand nano-dollars afford is two output tokens: the answer is cut there, or refused; it never costs more.
		require.Contains(t, []int{http.StatusOK, http.StatusPaymentRequired}, over.status, "%s", over.body)
	})
}

func TestOperators(t *testing.T) {
	inEachMode(t, func(t *testing.T, in *installation) {
		operator, user := in.token("user_op", nil), in.token("user_plain", nil)
		in.account(user) // the first request makes the user known
		a := in.call(t.Context(), http.MethodGet, "/api/v1/users", user, "")
		require.Equal(t, http.StatusForbidden, a.status, "%s", a.body)
		require.Contains(t, string(a.body), "TRIVET_OPERATORS")
		var users struct{ Users []struct{ ID string } }
		in.get("/api/v1/users", operator, &users)
		require.GreaterOrEqual(t, len(users.Users), 1)
		var granted struct {
			Grant struct {
				Amount int64 `json:"amountNanoUsd,string"`
			}
		}
		in.post("/api/v1/billing/grants", operator, `{"accountId":"user_plain","amountNanoUsd":"1000","source":"gift:1"}`, &granted)
		in.post("/api/v1/billing/grants", operator, `{"accountId":"user_plain","amountNanoUsd":"1000","source":"gift:1"}`, &granted)
		require.EqualValues(t, 5_000_001_000, in.account(user).Balance, "granted once, however often asked")
	}, "TRIVET_OPERATORS=user_op")
}

func TestMisplacedCredentials(t *testing.T) {
	in := allInOne(t)
	token := in.token("user_odd", nil)
	send := func(edit func(*http.Request)) (int, string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, in.edge+"/api/v1/me", http.NoBody)
		require.NoError(t, err)
		edit(request)
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		defer func() { require.NoError(t, response.Body.Close()) }()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, string(body)
	}
	for name, edit := range map[string]func(*http.Request){
		"twice":                func(r *http.Request) { r.Header["Authorization"] = []string{"Bearer " + token, "Bearer " + token} },
		"in the URL":           func(r *http.Request) { r.URL.RawQuery = "token=" + token },
		"as access_token":      func(r *http.Request) { r.URL.RawQuery = "access_token=" + token },
		"basic":                func(r *http.Request) { r.SetBasicAuth("user", token) },
		"without a scheme":     func(r *http.Request) { r.Header.Set("Authorization", token) },
		"as another's":         func(r *http.Request) { r.Header.Set("Grpc-Metadata-Trivet-Passport", token) },
		"as metadata":          func(r *http.Request) { r.Header.Set("Trivet-Passport", token) },
		"over eight kilobytes": func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+strings.Repeat("a", 9000)) },
	} {
		status, body := send(edit)
		require.Contains(t, []int{http.StatusUnauthorized, http.StatusBadRequest}, status, "%s: %s", name, body)
	}
	status, body := send(func(r *http.Request) { r.Header.Set("Authorization", "bearer "+token) })
	require.Equal(t, http.StatusOK, status, "the scheme's case does not matter: %s", body)
}

// No key of ours and no token of a caller's may be seen where it does not belong, whatever goes wrong.
func TestSecretsDoNotLeak(t *testing.T) {
	canaries := map[string]string{
		"OPENAI_API_KEY": "sk-CANARYopenai0123456789", "STRIPE_SECRET_KEY": "sk_test_CANARYstripe0123456789",
		"CLERK_SECRET_KEY": "sk_test_CANARYclerk0123456789", "TRIVET_API_KEY_SECRET": "CANARYapikeysecret0123456789abcdefgh",
	}
	other := allInOne(t) // its sandbox plays the providers
	env := []string{
		"OPENAI_BASE_URL=" + other.sandbox + "/openai/v1", "CLERK_API_URL=" + other.sandbox + "/clerk/v1", "STRIPE_API_URL=" + other.sandbox + "/stripe",
		"CLERK_ISSUER=" + other.issuer(), "TRIVET_PPROF=true",
	}
	for name, value := range canaries {
		env = append(env, name+"="+value)
	}
	in := begin(t, env...)
	in.sandbox = other.sandbox
	token := in.token("user_canary", nil)
	var seen strings.Builder
	note := func(a answer) { fmt.Fprintf(&seen, "%v %s\n", a.header, a.body) }
	// Clerk's stand-in refuses the canary as its key, so that nobody gets in: every call is an error path.
	note(in.call(t.Context(), http.MethodGet, "/api/v1/me", token, ""))
	note(in.call(t.Context(), http.MethodGet, "/api/v1/me", "tvt_live_CANARYcaller", ""))
	note(in.call(t.Context(), http.MethodGet, "/api/v1/me?token=CANARYinurl", "", ""))
	note(in.call(t.Context(), http.MethodGet, "/api/v1/status", "", ""))
	for _, path := range []string{"/metrics", "/readyz"} {
		response, err := http.Get(in.ops[0] + path)
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		seen.Write(body)
	}

	// The same for OpenAI, with a Clerk that works: the provider answers with the key in its error, as OpenAI's 401 does.
	in2 := allInOne(t, "OPENAI_API_KEY="+canaries["OPENAI_API_KEY"], "OPENAI_BASE_URL="+other.sandbox+"/openai/v1")
	good := in2.token("user_canary", nil)
	chat := `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hi"}]}`
	other.fault(map[string]any{"kind": "status", "status": 401, "count": 1, "body": `{"error":{"message":"Incorrect API key provided: ` + canaries["OPENAI_API_KEY"] + `","type":"invalid_request_error","code":"invalid_api_key"}}`})
	refused := in2.call(t.Context(), http.MethodPost, "/v1/chat/completions", good, chat)
	require.Equal(t, http.StatusInternalServerError, refused.status, "our key, our fault: %s", refused.body)
	note(refused)
	for _, kind := range []string{"garbage", "close", "rate_limit"} {
		other.fault(map[string]any{"kind": kind, "count": 1})
		note(in2.call(t.Context(), http.MethodPost, "/v1/chat/completions", good, chat))
		other.fault(map[string]any{"kind": kind, "count": 1})
		note(in2.call(t.Context(), http.MethodPost, "/api/v1/chat", good, chat))
	}
	everything := seen.String() + in.log.String() + in2.log.String()
	require.NotContains(t, everything, "CANARY")
	require.NotContains(t, everything, good)
	require.NotContains(t, everything, token)
}
