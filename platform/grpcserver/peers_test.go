package grpcserver_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/connect"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/peer"
)

// When one service refuses another, the person whose request they serve gets a 503 and not "permission denied". The operator learns which
// setting, or the clocks, to look at.
func TestARefusedServiceIsUnavailableToItsCallers(t *testing.T) {
	t.Parallel()
	billing := serveBilling(t, &ledger{})
	auth := serve(t, fakeAuth{}, time.Second)
	for name, tc := range map[string]struct {
		service string
		secret  []byte
		ahead   time.Duration
		log     string
	}{
		"another secret":  {"ai", bytes.Repeat([]byte{6}, 32), 0, "TRIVET_INTERNAL_SECRET"},
		"a clock ahead":   {"ai", secret, 10 * time.Minute, "clocks"},
		"a clock behind":  {"ai", secret, -10 * time.Minute, "clocks"},
		"an unknown name": {"stranger", secret, 0, "version"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			prover, err := peer.NewProver(tc.service, tc.secret, func() time.Time { return time.Now().Add(tc.ahead) })
			require.NoError(t, err)
			for what, call := range refusedCalls() {
				for way, conns := range map[string][2]*connect.Conn{
					"TCP":        {dialWith(t, prover, auth.address), dialWith(t, prover, billing.address)},
					"in process": {connect.InProcess(auth.server.InProcess(), prover), connect.InProcess(billing.server.InProcess(), prover)},
				} {
					if what == streamOfRequests && way == "in process" {
						continue // it has no such form
					}
					log := &lockedLog{}
					for _, conn := range conns {
						conn.LogTo(slog.New(slog.NewTextHandler(log, nil)))
					}
					err := call(t.Context(), authv1.NewAuthServiceClient(conns[0]), billingv1.NewBillingServiceClient(conns[1]))
					e := errs.From(err)
					require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, e.Reason, "%s, %s: %v", what, way, err)
					require.Equal(t, codes.Unavailable, status.Code(err))
					require.Equal(t, "Service temporarily unavailable. Please try again later.", e.Message)
					require.Equal(t, time.Second, e.RetryAfter)
					require.Empty(t, e.Metadata)
					require.Equal(t, 1, strings.Count(log.String(), "level=ERROR"), log)
					require.Contains(t, log.String(), tc.log)
					require.Contains(t, log.String(), "rpc=/trivet.")
				}
			}
		})
	}
}

const streamOfRequests = "a stream of requests"

// refusedCalls are a call of each way that a connection has.
func refusedCalls() map[string]func(context.Context, authv1.AuthServiceClient, billingv1.BillingServiceClient) error {
	return map[string]func(context.Context, authv1.AuthServiceClient, billingv1.BillingServiceClient) error{
		"a call that may be repeated": func(ctx context.Context, auth authv1.AuthServiceClient, _ billingv1.BillingServiceClient) error {
			_, err := auth.Authenticate(ctx, &authv1.AuthenticateRequest{Credential: "x"})
			return err
		},
		"a call that must not be repeated": func(ctx context.Context, _ authv1.AuthServiceClient, billing billingv1.BillingServiceClient) error {
			_, err := billing.EraseUser(ctx, &billingv1.EraseUserRequest{UserId: "user_1"})
			return err
		},
		"a call that travels in a batch": func(ctx context.Context, _ authv1.AuthServiceClient, billing billingv1.BillingServiceClient) error {
			_, err := billing.GetEntitlements(ctx, &billingv1.GetEntitlementsRequest{AccountId: "user_1"})
			return err
		},
		"a watch": func(ctx context.Context, auth authv1.AuthServiceClient, _ billingv1.BillingServiceClient) error {
			stream, err := auth.WatchRevocations(ctx, &authv1.WatchRevocationsRequest{})
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		},
		streamOfRequests: func(ctx context.Context, _ authv1.AuthServiceClient, billing billingv1.BillingServiceClient) error {
			stream, err := billing.Batch(ctx)
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		},
	}
}

// A refused service that makes many calls does not fill the log.
func TestRefusedServicesAreToldOnceASecond(t *testing.T) {
	t.Parallel()
	auth := serve(t, fakeAuth{}, time.Second)
	prover, err := peer.NewProver("stranger", secret, time.Now)
	require.NoError(t, err)
	conn, log := connect.InProcess(auth.server.InProcess(), prover), &lockedLog{}
	conn.LogTo(slog.New(slog.NewTextHandler(log, nil)))
	for range 200 {
		_, err := authv1.NewAuthServiceClient(conn).Authenticate(t.Context(), &authv1.AuthenticateRequest{Credential: "x"})
		require.Error(t, err)
	}
	require.Contains(t, log.String(), "suppressed=0")
	require.Less(t, strings.Count(log.String(), "\n"), 100)
}

// Whoever is not one of the services learns that the call is not for them, and nothing that a connection would take for its own refusal.
func TestStrangersAreDenied(t *testing.T) {
	t.Parallel()
	auth := serve(t, fakeAuth{}, time.Second)
	raw, err := grpc.NewClient(auth.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, raw.Close()) })
	for proof, refusal := range map[string]string{"": "", "forged": peer.WrongSecret, "ai.1.00": peer.WrongSecret} {
		ctx := t.Context()
		if proof != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, peer.Header, proof)
		}
		_, err = authv1.NewAuthServiceClient(raw).Authenticate(ctx, &authv1.AuthenticateRequest{Credential: "x"})
		require.Equal(t, codes.PermissionDenied, status.Code(err))
		require.Equal(t, "Only Trivet's own services may call this.", errs.From(err).Message)
		require.Equal(t, refusal, peer.Refusal(err))
	}
}

// dialWith connects with a prover of its own.
func dialWith(t *testing.T, prover *peer.Prover, address string) *connect.Conn {
	t.Helper()
	conn, err := connect.Dial(address, prover, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return conn
}
