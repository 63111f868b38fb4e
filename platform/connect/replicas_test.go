package connect_test

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	"github.com/trivet-dev/trivet/platform/peer"
)

// node is one replica of a service.
type node struct {
	authv1.UnimplementedAuthServiceServer
	server  *grpc.Server
	address string
	calls   atomic.Int64
	ready   atomic.Bool // all are connected, and the test begins
	hangs   atomic.Bool
	silent  bool        // accepts streams without saying so, as an older version
	older   atomic.Bool // as silent, from now on
	dies    bool        // its connections break when it is called
	lingers atomic.Bool // accepts streams and says nothing more
	deaf    bool        // does not notice that its caller has left
	streams atomic.Int64
	alone   atomic.Int64 // streams whose caller has no other replica
	ended   atomic.Int64
	refuses error
}

// serve counts a call. It hangs, dies or refuses as the node does.
func (n *node) serve(ctx context.Context) error {
	n.calls.Add(1)
	if !n.ready.Load() {
		return nil
	}
	if n.dies {
		go n.server.Stop()
		<-ctx.Done()
		return ctx.Err()
	}
	for n.hangs.Load() {
		select {
		case <-ctx.Done():
			if !n.deaf {
				return ctx.Err()
			}
		default:
		}
		time.Sleep(10 * time.Millisecond)
	}
	return n.refuses
}

func (n *node) GetStatus(ctx context.Context, _ *authv1.GetStatusRequest) (*authv1.GetStatusResponse, error) {
	return &authv1.GetStatusResponse{}, n.serve(ctx)
}

func (n *node) DeleteApiKey(ctx context.Context, _ *authv1.DeleteApiKeyRequest) (*authv1.DeleteApiKeyResponse, error) {
	return &authv1.DeleteApiKeyResponse{}, n.serve(ctx)
}

func (n *node) WatchRevocations(_ *authv1.WatchRevocationsRequest, stream grpc.ServerStreamingServer[authv1.WatchRevocationsResponse]) error {
	n.streams.Add(1)
	return stream.Send(&authv1.WatchRevocationsResponse{})
}

// accept is what platform/grpcserver does before a stream's handler runs.
func (n *node) accept(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if n.deaf {
		defer n.ended.Add(1)
	}
	if len(metadata.ValueFromIncomingContext(stream.Context(), peer.UnawaitedHeader)) > 0 {
		n.alone.Add(1)
	}
	if err := n.serve(stream.Context()); err != nil {
		return err
	}
	if n.silent || n.older.Load() {
		return next(srv, stream)
	}
	if err := stream.SendHeader(metadata.MD{peer.AcceptedHeader: {"1"}}); err != nil && !n.deaf {
		return err
	}
	if n.lingers.Load() {
		<-stream.Context().Done()
	}
	return next(srv, stream)
}

// start runs the node until the test ends.
func (n *node) start(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	n.address = listener.Addr().String()
	n.server = grpc.NewServer(grpc.StreamInterceptor(n.accept))
	authv1.RegisterAuthServiceServer(n.server, n)
	served := make(chan error, 1)
	go func() { served <- n.server.Serve(listener) }()
	t.Cleanup(func() {
		n.server.Stop()
		require.NoError(t, <-served)
	})
}

// connected starts the nodes and returns a client that is connected to all of them.
func connected(t *testing.T, nodes ...*node) authv1.AuthServiceClient {
	t.Helper()
	var addresses []string
	for _, n := range nodes {
		n.start(t)
		addresses = append(addresses, n.address)
	}
	client := authv1.NewAuthServiceClient(dial(t, strings.Join(addresses, ","), prover(t, time.Now)))
	for _, n := range nodes {
		require.Eventually(t, func() bool {
			require.NoError(t, watch(t, client))
			return n.calls.Load() > 0
		}, 30*time.Second, time.Millisecond, n.address)
	}
	for _, n := range nodes {
		n.calls.Store(0)
		n.ready.Store(true)
	}
	return client
}

func get(t *testing.T, client authv1.AuthServiceClient) error {
	t.Helper()
	_, err := client.GetStatus(t.Context(), &authv1.GetStatusRequest{})
	return err
}

