package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database/databasetest"
)

// All services share three sessions of a PgBouncer in transaction mode each.
func TestThroughAPooler(t *testing.T) {
	direct := databasetest.PostgresURL(t)
	pooler := databasetest.Pooler(t, direct, []string{"auth", "ai", "billing"}, "default_pool_size = 3")
	in := allInOne(t, "DATABASE_URL="+pooler("{service}"), "DATABASE_DIRECT_URL="+direct)
	token := in.token("user_pooled", nil)
	before := in.account(token)
	spent := int64(0)
	for range 20 {
		var got struct{ Usage openAIUsage }
		in.post("/v1/chat/completions", token, `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hi"}]}`, &got)
		spent += got.Usage.price(t, model)
	}
	require.Equal(t, before.Balance-spent, in.account(token).Balance)

	in.clerk(http.MethodPost, "/users/user_pooled/ban", "")
	require.Eventually(t, func() bool { return in.status(token) == http.StatusUnauthorized }, 30*time.Second, 10*time.Millisecond, "webhooks and revocations")
	for _, command := range [][]string{{"reconcile"}, {"events", "list"}, {"users", "export", "user_pooled"}} {
		out, err := in.operate(command...)
		require.NoError(t, err, out)
	}
}
