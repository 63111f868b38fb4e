package grpcserver

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
)

// sentStream notes what is sent.
type sentStream struct {
	grpc.ServerStream
	leaving, answers, beats atomic.Int64
}

func (s *sentStream) Send(m *billingv1.BatchResponse) error {
	s.answers.Add(int64(len(m.GetAnswers())))
	switch {
	case m.GetLeaving():
		s.leaving.Add(1)
	case len(m.GetAnswers()) == 0:
		s.beats.Add(1)
	}
	return nil
}

func (*sentStream) Recv() (*billingv1.BatchRequest, error) { return nil, context.Canceled }

// sendingBatch is a stream with running calls whose handler sends.
type sendingBatch struct {
	*batch
	sent *sentStream
	stop context.CancelFunc // begins to stop the server
	over chan error
}

func newSendingBatch(t *testing.T, running, slots int) *sendingBatch {
	t.Helper()
	stopping, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	s := &sendingBatch{sent: &sentStream{}, stop: stop, over: make(chan error, 1)}
	s.batch = &batch{
		batchDoor: &batchDoor{chain: &chain{stopping: stopping}}, stream: s.sent, ctx: t.Context(), slots: make(chan struct{}, slots),
		ready: make(chan struct{}, 1), read: make(chan error, 1), running: map[uint32]context.CancelFunc{},
	}
	for range running {
		s.slots <- struct{}{}
	}
	go func() { s.over <- s.send() }()
	synctest.Wait()
	return s
}

// answer ends a running call.
func (s *sendingBatch) answer() {
	s.finish(batchCall{cancel: func() {}}, &billingv1.BatchedAnswer{})
	synctest.Wait()
}

func TestCallersThatEndedAStreamGetAllAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newSendingBatch(t, 2, 4)
		b.read <- nil
		synctest.Wait()
		b.stop()
		time.Sleep(time.Minute)
		b.answer()
		require.Empty(t, b.over)
		b.answer()
		require.NoError(t, <-b.over)
		require.EqualValues(t, 2, b.sent.answers.Load())
		require.Zero(t, b.sent.leaving.Load(), "the caller has left")
	})
}

func TestTheEndOfAStreamMayWaitBehindCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newSendingBatch(t, 2, 2)
		b.stop()
		time.Sleep(8*leavePatience + time.Second)
		b.answer()
		require.Empty(t, b.over, "all slots were taken")
		b.full.Store(true) // another call got the slot, and ended
		time.Sleep(leavePatience)
		require.Empty(t, b.over)
		b.read <- nil
		time.Sleep(time.Minute)
		b.answer()
		require.NoError(t, <-b.over)
		require.EqualValues(t, 2, b.sent.answers.Load())
		require.EqualValues(t, 1, b.sent.leaving.Load())
	})
}

func TestCallersThatDoNotLeaveAStreamAreLeft(t *testing.T) {
	for name, slots := range map[string]int{"few calls": 2, "all slots are taken": 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				b := newSendingBatch(t, 1, slots)
				b.stop()
				require.NoError(t, <-b.over)
				require.EqualValues(t, 1, b.sent.leaving.Load())
				limit := leavePatience
				if slots == 1 {
					limit *= maxPatience + 1
				}
				require.LessOrEqual(t, time.Since(begin), limit)
				require.GreaterOrEqual(t, time.Since(begin), leavePatience)
			})
		})
	}
}

// A caller hears from the server while calls run, and only then.
func TestCallersHearThatCallsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newSendingBatch(t, 1, 4)
		time.Sleep(10*time.Second + beatTime/2)
		require.InDelta(t, int(10*time.Second/beatTime), b.sent.beats.Load(), 1)
		b.answer()
		time.Sleep(beatTime)
		before := b.sent.beats.Load()
		time.Sleep(10 * time.Second)
		require.Equal(t, before, b.sent.beats.Load())
		b.read <- nil
		require.NoError(t, <-b.over)
	})
}
