package allinone

import (
	"context"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/trivet-dev/trivet/gateway"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/settings"
)

// StartForTest builds the all-in-one with settings that call no provider. It returns a connection for each calling service
// and the issuer of the passports that the services accept.
func StartForTest(t *testing.T) (map[string]grpc.ClientConnInterface, *passport.Issuer) {
	t.Helper()
	env := map[string]string{
		"TRIVET_DATA_DIR": t.TempDir(), "CLERK_SECRET_KEY": "sk_test_x", "CLERK_ISSUER": "https://clerk.example.test",
		"CLERK_API_URL": "http://127.0.0.1:1", "OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": "http://127.0.0.1:1", "STRIPE_SECRET_KEY": "", "LOG_LEVEL": "error",
	}
	c, err := load(settings.Env{Get: withDatabase(func(name string) string { return env[name] })}, nil)
	require.NoError(t, err)
	host, err := c.host(io.Discard)
	require.NoError(t, err)
	s, err := build(t.Context(), c, host, gateway.Development{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.close(context.Background())) })
	require.NoError(t, s.migrate(t.Context()))
	conns := map[string]grpc.ClientConnInterface{}
	for name, conn := range s.conns {
		conns[name] = conn
	}
	return conns, s.issuer
}
