package status_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway/internal/status"
)

func probe(answer string, err error) status.Probe {
	return func(context.Context) (string, error) { return answer, err }
}

func get(page *status.Page) string {
	w := httptest.NewRecorder()
	page.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/status", nil))
	return w.Body.String()
}

func TestStatus(t *testing.T) {
	down := errors.New("down: secret address")
	cases := map[string]struct {
		ai, billing status.Probe
		want        string
	}{
		"all well":         {probe("operational", nil), probe("operational", nil), `{"status":"operational","services":{"ai":"operational","billing":"operational"}}`},
		"nothing asked":    {probe("unknown", nil), probe("unknown", nil), `{"status":"operational","services":{"ai":"unknown","billing":"unknown"}}`},
		"one is degraded":  {probe("degraded", nil), probe("operational", nil), `{"status":"degraded","services":{"ai":"degraded","billing":"operational"}}`},
		"one is down":      {probe("operational", nil), probe("down", nil), `{"status":"degraded","services":{"ai":"operational","billing":"down"}}`},
		"one is away":      {probe("", down), probe("operational", nil), `{"status":"degraded","services":{"ai":"down","billing":"operational"}}`},
		"all are away":     {probe("", down), probe("", down), `{"status":"down","services":{"ai":"down","billing":"down"}}`},
		"an unknown word":  {probe("sleepy", nil), probe("operational", nil), `{"status":"degraded","services":{"ai":"sleepy","billing":"operational"}}`},
		"degraded and off": {probe("degraded", nil), probe("", down), `{"status":"degraded","services":{"ai":"degraded","billing":"down"}}`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			require.JSONEq(t, tc.want, get(status.New(map[string]status.Probe{"ai": tc.ai, "billing": tc.billing}, time.Now)))
		})
	}
}

func TestHangingServiceIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() }
		start := time.Now()
		require.JSONEq(t, `{"status":"down","services":{"ai":"down"}}`, get(status.New(map[string]status.Probe{"ai": hang}, time.Now)))
		require.LessOrEqual(t, time.Since(start), time.Second)
	})
}

func TestStrangersCannotLoadTheServices(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var asked atomic.Int32
	page := status.New(map[string]status.Probe{"ai": func(context.Context) (string, error) {
		asked.Add(1)
		return "operational", nil
	}}, func() time.Time { return now })
	for range 50 {
		get(page)
	}
	require.Equal(t, int32(1), asked.Load())
	now = now.Add(2 * time.Second)
	get(page)
	require.Equal(t, int32(2), asked.Load())
}

func TestOneAsksForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		release := make(chan struct{})
		page := status.New(map[string]status.Probe{"ai": func(context.Context) (string, error) {
			asked.Add(1)
			<-release
			return "operational", nil
		}}, time.Now)
		for range 20 {
			go get(page)
		}
		synctest.Wait()
		require.Equal(t, int32(1), asked.Load())
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		w := httptest.NewRecorder()
		page.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
		require.Empty(t, w.Body.String(), "who left does not wait")
		close(release)
		synctest.Wait()
	})
}
