package grpcserver_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	usagev1 "github.com/trivet-dev/trivet/gen/go/trivet/usage/v1"
	"github.com/trivet-dev/trivet/platform/connect"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/grpcserver"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/peer"
	"github.com/trivet-dev/trivet/platform/requestid"
)

const batchMethod = billingv1.BillingService_Batch_FullMethodName

// ledger is billing with one RPC between services.
type ledger struct {
	billingv1.UnimplementedBillingServiceServer
	reserve func(context.Context, *billingv1.ReserveRequest) (*billingv1.ReserveResponse, error)
	settles atomic.Int64
}

func (l *ledger) Reserve(ctx context.Context, in *billingv1.ReserveRequest) (*billingv1.ReserveResponse, error) {
	return l.reserve(ctx, in)
}

func (l *ledger) Settle(context.Context, *billingv1.SettleRequest) (*billingv1.SettleResponse, error) {
	l.settles.Add(1)
	return &billingv1.SettleResponse{CostNanoUsd: 7}, nil
}

func (*ledger) GetAccount(context.Context, *billingv1.GetAccountRequest) (*billingv1.GetAccountResponse, error) {
	return &billingv1.GetAccountResponse{}, nil
}

func (*ledger) Batch(stream grpcserver.BatchStream) error { return grpcserver.ServeBatch(stream) }

// billingServer is a replica of billing.
type billingServer struct {
	address string
	log     *lockedLog
	stop    func() // gracefully, and waits
	server  *grpcserver.Server
}

// lockedLog is a log that may be read and emptied while it is written.
type lockedLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lockedLog) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Reset()
}

func serveBilling(t *testing.T, impl billingv1.BillingServiceServer) *billingServer {
	t.Helper()
	key := ed25519.NewKeyFromSeed(secret)
	public, ok := key.Public().(ed25519.PublicKey)
	require.True(t, ok)
	passports, err := passport.NewVerifier([]ed25519.PublicKey{public}, time.Now)
	require.NoError(t, err)
	peers, err := peer.NewVerifier(secret, time.Now)
	require.NoError(t, err)
	b := &billingServer{log: &lockedLog{}}
	b.server, err = grpcserver.New(grpcserver.Config{
		Logger: slog.New(slog.NewTextHandler(b.log, nil)), Meter: noop.Meter{}, Passports: passports, Peers: peers,
	})
	require.NoError(t, err)
	billingv1.RegisterBillingServiceServer(b.server, impl)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b.address = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- b.server.Serve(ctx, listener, 30*time.Second) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-served)
		require.NoError(t, b.server.Drain(context.Background()))
	})
	t.Cleanup(b.stop)
	return b
}

// dialAs connects to replicas as one of the services.
func dialAs(t *testing.T, name string, addresses ...string) *connect.Conn {
	t.Helper()
	prover, err := peer.NewProver(name, secret, time.Now)
	require.NoError(t, err)
	conn, err := connect.Dial(strings.Join(addresses, ","), prover, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return conn
}

func reserveRequest(id string) *billingv1.ReserveRequest {
	return &billingv1.ReserveRequest{RequestId: id, AccountId: "user_1", UserId: "user_1", Model: "gpt-5-mini", InputTokens: 1, MaxOutputTokens: 1}
}

// alone is an option that makes a call travel alone.
func alone() grpc.CallOption { return grpc.MaxCallRecvMsgSize(1 << 20) }

// batchedAndAlone runs a test with calls of both forms: a caller must see no difference.
func batchedAndAlone(t *testing.T, peerName string, test func(t *testing.T, l *ledger, s *billingServer, reserve func(context.Context, *billingv1.ReserveRequest) (*billingv1.ReserveResponse, error))) {
	t.Helper()
	for _, form := range []string{"batched", "alone"} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			l := &ledger{}
			s := serveBilling(t, l)
			client := billingv1.NewBillingServiceClient(dialAs(t, peerName, s.address))
			test(t, l, s, func(ctx context.Context, in *billingv1.ReserveRequest) (*billingv1.ReserveResponse, error) {
				if form == "alone" {
					return client.Reserve(ctx, in, alone())
				}
				return client.Reserve(ctx, in)
			})
		})
	}
}

