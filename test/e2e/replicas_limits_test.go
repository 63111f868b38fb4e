package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

// dailyLimit is how many calls the key of the limited caller may make: fewer than it tries in the short form.
const dailyLimit = 20

// newLimited returns a caller whose key has a limit of a day, which no minute of the test renews.
func (r *replicated) newLimited(token string) *caller {
	r.t.Helper()
	var made struct{ Secret string }
	r.post("/api/v1/apiKeys", token, fmt.Sprintf(`{"name":"limited","requestsPerDay":%d}`, dailyLimit), &made)
	return &caller{in: r, answers: map[string]int64{}, token: token, key: made.Secret, limit: dailyLimit}
}

// checkLimit: exactly as many calls pass as the limit says, whichever process of ai was killed or frozen meanwhile. A call whose process died may
// have been counted without an answer. A process that could not reach Redis in time says so, and counts for itself then.
func (r *replicated) checkLimit(l *replicaLoad) {
	r.t.Helper()
	c := l.limited
	passed, most := int64(len(c.answers)), int64(dailyLimit)
	if strings.Contains(r.log.String(), "each replica counts limits for itself") {
		most *= perService
	}
	r.t.Logf("limit of a key: %d of %d calls passed, %d refused, %d interrupted; %d keys revoked, each refused by all gateways", passed, dailyLimit, c.limited, c.interrupted, l.revoked)
	require.LessOrEqual(r.t, passed, most)
	require.Positive(r.t, c.limited, "the limit was reached")
	require.GreaterOrEqual(r.t, passed+c.interrupted+int64(l.kills+l.freezes), int64(dailyLimit), "no call is refused before the limit is reached")
}

// revokeUnderLoad makes a key, uses it at every gateway, and deletes it: all gateways refuse it, and none takes it again. Gateways that are dead are
// asked again when they live.
func (r *replicated) revokeUnderLoad(owner string) error {
	var made struct {
		APIKey struct{ ID string }
		Secret string
	}
	body, err := r.insist(r.edges, http.MethodPost, "/api/v1/apiKeys", owner, `{"name":"short-lived"}`, http.StatusOK)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, &made); err != nil {
		return err
	}
	for _, edge := range r.edges {
		if _, err := r.insist([]string{edge}, http.MethodGet, "/v1/models", made.Secret, "", http.StatusOK); err != nil {
			return err
		}
	}
	if _, err := r.insist(r.edges, http.MethodDelete, "/api/v1/apiKeys/"+made.APIKey.ID, owner, "", http.StatusOK, http.StatusNotFound); err != nil {
		return err
	}
	for _, edge := range r.edges {
		if _, err := r.insist([]string{edge}, http.MethodGet, "/v1/models", made.Secret, "", http.StatusUnauthorized); err != nil {
			return err
		}
	}
	for n, edge := range r.edges {
		c := &caller{in: r, token: made.Secret}
		client := &http.Client{Timeout: 20 * time.Second}
		taken := c.call(client, n, http.MethodGet, "/v1/models", "", nil)
		client.CloseIdleConnections()
		if taken {
			return fmt.Errorf("%s takes a key again that all gateways have refused", edge)
		}
	}
	return nil
}

// insist repeats a request, at one gateway after another, until one answers with a status that is wanted.
func (r *replicated) insist(edges []string, method, path, credential, body string, want ...int) ([]byte, error) {
	client := &http.Client{Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	last := errors.New("no answer")
	for n, deadline := 0, time.Now().Add(time.Minute); time.Now().Before(deadline); n++ {
		answer, err := r.ask(client, edges[n%len(edges)], method, path, credential, body)
		if last = err; err == nil {
			for _, status := range want {
				if answer.status == status {
					return answer.body, nil
				}
			}
			last = fmt.Errorf("status %d: %s", answer.status, answer.body)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil, fmt.Errorf("%s %s at %v: want %v: %w", method, path, edges, want, last)
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
