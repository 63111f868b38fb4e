// Package connect reaches one service from another: over the network or
// in-process, with the same proof of who is calling and the same request id.
package connect

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"github.com/trivet-dev/trivet/platform/peer"
	"github.com/trivet-dev/trivet/platform/ratelog"
)

// maxMessage is the largest message taken; above what a server sends.
const maxMessage = 64 << 20

const (
	// longestBackoff between two attempts to connect is shorter than connectPatience,
	// so that a call that waits sees at least one attempt.
	longestBackoff = 250 * time.Millisecond
	// connectPatience is how long a call waits for a connection before it fails as unavailable.
	connectPatience = 500 * time.Millisecond
)

// serviceConfig spreads calls over all replicas of a service.
const serviceConfig = `{"loadBalancingConfig": [{"` + policy + `": {}}]}`

// Dial makes a connection to the replicas of a service that reconnects by itself: to all addresses that the name in address has, or to
// those in a list with commas. Calls go to the replicas in turn. It does not wait for them to answer. tls nil is plain text, for loopback and meshes only. Close it when done.
func Dial(address string, prover *peer.Prover, tls credentials.TransportCredentials) (*Conn, error) {
	if tls == nil {
		tls = insecure.NewCredentials()
	}
	target, lists := Target(address)
	conn, err := grpc.NewClient(target, lists,
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithDisableServiceConfig(), // TXT records could replace it
		grpc.WithNoProxy(),              // HTTPS_PROXY is for the way to the providers
		grpc.WithTransportCredentials(tls),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		// A process that hangs keeps its connections open. It is given up after 13 s, also when it has no call to answer.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 3 * time.Second, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: longestBackoff},
			MinConnectTimeout: 2 * time.Second,
		}))
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	c := newConn(conn, prover, conn.Close)
	c.client = conn
	c.batches = map[string]*batcher{}
	for _, rpc := range batched {
		if c.batches[rpc.stream] == nil {
			c.batches[rpc.stream] = newBatcher(c, rpc.stream)
		}
	}
	return c, nil
}

// InProcess wraps a server's in-process channel.
func InProcess(channel grpc.ClientConnInterface, prover *peer.Prover) *Conn {
	return newConn(channel, prover, func() error { return nil })
}

func newConn(inner grpc.ClientConnInterface, prover *peer.Prover, end func() error) *Conn {
	return &Conn{inner: inner, prover: prover, close: end, log: slog.New(slog.DiscardHandler), lines: ratelog.New(nil)}
}

// Conn is a connection that says who is calling.
type Conn struct {
	inner  grpc.ClientConnInterface
	client *grpc.ClientConn       // nil in process
	from   atomic.Pointer[picker] // of the last stream with one request; nil before the first one
	prover *peer.Prover
	close  func() error
	// batches are the streams of calls that travel together, by RPC; empty in process.
	batches map[string]*batcher
	log     *slog.Logger
	lines   *ratelog.Limiter
}

// Invoke makes a unary call. A call that may be repeated moves on to another replica when the first one does not answer. If the other
// service refuses this one, the error is SERVICE_UNAVAILABLE: the person whose request this service serves did nothing wrong.
func (c *Conn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return c.seen(ctx, method, c.call(ctx, method, args, reply, opts...))
}

func (c *Conn) call(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	if rpc, ok := batched[method]; ok && c.client != nil && plain(opts) {
		if made, err := c.batches[rpc.stream].invoke(ctx, rpc.name, args, reply); made {
			return err
		}
	}
	if patience := patienceOf(method); patience > 0 && c.client != nil {
		return c.invoke(ctx, patience, method, args, reply, opts)
	}
	if c.client == nil {
		return c.inner.Invoke(c.outgoing(ctx), method, args, reply, opts...)
	}
	return c.once(ctx, method, args, reply, opts)
}

// plain reports whether a call has no options but the one that generated clients add.
func plain(opts []grpc.CallOption) bool {
	for _, o := range opts {
		if _, ok := o.(grpc.StaticMethodCallOption); !ok {
			return false
		}
	}
	return true
}

// NewStream begins a stream. One with a single request moves on to another replica when the first one does not accept it. Errors are
// those of Invoke.
func (c *Conn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if !desc.ClientStreams && c.client != nil {
		return c.open(ctx, desc, method, opts)
	}
	c.awaitConnected(ctx)
	stream, err := c.inner.NewStream(c.outgoing(ctx), desc, method, opts...)
	if err != nil {
		return nil, c.seen(ctx, method, err)
	}
	return &seenStream{ClientStream: stream, seen: func(err error) error { return c.seen(ctx, method, err) }}, nil
}

// awaitConnected gives a process that is just starting a moment to listen. Without it, every call fails at once until
// the backoff of the last failed attempt has passed, although the process already listens.
func (c *Conn) awaitConnected(ctx context.Context) {
	if c.client == nil || c.client.GetState() == connectivity.Ready {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, connectPatience)
	defer cancel()
	c.client.Connect()
	for state := c.client.GetState(); state != connectivity.Ready; state = c.client.GetState() {
		if !c.client.WaitForStateChange(ctx, state) {
			return
		}
	}
}

// Ready asks the other side's health service whether it serves. Errors: those of the connection, or that it does not serve.
func (c *Conn) Ready(ctx context.Context) error {
	answer, err := healthv1.NewHealthClient(c.inner).Check(ctx, &healthv1.HealthCheckRequest{})
	if err != nil {
		return err
	}
	if answer.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		return fmt.Errorf("its health is %s", answer.GetStatus())
	}
	return nil
}

// Close ends the connection.
func (c *Conn) Close() error {
	for _, b := range c.batches {
		b.close()
	}
	return c.close()
}