// within receives from a channel, and fails the test when nothing comes.
func within[T any](t *testing.T, from <-chan T, what string) (got T) {
	t.Helper()
	select {
	case got = <-from:
	case <-time.After(time.Minute):
		t.Fatal("nothing comes: " + what)
	}
	return got
}

type reserving = func(context.Context, *billingv1.ReserveRequest) (*billingv1.ReserveResponse, error)

func TestBatchedCallsAreAsCallsAlone(t *testing.T) {
	t.Parallel()
	t.Run("answer", func(t *testing.T) {
		batchedAndAlone(t, "ai", func(t *testing.T, l *ledger, _ *billingServer, reserve reserving) {
			deadline := time.Now().Add(10 * time.Minute) // longer than the server's own limit
			l.reserve = func(ctx context.Context, in *billingv1.ReserveRequest) (*billingv1.ReserveResponse, error) {
				got, ok := ctx.Deadline()
				require.True(t, ok)
				require.WithinDuration(t, deadline, got, 2*time.Minute)
				_, known := passport.FromContext(ctx)
				require.False(t, known, "a call between services has no user")
				return &billingv1.ReserveResponse{HoldId: in.GetRequestId() + " for " + requestid.From(ctx), HeldNanoUsd: 5}, nil
			}
			ctx, cancel := context.WithDeadline(requestid.With(t.Context(), "req_1"), deadline)
			defer cancel()
			res, err := reserve(ctx, reserveRequest("call_1"))
			require.NoError(t, err)
			require.True(t, proto.Equal(&billingv1.ReserveResponse{HoldId: "call_1 for req_1", HeldNanoUsd: 5}, res), res)
		})
	})
	t.Run("error", func(t *testing.T) {
		batchedAndAlone(t, "ai", func(t *testing.T, l *ledger, _ *billingServer, reserve reserving) {
			l.reserve = func(context.Context, *billingv1.ReserveRequest) (*billingv1.ReserveResponse, error) {
				return nil, errs.New(errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, "Too little.").With("needed", "12").After(3 * time.Second)
			}
			_, err := reserve(t.Context(), reserveRequest("call_1"))
			e := errs.From(err)
			require.Equal(t, codes.FailedPrecondition, status.Code(err))
			require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, e.Reason)
			require.Equal(t, "Too little.", e.Message)
			require.Equal(t, map[string]string{"needed": "12"}, e.Metadata)
			require.Equal(t, 3*time.Second, e.RetryAfter)
		})
	})
	t.Run("invalid", func(t *testing.T) {
		batchedAndAlone(t, "ai", func(t *testing.T, _ *ledger, _ *billingServer, reserve reserving) {
			_, err := reserve(t.Context(), &billingv1.ReserveRequest{RequestId: "call_1", AccountId: "user_1", UserId: "user_1"})
			require.Equal(t, codes.InvalidArgument, status.Code(err))
			require.ErrorContains(t, err, "model")
			bad := reserveRequest("call_1")
			bad.Model = "a\x00b"
			_, err = reserve(t.Context(), bad)
			require.Equal(t, codes.InvalidArgument, status.Code(err))
			require.ErrorContains(t, err, "NUL")
		})
	})
	t.Run("panic", func(t *testing.T) {
		batchedAndAlone(t, "ai", func(t *testing.T, l *ledger, s *billingServer, reserve reserving) {
			l.reserve = func(_ context.Context, in *billingv1.ReserveRequest) (*billingv1.ReserveResponse, error) {
				if in.GetRequestId() == "call_bad" {
					panic("secret")
				}
				return &billingv1.ReserveResponse{}, nil
			}
			_, err := reserve(t.Context(), reserveRequest("call_bad"))
			require.Equal(t, codes.Internal, status.Code(err))
			require.NotContains(t, err.Error(), "secret")
			require.Contains(t, s.log.String(), "panic in /trivet.billing.v1.BillingService/Reserve")
			require.NotContains(t, s.log.String(), "secret")
			_, err = reserve(t.Context(), reserveRequest("call_good"))
			require.NoError(t, err)
		})
	})
	t.Run("deadline", func(t *testing.T) {
		batchedAndAlone(t, "ai", func(t *testing.T, l *ledger, _ *billingServer, reserve reserving) {
			began, ended := make(chan struct{}, 1), make(chan error, 1)
			l.reserve = func(ctx context.Context, in *billingv1.ReserveRequest) (*billingv1.ReserveResponse, error) {
				if in.GetRequestId() == "call_first" {
					return &billingv1.ReserveResponse{}, nil
				}
				began <- struct{}{}
				<-ctx.Done()
				ended <- ctx.Err()
				return nil, ctx.Err()
			}
			_, err := reserve(t.Context(), reserveRequest("call_first")) // connects
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			_, err = reserve(ctx, reserveRequest("call_late"))
			require.Equal(t, codes.DeadlineExceeded, status.Code(err))
			within(t, began, "the call begins")
			require.Error(t, within(t, ended, "the handler's context ends"))
		})
	})
	t.Run("caller leaves", func(t *testing.T) {
		batchedAndAlone(t, "ai", func(t *testing.T, l *ledger, _ *billingServer, reserve reserving) {
			began, ended := make(chan struct{}), make(chan error, 1)
			l.reserve = func(ctx context.Context, in *billingv1.ReserveRequest) (*billingv1.ReserveResponse, error) {
				if in.GetRequestId() == "call_stays" {
					return &billingv1.ReserveResponse{HoldId: "hold"}, nil
				}
				close(began)
				<-ctx.Done()
				ended <- ctx.Err()
				return nil, ctx.Err()
			}
			ctx, leave := context.WithCancel(t.Context())
			failed := make(chan error, 1)
			go func() {
				_, err := reserve(ctx, reserveRequest("call_leaves"))
				failed <- err
			}()
			within(t, began, "the call begins")
			res, err := reserve(t.Context(), reserveRequest("call_stays"))
			require.NoError(t, err, "the answer of a later call comes first")
			require.Equal(t, "hold", res.GetHoldId())
			leave()
			require.Equal(t, codes.Canceled, status.Code(within(t, failed, "the call fails")))
			require.ErrorIs(t, within(t, ended, "the handler's context ends"), context.Canceled)
		})
	})
	t.Run("another service", func(t *testing.T) {
		batchedAndAlone(t, "gateway", func(t *testing.T, _ *ledger, _ *billingServer, reserve reserving) {
			_, err := reserve(t.Context(), reserveRequest("call_1"))
			require.Equal(t, codes.Unavailable, status.Code(err))
			require.ErrorContains(t, err, `The service "gateway" may not call this.`)
		})
	})
}

