package billing_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	usagev1 "github.com/trivet-dev/trivet/gen/go/trivet/usage/v1"
	"github.com/trivet-dev/trivet/platform/connect"
	"github.com/trivet-dev/trivet/platform/grpcserver"
	"github.com/trivet-dev/trivet/platform/peer"
)

// breaking is a network path that breaks each connection after a random number of bytes, until it is healed.
type breaking struct {
	listener net.Listener
	to       string
	tasks    sync.WaitGroup

	mu     sync.Mutex
	random *rand.Rand
	healed bool
	breaks int
	open   map[net.Conn]struct{}
}

func newBreaking(t *testing.T, to string, seed uint64) *breaking {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b := &breaking{listener: listener, to: to, random: rand.New(rand.NewPCG(seed, 1)), open: map[net.Conn]struct{}{}}
	b.tasks.Go(b.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		b.mu.Lock()
		for c := range b.open {
			_ = c.Close()
		}
		b.mu.Unlock()
		b.tasks.Wait()
	})
	return b
}

func (b *breaking) accept() {
	for {
		from, err := b.listener.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", b.to)
		if err != nil {
			_ = from.Close()
			continue
		}
		b.mu.Lock()
		b.open[from], b.open[to] = struct{}{}, struct{}{}
		b.mu.Unlock()
		for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
			b.tasks.Go(func() { b.pass(way[0], way[1]) })
		}
	}
}

// pass copies one direction until its bytes are used up, and breaks both.
func (b *breaking) pass(from, to net.Conn) {
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.breaks++
		for _, c := range []net.Conn{from, to} {
			_ = c.Close()
			delete(b.open, c)
		}
	}()
	b.mu.Lock()
	left, healed := 200+b.random.Int64N(12_000), b.healed
	b.mu.Unlock()
	if healed {
		_, _ = io.Copy(to, from)
		return
	}
	_, _ = io.CopyN(to, from, left)
}

// heal lets later connections live, and reports how many broke.
func (b *breaking) heal() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.healed = true
	return b.breaks
}

// listen serves the service from another server, as a replica does, and returns its address.
func (h *fixture) listen() string {
	h.t.Helper()
	h.serve(slog.New(slog.DiscardHandler))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(h.t, err)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func(server *grpcserver.Server) { served <- server.Serve(ctx, listener, 30*time.Second) }(h.server)
	h.t.Cleanup(func() {
		stop()
		require.NoError(h.t, <-served)
	})
	return listener.Addr().String()
}

// untilMade makes a call again while its outcome is unknown, for two minutes.
func untilMade[Res any](call func(ctx context.Context) (*Res, error)) (*Res, error) {
	all, end := context.WithTimeout(context.Background(), 2*time.Minute)
	defer end()
	for {
		ctx, cancel := context.WithTimeout(all, 10*time.Second)
		res, err := call(ctx)
		cancel()
		code := status.Code(err)
		if code != codes.Unavailable && code != codes.DeadlineExceeded && code != codes.Canceled && code != codes.Internal && code != codes.Unknown {
			return res, err
		}
		if all.Err() != nil {
			return nil, fmt.Errorf("the outcome is unknown for two minutes, at last because of: %w", err)
		}
	}
}

// replica is another process of the service on its database, if the database allows several.
func (h *fixture) replica() *fixture {
	h.t.Helper()
	if !h.database.OnPostgres() {
		return h
	}
	return resume(h.t, nil, h.database, h.Now(), "", h.stripe)
}

// Whatever breaks between ai and billing, and however often, each call is held once and settled once.
func TestBrokenBatchesAreDecidedOnce(t *testing.T) {
	const callers, perCaller = 16, 12
	each(t, nil, func(t *testing.T, h *fixture) {
		before, err := h.from("gateway").GetAccount(h.as(alice), &billingv1.GetAccountRequest{})
		require.NoError(t, err)
		var paths []*breaking
		var addresses []string
		for i := range 3 {
			path := newBreaking(t, h.replica().listen(), uint64(i))
			paths, addresses = append(paths, path), append(addresses, path.listener.Addr().String())
		}
		prover, err := peer.NewProver("ai", secret, time.Now)
		require.NoError(t, err)
		conn, err := connect.Dial(strings.Join(addresses, ","), prover, nil)
		require.NoError(t, err)
		defer func() { require.NoError(t, conn.Close()) }()
		client := billingv1.NewBillingServiceClient(conn)
		var running sync.WaitGroup
		failures := make(chan error, callers)
		for i := range callers {
			running.Go(func() {
				for j := range perCaller {
					if err := brokenCall(client, fmt.Sprintf("r_%d_%d", i, j)); err != nil {
						failures <- err
						return
					}
				}
			})
		}
		running.Wait()
		close(failures)
		for err := range failures {
			require.NoError(t, err)
		}
		breaks := 0
		for _, path := range paths {
			breaks += path.heal()
		}
		require.Positive(t, breaks)
		after, err := h.from("gateway").GetAccount(h.as(alice), &billingv1.GetAccountRequest{})
		require.NoError(t, err)
		require.Equal(t, before.GetAccount().GetBalanceNanoUsd()-callers*perCaller*callCost, after.GetAccount().GetBalanceNanoUsd(), "%d breaks", breaks)
		require.Zero(t, after.GetAccount().GetHeldNanoUsd())
		require.EqualValues(t, callers*perCaller, after.GetAccount().GetPeriodUsage().GetRequests())
	})
}

// brokenCall holds and settles a call.
func brokenCall(client billingv1.BillingServiceClient, id string) error {
	hold, err := untilMade(func(ctx context.Context) (*billingv1.ReserveResponse, error) {
		return client.Reserve(ctx, reserve(id, "user_alice", "user_alice"))
	})
	if err != nil {
		return fmt.Errorf("reserve %s: %w", id, err)
	}
	usage := &usagev1.CallUsage{InputTokens: 800, OutputTokens: 500}
	if _, err := untilMade(func(ctx context.Context) (*billingv1.CheckpointResponse, error) {
		return client.Checkpoint(ctx, &billingv1.CheckpointRequest{HoldId: hold.GetHoldId(), Usage: usage})
	}); err != nil {
		return fmt.Errorf("checkpoint %s: %w", id, err)
	}
	end, err := untilMade(func(ctx context.Context) (*billingv1.SettleResponse, error) {
		return client.Settle(ctx, &billingv1.SettleRequest{HoldId: hold.GetHoldId(), Usage: usage, Outcome: billingv1.Outcome_OUTCOME_COMPLETED})
	})
	if err != nil {
		return fmt.Errorf("settle %s: %w", id, err)
	}
	if end.GetCostNanoUsd() != callCost {
		return errors.New(id + " has another cost")
	}
	return nil
}
