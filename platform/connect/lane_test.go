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
		if n.hangs.Load() {
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

// batchNodes starts replicas, and returns a client of them that is connected to all.
func batchNodes(t *testing.T, n int) ([]*batchNode, billingv1.BillingServiceClient) {
	t.Helper()
	var nodes []*batchNode
	var addresses []string
	for i := range n {
		node := &batchNode{name: strconv.Itoa(i)}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		node.address, node.server = listener.Addr().String(), grpc.NewServer(pings)
		billingv1.RegisterBillingServiceServer(node.server, node)
		served := make(chan error, 1)
		go func() { served <- node.server.Serve(listener) }()
		t.Cleanup(func() {
			node.server.Stop()
			require.NoError(t, <-served)
		})
		nodes, addresses = append(nodes, node), append(addresses, node.address)
	}
	client := billingv1.NewBillingServiceClient(dial(t, strings.Join(addresses, ","), prover(t, time.Now)))
	for _, node := range nodes {
		require.Eventually(t, func() bool {
			reserveAt(t, client, "warm")
			return node.calls.Load() > 0
		}, 30*time.Second, time.Millisecond, "each replica gets a stream")
	}
	return nodes, client
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
	for range 30 {
		reserveAt(t, client, "call")
	}
	for i, n := range nodes {
		require.EqualValues(t, 10, n.calls.Load()-before[i])
		require.EqualValues(t, 1, n.streams.Load())
		require.Zero(t, n.alone.Load())
	}
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

// A connection that is closed ends its streams and their calls.
func TestConnectionsOfBatchesClose(t *testing.T) {
	t.Parallel()
	node := &batchNode{name: "0"}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer(pings)
	billingv1.RegisterBillingServiceServer(server, node)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn := dial(t, listener.Addr().String(), prover(t, time.Now))
	client := billingv1.NewBillingServiceClient(conn)
	node.held.Store("held", true)
	failed := make(chan error, 1)
	go func() {
		_, err := client.Reserve(context.Background(), &billingv1.ReserveRequest{RequestId: "held"})
		failed <- err
	}()
	require.Eventually(t, func() bool { return node.calls.Load() == 1 }, 30*time.Second, time.Millisecond)
	require.NoError(t, conn.Close())
	require.Error(t, <-failed)
	server.Stop()
	require.NoError(t, <-served)
}

func TestCallsThatTravelInBatchesMayBeRepeated(t *testing.T) {
	t.Parallel()
	require.Equal(t, 4, connect.BatchedRepeatable())
}
