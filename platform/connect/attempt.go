package connect

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/trivet-dev/trivet/platform/peer"
	"github.com/trivet-dev/trivet/platform/requestid"
	"github.com/trivet-dev/trivet/platform/tracing"
)

const (
	// attemptTime is how long a call waits for one replica while another one answers.
	attemptTime = time.Second
	// readTime is the same for a call that reads: some read much.
	readTime = 2 * time.Second
	// acceptTime is how long a stream waits for a replica to accept it while another one answers.
	acceptTime = 2 * time.Second
	// maxAttempts bounds the replicas that a call tries.
	maxAttempts = 3
)

// attempt is one try of a call. The balancer notes in it which replica got the call.
type attempt struct {
	stream   bool
	batch    *batcher // of a stream of batches, whose reader judges the replica
	single   bool     // of a call that must not be repeated: it only notes that a replica was picked
	picked   atomic.Pointer[pick]
	mayLeave atomic.Bool // of a stream: the replica does not have the request yet, and tells when it takes it
	verdict  atomic.Int32
}

// The verdicts on an attempt: the first one stands.
const (
	left = 1 // the replica did not answer in time, and the call moves on
	kept = 2 // the replica answered in time
)

// keep reports whether the attempt was not left; then it will not be.
func (a *attempt) keep() bool { return a.verdict.CompareAndSwap(0, kept) }

func (a *attempt) left() bool { return a.verdict.Load() == left }

// canLeave reports whether the replica is known to say when it accepts a stream, and another one answers.
func (a *attempt) canLeave() bool {
	p := a.picked.Load()
	return p != nil && p.replica.accepts.Load() && p.from.elsewhere(p.replica)
}

// pick is the replica of an attempt, and those that it was chosen from.
type pick struct {
	replica *replica
	from    *picker
}

type attemptKey struct{}

// attemptFrom returns the attempt that a call belongs to, or nil.
func attemptFrom(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

// begin returns the context of an attempt. When the attempt takes longer than patience and another replica answers, the context ends.
func (a *attempt) begin(ctx context.Context, patience time.Duration) (_ context.Context, timer *time.Timer, cancel context.CancelFunc) {
	ctx, cancel = context.WithCancel(context.WithValue(ctx, attemptKey{}, a))
	timer = time.AfterFunc(patience, func() {
		p := a.picked.Load()
		if p == nil || !p.from.elsewhere(p.replica) || a.stream && !a.mayLeave.Load() || !a.verdict.CompareAndSwap(0, left) {
			return
		}
		p.replica.suspect()
		cancel()
	})
	return ctx, timer, cancel
}

// movesOn reports whether a failed attempt may be followed by another one: the replica was left, or its connection broke. An error
// that the service itself gave has details, and is final.
func (a *attempt) movesOn(ctx context.Context, err error) bool {
	if ctx.Err() != nil || a.picked.Load() == nil {
		return false
	}
	return a.left() || broken(err)
}

// invoke makes a unary call that may be repeated. A replica that does not answer for as long as patience is left while another one
// answers. The last attempt has all the time that the caller gives.
func (c *Conn) invoke(ctx context.Context, patience time.Duration, method string, args, reply any, opts []grpc.CallOption) error {
	for n := 1; ; n++ {
		c.awaitConnected(ctx)
		a := &attempt{}
		own, timer, cancel := a.begin(c.outgoing(ctx), patience)
		if n == maxAttempts {
			timer.Stop()
		}
		err := c.inner.Invoke(own, method, args, reply, opts...)
		timer.Stop()
		cancel()
		if err == nil || n == maxAttempts || !a.movesOn(ctx, err) {
			return err
		}
	}
}

// once makes a unary call that must not be repeated.
func (c *Conn) once(ctx context.Context, method string, args, reply any, opts []grpc.CallOption) error {
	c.awaitConnected(ctx)
	a := &attempt{single: true}
	err := c.inner.Invoke(context.WithValue(c.outgoing(ctx), attemptKey{}, a), method, args, reply, opts...)
	if err != nil && a.picked.Load() == nil {
		return ErrUnsent(err)
	}
	return err
}

// outgoing adds who is calling, for which request and in which trace, and more pairs of names and values.
func (c *Conn) outgoing(ctx context.Context, more ...string) context.Context {
	pairs := append(make([]string, 0, 8), peer.Header, c.prover.Proof())
	if id := requestid.From(ctx); id != "" {
		pairs = append(pairs, requestid.Header, id)
	}
	if traceparent := tracing.Traceparent(ctx); traceparent != "" {
		pairs = append(pairs, tracing.Header, traceparent)
	}
	return metadata.AppendToOutgoingContext(ctx, append(pairs, more...)...)
}