// methodOf tells how a call came.
func methodOf(ctx context.Context) string {
	method, _ := grpc.Method(ctx)
	return method
}

func TestLargeCallsTravelAlone(t *testing.T) {
	t.Parallel()
	var methods []string
	l := &ledger{reserve: func(ctx context.Context, _ *billingv1.ReserveRequest) (*billingv1.ReserveResponse, error) {
		methods = append(methods, methodOf(ctx))
		return &billingv1.ReserveResponse{}, nil
	}}
	client := billingv1.NewBillingServiceClient(dialAs(t, "ai", serveBilling(t, l).address))
	_, err := client.Reserve(t.Context(), reserveRequest("call_1"))
	require.NoError(t, err)
	large := reserveRequest("call_2")
	large.ProtoReflect().SetUnknown(append([]byte{0xfa, 0x7f, 0x80, 0x80, 0x08}, make([]byte, 128<<10)...)) // field 2047
	_, err = client.Reserve(t.Context(), large)
	require.NoError(t, err)
	require.Equal(t, []string{batchMethod, billingv1.BillingService_Reserve_FullMethodName}, methods)
}

// rawBatch opens a stream without the client.
func rawBatch(t *testing.T, s *billingServer) grpc.BidiStreamingClient[billingv1.BatchRequest, billingv1.BatchResponse] {
	t.Helper()
	stream, err := billingv1.NewBillingServiceClient(dialAs(t, "ai", s.address)).Batch(t.Context())
	require.NoError(t, err)
	return stream
}

func encodedReserve(t *testing.T, id string) []byte {
	t.Helper()
	encoded, err := proto.Marshal(reserveRequest(id))
	require.NoError(t, err)
	return encoded
}

