package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/settings"
)

// keysOf runs a command against an edge with one API key, and returns what the edge was asked.
func keysOf(t *testing.T, args ...string) (asked []string, stdout string, err error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		asked = append(asked, r.Method+" "+r.URL.EscapedPath()+" "+string(body))
		if r.Method == http.MethodPatch {
			_, _ = io.WriteString(w, `{"apiKey":{"id":"key_1","requestsPerDay":7}}`)
			return
		}
		_, _ = io.WriteString(w, `{"apiKeys":[{"id":"key_1","name":"reports","requestsPerMinute":60,"requestsPerDay":0,"tokensPerMinute":9000,"concurrentStreams":4}]}`)
	}))
	defer server.Close()
	var out bytes.Buffer
	get := func(name string) string {
		return map[string]string{"TRIVET_URL": server.URL, "TRIVET_TOKEN": "admin"}[name]
	}
	err = run(t.Context(), append([]string{"apikeys"}, args...), program{env: settings.Env{Get: get}, stdin: strings.NewReader(""), stdout: &out, stderr: io.Discard})
	return asked, out.String(), err
}

func TestAPIKeysAreListedWithTheirLimits(t *testing.T) {
	_, out, err := keysOf(t, "list")
	require.NoError(t, err)
	lines := strings.Split(out, "\n")
	require.Equal(t, []string{"ID", "NAME", "REQUESTS/MIN", "REQUESTS/DAY", "TOKENS/MIN", "STREAMS", "LAST", "USED", "REVOKED"}, strings.Fields(lines[0]))
	require.Equal(t, []string{"key_1", "reports", "60", "0", "9000", "4", "-", "-"}, strings.Fields(lines[1]))
}

func TestAnAPIKeyIsChanged(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		body string // what the edge gets
	}{
		"all": {
			[]string{"--name", "reports", "--requests-per-minute", "1", "--requests-per-day", "2", "--tokens-per-minute", "3", "--concurrent-streams", "4"},
			`{"name":"reports","requestsPerMinute":1,"requestsPerDay":2,"tokensPerMinute":3,"concurrentStreams":4}`,
		},
		"a limit that is removed": {[]string{"--tokens-per-minute", "0"}, `{"tokensPerMinute":0}`},
		"the name":                {[]string{"--name", "x"}, `{"name":"x"}`},
	} {
		t.Run(name, func(t *testing.T) {
			asked, out, err := keysOf(t, append([]string{"update", "key/1"}, tc.args...)...)
			require.NoError(t, err)
			require.Len(t, asked, 1)
			body, found := strings.CutPrefix(asked[0], "PATCH /api/v1/apiKeys/key%2F1 ")
			require.True(t, found, asked[0])
			require.JSONEq(t, tc.body, body)
			require.Contains(t, out, `"requestsPerDay": 7`)
		})
	}
	for _, args := range [][]string{{"update", "key_1"}, {"update"}, {"update", "key_1", "--requests-per-minute", "many"}, {"update", "key_1", "--requests-per-day", "99999999999"}} {
		asked, _, err := keysOf(t, args...)
		require.Error(t, err, args)
		require.Empty(t, asked)
	}
}
