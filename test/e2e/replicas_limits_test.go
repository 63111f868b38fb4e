package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

// dailyLimit is how many calls the key of the limited caller may make: fewer than it tries in the short form.
const dailyLimit = 20

// newLimited returns a caller whose key has a limit of a day. The days are those of UTC, so that a test that runs at midnight has the limit twice.
func (r *replicated) newLimited(token string) *caller {
	r.t.Helper()
	var made struct{ Secret string }
	r.post("/api/v1/apiKeys", token, fmt.Sprintf(`{"name":"limited","requestsPerDay":%d}`, dailyLimit), &made)
	return &caller{in: r, answers: map[string]int64{}, token: token, key: made.Secret, limit: dailyLimit, since: time.Now().UTC()}
}

// checkLimit: exactly as many calls pass as the limit says, whichever process of ai was killed or frozen meanwhile. A call whose process died may
// have been counted without an answer. A process that could not reach Redis in time says so, and counts for itself then, as does each that begins later.
func (r *replicated) checkLimit(l *replicaLoad) {
	r.t.Helper()
	c := l.limited
	passed, most := int64(len(c.answers)), int64(dailyLimit)
	if strings.Contains(r.log.String(), "each replica counts limits for itself") {
		most *= perService + 1 + int64(l.aiKills)
	}
	if c.since.Truncate(24*time.Hour) != time.Now().UTC().Truncate(24*time.Hour) {
		most *= 2
	}
	r.t.Logf("limit of a key: %d of %d calls passed, %d refused, %d interrupted", passed, dailyLimit, c.limited, c.interrupted)
	require.LessOrEqual(r.t, passed, most)
	require.Positive(r.t, c.limited, "the limit was reached")
	require.GreaterOrEqual(r.t, passed+c.interrupted+int64(l.kills+l.freezes), int64(dailyLimit), "no call is refused before the limit is reached")
}

// insist repeats a request, at one gateway after another, until one answers with a status that is wanted.
func (r *replicated) insist(edges []string, method, path, credential, body string, want ...int) ([]byte, error) {
	a, err := r.until(edges, method, path, credential, body, want...)
	return a.body, err
}

func (r *replicated) until(edges []string, method, path, credential, body string, want ...int) (answer, error) {
	client := &http.Client{Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	last := errors.New("no answer")
	for n, deadline := 0, time.Now().Add(time.Minute); time.Now().Before(deadline); n++ {
		a, err := r.ask(client, edges[n%len(edges)], method, path, credential, body)
		if last = err; err == nil {
			if slices.Contains(want, a.status) {
				return a, nil
			}
			last = fmt.Errorf("status %d: %s", a.status, a.body)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return answer{}, fmt.Errorf("%s %s at %v: want %v: %w", method, path, edges, want, last)
}

func (r *replicated) ask(client *http.Client, edge, method, path, credential, body string) (answer, error) {
	request, err := http.NewRequest(method, edge+path, strings.NewReader(body)) //nolint:noctx // a request that has begun is finished
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Authorization", "Bearer "+credential)
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	return answer{status: response.StatusCode, header: response.Header, body: raw}, err
}