// answersOf reads n answers, by the ids of their calls.
func answersOf(t *testing.T, stream grpc.BidiStreamingClient[billingv1.BatchRequest, billingv1.BatchResponse], n int) map[uint32]*billingv1.BatchedAnswer {
	t.Helper()
	all := map[uint32]*billingv1.BatchedAnswer{}
	for len(all) < n {
		m, err := stream.Recv()
		require.NoError(t, err)
		for _, a := range m.GetAnswers() {
			require.Nil(t, all[a.GetId()], "answered twice")
			all[a.GetId()] = a
		}
	}
	return all
}

// Each call of a batch is refused by itself.
func TestBadCallsOfABatch(t *testing.T) {
	t.Parallel()
	l := &ledger{reserve: func(context.Context, *billingv1.ReserveRequest) (*billingv1.ReserveResponse, error) {
		return &billingv1.ReserveResponse{HoldId: "hold"}, nil
	}}
	stream := rawBatch(t, serveBilling(t, l))
	good := encodedReserve(t, "call_1")
	require.NoError(t, stream.Send(&billingv1.BatchRequest{Calls: []*billingv1.BatchedCall{
		{Id: 1, Method: "Reserve", Request: good},
		{Id: 2, Method: "Reserve", Request: []byte("\xff\xff")},
		{Id: 3, Method: "Reserve"},
		{Id: 4, Method: "GetAccount"},
		{Id: 5, Method: "Batch"},
		{Id: 6, Method: "Nothing"},
		{Id: 7, Method: "../trivet.auth.v1.AuthService/GetMe"},
		{Id: 8, Method: "ReceiveWebhook"},
		{Id: 9, Method: "Reserve", Request: good, TimeoutMicros: -1},
		{Id: 10, Method: "Reserve", Request: good, TimeoutMicros: 1 << 62, RequestId: "not valid\n", Traceparent: "nor this"},
	}, CancelledIds: []uint32{77}}))
	got := map[uint32]codes.Code{}
	for id, a := range answersOf(t, stream, 10) {
		got[id] = codes.Code(a.GetCode())
		require.Equal(t, got[id] == codes.OK, len(a.GetResponse()) > 0)
		require.Equal(t, got[id] != codes.OK, a.GetMessage() != "")
	}
	require.Equal(t, map[uint32]codes.Code{
		1: codes.OK, 2: codes.InvalidArgument, 3: codes.InvalidArgument, 4: codes.PermissionDenied, 5: codes.Unimplemented, 6: codes.Unimplemented,
		7: codes.Unimplemented, 8: codes.PermissionDenied, 9: codes.OK, 10: codes.OK,
	}, got)
	require.NoError(t, stream.CloseSend())
	_, err := stream.Recv()
	require.ErrorIs(t, err, io.EOF)
}