func watch(t *testing.T, client authv1.AuthServiceClient) error {
	t.Helper()
	stream, err := client.WatchRevocations(t.Context(), &authv1.WatchRevocationsRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	return err
}

func counts(nodes ...*node) (calls []int64) {
	for _, n := range nodes {
		calls = append(calls, n.calls.Load())
	}
	return calls
}

func TestCallsGoToTheReplicasInTurn(t *testing.T) {
	a, b, c := &node{}, &node{}, &node{}
	client := connected(t, a, b, c)
	for range 30 {
		require.NoError(t, get(t, client))
	}
	require.Equal(t, []int64{10, 10, 10}, counts(a, b, c))
	for range 30 {
		require.NoError(t, watch(t, client))
	}
	require.Equal(t, []int64{20, 20, 20}, counts(a, b, c), "streams too")
}

// A replica that hangs delays the call that finds it, and hardly any other one. When it answers again, it gets calls again.
func TestAReplicaThatHangsIsLeft(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(*testing.T, authv1.AuthServiceClient) error{"unary": get, "stream": watch} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hung, well := &node{}, &node{}
			client := connected(t, hung, well)
			hung.hangs.Store(true)
			for range 20 {
				require.NoError(t, call(t, client))
			}
			require.LessOrEqual(t, hung.calls.Load(), int64(10), "it is tried from time to time")
			require.EqualValues(t, 20, well.calls.Load())
			hung.hangs.Store(false)
			before := hung.calls.Load()
			require.Eventually(t, func() bool {
				require.NoError(t, call(t, client))
				return hung.calls.Load() > before+5
			}, 30*time.Second, time.Millisecond)
		})
	}
}

// A replica that was left and then runs again does not do what another one has done.
func TestAReplicaThatWasLeftHasNoRequest(t *testing.T) {
	t.Parallel()
	hung, well := &node{deaf: true}, &node{}
	client := connected(t, hung, well)
	require.Eventually(t, func() bool { return hung.ended.Load() == hung.streams.Load() }, 30*time.Second, time.Millisecond)
	before, ended, served := hung.streams.Load(), hung.ended.Load(), well.streams.Load()
	hung.hangs.Store(true)
	for range 4 {
		require.NoError(t, watch(t, client))
	}
	require.Equal(t, served+4, well.streams.Load())
	require.Positive(t, hung.calls.Load(), "it was tried")
	hung.hangs.Store(false)
	require.Eventually(t, func() bool { return hung.ended.Load() == ended+hung.calls.Load() }, 30*time.Second, time.Millisecond)
	require.Equal(t, before, hung.streams.Load())
}

// A call that must not happen twice stays where it is, however long it takes.
func TestACallThatMustNotBeRepeatedWaits(t *testing.T) {
	t.Parallel()
	slow, well := &node{}, &node{}
	client := connected(t, slow, well)
	slow.hangs.Store(true)
	time.AfterFunc(1500*time.Millisecond, func() { slow.hangs.Store(false) })
	for range 2 {
		_, err := client.DeleteApiKey(t.Context(), &authv1.DeleteApiKeyRequest{ApiKeyId: "key_1"})
		require.NoError(t, err)
	}
	require.Equal(t, []int64{1, 1}, counts(slow, well))
}

// Without another replica that answers there is nothing to move on to.
func TestACallWaitsForTheOnlyReplica(t *testing.T) {
	t.Parallel()
	for name, silent := range map[string]bool{"this version": false, "an older version": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			only := &node{silent: silent}
			client := connected(t, only)
			only.hangs.Store(true)
			time.AfterFunc(2500*time.Millisecond, func() { only.hangs.Store(false) })
			require.NoError(t, get(t, client))
			only.hangs.Store(true)
			time.AfterFunc(2500*time.Millisecond, func() { only.hangs.Store(false) })
			require.NoError(t, watch(t, client))
			require.EqualValues(t, 2, only.calls.Load())
		})
	}
}

// A replica may be replaced by an older version at the same address. Without another replica to go to, nothing waits for its header.
func TestTheOnlyReplicaBecomesAnOlderVersion(t *testing.T) {
	only := &node{}
	client := connected(t, only)
	require.NoError(t, watch(t, client))
	only.older.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	stream, err := client.WatchRevocations(ctx, &authv1.WatchRevocationsRequest{})
	require.NoError(t, err)
	_, err = stream.Recv()
	require.NoError(t, err)
}

