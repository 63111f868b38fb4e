package connect

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/peer"
)

const (
	// maxSent and maxSentBytes bound the calls of one message, as the contract does.
	maxSent, maxSentBytes = 256, 256 << 10
	// maxCancelled bounds the cancelled calls of one message.
	maxCancelled = 4096
	// maxMissed is how many calls in a row may move on from a replica that speaks before the whole stream is left.
	maxMissed = 8
)

// The ranks of streams, the best one first.
const (
	rankReady   = iota // a replica has accepted it
	rankOld            // it is to be replaced
	rankOpening        // no replica has accepted it yet
	rankTrying         // the same, and the replica did not answer before
	rankSuspect        // its replica does not answer, and another one does
	rankLeft           // the call has left it
	rankOver           // it takes no further call
)

// fresh reports whether a stream of this rank is not to be replaced.
func fresh(rank int) bool { return rank == rankReady || rank == rankOpening || rank == rankTrying }

// lane is one stream to one replica. One goroutine writes and one reads.
type lane struct {
	b      *batcher
	ctx    context.Context //nolint:containedctx // ends with the stream
	cancel context.CancelFunc
	opened time.Time
	pick   *attempt
	wake   chan struct{} // something is to be sent, or the stream is to be left

	mu        sync.Mutex
	accepted  bool
	leaving   bool // takes no further call
	hung      bool // left because its replica did not answer: further messages do not clear the suspicion
	closed    bool // nothing more is sent
	ended     bool
	heard     time.Time // of the last message
	missed    int       // calls that moved on since the last answer
	queue     []*batchedCall
	waiting   map[uint32]*batchedCall // sent, without an answer
	cancelled []uint32                // sent, and nobody waits for them
}

func newLane(b *batcher) *lane {
	ctx, cancel := context.WithCancel(b.ctx)
	l := &lane{b: b, ctx: ctx, cancel: cancel, opened: time.Now(), wake: make(chan struct{}, 1), waiting: map[uint32]*batchedCall{}}
	l.pick = &attempt{batch: b}
	return l
}

// run opens the stream and serves it to its end.
func (l *lane) run() {
	defer l.b.forget(l)
	l.b.conn.awaitConnected(l.ctx)
	ctx := context.WithValue(l.b.conn.outgoing(l.ctx), attemptKey{}, l.pick)
	stream, err := l.b.conn.inner.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, l.b.method)
	if err != nil {
		l.fail(err)
		return
	}
	var reading sync.WaitGroup
	reading.Go(func() { l.fail(l.read(stream)) })
	l.write(stream)
	reading.Wait()
}

// rank tells how good the stream is for a call. The only replica that is connected is not avoided.
func (l *lane) rank(now time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.pick.picked.Load()
	suspect := p != nil && p.replica.suspectUntil.Load() != 0 && p.from.elsewhere(p.replica)
	switch {
	case l.leaving, l.ended:
		return rankOver
	case !l.accepted && suspect:
		return rankTrying
	case !l.accepted:
		return rankOpening
	case suspect:
		return rankSuspect
	case now.Sub(l.opened) > l.b.laneAge:
		return rankOld
	default:
		return rankReady
	}
}

// load is how many calls the stream has.
func (l *lane) load() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue) + len(l.waiting)
}

// add queues a call. It reports false if the stream takes no further one.
func (l *lane) add(call *batchedCall) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leaving || l.ended || len(l.queue)+len(l.waiting) >= maxWaiting {
		return false
	}
	call.added = time.Now()
	l.queue = append(l.queue, call)
	l.signal()
	return true
}

func (l *lane) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// await returns when the call has an outcome, or with an error when its caller's time is over.
func (l *lane) await(ctx context.Context, call *batchedCall) error {
	patience := time.NewTimer(attemptTime)
	defer patience.Stop()
	for {
		select {
		case <-call.done:
			return nil
		case <-ctx.Done():
			if l.abandon(call) {
				return status.FromContextError(ctx.Err()).Err()
			}
		case <-patience.C:
			if !call.last {
				l.hangs(call)
				patience.Reset(attemptTime)
			}
		}
	}
}

