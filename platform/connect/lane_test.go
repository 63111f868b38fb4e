package connect_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/connect"
	"github.com/trivet-dev/trivet/platform/peer"
)

// pings lets clients check their connections as often as they do.
var pings = grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true})

// batchNode is a replica of billing that answers batches as the test says.
type batchNode struct {
	billingv1.UnimplementedBillingServiceServer
	name    string
	address string
	server  *grpc.Server
	calls   atomic.Int64
	alone   atomic.Int64
	streams atomic.Int64
	hangs   atomic.Bool // takes calls and streams, and says nothing
	leaves  atomic.Bool // asks callers to leave
	beats   atomic.Bool // says at each message that it works on its calls
	refuses atomic.Pointer[status.Status]
	held    sync.Map // ids of holds that are not answered
}

func (n *batchNode) Reserve(context.Context, *billingv1.ReserveRequest) (*billingv1.ReserveResponse, error) {
	n.alone.Add(1)
	return &billingv1.ReserveResponse{HoldId: n.name}, nil
}

func (n *batchNode) Batch(stream grpc.BidiStreamingServer[billingv1.BatchRequest, billingv1.BatchResponse]) error {
	n.streams.Add(1)
	if st := n.refuses.Load(); st != nil {
		return st.Err()
	}
	if n.hangs.Load() {
		<-stream.Context().Done()
		return stream.Context().Err()
	}
	if err := stream.SendHeader(metadata.MD{peer.AcceptedHeader: {"1"}}); err != nil {
		return err
	}
	for {
		in, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		out := &billingv1.BatchResponse{Leaving: n.leaves.Load()}
		for _, call := range in.GetCalls() {
			n.calls.Add(1)
			if a := n.answer(call); a != nil {
				out.Answers = append(out.Answers, a)
			}
		}
		if n.hangs.Load() || len(out.GetAnswers()) == 0 && !out.GetLeaving() && !n.beats.Load() {
			continue
		}
		if err := stream.Send(out); err != nil {
			return err
		}
	}
}

func (n *batchNode) answer(call *billingv1.BatchedCall) *billingv1.BatchedAnswer {
	var in billingv1.ReserveRequest
	if err := proto.Unmarshal(call.GetRequest(), &in); err != nil {
		return &billingv1.BatchedAnswer{Id: call.GetId(), Code: int32(codes.InvalidArgument), Message: err.Error()}
	}
	if _, held := n.held.Load(in.GetRequestId()); held {
		return nil
	}
	response, err := proto.Marshal(&billingv1.ReserveResponse{HoldId: n.name})
	if err != nil {
		return &billingv1.BatchedAnswer{Id: call.GetId(), Code: int32(codes.Internal), Message: err.Error()}
	}
	return &billingv1.BatchedAnswer{Id: call.GetId(), Response: response}
}

// start serves the replica until the test ends.
func (n *batchNode) start(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	n.address, n.server = listener.Addr().String(), grpc.NewServer(pings)
	billingv1.RegisterBillingServiceServer(n.server, n)
	served := make(chan error, 1)
	go func() { served <- n.server.Serve(listener) }()
	t.Cleanup(func() {
		n.server.Stop()
		require.NoError(t, <-served)
	})
}

// batchNodes starts replicas, and returns a client of them that has a stream to each. Streams are not replaced because of their age.
func batchNodes(t *testing.T, n int) ([]*batchNode, billingv1.BillingServiceClient) {
	t.Helper()
	nodes, conn := batchConn(t, n)
	return nodes, billingv1.NewBillingServiceClient(conn)
}

