package allinone

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// statusReport is what /api/v1/status shows of OpenAI.
type statusReport struct {
	Integrations struct {
		OpenAI struct {
			Figures *struct {
				Calls, RateLimitHits int64
				SuccessRate          float64
				P95LatencyMs         float64
			}
		}
	}
}

func (in installation) status(t *testing.T, token string) statusReport {
	t.Helper()
	code, body := in.call(t, http.MethodGet, in.edge+"/api/v1/status", token, "")
	require.Equal(t, http.StatusOK, code)
	var report statusReport
	require.NoError(t, json.Unmarshal([]byte(body), &report))
	return report
}

// The calls that users make show in the operator's figures, and in nobody else's.
func TestOperatorsSeeFigures(t *testing.T) {
	in := startDev(t, nil)
	operator := in.operator(t)
	in.traffic(t)
	require.Eventually(t, func() bool {
		figures := in.status(t, operator).Integrations.OpenAI.Figures
		return figures != nil && figures.Calls >= 3 && figures.SuccessRate > 0 && figures.SuccessRate < 1 && figures.P95LatencyMs > 0
	}, 30*time.Second, 100*time.Millisecond)
	for _, token := range []string{"", in.token, "garbage"} {
		require.Nil(t, in.status(t, token).Integrations.OpenAI.Figures)
	}
	require.Contains(t, in.firstEvent(t, operator), `"figures"`)
	require.NotContains(t, in.firstEvent(t, in.token), `"figures"`)
}

// operator returns a session token of an operator.
func (in installation) operator(t *testing.T) string {
	t.Helper()
	code, body := in.call(t, http.MethodPost, in.sandbox+"/control/clerk/tokens", "", `{"user":"user_operator","ttl":"1h"}`)
	require.Less(t, code, 300, body)
	var answer struct{ Token string }
	require.NoError(t, json.Unmarshal([]byte(body), &answer))
	require.NotEmpty(t, answer.Token, body)
	return answer.Token
}

// firstEvent reads the first event of the stream.
func (in installation) firstEvent(t *testing.T, token string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, in.edge+"/api/v1/status/stream", nil)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	require.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
	line, err := bufio.NewReader(response.Body).ReadString('\n')
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(line, "data: {"), line)
	return line
}