// abandon drops a call whose caller has left. It reports false if the call has an outcome.
func (l *lane) abandon(call *batchedCall) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if call.outcome != 0 {
		return false
	}
	l.drop(call)
	l.finish(call, moved, nil, nil)
	l.signal()
	return true
}

// drop removes a call that has no answer. The caller holds mu.
func (l *lane) drop(call *batchedCall) {
	if l.waiting[call.Id] == nil {
		return // it is in the queue, which skips it
	}
	delete(l.waiting, call.Id)
	if len(l.cancelled) < maxCancelled {
		l.cancelled = append(l.cancelled, call.Id)
	}
	if l.closed && len(l.waiting) == 0 {
		l.cancel() // its replica may hang
	}
}

// finish sets the outcome of a call, once. The caller holds mu.
func (*lane) finish(call *batchedCall, outcome int, a *billingv1.BatchedAnswer, err error) {
	if call.outcome == 0 {
		call.outcome, call.answer, call.err = outcome, a, err
		close(call.done)
	}
}

// hangs moves on a call that has waited for long, if another replica answers. If the replica has said nothing at all meanwhile, or several
// such calls had no answer, the whole stream is left, and its calls move on together.
func (l *lane) hangs(call *batchedCall) {
	p := l.pick.picked.Load()
	if p == nil || !p.from.elsewhere(p.replica) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if call.outcome != 0 || l.ended {
		return // it was answered, or moved on, while this waited for the lock
	}
	late := status.Error(codes.Unavailable, "the replica did not answer in time")
	l.missed++
	if l.heard.After(call.added) && l.missed < maxMissed {
		l.drop(call)
		l.finish(call, moved, nil, late)
		l.signal()
		return
	}
	p.replica.suspect()
	l.leaving, l.hung = true, true
	left := 0
	for _, other := range l.pending() {
		switch {
		case other.last && other.outcome == 0:
			left++
		case other.outcome == 0:
			l.drop(other)
			l.finish(other, moved, nil, late)
		}
	}
	if left == 0 {
		l.cancel()
	}
	l.signal()
}

// pending returns the calls without an outcome. The caller holds mu.
func (l *lane) pending() []*batchedCall {
	all := append([]*batchedCall(nil), l.queue...)
	for _, call := range l.waiting {
		all = append(all, call)
	}
	return all
}

// leave lets the stream end when its calls are answered.
func (l *lane) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leaving = true
	l.signal()
}

// write sends what is queued. What arrives while a message is sent travels in the next one, so a lone call never waits for others.
func (l *lane) write(stream grpc.ClientStream) {
	for {
		select {
		case <-l.wake:
		case <-l.ctx.Done():
			return
		}
		for {
			request, more := l.take()
			if request == nil {
				break
			}
			if stream.SendMsg(request) != nil {
				return // the reader learns why
			}
			if !more {
				break
			}
		}
		if l.over() {
			_ = stream.CloseSend() // its error is the reader's
			return
		}
	}
}

// over reports whether nothing is left to be sent for good. A stream without calls does not wait for a replica that hangs.
func (l *lane) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.leaving || len(l.queue) > 0 {
		return false
	}
	l.closed = true
	if p := l.pick.picked.Load(); len(l.waiting) == 0 && p != nil && p.replica.suspectUntil.Load() != 0 {
		l.cancel()
	}
	return true
}

