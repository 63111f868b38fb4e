package status_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/trivet-dev/trivet/gateway/internal/call"
	"github.com/trivet-dev/trivet/gateway/internal/status"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
	"github.com/trivet-dev/trivet/platform/health"
)

// screen is a client that keeps what it was sent.
type screen struct {
	*httptest.ResponseRecorder
	mu sync.Mutex
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ResponseRecorder.Write(b)
}

func (s *screen) events() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, line := range strings.Split(s.Body.String(), "\n") {
		if line != "" {
			out = append(out, line)
		}
	}
	return out
}

// open starts a stream from this machine; the channel is closed when it ends.
func open(ctx context.Context, page *status.Page, keepAlive time.Duration) (*screen, chan struct{}) {
	return openFrom(ctx, page, keepAlive, "127.0.0.1")
}

func openFrom(ctx context.Context, page *status.Page, keepAlive time.Duration, client string) (*screen, chan struct{}) {
	to, ended := &screen{ResponseRecorder: httptest.NewRecorder()}, make(chan struct{})
	request := httptest.NewRequest(http.MethodGet, "/api/v1/status/stream", nil).WithContext(call.With(ctx, &call.State{}))
	go func() {
		page.Stream(keepAlive, func(*http.Request) netip.Addr { return netip.MustParseAddr(client) }).ServeHTTP(to, request)
		close(ended)
	}()
	return to, ended
}

// A stream sends the report at first and after each change, and a comment while nothing changes.
func TestStreamSendsChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		changing := func(ctx context.Context) (status.Answer, error) {
			if down.Load() {
				return says(health.Operational, health.Down)(ctx)
			}
			return says(health.Operational, health.Operational)(ctx)
		}
		fine := says(health.Operational, health.Operational)
		page := status.New(services(fine, fine, changing), nobody, time.Now)
		ctx, leave := context.WithCancel(t.Context())
		to, ended := open(ctx, page, 15*time.Second)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Len(t, to.events(), 1, to.events())
		require.Equal(t, "text/event-stream", to.Header().Get("Content-Type"))
		require.Contains(t, to.events()[0], `data: {"status":"operational"`)
		down.Store(true)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Len(t, to.events(), 2)
		require.Contains(t, to.events()[1], `"banner":"No payments now."`)
		time.Sleep(16 * time.Second)
		synctest.Wait()
		require.Equal(t, ": ping", to.events()[2])
		leave()
		<-ended
	})
}

// A server that stops ends the streams at once, and takes no new ones.
func TestStopEndsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fine := says(health.Operational, health.Operational)
		page := status.New(services(fine, fine, fine), nobody, time.Now)
		_, ended := open(t.Context(), page, 0)
		synctest.Wait()
		begun := time.Now()
		page.Stop()
		page.Stop()
		<-ended
		require.Zero(t, time.Since(begun))
		_, ended = open(t.Context(), page, 0)
		<-ended
		require.Zero(t, time.Since(begun))
	})
}

func TestStreamsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fine := says(health.Operational, health.Operational)
		page := status.New(services(fine, fine, fine), nobody, time.Now)
		ctx, leave := context.WithCancel(t.Context())
		var all []chan struct{}
		for range 1000 {
			_, ended := open(ctx, page, 0)
			all = append(all, ended)
		}
		synctest.Wait()
		refused, ended := open(ctx, page, 0)
		<-ended
		require.Equal(t, http.StatusTooManyRequests, refused.Code)
		require.Equal(t, "30", refused.Header().Get("Retry-After"))
		leave()
		for _, ended := range all {
			<-ended
		}
		again, ended := open(t.Context(), page, 0)
		synctest.Wait()
		require.Equal(t, http.StatusOK, again.Code)
		page.Stop()
		<-ended
	})
}

