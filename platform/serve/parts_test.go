package serve_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/platform/serve"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
	require.NoError(t, serve.Run(ctx, slog.New(slog.DiscardHandler), o.part("store", nil), o.part("gRPC", nil), o.part("edge", nil)))
	require.Equal(t, []string{"edge", "gRPC", "store"}, o.names)
}

func TestAFailingPartStopsTheOthers(t *testing.T) {
	var o order
	boom := errors.New("boom")
	err := serve.Run(t.Context(), slog.New(slog.DiscardHandler), o.part("store", nil), o.part("bad", boom), o.part("edge", nil))
	require.ErrorIs(t, err, boom)
	require.ErrorContains(t, err, "bad")
	require.Equal(t, []string{"edge", "store"}, o.names)
}
