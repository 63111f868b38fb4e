package grpcserver_test

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/grpc"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/connect"
	"github.com/trivet-dev/trivet/platform/grpcserver"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/peer"
)

// BenchmarkCallsOverTCP compares calls of 64 callers that travel alone with those that travel in batches. The CPU is that of both ends.
func BenchmarkCallsOverTCP(b *testing.B) {
	client := benchClient(b)
	for name, options := range map[string][]grpc.CallOption{"alone": {alone()}, "batched": nil} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			before := cpu(b)
			var callers sync.WaitGroup
			for i := range 64 {
				callers.Go(func() {
					for range b.N/64 + min(1, max(0, b.N%64-i)) {
						if _, err := client.Reserve(context.Background(), reserveRequest("call_1"), options...); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			callers.Wait()
			b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/1000/float64(b.N), "cpu-µs/op")
		})
	}
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func benchClient(b *testing.B) billingv1.BillingServiceClient {
	b.Helper()
	return billingv1.NewBillingServiceClient(benchConn(b, func(server *grpcserver.Server) {
		billingv1.RegisterBillingServiceServer(server, &ledger{reserve: func(context.Context, *billingv1.ReserveRequest) (*billingv1.ReserveResponse, error) {
			time.Sleep(time.Millisecond) // as a commit that many calls share
			return &billingv1.ReserveResponse{HoldId: "hold_1"}, nil
		}})
	}))
}

// benchConn is a connection over TCP to a server whose passports and peers have the tests' secret.
func benchConn(b *testing.B, register func(*grpcserver.Server)) *connect.Conn {
	b.Helper()
	public, ok := ed25519.NewKeyFromSeed(secret).Public().(ed25519.PublicKey)
	require.True(b, ok)
	passports, err := passport.NewVerifier([]ed25519.PublicKey{public}, time.Now)
	require.NoError(b, err)
	peers, err := peer.NewVerifier(secret, time.Now)
	require.NoError(b, err)
	server, err := grpcserver.New(grpcserver.Config{Logger: slog.New(slog.DiscardHandler), Meter: noop.Meter{}, Passports: passports, Peers: peers})
	require.NoError(b, err)
	register(server)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, listener, time.Second) }()
	prover, err := peer.NewProver("ai", secret, time.Now)
	require.NoError(b, err)
	conn, err := connect.Dial(listener.Addr().String(), prover, nil)
	require.NoError(b, err)
	b.Cleanup(func() {
		require.NoError(b, conn.Close())
		stop()
		require.NoError(b, <-served)
	})
	return conn
}
