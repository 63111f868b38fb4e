package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// With FREE_CREDIT=verified, a person whose address Clerk verifies can call models from then on, with the credit of one account.
func TestFreeCreditAfterVerification(t *testing.T) {
	inEachMode(t, func(t *testing.T, in *installation) {
		// Trivet hears nothing of the user before the first call, so that it never sees the address as verified.
		quietly := func(method, path, body string, into any) {
			in.control(http.MethodPost, "/control/apply", map[string]any{"provider": "clerk", "method": method, "path": path, "body": body, "quiet": true}, into)
		}
		var eve struct {
			ID        string
			Addresses []struct{ ID string } `json:"email_addresses"`
		}
		quietly(http.MethodPost, "/v1/users", `{"email_address":["eve@example.test"]}`, &eve)
		require.Len(t, eve.Addresses, 1)
		address := "/email_addresses/" + eve.Addresses[0].ID
		quietly(http.MethodPatch, "/v1"+address, `{"verified":false}`, nil)

		call := func(extra map[string]any) int { // a new token, because a passport lives for up to a minute
			return in.call(t.Context(), http.MethodPost, "/v1/chat/completions", in.token(eve.ID, extra), `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hi"}]}`).status
		}
		require.Equal(t, http.StatusPaymentRequired, call(nil))
		require.Zero(t, in.account(in.token(eve.ID, nil)).Balance)
		in.clerk(http.MethodPatch, address, `{"verified":true}`)
		require.Eventually(t, func() bool { return call(nil) == http.StatusOK }, 60*time.Second, 50*time.Millisecond)
		require.Positive(t, in.account(in.token(eve.ID, nil)).Balance)
		require.Equal(t, http.StatusPaymentRequired, call(map[string]any{"org": "org_eve"}), "a person has it once")
	}, "FREE_CREDIT=verified")
}
