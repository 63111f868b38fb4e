package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/internal/allinone"
	"github.com/trivet-dev/trivet/platform/settings"
)

// The doctor's exit status, its output and its progress go where programs expect them.
func TestDoctorCommand(t *testing.T) {
	t.Chdir(t.TempDir()) // away from any .dev.vars
	values := map[string]string{
		"TRIVET_DATA_DIR": t.TempDir(), "TRIVET_HTTP_ADDR": "127.0.0.1:0", "TRIVET_GRPC_ADDR": "127.0.0.1:0", "TRIVET_OPS_ADDR": "127.0.0.1:0",
	}
	examine := func(args ...string) (stdout, stderr string, err error) {
		var out, progress bytes.Buffer
		env := settings.Env{Get: func(name string) string { return values[name] }}
		err = run(t.Context(), append([]string{"doctor"}, args...), program{env: env, stdout: &out, stderr: &progress})
		return out.String(), progress.String(), err
	}
	out, progress, err := examine()
	require.NoError(t, err)
	require.Contains(t, out, "ok       settings\n")
	require.Contains(t, out, "-        Redis: not checked: REDIS_URL is not set\n")
	require.NotContains(t, out, "ok       Redis")
	require.Contains(t, progress, "checking database …\n")
	require.NotContains(t, out, "checking")

	values["LOG_LEVEL"] = "loud"
	out, _, err = examine()
	require.ErrorIs(t, err, errUnhealthy)
	require.Contains(t, out, "error    LOG_LEVEL: ")
	require.Contains(t, out, "         fix: ")

	out, _, err = examine("--json")
	require.ErrorIs(t, err, errUnhealthy)
	var result allinone.Diagnosis
	require.NoError(t, json.Unmarshal([]byte(out), &result))
	require.False(t, result.Healthy)
	require.Equal(t, "LOG_LEVEL", result.Checks[0].Findings[0].Setting)
	require.Contains(t, out, `"checked": false`)
	require.Contains(t, out, `"REDIS_URL is not set"`)
}