func batchConn(t *testing.T, n int) ([]*batchNode, *connect.Conn) {
	t.Helper()
	var nodes []*batchNode
	var addresses []string
	for i := range n {
		node := &batchNode{name: strconv.Itoa(i)}
		node.start(t)
		nodes, addresses = append(nodes, node), append(addresses, node.address)
	}
	conn := dial(t, strings.Join(addresses, ","), prover(t, time.Now))
	connect.AgeBatches(conn, 24*time.Hour)
	client := billingv1.NewBillingServiceClient(conn)
	for _, node := range nodes {
		require.Eventually(t, func() bool {
			reserveAt(t, client, "warm")
			return node.calls.Load() > 0
		}, time.Minute, time.Millisecond, "each replica gets a stream")
	}
	return nodes, conn
}

// reserveAt makes a call, and returns the name of the replica that answered it.
func reserveAt(t *testing.T, client billingv1.BillingServiceClient, id string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	res, err := client.Reserve(ctx, &billingv1.ReserveRequest{RequestId: id})
	require.NoError(t, err)
	return res.GetHoldId()
}

func TestBatchesGoToAllReplicas(t *testing.T) {
	t.Parallel()
	nodes, client := batchNodes(t, 3)
	var before []int64
	for _, n := range nodes {
		before = append(before, n.calls.Load())
	}
	for range 60 {
		reserveAt(t, client, "call")
	}
	for i, n := range nodes {
		require.GreaterOrEqual(t, n.calls.Load()-before[i], int64(10))
		require.Zero(t, n.alone.Load())
	}
}

// alone is an option that makes a call travel alone.
func alone() grpc.CallOption { return grpc.MaxCallRecvMsgSize(1 << 20) }

// When streams are replaced, each replica gets one again, whatever else the connection carries.
func TestReplacedStreamsOfBatchesGoToAllReplicas(t *testing.T) {
	t.Parallel()
	nodes, conn := batchConn(t, 3)
	client := billingv1.NewBillingServiceClient(conn)
	opened := func() (sum int64) {
		for _, n := range nodes {
			sum += n.streams.Load()
		}
		return sum
	}
	const rounds = 20
	first := opened()
	for range rounds {
		var before []int64
		for _, n := range nodes {
			before = append(before, n.streams.Load())
		}
		connect.ReplaceBatches(conn)
		var callers sync.WaitGroup
		for range 8 {
			callers.Go(func() {
				for _, options := range [][]grpc.CallOption{nil, {alone()}} {
					if _, err := client.Reserve(context.Background(), &billingv1.ReserveRequest{RequestId: "call"}, options...); err != nil {
						t.Error(err)
					}
				}
			})
		}
		callers.Wait()
		for i, n := range nodes {
			require.Eventually(t, func() bool {
				reserveAt(t, client, "call")
				return n.streams.Load() > before[i]
			}, time.Minute, time.Millisecond, "replica %d gets a stream", i)
		}
	}
	require.LessOrEqual(t, opened()-first, int64(rounds*4), "two streams share a replica")
}

// Calls that begin while a replica refuses streams are made alone.
func TestManyCallersOfAReplicaWithoutBatches(t *testing.T) {
	t.Parallel()
	node := &batchNode{name: "0"}
	node.refuses.Store(status.New(codes.Unimplemented, "no"))
	node.start(t)
	const rounds, callersOfARound = 20, 64
	for range rounds { // each connection asks once
		client := billingv1.NewBillingServiceClient(dial(t, node.address, prover(t, time.Now)))
		answers, begin := make(chan error, callersOfARound), make(chan struct{})
		for range callersOfARound {
			go func() {
				<-begin
				_, err := client.Reserve(context.Background(), &billingv1.ReserveRequest{RequestId: "call"})
				answers <- err
			}()
		}
		close(begin)
		limit := time.After(time.Minute)
		for range callersOfARound {
			select {
			case err := <-answers:
				require.NoError(t, err)
			case <-limit:
				t.Fatal("a call is not answered")
			}
		}
	}
	require.EqualValues(t, rounds*callersOfARound, node.alone.Load())
}

