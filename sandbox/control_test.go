package sandbox_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox"
	"github.com/trivet-dev/trivet/sandbox/clerk"
)

func TestFaultsByControl(t *testing.T) {
	_, base := serve(t, sandbox.Config{})
	for name, test := range map[string]struct{ body, want string }{
		"empty":         {``, "body is empty"},
		"not JSON":      {`kind=hang`, "invalid character"},
		"no provider":   {`{"kind":"hang"}`, `provider \"\" is unknown; use clerk, openai, stripe or email`},
		"unknown field": {`{"provider":"clerk","kind":"hang","delay":5}`, `unknown field \"delay\"`},
		"unknown kind":  {`{"provider":"clerk","kind":"explode"}`, "use one of [latency"},
		"own id":        {`{"provider":"clerk","kind":"hang","id":"x"}`, "the sandbox assigns it"},
		"misfit":        {`{"provider":"clerk","kind":"hang","status":500}`, "status belongs to"},
		"fraction":      {`{"provider":"clerk","kind":"hang","count":1.5}`, "count"},
	} {
		t.Run(name, func(t *testing.T) {
			status, body := fetch(t, "POST", base+"/control/faults", test.body)
			require.Equal(t, http.StatusBadRequest, status)
			require.Contains(t, body, test.want)
		})
	}
	const full = `{"provider":"openai","kind":"stall","method":"POST","path":"/v1/chat/completions","count":3,"delay_ms":50,"after_chunks":4}`
	status, body := fetch(t, "POST", base+"/control/faults", full)
	require.Equal(t, http.StatusCreated, status)
	require.JSONEq(t, `{"id":"openai-1",`+full[1:], body)
	fetch(t, "POST", base+"/control/faults", `{"provider":"clerk","kind":"hang"}`)
	_, body = fetch(t, "GET", base+"/control/faults", "")
	require.JSONEq(t, `{"faults":[{"id":"clerk-1","provider":"clerk","kind":"hang"},{"id":"openai-1",`+full[1:]+`]}`, body)

	status, _ = fetch(t, "DELETE", base+"/control/faults/clerk-7", "")
	require.Equal(t, http.StatusNotFound, status)
	_, body = fetch(t, "DELETE", base+"/control/faults/clerk-1", "")
	require.JSONEq(t, `{"removed":1}`, body)
	status, _ = fetch(t, "DELETE", base+"/control/faults?provider=nobody", "")
	require.Equal(t, http.StatusBadRequest, status)
	_, body = fetch(t, "DELETE", base+"/control/faults?provider=stripe", "")
	require.JSONEq(t, `{"removed":0}`, body)
	_, body = fetch(t, "DELETE", base+"/control/faults", "")
	require.JSONEq(t, `{"removed":1}`, body)
}

func TestStatsAndSettingsByControl(t *testing.T) {
	s, base := serve(t, sandbox.Config{})
	_, _, _, err := targets(s)[1].send(t.Context(), base)
	require.NoError(t, err)
	_, body := fetch(t, "GET", base+"/control/openai/stats", "")
	var stats struct {
		Calls            int `json:"calls"`
		CompletionTokens int `json:"completion_tokens"`
		LastRequest      struct {
			Path   string      `json:"path"`
			Body   string      `json:"body"`
			Header http.Header `json:"header"`
		} `json:"last_request"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &stats))
	require.Equal(t, 1, stats.Calls)
	require.Positive(t, stats.CompletionTokens)
	require.Equal(t, "/v1/chat/completions", stats.LastRequest.Path)
	require.Equal(t, targets(s)[1].body, stats.LastRequest.Body)
	require.Equal(t, "[redacted]", stats.LastRequest.Header.Get("Authorization"))
	require.NotContains(t, body, sandbox.OpenAIKey)

	_, body = fetch(t, "DELETE", base+"/control/openai/stats", "")
	require.Contains(t, body, `"calls":0`)
	_, body = fetch(t, "PATCH", base+"/control/openai/settings", `{"pace_ms":20}`)
	require.JSONEq(t, `{"pace_ms":20,"reply_tokens":0,"background_ms":1000}`, body)
	_, body = fetch(t, "PATCH", base+"/control/openai/settings", `{"reply_tokens":100}`)
	require.JSONEq(t, `{"pace_ms":20,"reply_tokens":100,"background_ms":1000}`, body)
	for _, bad := range []string{`{"pace_ms":-1}`, `{"pace_ms":60001}`, `{"reply_tokens":128001}`, `{"background_ms":0}`, `{"background_ms":3600001}`, `{"speed":1}`} {
		status, _ := fetch(t, "PATCH", base+"/control/openai/settings", bad)
		require.Equal(t, http.StatusBadRequest, status, bad)
	}
	_, body = fetch(t, "GET", base+"/control/openai/settings", "")
	require.JSONEq(t, `{"pace_ms":20,"reply_tokens":100,"background_ms":1000}`, body)
}

func TestRotateByControl(t *testing.T) {
	_, base := serve(t, sandbox.Config{})
	_, before := fetch(t, "GET", base+"/clerk/.well-known/jwks.json", "")
	status, body := fetch(t, "POST", base+"/control/clerk/rotate", `{"keep_kid":true}`)
	require.Equal(t, http.StatusOK, status)
	var rotated struct {
		KeyID string `json:"kid"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &rotated))
	require.Contains(t, before, rotated.KeyID)
	_, after := fetch(t, "GET", base+"/clerk/.well-known/jwks.json", "")
	require.Contains(t, after, rotated.KeyID)
	require.NotEqual(t, before, after)
}