// A server of an older version sends no header before its first message, which may take minutes.
func TestAStreamOfAnOlderVersionIsNotLeft(t *testing.T) {
	t.Parallel()
	old, other := &node{silent: true}, &node{silent: true}
	client := connected(t, old, other)
	for _, n := range []*node{old, other} {
		n.hangs.Store(true)
		time.AfterFunc(2500*time.Millisecond, func() { n.hangs.Store(false) })
	}
	require.NoError(t, watch(t, client))
	require.EqualValues(t, 1, old.calls.Load()+other.calls.Load())
}

func TestACallSurvivesTheDeathOfAReplica(t *testing.T) {
	dead, well := &node{dies: true}, &node{}
	client := connected(t, dead, well)
	for range 2 {
		require.NoError(t, get(t, client))
	}
	require.Equal(t, []int64{1, 2}, counts(dead, well))
}

func TestACallThatMustNotBeRepeatedFailsWithItsReplica(t *testing.T) {
	dead, well := &node{dies: true}, &node{}
	client := connected(t, dead, well)
	failed := 0
	for range 2 {
		if _, err := client.DeleteApiKey(t.Context(), &authv1.DeleteApiKeyRequest{ApiKeyId: "key_1"}); err != nil {
			require.Equal(t, codes.Unavailable, status.Code(err))
			failed++
		}
	}
	require.Equal(t, 1, failed)
	require.Equal(t, []int64{1, 1}, counts(dead, well))
}

// A stream that was accepted has begun to do something: what breaks it ends it.
func TestAnAcceptedStreamFailsWithItsReplica(t *testing.T) {
	nodes := []*node{{}, {}}
	client := connected(t, nodes...)
	for _, n := range nodes {
		n.lingers.Store(true)
	}
	stream, err := client.WatchRevocations(t.Context(), &authv1.WatchRevocationsRequest{})
	require.NoError(t, err)
	header, err := stream.Header()
	require.NoError(t, err)
	require.NotEmpty(t, header.Get(peer.AcceptedHeader))
	for _, n := range nodes {
		if n.calls.Load() == 1 {
			n.server.Stop()
		}
	}
	_, err = stream.Recv()
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.EqualValues(t, 1, nodes[0].calls.Load()+nodes[1].calls.Load())
}

// A replica need not say that it accepts a stream while it is the only one. When another one is connected, it does.
func TestOneReplicaIsNotAwaited(t *testing.T) {
	for n := 1; n <= 2; n++ {
		var nodes []*node
		for range n {
			nodes = append(nodes, &node{})
		}
		client := connected(t, nodes...)
		alone := int64(0)
		for _, n := range nodes {
			n.alone.Store(0)
		}
		for range 4 {
			require.NoError(t, watch(t, client))
		}
		for _, n := range nodes {
			alone += n.alone.Load()
		}
		require.Equal(t, map[int]int64{1: 4, 2: 0}[n], alone, "%d replicas", n)
	}
}

// What a service itself says is an answer, not a failure of the replica.
func TestARefusalIsFinal(t *testing.T) {
	refusal, err := status.New(codes.Unavailable, "the store cannot be written").WithDetails(&authv1.GetStatusRequest{})
	require.NoError(t, err)
	for name, refused := range map[string]error{"unavailable": refusal.Err(), "not found": status.Error(codes.NotFound, "no")} {
		for kind, call := range map[string]func(*testing.T, authv1.AuthServiceClient) error{"unary": get, "stream": watch} {
			t.Run(name+", "+kind, func(t *testing.T) {
				a, b := &node{refuses: refused}, &node{refuses: refused}
				client := connected(t, a, b)
				require.Equal(t, status.Code(refused), status.Code(call(t, client)))
				require.EqualValues(t, 1, a.calls.Load()+b.calls.Load())
			})
		}
	}
}

// A caller who leaves ends the call; it is not tried elsewhere.
func TestACallerWhoLeaves(t *testing.T) {
	a, b := &node{}, &node{}
	client := connected(t, a, b)
	a.hangs.Store(true)
	b.hangs.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := client.GetStatus(ctx, &authv1.GetStatusRequest{})
	require.Equal(t, codes.DeadlineExceeded, status.Code(err))
	stream, err := client.WatchRevocations(ctx, &authv1.WatchRevocationsRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	require.Equal(t, codes.DeadlineExceeded, status.Code(err))
	require.LessOrEqual(t, a.calls.Load()+b.calls.Load(), int64(2))
}