// A call whose deadline has passed before it is decided is not made.
func TestLateCallsOfABatchAreNotMade(t *testing.T) {
	t.Parallel()
	made := make(chan string, 8)
	l := &ledger{reserve: func(ctx context.Context, in *billingv1.ReserveRequest) (*billingv1.ReserveResponse, error) {
		made <- in.GetRequestId()
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	stream := rawBatch(t, serveBilling(t, l))
	require.NoError(t, stream.Send(&billingv1.BatchRequest{Calls: []*billingv1.BatchedCall{
		{Id: 1, Method: "Reserve", Request: encodedReserve(t, "call_long"), TimeoutMicros: 100_000_000},
	}}))
	require.Equal(t, "call_long", <-made)
	// Messages of a stream arrive in order, and a deadline counts from the arrival.
	require.NoError(t, stream.Send(&billingv1.BatchRequest{CancelledIds: []uint32{1}}))
	require.Equal(t, int32(codes.Canceled), answersOf(t, stream, 1)[1].GetCode())
	require.NoError(t, stream.Send(&billingv1.BatchRequest{Calls: []*billingv1.BatchedCall{
		{Id: 2, Method: "Reserve", Request: encodedReserve(t, "call_late"), TimeoutMicros: 1},
	}}))
	require.Equal(t, int32(codes.DeadlineExceeded), answersOf(t, stream, 1)[2].GetCode())
	for len(made) > 0 { // 1 µs may suffice to begin
		require.Equal(t, "call_late", <-made)
	}
}

// A caller that does not read makes the server hold a bounded number of calls and answers.
func TestASlowReaderOfABatch(t *testing.T) {
	t.Parallel()
	const (
		calls, running = 1200, 512
		answerBytes    = 64 << 10
		sentAnswers    = 256                      // of the one message that a stream takes before it waits for its reader
		window         = (16 << 20) / answerBytes // gRPC's largest window
		most           = running + sentAnswers + window
	)
	var made atomic.Int64
	large := strings.Repeat("x", answerBytes)
	l := &ledger{reserve: func(context.Context, *billingv1.ReserveRequest) (*billingv1.ReserveResponse, error) {
		made.Add(1)
		return &billingv1.ReserveResponse{HoldId: large}, nil
	}}
	stream := rawBatch(t, serveBilling(t, l))
	request, sent := encodedReserve(t, "call_1"), make(chan error, 1)
	go func() {
		for i := range calls {
			if err := stream.Send(&billingv1.BatchRequest{Calls: []*billingv1.BatchedCall{
				{Id: uint32(i), Method: "Reserve", Request: request},
			}}); err != nil {
				sent <- err
				return
			}
		}
		sent <- stream.CloseSend()
	}()
	// Without its bound the server makes all calls.
	last := int64(-1)
	require.Eventually(t, func() bool {
		before := last
		last = made.Load()
		return last >= running && last == before
	}, time.Minute, 500*time.Millisecond, "the calls stop")
	require.LessOrEqual(t, last, int64(most), "of %d", calls)
	for got := 0; got < calls; {
		m, err := stream.Recv()
		require.NoError(t, err)
		got += len(m.GetAnswers())
	}
	require.EqualValues(t, calls, made.Load())
	require.NoError(t, within(t, sent, "all calls are sent"))
}

// A server that stops answers what it has, and its callers go to another one.
func TestAServerOfBatchesStops(t *testing.T) {
	t.Parallel()
	var servers [2]*billingServer
	var ledgers [2]*ledger
	began, release := make(chan int, 8), make(chan struct{})
	for i := range servers {
		ledgers[i] = &ledger{reserve: func(_ context.Context, in *billingv1.ReserveRequest) (*billingv1.ReserveResponse, error) {
			if in.GetRequestId() == "call_long" {
				began <- i
				<-release
			}
			return &billingv1.ReserveResponse{HoldId: strconv.Itoa(i)}, nil
		}}
		servers[i] = serveBilling(t, ledgers[i])
	}
	// Only the first server is known at the beginning.
	first := billingv1.NewBillingServiceClient(dialAs(t, "ai", servers[0].address))
	done := make(chan string, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		res, err := first.Reserve(ctx, reserveRequest("call_long"))
		done <- res.GetHoldId() + errText(err)
	}()
	require.Equal(t, 0, within(t, began, "the call begins"))
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		servers[0].stop()
	}()
	both := billingv1.NewBillingServiceClient(dialAs(t, "ai", servers[0].address, servers[1].address))
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		_, err := both.Reserve(ctx, reserveRequest("call_short"))
		require.NoError(t, err)
		cancel()
	}
	close(release)
	require.Equal(t, "0", within(t, done, "the call ends"), "the running call is answered")
	within(t, stopped, "the server stops")
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// A slow call moves on, and the server that works on it keeps its stream.
func TestASlowCallOfABatchMovesOn(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var slow atomic.Int64
	var addresses []string
	for i := range 2 {
		addresses = append(addresses, serveBilling(t, &ledger{reserve: func(_ context.Context, in *billingv1.ReserveRequest) (*billingv1.ReserveResponse, error) {
			if i == 0 && in.GetRequestId() == "call_slow" {
				slow.Add(1)
				<-release
			}
			return &billingv1.ReserveResponse{HoldId: strconv.Itoa(i)}, nil
		}}).address)
	}
	defer close(release)
	client := billingv1.NewBillingServiceClient(dialAs(t, "ai", addresses...))
	reserve := func(id string) string {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		res, err := client.Reserve(ctx, reserveRequest(id))
		require.NoError(t, err)
		return res.GetHoldId()
	}
	kept := false
	for range 5 { // a machine that stalls may hide that the server works
		require.Eventually(t, func() bool { return reserve("call_short") == "0" }, time.Minute, time.Millisecond, "both servers get calls")
		for before := slow.Load(); slow.Load() == before; {
			require.Equal(t, "1", reserve("call_slow"))
		}
		for range 4 {
			kept = kept || reserve("call_short") == "0"
		}
		if kept {
			return
		}
	}
	t.Error("a server that works on a call gets no other calls")
}

// A server of an older version does not know batches.
func TestOlderServersGetCallsAlone(t *testing.T) {
	t.Parallel()
	var seen atomic.Int64
	older := grpc.NewServer()
	billingv1.RegisterBillingServiceServer(older, &olderLedger{seen: &seen})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- older.Serve(listener) }()
	t.Cleanup(func() {
		older.Stop()
		require.NoError(t, <-served)
	})
	client := billingv1.NewBillingServiceClient(dialAs(t, "ai", listener.Addr().String()))
	for range 3 {
		res, err := client.Reserve(t.Context(), reserveRequest("call_1"))
		require.NoError(t, err)
		require.Equal(t, "/trivet.billing.v1.BillingService/Reserve", res.GetHoldId())
	}
	require.EqualValues(t, 3, seen.Load())
}