func TestResetByControl(t *testing.T) {
	s, base := serve(t, sandbox.Config{})
	fetch(t, "POST", base+"/control/clerk/tokens", `{"user":"alice"}`)
	fetch(t, "POST", base+"/control/faults", `{"provider":"openai","kind":"hang"}`)
	_, _, _, err := targets(s)[2].send(t.Context(), base)
	require.NoError(t, err)
	status, _ := fetch(t, "POST", base+"/control/reset", "")
	require.Equal(t, http.StatusOK, status)
	_, ok := s.Clerk().User("alice")
	require.False(t, ok)
	require.Empty(t, s.OpenAI().Faults().List())
	require.Zero(t, s.OpenAI().Stats().Calls)
	list := stripeClient(base+"/stripe", 0).Customers.List(nil)
	require.False(t, list.Next())
}

func TestOtherPaths(t *testing.T) {
	s, base := serve(t, sandbox.Config{BaseURL: "http://sandbox.test:8090/"})
	status, body := fetch(t, "GET", base+"/healthz", "")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "ok\n", body)
	status, body = fetch(t, "GET", base+"/users", "")
	require.Equal(t, http.StatusNotFound, status)
	require.Contains(t, body, "the sandbox serves /clerk")
	_, body = fetch(t, "GET", base+"/control/environment", "")
	require.Contains(t, body, `"OPENAI_BASE_URL":"http://sandbox.test:8090/openai/v1"`)
	require.Equal(t, "http://sandbox.test:8090/clerk/v1", s.Environment()["CLERK_API_URL"])
}

// TestFolderKeepsKeysAndState starts over a folder: the key is made in the background, and the next start finds
// key, user and token.
func TestFolderKeepsKeysAndState(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sandbox")
	first, err := sandbox.New(sandbox.Config{Dir: dir})
	require.NoError(t, err)
	_, err = first.Clerk().MintToken(t.Context(), clerk.TokenSpec{User: "alice"})
	require.NoError(t, err)
	kid, err := first.Clerk().KeyID(t.Context())
	require.NoError(t, err)
	require.NoError(t, first.Close(t.Context()))

	second, base := serve(t, sandbox.Config{Dir: dir})
	_, jwks := fetch(t, "GET", base+"/clerk/.well-known/jwks.json", "")
	require.Contains(t, jwks, kid)
	_, ok := second.Clerk().User("alice")
	require.True(t, ok)

	info, err := os.Stat(filepath.Join(dir, "clerk-keys.json"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	require.NoError(t, os.WriteFile(filepath.Join(dir, "clerk-keys.json"), []byte("{"), 0o600))
	_, err = sandbox.New(sandbox.Config{Dir: dir})
	require.ErrorContains(t, err, "damaged (delete the file to get new ones)")
}
