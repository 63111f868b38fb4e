package sandbox_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
	stripesdk "github.com/stripe/stripe-go/v76"

	"github.com/trivet-dev/trivet/sandbox"
	"github.com/trivet-dev/trivet/sandbox/clerk"
)

// TestIDsInPaths: identifiers that callers choose may have characters that a path has to encode.
func TestIDsInPaths(t *testing.T) {
	s, base := serve(t, sandbox.Config{})
	for _, id := range []string{"gold/monthly", "50%off", "x#y", "x?y", `a\b`, "ë🙂", "a/../b", "%2e%2e"} {
		t.Run(id, func(t *testing.T) {
			escaped := url.PathEscape(id)
			for _, prefix := range []string{"/stripe", ""} {
				client := stripeClient(base+prefix, 0)
				_, err := client.Products.New(&stripesdk.ProductParams{ID: stripesdk.String(id + prefix), Name: stripesdk.String("Gold")})
				require.NoError(t, err)
				product, err := client.Products.Get(id+prefix, nil)
				require.NoError(t, err)
				require.Equal(t, id+prefix, product.ID)
			}
			_, err := s.Clerk().MintToken(t.Context(), clerk.TokenSpec{User: id, Org: "org " + id})
			require.NoError(t, err)
			for _, path := range []string{
				"/v1/users/" + escaped, "/v1/users/" + escaped + "/organization_memberships", "/v1/organizations/" + url.PathEscape("org "+id),
			} {
				status, body := with(sent{method: "GET", path: "/clerk" + path}, "Authorization", "Bearer "+s.Clerk().SecretKey()).to(t, base)
				require.Equal(t, http.StatusOK, status, body)
			}
			status, body := fetch(t, "PATCH", base+"/control/clerk/users/"+escaped, `{"banned":true}`)
			require.Equal(t, http.StatusOK, status, body)
			status, body = fetch(t, "POST", base+"/control/apply", `{"provider":"clerk","method":"POST","path":"/v1/users/`+escaped+`/unban"}`)
			require.Equal(t, http.StatusOK, status, body)
		})
	}
}
