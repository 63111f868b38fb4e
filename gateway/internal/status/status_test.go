package status_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/trivet-dev/trivet/gateway/internal/status"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
	"github.com/trivet-dev/trivet/platform/health"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	start = time.Date(2026, 11, 28, 8, 0, 0, 0, time.UTC)
	began = start.Add(-time.Hour)
)

type ask = func(context.Context) (status.Answer, error)

func condition(state statusv1.Status) *statusv1.Health {
	return &statusv1.Health{Status: state, SinceTime: timestamppb.New(began)}
}

func says(service, integration statusv1.Status) ask {
	return func(context.Context) (status.Answer, error) {
		return &aiv1.GetStatusResponse{Service: condition(service), Provider: condition(integration)}, nil
	}
}

func unreachable(context.Context) (status.Answer, error) {
	return (*aiv1.GetStatusResponse)(nil), errors.New("dial tcp 10.0.0.7:9090: secret")
}

func services(auth, ai, billing ask) []status.Service {
	return []status.Service{
		{Name: "auth", Integration: "clerk", Ask: auth},
		{Name: "ai", Integration: "openai", Ask: ai},
		{Name: "billing", Integration: "stripe", Banner: "No payments now.", Ask: billing},
	}
}

func get(page *status.Page) string {
	w := httptest.NewRecorder()
	page.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/status", nil))
	return w.Body.String()
}

func report(t *testing.T, page *status.Page) status.Report {
	t.Helper()
	var out status.Report
	require.NoError(t, json.Unmarshal([]byte(get(page)), &out))
	return out
}

func TestShape(t *testing.T) {
	fine := says(health.Operational, health.Operational)
	page := status.New(services(fine, fine, says(health.Degraded, health.Down)), nobody, func() time.Time { return start })
	require.JSONEq(t, `{
		"status": "degraded",
		"services": {"auth": "operational", "ai": "operational", "billing": "degraded"},
		"integrations": {
			"clerk":  {"status": "operational", "since": "2026-11-28T07:00:00Z"},
			"openai": {"status": "operational", "since": "2026-11-28T07:00:00Z"},
			"stripe": {"status": "down", "since": "2026-11-28T07:00:00Z", "banner": "No payments now."}
		}
	}`, get(page))
}

func TestOverallStatus(t *testing.T) {
	const (
		unknown, operational = health.Unknown, health.Operational
		degraded, down       = health.Degraded, health.Down
	)
	fine := says(operational, operational)
	cases := map[string]struct {
		auth, ai, billing ask
		want              string
	}{
		"all operational":            {fine, fine, fine, "operational"},
		"a service is degraded":      {fine, says(degraded, operational), fine, "degraded"},
		"a service is down":          {says(down, operational), fine, fine, "degraded"},
		"a service is unknown":       {fine, fine, says(unknown, operational), "degraded"},
		"an integration is degraded": {fine, says(operational, degraded), fine, "degraded"},
		"an integration is down":     {fine, fine, says(operational, down), "degraded"},
		"an integration is unknown":  {says(operational, unknown), fine, fine, "degraded"},
		"all integrations are down":  {says(operational, down), says(operational, down), says(operational, down), "degraded"},
		"a service is unreachable":   {fine, unreachable, fine, "degraded"},
		"all services are down":      {says(down, operational), says(down, down), says(down, operational), "down"},
		"all are unreachable":        {unreachable, unreachable, unreachable, "down"},
		"an unknown enum value":      {says(99, operational), fine, fine, "degraded"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			now := start
			page := status.New(services(tc.auth, tc.ai, tc.billing), nobody, func() time.Time { return now })
			now = now.Add(health.MaxUnknown)
			require.Equal(t, tc.want, report(t, page).Status)
			require.NotContains(t, get(page), "secret")
		})
	}
}

func TestUnreachableService(t *testing.T) {
	now := start
	billing := unreachable
	fine := says(health.Operational, health.Operational)
	page := status.New(services(fine, fine, func(ctx context.Context) (status.Answer, error) { return billing(ctx) }), nobody, func() time.Time { return now })
	require.Equal(t, "unknown", report(t, page).Services["billing"], "it may still be starting")
	require.Equal(t, "unknown", report(t, page).Integrations["stripe"].Status)
	require.Equal(t, "degraded", report(t, page).Status)

	now = start.Add(10 * time.Second)
	got := report(t, page)
	require.Equal(t, "down", got.Services["billing"])
	require.Equal(t, status.Integration{Status: "down", Since: now, Banner: "No payments now."}, got.Integrations["stripe"], "Stripe is down while billing is unreachable")

	now = start.Add(time.Hour)
	require.Equal(t, start.Add(10*time.Second), report(t, page).Integrations["stripe"].Since, "it has been down since then")

	billing = fine
	now = now.Add(time.Minute)
	require.Equal(t, status.Integration{Status: "operational", Since: began}, report(t, page).Integrations["stripe"], "the service reports its own time")

	billing = unreachable
	lost := now.Add(time.Minute)
	now = lost
	require.Equal(t, "down", report(t, page).Services["billing"], "it has answered before")
	now = now.Add(time.Minute)
	require.Equal(t, lost, report(t, page).Integrations["stripe"].Since)
}

func TestHangingServiceIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := func(ctx context.Context) (status.Answer, error) { <-ctx.Done(); return nil, ctx.Err() }
		fine := says(health.Operational, health.Operational)
		page := status.New(services(fine, hangs, fine), nobody, time.Now)
		time.Sleep(health.MaxUnknown)
		before := time.Now()
		got := report(t, page)
		require.Equal(t, "down", got.Services["ai"])
		require.Equal(t, "operational", got.Services["auth"], "the other services are not delayed")
		require.LessOrEqual(t, time.Since(before), 3*time.Second)
	})
}

func TestConcurrentRequestsShareOneProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		release := make(chan struct{})
		page := status.New([]status.Service{{Name: "ai", Integration: "openai", Ask: func(ctx context.Context) (status.Answer, error) {
			asked.Add(1)
			<-release
			return says(health.Operational, health.Operational)(ctx)
		}}}, nobody, time.Now)
		first, leave := context.WithCancel(t.Context())
		go page.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(first, http.MethodGet, "/", nil))
		synctest.Wait()
		answers := make(chan string, 20)
		for range 20 {
			go func() { answers <- get(page) }()
		}
		synctest.Wait()
		require.EqualValues(t, 1, asked.Load())
		leave() // the other callers still get the report
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		w := httptest.NewRecorder()
		page.ServeHTTP(w, httptest.NewRequestWithContext(gone, http.MethodGet, "/", nil))
		require.Empty(t, w.Body.String(), "a caller that has left does not wait")
		close(release)
		for range 20 {
			require.Contains(t, <-answers, `"ai":"operational"`)
		}
		require.EqualValues(t, 1, asked.Load())
		time.Sleep(freshness + time.Millisecond)
		get(page)
		require.EqualValues(t, 2, asked.Load())
	})
}

// freshness is how long a report is reused.
const freshness = time.Second

func TestRunRecordsWhenAStateBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lost atomic.Bool
		page := status.New([]status.Service{{Name: "ai", Integration: "openai", Ask: func(ctx context.Context) (status.Answer, error) {
			if lost.Load() {
				return unreachable(ctx)
			}
			return says(health.Operational, health.Operational)(ctx)
		}}}, nobody, time.Now)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { page.Run(ctx); close(ended) }()
		time.Sleep(time.Minute)
		lost.Store(true)
		at := time.Now()
		time.Sleep(time.Hour)
		require.WithinDuration(t, at, report(t, page).Integrations["openai"].Since, 6*time.Second, "no request came when the state changed")
		stop()
		<-ended
	})
}

func nobody(*http.Request) bool { return false }

// An integration that can be off is shown while it is on, counts in the sum, and is down while its service is unreachable.
func TestIntegrationsThatCanBeOff(t *testing.T) {
	var email *statusv1.Health
	var away bool
	ask := func(context.Context) (status.Answer, error) {
		if away {
			return nil, errors.New("away")
		}
		return &aiv1.GetStatusResponse{Service: condition(health.Operational), Provider: condition(health.Operational)}, nil
	}
	now := start
	page := status.New([]status.Service{{
		Name: "billing", Integration: "stripe", Ask: ask, More: []status.More{{Integration: "email", Of: func(status.Answer) *statusv1.Health { return email }}},
	}}, nobody, func() time.Time { return now })
	for _, c := range []struct {
		email *statusv1.Health
		away  bool
		sum   string
		want  string
	}{
		{nil, false, "operational", ""},
		{condition(health.Operational), false, "operational", "operational"},
		{condition(health.Down), false, "degraded", "down"},
		{condition(health.Operational), true, "down", "down"},
		{nil, false, "operational", ""},
		{nil, true, "down", ""},
	} {
		email, away = c.email, c.away
		now = now.Add(time.Minute)
		got := report(t, page)
		require.Equal(t, c.sum, got.Status)
		require.Equal(t, c.want, got.Integrations["email"].Status)
		_, shown := got.Integrations["email"]
		require.Equal(t, c.want != "", shown)
	}
}
