package allinone

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway"
	"github.com/trivet-dev/trivet/platform/settings"
)

// Every part that works in the background runs: without the revocations, the edge would ask auth again every few seconds.
func TestPartsOfTheProcess(t *testing.T) {
	env := map[string]string{
		"TRIVET_DATA_DIR": t.TempDir(), "CLERK_SECRET_KEY": "sk_test_x", "CLERK_ISSUER": "https://clerk.example.test",
		"CLERK_API_URL": "http://127.0.0.1:1", "OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": "http://127.0.0.1:1", "LOG_LEVEL": "error",
		"TRIVET_HTTP_ADDR": "127.0.0.1:0", "TRIVET_GRPC_ADDR": "127.0.0.1:0", "TRIVET_OPS_ADDR": "127.0.0.1:0",
	}
	c, err := load(settings.Env{Get: withDatabase(func(name string) string { return env[name] })}, nil)
	require.NoError(t, err)
	host, err := c.host(io.Discard)
	require.NoError(t, err)
	s, err := build(t.Context(), c, host, gateway.Development{})
	require.NoError(t, err)
	require.NoError(t, s.migrate(t.Context()))
	parts, err := s.parts(t.Context())
	require.NoError(t, err)
	var names []string
	for _, part := range parts {
		names = append(names, part.Name)
	}
	require.Subset(t, names, []string{"ops", "auth", "ai", "billing", "gRPC", "revocations", "status", "edge"}, names)
	require.NoError(t, endAll(t.Context(), parts, nil))
}

// Development's secrets and operators never run in production.
func TestDevIsNotForProduction(t *testing.T) {
	values := map[string]string{"TRIVET_ENV": "production", "TRIVET_DATA_DIR": t.TempDir()}
	err := Dev(t.Context(), settings.Env{Get: func(name string) string { return values[name] }}, DevOptions{Stdout: io.Discard, Stderr: io.Discard})
	require.ErrorContains(t, err, "TRIVET_ENV")
	require.ErrorContains(t, err, "trivet serve")
}