type olderLedger struct {
	billingv1.UnimplementedBillingServiceServer
	seen *atomic.Int64
}

func (o *olderLedger) Reserve(ctx context.Context, _ *billingv1.ReserveRequest) (*billingv1.ReserveResponse, error) {
	o.seen.Add(1)
	return &billingv1.ReserveResponse{HoldId: methodOf(ctx)}, nil
}

// A newer caller may batch an RPC that this server does not have.
func TestRPCsThatAServerCannotBatch(t *testing.T) {
	t.Parallel()
	s := serveBilling(t, &refusingLedger{})
	client := billingv1.NewBillingServiceClient(dialAs(t, "ai", s.address))
	res, err := client.Reserve(t.Context(), reserveRequest("call_1"))
	require.NoError(t, err)
	require.Equal(t, "/trivet.billing.v1.BillingService/Reserve", res.GetHoldId())
}

type refusingLedger struct {
	billingv1.UnimplementedBillingServiceServer
}

func (*refusingLedger) Reserve(ctx context.Context, _ *billingv1.ReserveRequest) (*billingv1.ReserveResponse, error) {
	return &billingv1.ReserveResponse{HoldId: methodOf(ctx)}, nil
}

func (*refusingLedger) Batch(stream grpcserver.BatchStream) error {
	for {
		in, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, call := range in.GetCalls() {
			if err := stream.Send(&billingv1.BatchResponse{Answers: []*billingv1.BatchedAnswer{
				{Id: call.GetId(), Code: int32(codes.Unimplemented), Message: "no"},
			}}); err != nil {
				return err
			}
		}
	}
}

// Calls of many callers travel together, and each gets its own answer.
func TestManyCallersShareAStream(t *testing.T) {
	t.Parallel()
	var batches sync.Map
	l := &ledger{reserve: func(ctx context.Context, in *billingv1.ReserveRequest) (*billingv1.ReserveResponse, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		batches.Store(methodOf(ctx), len(md))
		return &billingv1.ReserveResponse{HoldId: "hold of " + in.GetRequestId()}, nil
	}}
	client := billingv1.NewBillingServiceClient(dialAs(t, "ai", serveBilling(t, l).address))
	var callers sync.WaitGroup
	for i := range 64 {
		callers.Go(func() {
			for j := range 20 {
				id := "call_" + strconv.Itoa(i) + "_" + strconv.Itoa(j)
				res, err := client.Reserve(context.Background(), reserveRequest(id))
				if err != nil || res.GetHoldId() != "hold of "+id {
					t.Errorf("%s got %v, %v", id, res, err)
				}
				if settled, err := client.Settle(context.Background(), &billingv1.SettleRequest{HoldId: "hold_1", Usage: &usagev1.CallUsage{}, Outcome: billingv1.Outcome_OUTCOME_COMPLETED}); err != nil || settled.GetCostNanoUsd() != 7 {
					t.Errorf("%s was settled as %v, %v", id, settled, err)
				}
			}
		})
	}
	callers.Wait()
	require.EqualValues(t, 64*20, l.settles.Load())
	_, batched := batches.Load(batchMethod)
	require.True(t, batched)
	batches.Range(func(method, _ any) bool {
		require.Equal(t, batchMethod, method)
		return true
	})
}
