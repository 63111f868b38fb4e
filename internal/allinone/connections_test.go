package allinone

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/settings"
)

// A server with 200 connections has room for 80 of each service, and not for those of all three.
func TestStartWarnsOfTooFewConnections(t *testing.T) {
	url := databasetest.NewServer(t, false).NewDatabase(t)
	for name, tc := range map[string]struct {
		readers string
		warns   string
	}{
		"enough":  {"50", ""},
		"too few": {"80", "this_process_may_open=240"},
	} {
		t.Run(name, func(t *testing.T) {
			env := map[string]string{
				"DATABASE_URL": url, "DATABASE_READ_CONNECTIONS": tc.readers, "CLERK_SECRET_KEY": "sk_test_x", "CLERK_ISSUER": "https://clerk.example.test",
				"CLERK_API_URL": "http://127.0.0.1:1", "OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": "http://127.0.0.1:1", "LOG_LEVEL": "warn", "LOG_FORMAT": "text",
				"TRIVET_HTTP_ADDR": "127.0.0.1:0", "TRIVET_GRPC_ADDR": "127.0.0.1:0", "TRIVET_OPS_ADDR": "127.0.0.1:0",
			}
			c, err := load(settings.Env{Get: withDatabase(func(name string) string { return env[name] })}, nil)
			require.NoError(t, err)
			var log bytes.Buffer
			host, err := c.host(&log)
			require.NoError(t, err)
			s, err := build(t.Context(), c, host, gateway.Development{})
			require.NoError(t, err)
			require.NoError(t, s.close(t.Context()))
			if tc.warns == "" {
				require.NotContains(t, log.String(), "run out of connections")
				return
			}
			require.Equal(t, 1, strings.Count(log.String(), "run out of connections"), log.String())
			require.Contains(t, log.String(), tc.warns)
		})
	}
}