// Replicas that are suspect, and have no better one beside them, keep their streams.
func TestSuspectReplicasKeepTheirStreams(t *testing.T) {
	t.Parallel()
	for _, replicas := range []int{1, 2} {
		t.Run(strconv.Itoa(replicas), func(t *testing.T) {
			t.Parallel()
			nodes, conn := batchConn(t, replicas)
			client := billingv1.NewBillingServiceClient(conn)
			most := 0
			for range 1000 {
				connect.SuspectReplicas(conn)
				reserveAt(t, client, "call")
				most = max(most, connect.OpenBatches(conn))
			}
			require.LessOrEqual(t, most, 4*replicas)
			for _, n := range nodes {
				require.LessOrEqual(t, n.streams.Load(), int64(4*replicas))
			}
		})
	}
}

// Callers of replicas that accept no stream share few of them.
func TestStreamsOfReplicasThatHangAreBounded(t *testing.T) {
	t.Parallel()
	nodes, conn := batchConn(t, 2)
	client := billingv1.NewBillingServiceClient(conn)
	for _, n := range nodes {
		n.hangs.Store(true)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for range 1000 {
		connect.SuspectReplicas(conn)
		connect.ReplaceBatches(conn)
		callers.Go(func() { _, _ = client.Reserve(ctx, &billingv1.ReserveRequest{RequestId: "call"}) }) // its error is the test's end
	}
	require.LessOrEqual(t, connect.OpenBatches(conn), connect.MaxOpen)
	cancel()
	callers.Wait()
	require.LessOrEqual(t, nodes[0].streams.Load()+nodes[1].streams.Load(), int64(connect.MaxOpen))
}

// A replica that hangs is left by all calls that it has, and gets calls again when it answers.
func TestAReplicaOfBatchesHangs(t *testing.T) {
	t.Parallel()
	nodes, client := batchNodes(t, 2)
	nodes[0].hangs.Store(true)
	var callers sync.WaitGroup
	for range 16 {
		callers.Go(func() {
			for range 3 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				res, err := client.Reserve(ctx, &billingv1.ReserveRequest{RequestId: "call"})
				cancel()
				if err != nil || res.GetHoldId() != "1" {
					t.Errorf("got %v, %v", res, err)
				}
			}
		})
	}
	callers.Wait()
	nodes[0].hangs.Store(false)
	before := nodes[0].calls.Load()
	require.Eventually(t, func() bool {
		reserveAt(t, client, "call")
		return nodes[0].calls.Load() > before+5
	}, time.Minute, time.Millisecond)
}

// A call that only one replica does not answer moves on alone.
func TestOneCallOfABatchHangs(t *testing.T) {
	t.Parallel()
	nodes, client := batchNodes(t, 2)
	nodes[0].held.Store("held", true)
	stop := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-t.Context().Done():
				return
			case <-time.After(time.Millisecond):
			}
			if _, err := client.Reserve(context.Background(), &billingv1.ReserveRequest{RequestId: "other"}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 2 { // one of them goes to the first replica
		require.Equal(t, "1", reserveAt(t, client, "held"))
	}
	close(stop)
	others.Wait()
	require.EqualValues(t, 1, nodes[0].streams.Load(), "its stream is not left")
}

// A replica that speaks, but answers none of its calls, is left by all of them.
func TestAReplicaOfBatchesAnswersNothing(t *testing.T) {
	t.Parallel()
	nodes, client := batchNodes(t, 2)
	nodes[0].beats.Store(true)
	nodes[0].held.Store("held", true)
	var callers sync.WaitGroup
	for range 64 {
		callers.Go(func() {
			for range 2 {
				if res, err := client.Reserve(context.Background(), &billingv1.ReserveRequest{RequestId: "held"}); err != nil || res.GetHoldId() != "1" {
					t.Errorf("got %v, %v", res, err)
				}
			}
		})
	}
	callers.Wait()
	require.Eventually(t, func() bool {
		reserveAt(t, client, "call")
		return nodes[0].streams.Load() > 1
	}, time.Minute, time.Millisecond, "its stream is left, and it is tried again")
}

