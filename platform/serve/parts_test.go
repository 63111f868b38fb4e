package serve_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/platform/platformtest"
	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newHost makes a host with the default settings, changed as asked.
func newHost(t *testing.T, log io.Writer, change ...func(*serve.Settings)) *serve.Host {
	t.Helper()
	var s serve.Settings
	require.NoError(t, settings.Load(func(string) string { return "" }, &s))
	for _, c := range change {
		c(&s)
	}
	host, err := serve.NewHost("test", s, log)
	require.NoError(t, err)
	return host
}

type order struct {
	mu    sync.Mutex
	names []string
}

func (o *order) part(name string, fail error) serve.Part {
	return serve.Part{Name: name, Run: func(ctx context.Context) error {
		if fail != nil {
			return fail
		}
		<-ctx.Done()
		o.mu.Lock()
		defer o.mu.Unlock()
		o.names = append(o.names, name)
		return nil
	}}
}

func TestPartsStopInReverseOrder(t *testing.T) {
	var o order
	ctx, stop := context.WithCancel(t.Context())
	stop()
	require.NoError(t, newHost(t, io.Discard).Run(ctx, o.part("store", nil), o.part("gRPC", nil), o.part("edge", nil)))
	require.Equal(t, []string{"edge", "gRPC", "store"}, o.names)
}

func TestAFailingPartStopsTheOthers(t *testing.T) {
	var o order
	boom := errors.New("boom")
	err := newHost(t, io.Discard).Run(t.Context(), o.part("store", nil), o.part("bad", boom), o.part("edge", nil))
	require.ErrorIs(t, err, boom)
	require.ErrorContains(t, err, "bad")
	require.Equal(t, []string{"edge", "store"}, o.names)
}

// A process that was told to stop is unready at once, and still serves while load balancers take notice.
func TestStoppingBeginsWithReadiness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log platformtest.Log
		host := newHost(t, &log, func(s *serve.Settings) { s.DrainDelay = 5 * time.Second })
		var ready, served atomic.Bool
		var edgeStopped time.Duration
		begun := time.Now()
		edge := serve.Part{Name: "edge", Run: func(ctx context.Context) error {
			served.Store(true)
			<-ctx.Done()
			edgeStopped = time.Since(begun)
			time.Sleep(time.Second) // a stream ends
			return nil
		}}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- host.Run(ctx, edge) }()
		synctest.Wait()
		require.True(t, served.Load())
		ready.Store(host.Ready(t.Context()) == nil)
		require.True(t, ready.Load())
		stop()
		synctest.Wait()
		require.ErrorContains(t, host.Ready(t.Context()), "stopping")
		require.Empty(t, ended)
		require.NoError(t, <-ended)
		require.Equal(t, 5*time.Second, edgeStopped, "the edge serves for the whole delay")
		require.Contains(t, log.String(), "stopping: the process is no longer ready")
		require.Contains(t, log.String(), `msg="waiting for a component to finish its work" component=edge`)
		require.Contains(t, log.String(), `msg="component stopped" component=edge after=1s`)
		require.Contains(t, log.String(), `msg=stopped after=6s`)
	})
}

// A component that fails while the process drains ends the wait.
func TestDrainingEndsWithAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := newHost(t, io.Discard, func(s *serve.Settings) { s.DrainDelay = time.Hour })
		ctx, stop := context.WithCancel(t.Context())
		stop()
		begun := time.Now()
		err := host.Run(ctx, serve.Part{Name: "edge", Run: func(context.Context) error {
			time.Sleep(time.Minute)
			return errors.New("boom")
		}})
		require.EqualError(t, err, "edge: boom")
		require.Equal(t, time.Minute, time.Since(begun))
	})
}

func TestWithDefaults(t *testing.T) {
	for env, want := range map[string]string{"production": "5s", "development": "", "": ""} {
		get := serve.WithDefaults(func(name string) string { return map[string]string{"TRIVET_ENV": env}[name] })
		require.Equal(t, want, get("TRIVET_DRAIN_DELAY"), env)
	}
	get := serve.WithDefaults(func(name string) string {
		return map[string]string{"TRIVET_ENV": "production", "TRIVET_DRAIN_DELAY": "0s"}[name]
	})
	require.Equal(t, "0s", get("TRIVET_DRAIN_DELAY"))
}

func TestAnAddressInUseSaysWhatToDo(t *testing.T) {
	first, err := serve.Listen(t.Context(), "TRIVET_HTTP_ADDR", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, first.Close()) }()
	_, err = serve.Listen(t.Context(), "TRIVET_HTTP_ADDR", first.Addr().String())
	require.ErrorContains(t, err, "TRIVET_HTTP_ADDR="+first.Addr().String())
	require.ErrorContains(t, err, "stop the program that uses the port (another trivet?), or set TRIVET_HTTP_ADDR to another address")
}
