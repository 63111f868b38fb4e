package connect

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/requestid"
	"github.com/trivet-dev/trivet/platform/tracing"
)

// batched are the calls that travel in batches, and the RPC that carries them. All of them may be repeated.
var batched = map[string]batchRPC{ //nolint:gochecknoglobals // never changes
	billingv1.BillingService_Reserve_FullMethodName:         {billingv1.BillingService_Batch_FullMethodName, "Reserve"},
	billingv1.BillingService_Checkpoint_FullMethodName:      {billingv1.BillingService_Batch_FullMethodName, "Checkpoint"},
	billingv1.BillingService_Settle_FullMethodName:          {billingv1.BillingService_Batch_FullMethodName, "Settle"},
	billingv1.BillingService_GetEntitlements_FullMethodName: {billingv1.BillingService_Batch_FullMethodName, "GetEntitlements"},
}

type batchRPC struct{ stream, name string }

const (
	// maxLanes bounds the streams of a connection that are not to be replaced; there is one for each replica.
	maxLanes = 8
	// maxOpen bounds all streams of a connection, also those that end when their calls are answered.
	maxOpen = 4 * maxLanes
	// laneAge is when a stream is replaced, so that new replicas get calls.
	laneAge = 10 * time.Second
	// maxWaiting bounds the calls of a stream without an answer; further ones are made alone. It is what a server runs at once for a stream
	// (maxRunning of grpcserver): with more, cancelled calls would wait to be read behind calls that wait for a place.
	maxWaiting = 512
	// maxBatchedBytes is the largest request that travels in a batch.
	maxBatchedBytes = 64 << 10
	// aloneTime is how long calls are made alone after a replica of an older version refused a stream.
	aloneTime = 30 * time.Second
)

// How a call on a stream ended.
const (
	answered = iota + 1 // by the service
	moved               // the replica did not answer, or its connection broke: another stream may
	alone               // the stream cannot carry the call
	failed              // the error is final
)

// batchedCall is a call that waits for its answer.
type batchedCall struct {
	*billingv1.BatchedCall
	ctx  context.Context //nolint:containedctx // the caller's: its end takes the call from the queue
	done chan struct{}   // closed when the fields below are set
	last bool            // no further attempt follows

	added   time.Time // to the queue
	outcome int       // 0 until the call is over
	answer  *billingv1.BatchedAnswer
	err     error // of the stream
}

// batcher makes calls in batches over one stream for each replica. Each call is answered, refused and repeated by itself: one whose
// stream breaks, or whose replica does not answer while another one does, is made again on another stream.
type batcher struct {
	conn    *Conn
	method  string        // of the stream
	laneAge time.Duration // when a stream is replaced

	ctx    context.Context //nolint:containedctx // ends with the connection
	end    context.CancelFunc
	lanes  sync.WaitGroup
	lastID atomic.Uint32

	// mu may be locked before a stream's, never after it.
	mu    sync.Mutex
	open  []*lane
	turn  int
	from  *picker   // of the last stream; nil before the first one
	alone time.Time // until when calls are made alone
}

// errClosed is the error of calls that wait when their connection is closed.
var errClosed = status.Error(codes.Canceled, "the connection is closed")

func newBatcher(conn *Conn, method string) *batcher {
	ctx, end := context.WithCancel(context.Background())
	return &batcher{conn: conn, method: method, laneAge: laneAge, ctx: ctx, end: end}
}

// close ends the streams. Calls that wait fail.
func (b *batcher) close() {
	b.mu.Lock()
	b.end() // no stream is opened after this
	b.mu.Unlock()
	b.lanes.Wait()
}

// invoke makes a call and reports whether it did; otherwise the call is to be made alone.
func (b *batcher) invoke(ctx context.Context, name string, args, reply any) (made bool, err error) {
	request, ok1 := args.(proto.Message)
	into, ok2 := reply.(proto.Message)
	if !ok1 || !ok2 || proto.Size(request) > maxBatchedBytes {
		return false, nil
	}
	encoded, err := proto.Marshal(request)
	if err != nil {
		return false, nil // gRPC says why
	}
	var left *lane
	for n := 1; n <= maxAttempts; n++ {
		call := &batchedCall{ctx: ctx, done: make(chan struct{}), last: n == maxAttempts, BatchedCall: &billingv1.BatchedCall{
			Id: b.lastID.Add(1), Method: name, Request: encoded, RequestId: requestid.From(ctx), Traceparent: tracing.Traceparent(ctx),
		}}
		l := b.lane(left)
		if l == nil || !l.add(call) {
			return b.ctx.Err() != nil, errClosed
		}
		if err := l.await(ctx, call); err != nil {
			return true, err
		}
		switch call.outcome {
		case answered:
			return result(call.answer, into)
		case alone:
			return false, nil
		case failed:
			return true, call.err
		}
		left, err = l, call.err
	}
	return true, err
}

