package refusals_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/trivet-dev/trivet/gateway/internal/refusals"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/callid"
)

// ledger is a billing service that fails as often as told.
type ledger struct {
	billingv1.BillingServiceClient
	failures int
	slow     time.Duration                      // how long each answer takes
	batches  []*billingv1.RecordRequestsRequest // all that came, also those that failed
}

func (l *ledger) RecordRequests(ctx context.Context, in *billingv1.RecordRequestsRequest, _ ...grpc.CallOption) (*billingv1.RecordRequestsResponse, error) {
	l.batches = append(l.batches, in)
	select {
	case <-time.After(l.slow):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if l.failures > 0 {
		l.failures--
		return nil, errors.New("billing is away")
	}
	return &billingv1.RecordRequestsResponse{}, nil
}

// run runs a log within a bubble; what test does is done when it has ended.
func run(t *testing.T, l *ledger, test func(log *refusals.Log)) (logged string) {
	t.Helper()
	var out bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		log := refusals.New(l, slog.New(slog.NewTextHandler(&out, nil)), time.Now)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); log.Run(ctx) }()
		test(log)
		cancel()
		<-ended
	})
	return out.String()
}

func TestCallsAreSentTogether(t *testing.T) {
	l := &ledger{}
	logged := run(t, l, func(log *refusals.Log) {
		log.Add(refusals.Call{Account: "org_1", User: "user_1", Key: "key_1", RequestID: "req_1", Code: "BODY_TOO_LARGE", Took: 2 * time.Millisecond})
		log.Add(refusals.Call{Account: "user_2", User: "user_2", Code: "MALFORMED_BODY"})
		time.Sleep(time.Second)
		synctest.Wait()
		require.Len(t, l.batches, 1)
		log.Add(refusals.Call{Account: "user_3", Code: "MALFORMED_BODY"}) // the process stops at once
	})
	require.Empty(t, logged)
	require.Len(t, l.batches, 2)
	require.NotEqual(t, l.batches[0].GetBatchId(), l.batches[1].GetBatchId())
	first := l.batches[0].GetRequests()[0]
	require.Equal(t, []string{"org_1", "user_1", "key_1", "req_1", "BODY_TOO_LARGE"},
		[]string{first.GetAccountId(), first.GetUserId(), first.GetApiKeyId(), first.GetHttpRequestId(), first.GetErrorCode()})
	require.EqualValues(t, 2000, first.GetLatencyMicros())
	_, ok := callid.Parse(first.GetId(), "org_1")
	require.True(t, ok)
	require.Len(t, l.batches[0].GetRequests(), 2)
	require.Len(t, l.batches[1].GetRequests(), 1)
}

// A flood costs one batch each second, with a share for each account; what is left out is logged.
func TestAFloodIsBounded(t *testing.T) {
	l := &ledger{}
	logged := run(t, l, func(log *refusals.Log) {
		for i := range 10_000 {
			log.Add(refusals.Call{Account: "loud", Code: "MALFORMED_BODY"})
			log.Add(refusals.Call{Account: fmt.Sprintf("user_%d", i%100), Code: "MALFORMED_BODY"})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		log.Add(refusals.Call{Account: "loud", Code: "MALFORMED_BODY"})
		time.Sleep(time.Second)
	})
	require.Len(t, l.batches, 2)
	counts := map[string]int{}
	for _, r := range l.batches[0].GetRequests() {
		counts[r.GetAccountId()]++
	}
	require.Len(t, l.batches[0].GetRequests(), 1000)
	require.Equal(t, 50, counts["loud"])
	require.Len(t, counts, 101, "nobody is crowded out")
	require.Contains(t, logged, "calls=19000")
	require.Len(t, l.batches[1].GetRequests(), 1, "the next second has its own share")
}

// A batch whose outcome is unknown is sent again under its id, and given up after some attempts.
func TestBatchesAreRepeated(t *testing.T) {
	for failures, lost := range map[int]bool{0: false, 4: false, 5: true} {
		l := &ledger{failures: failures}
		logged := run(t, l, func(log *refusals.Log) {
			log.Add(refusals.Call{Account: "user_1", Code: "MALFORMED_BODY"})
			time.Sleep(time.Minute)
		})
		require.Len(t, l.batches, min(failures+1, 5))
		for _, batch := range l.batches {
			require.Equal(t, l.batches[0].GetBatchId(), batch.GetBatchId())
		}
		require.Equal(t, lost, logged != "", logged)
	}
}

// A process that stops completes the batch that is under way, whether billing is slow or between two attempts, and sends what waits.
func TestABatchUnderWaySurvivesTheStop(t *testing.T) {
	for name, c := range map[string]struct {
		ledger
		stop     time.Duration // after the batch began
		attempts int
		lost     bool
	}{
		"a slow answer":           {ledger{slow: 2 * time.Second}, time.Second, 1, false},
		"an answer that fails":    {ledger{slow: 2 * time.Second, failures: 1}, time.Second, 2, false},
		"between two attempts":    {ledger{failures: 1}, time.Second / 2, 2, false},
		"billing stays away":      {ledger{failures: 100}, time.Second / 2, 2, true},
		"billing does not answer": {ledger{slow: time.Hour}, time.Second, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			l := &c.ledger
			logged := run(t, l, func(log *refusals.Log) {
				log.Add(refusals.Call{Account: "user_1", Code: "MALFORMED_BODY"})
				time.Sleep(time.Second + c.stop)
			})
			require.Len(t, l.batches, c.attempts)
			for _, batch := range l.batches {
				require.Equal(t, l.batches[0].GetBatchId(), batch.GetBatchId())
			}
			require.Equal(t, c.lost, logged != "", logged)
		})
	}
}