// One client cannot hold all streams. A client is an IPv4 address, or the /64 of an IPv6 subscriber.
func TestStreamsOfOneClientAreBounded(t *testing.T) {
	for name, c := range map[string]struct{ holder, same, other string }{
		"IPv4": {"203.0.113.9", "203.0.113.9", "203.0.113.8"},
		"IPv6": {"2001:db8:0:2::1", "2001:db8:0:2:ffff::", "2001:db8:0:3::1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fine := says(health.Operational, health.Operational)
				page := status.New(services(fine, fine, fine), nobody, time.Now)
				ctx, leave := context.WithCancel(t.Context())
				one, leaveOne := context.WithCancel(t.Context())
				_, first := openFrom(one, page, 0, c.holder)
				all := []chan struct{}{first}
				for range 49 {
					_, ended := openFrom(ctx, page, 0, c.holder)
					all = append(all, ended)
				}
				synctest.Wait()
				refused, ended := openFrom(ctx, page, 0, c.same)
				<-ended
				require.Equal(t, http.StatusTooManyRequests, refused.Code)
				require.Equal(t, "30", refused.Header().Get("Retry-After"))
				other, ended := openFrom(ctx, page, 0, c.other)
				all = append(all, ended)
				leaveOne()
				<-first
				again, ended := openFrom(ctx, page, 0, c.same)
				all = append(all, ended)
				synctest.Wait()
				require.Len(t, other.events(), 1, "another client")
				require.Len(t, again.events(), 1, "a stream has ended")
				leave()
				for _, ended := range all {
					<-ended
				}
			})
		})
	}
}

// figured is a service whose provider has been called.
func figured(calls, failures int32) ask {
	return func(context.Context) (status.Answer, error) {
		provider := condition(health.Operational)
		provider.Figures = &statusv1.Figures{
			Window: durationpb.New(5 * time.Minute), Calls: calls, Failures: failures, RateLimitHits: 1, P95Latency: durationpb.New(1500 * time.Microsecond),
		}
		return &aiv1.GetStatusResponse{Service: condition(health.Operational), Provider: provider}, nil
	}
}

func TestFiguresAreForOperators(t *testing.T) {
	operator := true
	page := status.New(services(figured(0, 0), figured(8, 2), figured(1, 1)), func(*http.Request) bool { return operator }, func() time.Time { return start })
	integrations := report(t, page).Integrations
	quarter, latency, none := 0.75, 1.5, 0.0
	require.Equal(t, &status.Figures{WindowSeconds: 300, Calls: 8, SuccessRate: &quarter, P95LatencyMs: &latency, RateLimitHits: 1}, integrations["openai"].Figures)
	require.Equal(t, &status.Figures{WindowSeconds: 300, RateLimitHits: 1}, integrations["clerk"].Figures)
	require.Equal(t, &none, integrations["stripe"].Figures.SuccessRate)
	operator = false
	require.NotContains(t, get(page), "figures")
	operator = true
	require.Contains(t, get(page), `"calls":8`, "hiding the figures from one caller does not lose them")
}

// A stream hides the figures as soon as its reader is not an operator any more.
func TestStreamsHideFiguresFromFormerOperators(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var operator atomic.Bool
		operator.Store(true)
		page := status.New(services(figured(1, 0), figured(1, 0), figured(1, 0)), func(*http.Request) bool { return operator.Load() }, time.Now)
		to, ended := open(t.Context(), page, 0)
		synctest.Wait()
		require.Contains(t, to.events()[0], "figures")
		operator.Store(false)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		require.Len(t, to.events(), 2)
		require.NotContains(t, to.events()[1], "figures")
		page.Stop()
		<-ended
	})
}

// A stream needs no credential, so a wrong one must not make it ask auth again and again.
func TestStreamsAskSeldomAboutRefusedCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		page := status.New(services(figured(1, 0), figured(1, 0), figured(1, 0)), func(*http.Request) bool { return asked.Add(1) > 1 }, time.Now)
		ctx, leave := context.WithCancel(t.Context())
		to, ended := open(ctx, page, 0)
		time.Sleep(59 * time.Second)
		synctest.Wait()
		require.EqualValues(t, 1, asked.Load())
		require.NotContains(t, to.events()[0], "successRate")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		require.Greater(t, asked.Load(), int64(1), "auth may have been away")
		leave()
		<-ended
	})
}