// result reads an answer. A replica that does not know the RPC is asked once more without a batch.
func result(a *billingv1.BatchedAnswer, into proto.Message) (made bool, err error) {
	switch codes.Code(a.GetCode()) {
	case codes.OK:
		if err := proto.Unmarshal(a.GetResponse(), into); err != nil {
			return true, status.Error(codes.Internal, "the answer of a batched call cannot be read: "+err.Error())
		}
		return true, nil
	case codes.Unimplemented:
		return false, nil
	default:
		return true, status.FromProto(statusOf(a)).Err()
	}
}

// lane returns the stream for the next call; nil when calls are made alone. It opens streams until there is one for each replica. The stream
// that the call has left is the last choice.
func (b *batcher) lane(left *lane) *lane {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if b.ctx.Err() != nil || now.Before(b.alone) {
		return nil
	}
	best, bestRank := b.best(now, left)
	if len(b.open) < maxOpen && b.streams(now) < b.wanted(now) {
		opened := newLane(b)
		b.open = append(b.open, opened)
		b.lanes.Go(opened.run)
		if best == nil || bestRank > rankOpening { // a suspect replica is avoided
			best, bestRank = opened, rankOpening
		}
	}
	if bestRank == rankReady {
		b.leaveOld(now)
	}
	return best
}

// best returns the stream with the best rank, and of those the one with the fewest calls; nil when none takes a call. The caller holds mu.
func (b *batcher) best(now time.Time, left *lane) (best *lane, bestRank int) {
	b.turn++
	for i := range b.open {
		l := b.open[(b.turn+i)%len(b.open)]
		rank := l.rank(now)
		if rank == rankOver {
			continue
		}
		if l == left {
			rank = rankLeft
		}
		if best == nil || rank < bestRank || rank == bestRank && l.load() < best.load() {
			best, bestRank = l, rank
		}
	}
	return best, bestRank
}

// wanted is how many streams there should be: one for each replica that may get one now. The caller holds mu.
func (b *batcher) wanted(now time.Time) int {
	wanted := 0
	if b.from != nil {
		for _, r := range b.from.newest().replicas {
			if r.suspectUntil.Load() <= now.UnixNano() {
				wanted++
			}
		}
	}
	return max(1, min(wanted, maxLanes))
}

// streams is how many replicas have a stream that is not to be replaced, or will have one. The caller holds mu.
func (b *batcher) streams(now time.Time) int {
	taken := make([]*replica, 0, maxOpen)
	opening := 0
	for _, l := range b.open {
		if !fresh(l.rank(now)) {
			continue
		}
		if p := l.pick.picked.Load(); p == nil {
			opening++
		} else if !slices.Contains(taken, p.replica) {
			taken = append(taken, p.replica)
		}
	}
	return opening + len(taken)
}

// choose picks the replica of a stream: one without a stream if possible. Streams that open at the same time choose one after the other.
func (b *batcher) choose(p *picker, a *attempt) *replica {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	var taken []*replica
	for _, l := range b.open {
		if other := l.pick.picked.Load(); l.pick != a && other != nil && fresh(l.rank(now)) {
			taken = append(taken, other.replica)
		}
	}
	b.from = p
	r := p.next(now, a, taken)
	a.picked.Store(&pick{replica: r, from: p})
	return r
}

// leaveOld ends the streams that others replace.
func (b *batcher) leaveOld(now time.Time) {
	for _, l := range b.open {
		if rank := l.rank(now); rank == rankOld || rank == rankSuspect {
			l.leave()
		}
	}
}

// forget removes a stream that takes no further call.
func (b *batcher) forget(l *lane) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, other := range b.open {
		if other == l {
			b.open = append(b.open[:i:i], b.open[i+1:]...)
			return
		}
	}
}

// makeAlone lets calls be made alone for a while.
func (b *batcher) makeAlone() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.alone = time.Now().Add(aloneTime)
}
