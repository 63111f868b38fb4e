package grpcserver_test

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"
	"golang.org/x/net/dns/dnsmessage"
	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/resolver/dns"

	"github.com/trivet-dev/trivet/platform/connect"
	"github.com/trivet-dev/trivet/platform/grpcserver"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/peer"
)

// names is a DNS server that knows one address of every name, or two.
type names struct {
	both  atomic.Bool
	asked atomic.Int64 // for addresses
}

// listen answers until the test ends, and returns the server's address.
func (n *names) listen(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		request := make([]byte, 512)
		for {
			size, from, err := conn.ReadFrom(request)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(request[:size]) != nil {
				continue
			}
			m.Response, m.Additionals = true, nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				n.asked.Add(1)
				header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}})
				if n.both.Load() {
					m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 2}}})
				}
			}
			if answer, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		<-done
	})
	return conn.LocalAddr().String()
}

// replica serves at an address until the test ends; its callers reconnect at that age.
func replica(t *testing.T, address string, age time.Duration) (at string) {
	t.Helper()
	issuer, err := passport.NewIssuer(issuerKey(), time.Now)
	require.NoError(t, err)
	server, err := grpcserver.New(grpcserver.Config{
		Logger: slog.New(slog.DiscardHandler), Meter: noop.NewMeterProvider().Meter(""), Passports: verifier(t, issuer), Peers: peers(t), ConnectionAge: age,
	})
	require.NoError(t, err)
	listener, err := net.Listen("tcp", address)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, listener, time.Second) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-served)
	})
	return listener.Addr().String()
}

// A replica that is added behind a name gets calls as soon as a connection has reached its age, although no replica has failed. At the age that the
// callers of this test do not live to see, none of its calls reaches it.
func TestANewReplicaBehindANameGetsCalls(t *testing.T) {
	dns.SetMinResolutionInterval(time.Millisecond)
	t.Cleanup(func() { dns.SetMinResolutionInterval(30 * time.Second) })
	for name, c := range map[string]struct {
		age     time.Duration
		reaches bool
	}{"a short age": {200 * time.Millisecond, true}, "the usual age": {0, false}} {
		t.Run(name, func(t *testing.T) {
			n := &names{}
			server := n.listen(t)
			first := replica(t, "127.0.0.1:0", c.age)
			_, port, err := net.SplitHostPort(first)
			require.NoError(t, err)
			second := replica(t, "127.0.0.2:"+port, c.age)
			prover, err := peer.NewProver("gateway", secret, time.Now)
			require.NoError(t, err)
			conn, err := connect.Dial("dns://"+server+"/billing.test.:"+port, prover, nil)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, conn.Close()) })
			reached := func() string {
				var at grpcpeer.Peer
				_, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{}, grpc.Peer(&at))
				require.NoError(t, err, "no call fails while connections are replaced")
				return at.Addr.String()
			}
			for range 10 {
				require.Equal(t, first, reached())
			}
			n.both.Store(true)
			if !c.reaches {
				asked := n.asked.Load()
				for range 1000 {
					require.Equal(t, first, reached())
				}
				require.Equal(t, asked, n.asked.Load(), "nothing makes callers resolve the name again")
				return
			}
			require.Eventually(t, func() bool { return reached() == second }, time.Minute, time.Millisecond)
			require.Eventually(t, func() bool { return reached() == first }, time.Minute, time.Millisecond, "the first one still gets its share")
		})
	}
}