// take moves calls from the queue into a message; nil when nothing is to be sent.
func (l *lane) take() (request *billingv1.BatchRequest, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	request = &billingv1.BatchRequest{CancelledIds: l.cancelled}
	l.cancelled = nil
	size, taken, now := 0, 0, time.Now()
	for _, call := range l.queue {
		if len(request.Calls) == maxSent || size > maxSentBytes {
			break
		}
		taken++
		if call.outcome != 0 || !call.timeLeft(now) {
			continue
		}
		size += len(call.Request)
		l.waiting[call.Id] = call
		request.Calls = append(request.Calls, call.BatchedCall)
	}
	l.queue = l.queue[taken:]
	if len(l.queue) == 0 {
		l.queue = nil
	}
	if len(request.Calls)+len(request.CancelledIds) == 0 {
		return nil, false
	}
	return request, len(l.queue) > 0
}

// timeLeft notes how long the caller still waits. It reports false if that is over; the caller then leaves by itself.
func (c *batchedCall) timeLeft(now time.Time) bool {
	deadline, ok := c.ctx.Deadline()
	if !ok {
		return true
	}
	c.TimeoutMicros = deadline.Sub(now).Microseconds()
	return c.TimeoutMicros > 0
}

// read takes answers until the stream ends, and returns why it did.
func (l *lane) read(stream grpc.ClientStream) error {
	late := time.AfterFunc(acceptTime, l.refuse)
	header, err := stream.Header()
	late.Stop()
	if err == nil && len(header.Get(peer.AcceptedHeader)) > 0 {
		l.hear(nil)
	}
	for {
		message := &billingv1.BatchResponse{}
		if err := stream.RecvMsg(message); err != nil {
			return err
		}
		l.hear(message)
	}
}

// refuse leaves a stream that its replica does not accept while another one answers.
func (l *lane) refuse() {
	p := l.pick.picked.Load()
	if p == nil || !p.from.elsewhere(p.replica) {
		return
	}
	l.mu.Lock()
	over := l.accepted || l.ended
	l.mu.Unlock()
	if over {
		return
	}
	p.replica.suspect()
	l.fail(status.Error(codes.Unavailable, "the replica did not accept a stream in time"))
}

// hear takes a message of the replica, nil for its acceptance of the stream.
func (l *lane) hear(m *billingv1.BatchResponse) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.hung {
		l.pick.picked.Load().replica.suspectUntil.Store(0)
	}
	l.accepted, l.heard = true, time.Now()
	for _, a := range m.GetAnswers() {
		if call := l.waiting[a.GetId()]; call != nil { // the answer to a cancelled call says nothing
			l.missed = 0
			delete(l.waiting, a.GetId())
			l.finish(call, answered, a, nil)
		}
	}
	if m.GetLeaving() {
		l.leaving = true
		l.signal()
	}
}

// fail ends the stream and decides of each of its calls whether it moves on.
func (l *lane) fail(err error) {
	outcome, err := l.outcomeOf(err) // before l.mu is locked: it may lock the batcher, which locks streams
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cancel()
	if l.ended {
		return
	}
	l.ended = true
	for _, call := range l.pending() {
		l.finish(call, outcome, nil, err)
	}
	l.queue, l.waiting = nil, nil
}

// outcomeOf tells what happens to the calls of a stream that failed: they move on if a replica was lost, fail if no replica could be reached
// or the connection is closed, and are made alone otherwise, so that the service itself says what is wrong. A replica of an older version does
// not know the stream, and not every service may use it.
func (l *lane) outcomeOf(err error) (outcome int, _ error) {
	code := status.Code(err)
	switch {
	case l.b.ctx.Err() != nil:
		return failed, errClosed
	case errors.Is(err, io.EOF):
		return moved, status.Error(codes.Unavailable, "the replica ended a stream before it answered")
	case code == codes.Unimplemented, code == codes.PermissionDenied:
		l.b.makeAlone()
		return alone, err
	case code != codes.Unavailable || len(status.Convert(err).Details()) > 0:
		return alone, err
	case l.pick.picked.Load() == nil:
		return failed, err
	default:
		return moved, err
	}
}

// statusOf is the status of a call that the service refused.
func statusOf(a *billingv1.BatchedAnswer) *spb.Status {
	return &spb.Status{Code: a.GetCode(), Message: a.GetMessage(), Details: a.GetDetails()}
}
