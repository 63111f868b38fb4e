package connect_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	"github.com/trivet-dev/trivet/platform/connect"
)

// A call that must not be repeated.
func remove(t *testing.T, client authv1.AuthServiceClient) error {
	t.Helper()
	_, err := client.DeleteApiKey(t.Context(), &authv1.DeleteApiKeyRequest{ApiKeyId: "key_1"})
	return err
}

// The caller learns that no replica got the request, and only where this is certain.
func TestUnsentCallsAreKnown(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(t *testing.T, call func(*testing.T, authv1.AuthServiceClient) error) (err error, unsent bool){
		"nobody listens": func(t *testing.T, call func(*testing.T, authv1.AuthServiceClient) error) (error, bool) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			require.NoError(t, listener.Close())
			return call(t, authv1.NewAuthServiceClient(dial(t, listener.Addr().String(), prover(t, time.Now)))), true
		},
		"the replicas died": func(t *testing.T, call func(*testing.T, authv1.AuthServiceClient) error) (error, bool) {
			a, b := &node{}, &node{}
			client := connected(t, a, b)
			a.server.Stop()
			b.server.Stop()
			require.Eventually(t, func() bool { return connect.Unsent(call(t, client)) }, 30*time.Second, time.Millisecond)
			return call(t, client), true
		},
		"the replica dies with the call": func(t *testing.T, call func(*testing.T, authv1.AuthServiceClient) error) (error, bool) {
			return call(t, connected(t, &node{dies: true})), false
		},
		"the service refuses": func(t *testing.T, call func(*testing.T, authv1.AuthServiceClient) error) (error, bool) {
			refusal, err := status.New(codes.Unavailable, "the store cannot be written").WithDetails(&authv1.GetStatusRequest{})
			require.NoError(t, err)
			return call(t, connected(t, &node{refuses: refusal.Err()}, &node{refuses: refusal.Err()})), false
		},
	} {
		for kind, call := range map[string]func(*testing.T, authv1.AuthServiceClient) error{"unary": remove, "stream": watch} {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				err, unsent := test(t, call)
				require.Equal(t, codes.Unavailable, status.Code(err))
				require.Equal(t, unsent, connect.Unsent(err), "%v", err)
			})
		}
	}
	require.False(t, connect.Unsent(nil))
	require.False(t, connect.Unsent(context.Canceled))
}
