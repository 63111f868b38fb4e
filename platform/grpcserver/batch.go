package grpcserver

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/peer"
)

const (
	// maxRunning bounds the calls of one stream whose answers are not sent yet. At the bound the stream is not read.
	maxRunning = 512
	// maxAnswers bounds the answers of one message.
	maxAnswers = 256
	// batchAge is when the caller of a stream is asked to open another one, and so proves its name again.
	batchAge = time.Minute
	// leavePatience is how long a caller may take to end a stream after it was asked to.
	leavePatience = 3 * time.Second
	// maxPatience is how many times as long it may take while calls wait that the caller sent before.
	maxPatience = 20
	// beatTime is how often a caller with running calls hears from the server at least. It is far shorter than a caller waits for a
	// server that says nothing.
	beatTime = 250 * time.Millisecond
)

// BatchStream is a stream that makes calls in batches.
type BatchStream = grpc.BidiStreamingServer[billingv1.BatchRequest, billingv1.BatchResponse]

// batchDoor is what a stream of batches needs of the server. It travels in the context of such a stream.
type batchDoor struct {
	chain  *chain
	peer   string
	prefix string // of the names of the service's RPCs
}

type batchDoorKey struct{}

// withBatchDoor lets the handler of a stream of requests serve batches.
func (c *chain) withBatchDoor(ctx context.Context, md metadata.MD, m *method) context.Context {
	proof, err := single(md, peer.Header)
	if err != nil {
		return ctx
	}
	name, err := c.config.Peers.Verify(proof)
	if err != nil {
		return ctx // the rule has let it in, so its time has just passed
	}
	return context.WithValue(ctx, batchDoorKey{}, &batchDoor{chain: c, peer: name, prefix: m.name[:strings.LastIndexByte(m.name, '/')+1]})
}

// ServeBatch is the handler of an RPC that makes calls of its service in batches. Calls run at the same time, each as if it were made
// alone; answers are sent when they are ready. When the server stops, or the stream is old, the caller is asked to leave, and what it has
// sent until it does is answered. What the server holds for a caller that does not read is bounded by maxRunning calls.
func ServeBatch(stream BatchStream) error {
	door, ok := stream.Context().Value(batchDoorKey{}).(*batchDoor)
	if !ok {
		return status.Error(codes.Unauthenticated, "the proof of the calling service has expired")
	}
	ctx, cancel := context.WithCancel(stream.Context())
	b := &batch{
		batchDoor: door, stream: stream, ctx: ctx, slots: make(chan struct{}, maxRunning), idle: make(chan batchCall),
		ready: make(chan struct{}, 1), read: make(chan error, 1), running: map[uint32]context.CancelFunc{},
	}
	go func() { b.read <- b.receive() }() // ends with the stream at the latest, which is over when the handler has returned
	err := b.send()
	b.close()
	cancel()
	b.workers.Wait()
	return err
}

// batch is one stream. One goroutine reads, the handler's own writes, and workers make the calls.
type batch struct {
	*batchDoor
	stream BatchStream
	ctx    context.Context //nolint:containedctx // the stream's
	slots  chan struct{}   // one for each call whose answer is not sent
	read   chan error      // why no further calls come
	full   atomic.Bool     // a call had to wait for a slot

	workers sync.WaitGroup
	idle    chan batchCall // to workers without a call
	ready   chan struct{}  // there are answers

	mu      sync.Mutex
	closed  bool // no call may start
	answers []*billingv1.BatchedAnswer
	running map[uint32]context.CancelFunc
}

// batchCall is a call with the context that ends with its deadline.
type batchCall struct {
	*billingv1.BatchedCall
	method *method // nil if the service has no such RPC
	ctx    context.Context
	cancel context.CancelFunc
}

// receive starts calls until the caller ends the stream.
func (b *batch) receive() error {
	for {
		in, err := b.stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		arrived := time.Now()
		b.cancel(in.GetCancelledIds()) // first, because it makes room: the ids are those of earlier messages
		for _, call := range in.GetCalls() {
			if err := b.start(call, arrived); err != nil {
				return err
			}
		}
	}
}

