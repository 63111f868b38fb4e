package connect_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
)

// bareServer speaks HTTP/2 without gRPC's server, so that it can fail at any point of a call. It fails the first calls and answers the rest.
type bareServer struct {
	failing   func(*http2.Framer, net.Conn, uint32) error
	failures  int64
	processes bool // the failing calls were processed, or may have been

	requests, effects atomic.Int64
}

// listen serves until the test ends.
func (s *bareServer) listen(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var running sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			running.Go(func() { _ = s.serve(conn) }) // the client sees how it ends
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for _, conn := range open {
			_ = conn.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return listener.Addr().String()
}

func (s *bareServer) serve(conn net.Conn) error {
	defer conn.Close()
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return err
	}
	framer := http2.NewFramer(conn, conn)
	if err := framer.WriteSettings(); err != nil {
		return err
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return err
		}
		if err := s.take(framer, conn, frame); err != nil {
			return err
		}
	}
}

func (s *bareServer) take(framer *http2.Framer, conn net.Conn, frame http2.Frame) error {
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			return framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			return framer.WritePing(true, f.Data)
		}
	case *http2.DataFrame:
		if !f.StreamEnded() {
			return nil
		}
		if s.requests.Add(1) > s.failures {
			s.effects.Add(1)
			return answer(framer, f.StreamID)
		}
		if s.processes {
			s.effects.Add(1)
		}
		return s.failing(framer, conn, f.StreamID)
	}
	return nil
}

// headers are encoded header fields: pairs of name and value.
func headers(pairs ...string) []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for i := 0; i < len(pairs); i += 2 {
		_ = encoder.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]}) // a buffer takes all
	}
	return block.Bytes()
}

// begin sends the headers of an answer.
func begin(framer *http2.Framer, stream uint32) error {
	return framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, EndHeaders: true, BlockFragment: headers(":status", "200", "content-type", "application/grpc")})
}

// answer sends an empty message.
func answer(framer *http2.Framer, stream uint32) error {
	if err := begin(framer, stream); err != nil {
		return err
	}
	if err := framer.WriteData(stream, false, make([]byte, 5)); err != nil {
		return err
	}
	return framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, EndHeaders: true, EndStream: true, BlockFragment: headers("grpc-status", "0")})
}

func reset(code http2.ErrCode) func(*http2.Framer, net.Conn, uint32) error {
	return func(framer *http2.Framer, _ net.Conn, stream uint32) error {
		return framer.WriteRSTStream(stream, code)
	}
}

// gRPC repeats a call by itself if no server has processed it. A call that must not happen twice relies on this: it is repeated only when
// the server says that it did not take it, and never when the server may have processed it.
func TestGRPCRepeatsOnlyWhatNoServerHasProcessed(t *testing.T) {
	for name, tc := range map[string]struct {
		server   *bareServer
		requests int64
		code     codes.Code
	}{
		"the connection breaks before an answer": {&bareServer{failures: 1, processes: true, failing: func(_ *http2.Framer, conn net.Conn, _ uint32) error {
			return conn.Close()
		}}, 1, codes.Unavailable},
		"the connection breaks within the answer": {&bareServer{failures: 1, processes: true, failing: func(framer *http2.Framer, conn net.Conn, stream uint32) error {
			if err := begin(framer, stream); err != nil {
				return err
			}
			return conn.Close()
		}}, 1, codes.Unavailable},
		"the server leaves, and has taken the call": {&bareServer{failures: 1, processes: true, failing: func(framer *http2.Framer, conn net.Conn, stream uint32) error {
			if err := framer.WriteGoAway(stream, http2.ErrCodeNo, nil); err != nil {
				return err
			}
			return conn.Close()
		}}, 1, codes.Unavailable},
		"the server resets the call by an error":    {&bareServer{failures: 1, processes: true, failing: reset(http2.ErrCodeInternal)}, 1, codes.Internal},
		"the server cancels the call":               {&bareServer{failures: 1, processes: true, failing: reset(http2.ErrCodeCancel)}, 1, codes.Canceled},
		"the server is overloaded within the call":  {&bareServer{failures: 1, processes: true, failing: reset(http2.ErrCodeEnhanceYourCalm)}, 1, codes.ResourceExhausted},
		"the server refuses the call":               {&bareServer{failures: 1, failing: reset(http2.ErrCodeRefusedStream)}, 2, codes.OK},
		"the server refuses the call and the retry": {&bareServer{failures: 2, failing: reset(http2.ErrCodeRefusedStream)}, 2, codes.Unavailable},
		"the server leaves, and has not taken the call": {&bareServer{failures: 1, failing: func(framer *http2.Framer, _ net.Conn, stream uint32) error {
			return framer.WriteGoAway(stream-1, http2.ErrCodeNo, nil)
		}}, 2, codes.OK},
	} {
		t.Run(name, func(t *testing.T) {
			for _, method := range []string{authv1.AuthService_CreateApiKey_FullMethodName, billingv1.BillingService_CreateCheckoutSession_FullMethodName} {
				server := &bareServer{failing: tc.server.failing, failures: tc.server.failures, processes: tc.server.processes}
				conn := dial(t, server.listen(t), prover(t, time.Now))
				err := conn.Invoke(t.Context(), method, &authv1.CreateApiKeyRequest{}, &authv1.CreateApiKeyResponse{})
				require.Equal(t, tc.code, status.Code(err), "%s: %v", method, err)
				require.Equal(t, tc.requests, server.requests.Load(), method)
				require.LessOrEqual(t, server.effects.Load(), int64(1), method)
				require.Equal(t, err == nil || tc.server.processes, server.effects.Load() == 1, method)
			}
		})
	}
}

// effects counts the calls of DeleteApiKey by id.
type effects struct {
	authv1.UnimplementedAuthServiceServer
	mu  sync.Mutex
	ids map[string]int
}

func (e *effects) DeleteApiKey(_ context.Context, r *authv1.DeleteApiKeyRequest) (*authv1.DeleteApiKeyResponse, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ids[r.GetApiKeyId()]++
	return &authv1.DeleteApiKeyResponse{}, nil
}

// leaving serves on connections that it ends all the time, as a server does that stops or renews its connections.
func (e *effects) leaving(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer(grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: 10 * time.Millisecond, MaxConnectionAgeGrace: time.Minute}))
	authv1.RegisterAuthServiceServer(server, e)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		require.NoError(t, <-served)
	})
	return listener.Addr().String()
}

// A call that meets the end of its connection has one effect. One that meets two ends may fail, and is not repeated then.
func TestCallsMeetServersThatLeave(t *testing.T) {
	const callers, calls = 4, 200
	e := &effects{ids: map[string]int{}}
	conn := dial(t, e.leaving(t)+","+e.leaving(t), prover(t, time.Now))
	client := authv1.NewAuthServiceClient(conn)
	var all sync.WaitGroup
	var failed sync.Map
	for caller := range callers {
		all.Go(func() {
			for n := range calls {
				id := fmt.Sprintf("key_%d_%d", caller, n)
				if _, err := client.DeleteApiKey(t.Context(), &authv1.DeleteApiKeyRequest{ApiKeyId: id}); err != nil {
					failed.Store(id, err)
				}
			}
		})
	}
	all.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	for caller := range callers {
		for n := range calls {
			id := fmt.Sprintf("key_%d_%d", caller, n)
			if err, failed := failed.Load(id); failed {
				t.Logf("%s failed: %v", id, err)
				require.LessOrEqual(t, e.ids[id], 1, id)
				continue
			}
			require.Equal(t, 1, e.ids[id], id)
		}
	}
}
