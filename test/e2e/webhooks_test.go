package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	standin "github.com/trivet-dev/trivet/sandbox"
)

// clerk changes something at the sandbox's Clerk, as its dashboard would; webhooks tell Trivet.
func (in *installation) clerk(method, path, body string) {
	in.t.Helper()
	request, err := http.NewRequestWithContext(in.t.Context(), method, in.sandbox+"/clerk/v1"+path, strings.NewReader(body))
	require.NoError(in.t, err)
	request.Header.Set("Authorization", "Bearer "+standin.ClerkSecretKey)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	require.NoError(in.t, err)
	defer func() { _ = response.Body.Close() }()
	require.Less(in.t, response.StatusCode, 300, "%s %s", method, path)
}

func (in *installation) status(token string) int {
	return in.call(in.t.Context(), http.MethodGet, "/api/v1/me", token, "").status
}

func TestBannedUsersAreRefused(t *testing.T) {
	inEachMode(t, func(t *testing.T, in *installation) {
		token := in.token("user_rude", nil)
		require.Equal(t, http.StatusOK, in.status(token))
		in.clerk(http.MethodPost, "/users/user_rude/ban", "")
		banned := time.Now()
		require.Eventually(t, func() bool { return in.status(token) == http.StatusUnauthorized }, 20*time.Second, 10*time.Millisecond)
		t.Logf("refused %s after the ban", time.Since(banned))
		in.clerk(http.MethodPost, "/users/user_rude/unban", "")
		require.Eventually(t, func() bool { return in.status(in.token("user_rude", nil)) == http.StatusOK }, 20*time.Second, 50*time.Millisecond)
	})
}

func TestErasure(t *testing.T) {
	inEachMode(t, func(t *testing.T, in *installation) {
		token := in.token("user_leaving", map[string]any{"email": "leaving@example.test"})
		var got struct{ Usage openAIUsage }
		in.post("/v1/chat/completions", token, `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hi"}]}`, &got)

		exported, err := in.operate("users", "export", "user_leaving")
		require.NoError(t, err, exported)
		require.Contains(t, exported, "user_leaving")

		in.clerk(http.MethodDelete, "/users/user_leaving", "")
		require.Eventually(t, func() bool { return in.status(token) == http.StatusUnauthorized }, 20*time.Second, 10*time.Millisecond)
		require.Eventually(t, func() bool {
			listed, err := in.operate("users", "erasures", "--json")
			var list struct {
				Erasures []struct {
					UserID, CompleteTime string
					ConfirmedBy          []string
				}
			}
			if err != nil || json.Unmarshal([]byte(listed), &list) != nil {
				return false
			}
			for _, e := range list.Erasures {
				if e.UserID == "user_leaving" && e.CompleteTime != "" {
					require.ElementsMatch(t, []string{"auth", "ai", "billing"}, e.ConfirmedBy)
					return true
				}
			}
			return false
		}, 30*time.Second, 100*time.Millisecond, "every service confirms")
		after, err := in.operate("users", "show", "user_leaving")
		require.NotContains(t, after, "leaving@example.test", "%v", err)

		events, err := in.operate("events", "list", "--subject", "user_leaving")
		require.NoError(t, err, events)
		require.Contains(t, events, "user.deleted")
		require.NotContains(t, events, "leaving@example.test")
	}, "TRIVET_OPERATORS=user_operator")
}

// Webhooks that never came are made up for: one run creates what is missing, the next finds nothing to do.
func TestReconcile(t *testing.T) {
	inEachMode(t, func(t *testing.T, in *installation) {
		in.token("user_operator", nil)
		in.control(http.MethodPost, "/control/clerk/users", map[string]any{"count": 30, "quiet": true}, nil)
		first, err := in.operate("reconcile", "--source", "clerk")
		require.NoError(t, err, first)
		require.Regexp(t, `users +same \d+, repaired \d+, created 3\d, removed 0\n`, first)
		second, err := in.operate("reconcile", "--source", "clerk")
		require.NoError(t, err, second)
		require.Regexp(t, `users +same 3\d, repaired 0, created 0, removed 0\n`, second)
		stripe, err := in.operate("reconcile", "--source", "stripe")
		require.NoError(t, err, stripe)
		require.Contains(t, stripe, "stripe customer")
		_, err = in.operate("reconcile", "--source", "paypal")
		require.Error(t, err)
	}, "TRIVET_OPERATORS=user_operator")
}

// operate runs an operator's command.
func (in *installation) operate(args ...string) (string, error) {
	in.t.Helper()
	dir, err := programs()
	require.NoError(in.t, err)
	ctx, cancel := context.WithTimeout(in.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "trivet"), args...)
	cmd.Dir = in.t.TempDir()
	cmd.Env = append([]string{"TRIVET_URL=" + in.edge, "TRIVET_TOKEN=" + in.token("user_operator", nil)}, in.grpc...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