// start gives a call to a worker as soon as the bound of running calls allows it. The deadline counts from the call's arrival.
func (b *batch) start(in *billingv1.BatchedCall, arrived time.Time) error {
	select {
	case b.slots <- struct{}{}:
	default:
		b.full.Store(true)
		select {
		case b.slots <- struct{}{}:
		case <-b.ctx.Done():
			return b.ctx.Err()
		}
	}
	call := batchCall{BatchedCall: in, method: b.chain.methods[b.prefix+in.GetMethod()]}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return context.Canceled
	}
	timeout := b.chain.config.Timeout
	if call.method != nil {
		timeout = call.method.timeoutOf(in)
	}
	call.ctx, call.cancel = context.WithDeadline(b.ctx, arrived.Add(timeout))
	b.running[in.GetId()] = call.cancel
	select {
	case b.idle <- call:
	default:
		b.workers.Go(func() { b.work(call) })
	}
	return nil
}

// cancel ends the contexts of calls whose callers have left. They are answered as any other.
func (b *batch) cancel(ids []uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range ids {
		if cancel := b.running[id]; cancel != nil {
			cancel()
		}
	}
}

// close lets no further call start.
func (b *batch) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
}

// work makes a call, and then those that come while it has none: the stacks of its goroutine have grown already.
func (b *batch) work(call batchCall) {
	for {
		b.finish(call, b.call(call))
		select {
		case call = <-b.idle:
		case <-b.ctx.Done():
			return
		}
	}
}

func (b *batch) call(call batchCall) *billingv1.BatchedAnswer {
	if call.method == nil || call.method.handler == nil {
		return answer(call.GetId(), nil, status.Errorf(codes.Unimplemented, "no RPC %q can be called in a batch", call.GetMethod()))
	}
	out, err := b.chain.batched(call.ctx, call.method, b.peer, call.BatchedCall)
	return answer(call.GetId(), out, err)
}

// finish leaves an answer to be sent.
func (b *batch) finish(call batchCall, a *billingv1.BatchedAnswer) {
	call.cancel()
	b.mu.Lock()
	delete(b.running, a.GetId())
	b.answers = append(b.answers, a)
	b.mu.Unlock()
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// send sends answers until the caller has ended the stream and has them all. While calls run, the caller hears from it.
func (b *batch) send() error {
	stopping, read := b.chain.stopping.Done(), b.read
	age, beat := time.NewTimer(batchAge), time.NewTicker(beatTime)
	defer age.Stop()
	defer beat.Stop()
	var ended, silent bool
	asked := 0
	for {
		select {
		case <-b.ready:
			silent = false
			if err := b.flush(); err != nil {
				return err
			}
		case <-beat.C:
			if silent && len(b.slots) > 0 {
				if err := b.stream.Send(&billingv1.BatchResponse{}); err != nil {
					return err
				}
			}
			silent = true
		case <-stopping:
			stopping = nil
			age.Reset(0)
			continue
		case <-age.C:
			stopping = nil
			if asked > 0 && !b.behind() || asked > maxPatience {
				return nil // the caller makes the calls without an answer again
			}
			asked++
			age.Reset(leavePatience)
			if asked > 1 {
				continue
			}
			if err := b.stream.Send(&billingv1.BatchResponse{Leaving: true}); err != nil {
				return err
			}
		case err := <-read:
			if err != nil {
				return err
			}
			ended, read, stopping = true, nil, nil
			age.Stop() // what still runs has deadlines
		}
		if ended && len(b.slots) == 0 {
			return nil
		}
	}
}

// behind reports whether the end of the stream may not have been read because calls waited for a slot since it was last asked.
func (b *batch) behind() bool {
	return b.full.Swap(false) || len(b.slots) == cap(b.slots)
}

// flush sends the answers that are ready. Calls that were decided in one commit end together, so it lets the other workers run first.
func (b *batch) flush() error {
	runtime.Gosched()
	for {
		b.mu.Lock()
		n := min(len(b.answers), maxAnswers)
		answers := b.answers[:n:n]
		b.answers = b.answers[n:]
		if len(b.answers) == 0 {
			b.answers = nil
		}
		b.mu.Unlock()
		if n == 0 {
			return nil
		}
		if err := b.stream.Send(&billingv1.BatchResponse{Answers: answers}); err != nil {
			return err
		}
		for range n {
			<-b.slots
		}
	}
}
