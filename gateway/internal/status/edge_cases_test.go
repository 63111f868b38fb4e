package status_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway/internal/status"
	"github.com/trivet-dev/trivet/platform/health"
)

// A service that has answered is not starting any more: when it is lost within the first seconds, it is down.
func TestAServiceThatAnsweredIsNotStarting(t *testing.T) {
	now := start
	billing := says(health.Operational, health.Operational)
	page := status.New([]status.Service{{Name: "billing", Integration: "stripe", Ask: func(ctx context.Context) (status.Answer, error) { return billing(ctx) }}}, nobody,
		func() time.Time { return now })
	require.Equal(t, "operational", report(t, page).Services["billing"])
	billing, now = unreachable, start.Add(5*time.Second)
	require.Equal(t, "down", report(t, page).Services["billing"])
}

// The banner is for payments that cannot be made, not for a provider that has some failures.
func TestOnlyAnOutageHasABanner(t *testing.T) {
	for state, want := range map[string]string{"operational": "", "degraded": "", "down": "No payments now.", "unknown": ""} {
		condition := map[string]func(context.Context) (status.Answer, error){
			"operational": says(health.Operational, health.Operational), "degraded": says(health.Operational, health.Degraded),
			"down": says(health.Operational, health.Down), "unknown": says(health.Operational, health.Unknown),
		}[state]
		fine := says(health.Operational, health.Operational)
		page := status.New(services(fine, fine, condition), nobody, func() time.Time { return start })
		got := report(t, page).Integrations["stripe"]
		require.Equal(t, state, got.Status)
		require.Equal(t, want, got.Banner, state)
	}
}

// The one who asks first may leave: the services must not seem to be down to the others because of that.
func TestTheFirstCallerMayLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(ctx context.Context) (status.Answer, error) {
			select {
			case <-time.After(time.Second):
				return says(health.Operational, health.Operational)(ctx)
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		page := status.New([]status.Service{{Name: "ai", Integration: "openai", Ask: slow}}, nobody, time.Now)
		ctx, leave := context.WithCancel(t.Context())
		go page.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
		synctest.Wait()
		leave()
		require.Equal(t, "operational", report(t, page).Services["ai"])
	})
}

// A service that has just answered and is now too slow is degraded, and its integrations are as it said. One that cannot be reached is down at once.
func TestOneLateAnswerShowsNoBanner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fine := says(health.Operational, health.Operational)
		ask := fine
		page := status.New(services(fine, fine, func(ctx context.Context) (status.Answer, error) { return ask(ctx) }), nobody, time.Now)
		began := report(t, page).Integrations["stripe"]
		require.Equal(t, "operational", began.Status)
		ask = func(ctx context.Context) (status.Answer, error) { <-ctx.Done(); return nil, ctx.Err() }
		for _, wait := range []time.Duration{2 * time.Second, time.Second} { // each question takes 3 s more
			time.Sleep(wait)
			got := report(t, page)
			require.Equal(t, "degraded", got.Status)
			require.Equal(t, "degraded", got.Services["billing"])
			require.Equal(t, began, got.Integrations["stripe"])
		}
		time.Sleep(2 * time.Second) // it has not answered for more than 10 s
		got := report(t, page)
		require.Equal(t, "down", got.Services["billing"])
		require.Equal(t, "down", got.Integrations["stripe"].Status)
		require.Equal(t, "No payments now.", got.Integrations["stripe"].Banner)

		ask = fine
		time.Sleep(2 * time.Second)
		require.Equal(t, began, report(t, page).Integrations["stripe"])
		ask = func(context.Context) (status.Answer, error) { return nil, errors.New("connection refused") }
		time.Sleep(2 * time.Second)
		require.Equal(t, "down", report(t, page).Services["billing"])
	})
}
