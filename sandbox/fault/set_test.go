package fault_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox/fault"
)

// hit sends a request through the set and returns the status; 0 is a connection that was cut.
func hit(t *testing.T, s *fault.Set, method, path string) (status int) {
	t.Helper()
	answer := func(w http.ResponseWriter, status int, _ time.Duration) { w.WriteHeader(status) }
	h := s.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }), answer)
	defer func() {
		if r := recover(); r != nil {
			require.Equal(t, http.ErrAbortHandler, r)
			status = 0
		}
	}()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	return w.Code
}

func add(t *testing.T, s *fault.Set, f fault.Fault) string {
	t.Helper()
	added, err := s.Add(f)
	require.NoError(t, err)
	return added.ID
}

func TestCountsAndOrder(t *testing.T) {
	s := fault.NewSet("x")
	require.Equal(t, 204, hit(t, s, "GET", "/"))
	add(t, s, fault.Fault{Kind: fault.Status, Status: 500, Count: 2})
	add(t, s, fault.Fault{Kind: fault.Status, Status: 503})
	require.Equal(t, 500, hit(t, s, "GET", "/"))
	require.Equal(t, 1, s.List()[0].Count, "what is left")
	require.Equal(t, 500, hit(t, s, "GET", "/"))
	for range 3 {
		require.Equal(t, 503, hit(t, s, "GET", "/"), "without a count, until it is removed")
	}
	require.Len(t, s.List(), 1)
	require.Equal(t, 1, s.Clear())
	require.Equal(t, 204, hit(t, s, "GET", "/"))
}

func TestMatching(t *testing.T) {
	s := fault.NewSet("x")
	id := add(t, s, fault.Fault{Kind: fault.Status, Status: 500, Method: "post", Path: "/v1/users"})
	require.Equal(t, "x-1", id)
	prefix := add(t, s, fault.Fault{Kind: fault.Status, Status: 502, Path: "/v1/orgs*"})
	for request, want := range map[[2]string]int{
		{"POST", "/v1/users"}: 500, {"GET", "/v1/users"}: 204, {"POST", "/v1/users/1"}: 204, {"GET", "/v1/orgs/1"}: 502, {"GET", "/v1/orgs"}: 502, {"GET", "/v1/org"}: 204,
	} {
		require.Equal(t, want, hit(t, s, request[0], request[1]), "%v", request)
	}
	require.True(t, s.Remove(prefix))
	require.False(t, s.Remove(prefix))
	require.Equal(t, 204, hit(t, s, "GET", "/v1/orgs"))
}

func TestLatencyAddsToOthers(t *testing.T) {
	s := fault.NewSet("x")
	add(t, s, fault.Fault{Kind: fault.Latency, Delay: time.Microsecond, Count: 1})
	add(t, s, fault.Fault{Kind: fault.Close, Count: 1})
	add(t, s, fault.Fault{Kind: fault.Latency, Delay: time.Microsecond, Count: 1})
	require.Equal(t, 0, hit(t, s, "GET", "/"))
	require.Empty(t, s.List(), "one request met all three")
}

func TestInvalidParameters(t *testing.T) {
	s := fault.NewSet("x")
	for want, f := range map[string]fault.Fault{
		"kind":                     {},
		"kind \"explode\"":         {Kind: "explode"},
		"must start with /":        {Kind: fault.Hang, Path: "v1"},
		"must not be negative":     {Kind: fault.Hang, Count: -1},
		"needs delay_ms":           {Kind: fault.Latency},
		"400 to 599":               {Kind: fault.Status, Status: 200},
		"status belongs to":        {Kind: fault.Hang, Status: 500},
		"after_chunks belongs to":  {Kind: fault.Hang, AfterChunks: 1},
		"retry_after belongs to":   {Kind: fault.Hang, RetryAfter: time.Second},
		"delay_ms belongs to":      {Kind: fault.Close, Delay: time.Second},
		"body belongs to":          {Kind: fault.Cut, Body: "x"},
		"delay_ms must be at most": {Kind: fault.Latency, Delay: 2 * time.Hour},
	} {
		_, err := s.Add(f)
		require.ErrorContains(t, err, want)
	}
	require.Empty(t, s.List())
	for range 1000 {
		add(t, s, fault.Fault{Kind: fault.Hang})
	}
	_, err := s.Add(fault.Fault{Kind: fault.Hang})
	require.ErrorContains(t, err, "1000")
}

func TestNilSetHasNoFaults(t *testing.T) {
	require.Equal(t, 204, hit(t, nil, "GET", "/"))
	var none *fault.Set
	require.Equal(t, fault.StreamPlan{}, none.TakeStream(httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)))
}