// With one replica, a call waits as long as its caller does.
func TestTheOnlyReplicaOfBatchesHangs(t *testing.T) {
	t.Parallel()
	nodes, client := batchNodes(t, 1)
	nodes[0].held.Store("held", true)
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	before := nodes[0].calls.Load()
	_, err := client.Reserve(ctx, &billingv1.ReserveRequest{RequestId: "held"})
	require.Equal(t, codes.DeadlineExceeded, status.Code(err))
	require.EqualValues(t, 1, nodes[0].calls.Load()-before)
	require.Equal(t, "0", reserveAt(t, client, "call"))
}

// A replica dies with calls that it has not answered.
func TestAReplicaOfBatchesDies(t *testing.T) {
	t.Parallel()
	nodes, client := batchNodes(t, 2)
	nodes[0].held.Store("held", true)
	before := nodes[0].calls.Load()
	answers := make(chan string, 4)
	for range 4 {
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			res, err := client.Reserve(ctx, &billingv1.ReserveRequest{RequestId: "held"})
			if err != nil {
				t.Error(err)
			}
			answers <- res.GetHoldId()
		}()
	}
	require.Eventually(t, func() bool { return nodes[0].calls.Load() > before }, 30*time.Second, time.Millisecond)
	nodes[0].server.Stop()
	for range 4 {
		require.Equal(t, "1", <-answers)
	}
}

// A replica that leaves answers what it has, and its callers open another stream.
func TestAReplicaOfBatchesLeaves(t *testing.T) {
	t.Parallel()
	nodes, client := batchNodes(t, 2)
	nodes[0].leaves.Store(true)
	require.Eventually(t, func() bool {
		reserveAt(t, client, "call")
		return nodes[0].streams.Load() > 1
	}, 30*time.Second, time.Millisecond)
	require.Zero(t, nodes[0].alone.Load()+nodes[1].alone.Load())
}

// What a stream cannot carry is made alone, and an error that says nothing about the call is not its answer.
func TestStreamsOfBatchesThatFail(t *testing.T) {
	t.Parallel()
	for _, code := range []codes.Code{codes.Unimplemented, codes.PermissionDenied, codes.Internal, codes.Unauthenticated, codes.ResourceExhausted} {
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			nodes, client := batchNodes(t, 1)
			nodes[0].refuses.Store(status.New(code, "no"))
			nodes[0].leaves.Store(true)
			reserveAt(t, client, "last of the stream")
			require.Equal(t, "0", reserveAt(t, client, "call"))
			require.EqualValues(t, 1, nodes[0].alone.Load())
		})
	}
}

// A connection that is closed ends its streams. Calls that wait fail, and are not made again.
func TestConnectionsOfBatchesClose(t *testing.T) {
	t.Parallel()
	nodes, conn := batchConn(t, 1)
	node, client := nodes[0], billingv1.NewBillingServiceClient(conn)
	node.held.Store("held", true)
	before := node.calls.Load()
	const calls = 16
	failed := make(chan error, calls)
	for range calls {
		go func() {
			_, err := client.Reserve(context.Background(), &billingv1.ReserveRequest{RequestId: "held"})
			failed <- err
		}()
	}
	require.Eventually(t, func() bool { return node.calls.Load() == before+calls }, time.Minute, time.Millisecond)
	require.NoError(t, conn.Close())
	for range calls {
		require.Equal(t, codes.Canceled, status.Code(<-failed))
	}
	require.Zero(t, node.alone.Load())
	_, err := client.Reserve(t.Context(), &billingv1.ReserveRequest{RequestId: "late"})
	require.Equal(t, codes.Canceled, status.Code(err))
}

func TestCallsThatTravelInBatchesMayBeRepeated(t *testing.T) {
	t.Parallel()
	require.Equal(t, 4, connect.BatchedRepeatable())
}
