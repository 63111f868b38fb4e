package jwks_test

import (
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/clerk/clerk-sdk-go/v2"
	sdkjwks "github.com/clerk/clerk-sdk-go/v2/jwks"
	clerkjwt "github.com/clerk/clerk-sdk-go/v2/jwt"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/auth/internal/authtest"
	"github.com/trivet-dev/trivet/services/auth/internal/jwks"
)

// TestHowOftenTheSDKFetches is the rest of the table of the SDK's defects: the same work through clerk-sdk-go v2.7.0's
// jwt.Verify and through this package, with the fetches counted at the server.
func TestHowOftenTheSDKFetches(t *testing.T) {
	for _, row := range []struct {
		name      string
		kid       func(caller int) string
		callers   int
		sdk, ours int64
	}{
		{"50 cold callers", func(int) string { return "ins_1" }, 50, 50, 1},
		{"100 tokens with 2 unknown key ids", func(n int) string { return fmt.Sprintf("ins_%d", 8+n%2) }, 100, 100, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			clerkA, clerkB := authtest.NewKeys(), authtest.NewKeys()
			url := clerkA.Serve(t).URL + "/v1"
			client := sdkjwks.NewClient(&clerk.ClientConfig{BackendConfig: clerk.BackendConfig{
				URL: &url, Key: clerk.String(authtest.SecretKey),
			}})
			together(row.callers, func(n int) {
				clerkC := authtest.NewKeys()
				clerkC.Rotate(row.kid(n), authtest.Key(0))
				_, _ = clerkjwt.Verify(t.Context(), &clerkjwt.VerifyParams{Token: clerkC.Token(t, time.Now(), nil), JWKSClient: client})
			})
			require.Equal(t, row.sdk, clerkA.Fetches.Load(), "clerk-sdk-go")

			server := clerkB.Serve(t)
			r := jwks.NewRemote(jwks.Endpoint{
				Client: server.Client(), URL: server.URL + "/v1/jwks", SecretKeys: []string{authtest.SecretKey},
			}, jwks.Options{MaxStale: time.Hour, Timeout: time.Minute, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
			defer r.Close()
			together(row.callers, func(n int) { _, _ = r.Find(t.Context(), row.kid(n)) })
			require.Equal(t, row.ours, clerkB.Fetches.Load())
			t.Logf("%-34s clerk-sdk-go: %d fetches  here: %d", row.name, clerkA.Fetches.Load(), clerkB.Fetches.Load())
		})
	}
}

func together(n int, do func(int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i) })
	}
	all.Wait()
}
