package background_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/trivet-dev/trivet/services/ai/internal/background"
	"github.com/trivet-dev/trivet/services/ai/internal/stored"
)

// logged has a process write its log into a buffer.
func logged(r *background.Runner) *bytes.Buffer {
	var out bytes.Buffer
	r.Logger = slog.New(slog.NewTextHandler(&out, nil))
	return &out
}

// A key of another project hides every response. Nothing is lost until the operator had time to repair it.
func TestAResponseThatIsMissingForAWhileIsBilled(t *testing.T) {
	each(t, func(w *world) {
		w.begin("resp_1", 321, 2)
		runner := w.process(w.rows)
		out := logged(runner)
		background.Look(w.Context(), runner)
		w.pass(3 * time.Second)
		background.Look(w.Context(), runner)
		require.Empty(w, out.String())
		w.provider.unknown = true
		for range 119 {
			w.pass(time.Minute)
			background.Look(w.Context(), runner)
		}
		require.Positive(w, w.billing.Held())
		require.Equal(w, 1, strings.Count(out.String(), "level=ERROR"), out)
		require.Contains(w, out.String(), "does not know a running response any more")
		w.provider.unknown = false
		w.pass(20 * time.Second)
		background.Look(w.Context(), runner)
		w.billed()
	})
}

// A response that its provider does not find yet is not deleted for nothing.
func TestAMissingResponseIsNotDeletedAtOnce(t *testing.T) {
	each(t, func(w *world) {
		w.begin("resp_1", 321, 0)
		w.provider.unknown = true
		runner := w.process(w.rows)
		w.pass(time.Hour)
		require.Error(w, runner.End(w.Context(), "resp_1"))
		background.Look(w.Context(), runner)
		w.pass(2*time.Minute - time.Second)
		require.Error(w, runner.End(w.Context(), "resp_1"))
		require.Positive(w, w.billing.Held())
		w.pass(time.Second)
		require.NoError(w, runner.End(w.Context(), "resp_1"))
		require.Zero(w, w.billing.Held())
	})
}

// Two callers delete a response at once: the one who comes second finds it settled, and gone at its provider.
func TestBothOfTwoDeletionsEnd(t *testing.T) {
	each(t, func(w *world) {
		w.begin("resp_1", 321, 0)
		w.provider.output["resp_1/cancel"] = 321
		runner := w.process(w.rows)
		w.provider.before = func(ctx context.Context, _ string) error {
			w.provider.before = nil
			require.NoError(w, w.process(w.rows).End(ctx, "resp_1"))
			w.provider.unknown = true
			return nil
		}
		require.NoError(w, runner.End(w.Context(), "resp_1"))
		w.billed()
	})
}

// What billing rejects until somebody repairs it must not be forgotten: the sweeper would charge the bound.
func TestARejectedSettlementIsKept(t *testing.T) {
	each(t, func(w *world) {
		w.begin("resp_1", 321, 0)
		rejects := true
		w.billing.Before = func(_ context.Context, rpc string) error {
			if rejects && rpc == "Settle" {
				return status.Error(codes.Unimplemented, "unknown method")
			}
			return nil
		}
		runner := w.process(w.rows)
		out := logged(runner)
		w.pass(3 * time.Second)
		for range 4 {
			background.Look(w.Context(), runner)
			w.pass(15 * time.Second)
		}
		require.Equal(w, 4, w.provider.asked["resp_1"])
		require.Equal(w, 1, strings.Count(out.String(), "level=ERROR"), out)
		rejects = false
		background.Look(w.Context(), runner)
		w.billed()
	})
}

// The log tells when the failures of a target begin, and then once a minute.
func TestFailuresAreToldOnceAMinute(t *testing.T) {
	each(t, func(w *world) {
		w.begin("resp_1", 5, 0)
		w.begin("resp_2", 5, 0)
		w.provider.before = func(context.Context, string) error { return errKilled }
		runner := w.process(w.rows)
		out := logged(runner)
		w.pass(3 * time.Second)
		for range 9 {
			background.Look(w.Context(), runner)
			w.pass(15 * time.Second)
		}
		require.Equal(w, 3, strings.Count(out.String(), "could not be fetched or settled"), out)
		w.provider.before = nil
		background.Look(w.Context(), runner)
		w.billed()
	})
}

// hanging is a store that hangs while somebody notes tokens.
type hanging struct {
	stored.Background
	waits []time.Duration
}

func (h *hanging) See(ctx context.Context, _ string, _ int64) error {
	deadline, _ := ctx.Deadline()
	h.waits = append(h.waits, time.Until(deadline))
	return context.DeadlineExceeded
}

func TestAStoreThatHangsDoesNotStopStreams(t *testing.T) {
	now, store := time.Unix(1_795_000_000, 0), &hanging{}
	runner := background.New(background.Options{Store: store, Logger: quiet(), Now: func() time.Time { return now }})
	require.False(t, runner.See(t.Context(), "resp_1", 1, false))
	require.False(t, runner.See(t.Context(), "resp_1", 2, false), "it is left alone for a while")
	require.Len(t, store.waits, 1)
	require.LessOrEqual(t, store.waits[0], 250*time.Millisecond)
	require.False(t, runner.See(t.Context(), "resp_1", 3, true), "the last number is tried")
	require.Len(t, store.waits, 2)
	require.LessOrEqual(t, store.waits[1], 5*time.Second)
	now = now.Add(30 * time.Second)
	runner.See(t.Context(), "resp_1", 4, false)
	require.Len(t, store.waits, 3)
}
