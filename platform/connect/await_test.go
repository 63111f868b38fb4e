package connect

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/trivet-dev/trivet/platform/peer"
)

// A call that arrives while the other process is starting waits for it instead of failing in the backoff.
func TestCallWaitsForAProcessThatIsStarting(t *testing.T) {
	reserved, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := reserved.Addr().String()
	require.NoError(t, reserved.Close())

	prover, err := peer.NewProver("gateway", []byte(strings.Repeat("k", 32)), time.Now)
	require.NoError(t, err)
	conn, err := Dial(address, prover, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()

	check := func() error {
		_, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
		return err
	}
	require.Equal(t, codes.Unavailable, status.Code(check()), "nothing listens")
	conn.client.Connect()
	for state := conn.client.GetState(); state != connectivity.TransientFailure; state = conn.client.GetState() {
		require.True(t, conn.client.WaitForStateChange(t.Context(), state))
	}

	listener, err := net.Listen("tcp", address)
	require.NoError(t, err)
	server := grpc.NewServer()
	healthv1.RegisterHealthServer(server, health.NewServer())
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	defer func() { server.Stop(); require.NoError(t, <-done) }()

	require.NoError(t, check(), "it listens now, although the backoff has not passed")
}
