package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The edge forwards to the sandbox's Clerk only while the sandbox stands in for Clerk, and never in production.
func TestDevelopment(t *testing.T) {
	for name, tc := range map[string]struct {
		env      map[string]string
		forwards bool
		fails    string
	}{
		"no sandbox":       {env: map[string]string{}},
		"a sandbox":        {env: map[string]string{"TRIVET_SANDBOX_URL": "http://127.0.0.1:8090"}, forwards: true},
		"the real Clerk":   {env: map[string]string{"TRIVET_SANDBOX_URL": "http://127.0.0.1:8090", "CLERK_PUBLISHABLE_KEY": "pk_test_x"}},
		"production":       {env: map[string]string{"TRIVET_SANDBOX_URL": "http://127.0.0.1:8090", "TRIVET_ENV": "production"}},
		"a wrong address":  {env: map[string]string{"TRIVET_SANDBOX_URL": "127.0.0.1:8090"}, fails: "TRIVET_SANDBOX_URL"},
		"another provider": {env: map[string]string{"TRIVET_SANDBOX_URL": "http://127.0.0.1:8090", "OPENAI_API_KEY": "sk-x"}, forwards: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := development(func(name string) string { return tc.env[name] })
			if tc.fails != "" {
				require.ErrorContains(t, err, tc.fails)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.forwards, got.Clerk != nil)
			require.False(t, got.LoopbackOrigins)
		})
	}
}
