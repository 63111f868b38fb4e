package grpcserver_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	accessv1 "github.com/trivet-dev/trivet/gen/go/trivet/access/v1"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/connect"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/grpcserver"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/peer"
	"github.com/trivet-dev/trivet/platform/requestid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var secret = bytes.Repeat([]byte{5}, 32)

// fakeAuth answers a few RPCs of every kind of rule.
type fakeAuth struct {
	authv1.UnimplementedAuthServiceServer
	me func(context.Context) (*authv1.GetMeResponse, error)
}

func (f fakeAuth) GetMe(ctx context.Context, _ *authv1.GetMeRequest) (*authv1.GetMeResponse, error) {
	return f.me(ctx)
}

func (fakeAuth) ListUsers(context.Context, *authv1.ListUsersRequest) (*authv1.ListUsersResponse, error) {
	return &authv1.ListUsersResponse{}, nil
}

func (fakeAuth) ListApiKeys(context.Context, *authv1.ListApiKeysRequest) (*authv1.ListApiKeysResponse, error) {
	return &authv1.ListApiKeysResponse{}, nil
}

func (fakeAuth) Authenticate(context.Context, *authv1.AuthenticateRequest) (*authv1.AuthenticateResponse, error) {
	return &authv1.AuthenticateResponse{}, nil
}

func (fakeAuth) WatchRevocations(_ *authv1.WatchRevocationsRequest, s grpc.ServerStreamingServer[authv1.WatchRevocationsResponse]) error {
	if err := s.Send(&authv1.WatchRevocationsResponse{}); err != nil {
		return err
	}
	<-s.Context().Done()
	return s.Context().Err()
}

type fixture struct {
	issuer *passport.Issuer
	conn   grpc.ClientConnInterface
	log    *bytes.Buffer
}

type exchanger map[string]string

func (x exchanger) Passport(_ context.Context, credential, _ string) (string, error) {
	if token, ok := x[credential]; ok {
		return token, nil
	}
	return "", errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, "Invalid token")
}

func (exchanger) Renew(context.Context, string, string, string) (string, error) { return "", nil }

// each runs a test in-process and over TCP: the same interceptors must hold on both.
func each(t *testing.T, peerName string, impl fakeAuth, test func(t *testing.T, f fixture)) {
	t.Helper()
	for _, network := range []string{"in-process", "TCP"} {
		t.Run(network, func(t *testing.T) {
			key := ed25519.NewKeyFromSeed(secret)
			issuer, err := passport.NewIssuer(key, time.Now)
			require.NoError(t, err)
			passports, err := passport.NewVerifier([]ed25519.PublicKey{issuer.PublicKey()}, time.Now)
			require.NoError(t, err)
			peers, err := peer.NewVerifier(secret, time.Now)
			require.NoError(t, err)
			prover, err := peer.NewProver(peerName, secret, time.Now)
			require.NoError(t, err)
			good, err := issuer.Issue(passport.Claims{UserID: "user_x", AccountID: "user_x"}, "auth", time.Now().Add(time.Minute))
			require.NoError(t, err)

			log := &bytes.Buffer{}
			server, err := grpcserver.New(grpcserver.Config{
				Logger: slog.New(slog.NewTextHandler(log, nil)), Meter: noop.Meter{}, Passports: passports, Peers: peers,
				Exchanger: exchanger{"good": good}, Reflection: true,
			})
			require.NoError(t, err)
			authv1.RegisterAuthServiceServer(server, impl)

			ctx, stop := context.WithCancel(t.Context())
			served := make(chan error, 1)
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			go func() { served <- server.Serve(ctx, listener, time.Second) }()
			var conn *connect.Conn
			if network == "TCP" {
				conn, err = connect.Dial(listener.Addr().String(), prover, nil)
				require.NoError(t, err)
			} else {
				conn = connect.InProcess(server.InProcess(), prover)
			}
			t.Cleanup(func() {
				require.NoError(t, conn.Close())
				stop()
				require.NoError(t, <-served)
				require.NoError(t, server.Drain(context.Background()))
			})
			test(t, fixture{issuer: issuer, conn: conn, log: log})
		})
	}
}

func (f fixture) as(t *testing.T, c passport.Claims, audience string) context.Context {
	t.Helper()
	if c.UserID == "" {
		c.UserID, c.AccountID = "user_1", "user_1"
	}
	token, err := f.issuer.Issue(c, audience, time.Now().Add(time.Minute))
	require.NoError(t, err)
	return passport.Outgoing(t.Context(), token)
}

func whoAmI(ctx context.Context) (*authv1.GetMeResponse, error) {
	c, ok := passport.FromContext(ctx)
	if !ok {
		return nil, errors.New("nobody")
	}
	return &authv1.GetMeResponse{Identity: &authv1.Identity{UserId: c.UserID}}, nil
}

func TestRulesAreEnforced(t *testing.T) {
	each(t, "gateway", fakeAuth{me: whoAmI}, func(t *testing.T, f fixture) {
		auth := authv1.NewAuthServiceClient(f.conn)
		me := func(ctx context.Context) error { _, err := auth.GetMe(ctx, &authv1.GetMeRequest{}); return err }
		users := func(ctx context.Context) error { _, err := auth.ListUsers(ctx, &authv1.ListUsersRequest{}); return err }
		keys := func(ctx context.Context) error {
			_, err := auth.ListApiKeys(ctx, &authv1.ListApiKeysRequest{})
			return err
		}
		bearer := func(v ...string) context.Context {
			ctx := t.Context()
			for _, s := range v {
				ctx = metadata.AppendToOutgoingContext(ctx, "authorization", s)
			}
			return ctx
		}
		const (
			none         = errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED
			unauthorized = errorsv1.ErrorReason_ERROR_REASON_UNAUTHORIZED
			invalid      = errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN
			denied       = errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED
		)
		key := passport.Claims{UserID: "u", AccountID: "u", APIKeyID: "key_1", Scopes: []string{"ai.invoke"}, Operator: true}
		keyManager := key
		keyManager.Scopes = []string{"keys.manage"}
		cases := []struct {
			name string
			call func(context.Context) error
			ctx  context.Context
			want errorsv1.ErrorReason
		}{
			{"user: with a passport", me, f.as(t, passport.Claims{}, "auth"), none},
			{"user: without", me, t.Context(), unauthorized},
			{"user: passport for another service", me, f.as(t, passport.Claims{}, "ai"), invalid},
			{"user: forged passport", me, passport.Outgoing(t.Context(), "abc"), invalid},
			{"user: two passports", me, metadata.AppendToOutgoingContext(f.as(t, passport.Claims{}, "auth"), passport.Header, "x"), invalid},
			{"user: with a good credential", me, bearer("Bearer good"), none},
			{"user: with a bad credential", me, bearer("Bearer bad"), invalid},
			{"user: with another scheme", me, bearer("Basic good"), invalid},
			{"user: with two credentials", me, bearer("Bearer good", "Bearer good"), invalid},
			{"user: metadata is not an identity", me, metadata.AppendToOutgoingContext(t.Context(), "x-user-id", "user_1", "user", "root"), unauthorized},
			{"operator: a user", users, f.as(t, passport.Claims{}, "auth"), denied},
			{"operator: an operator", users, f.as(t, passport.Claims{Operator: true, UserID: "o", AccountID: "o"}, "auth"), none},
			{"operator: an operator's key", users, f.as(t, key, "auth"), denied},
			{"admin: an owner", keys, f.as(t, passport.Claims{}, "auth"), none},
			{"admin: a member", keys, f.as(t, passport.Claims{UserID: "u", AccountID: "o", OrganizationID: "o", Role: "member"}, "auth"), denied},
			{"admin: an admin", keys, f.as(t, passport.Claims{UserID: "u", AccountID: "o", OrganizationID: "o", Role: "boss", Admin: true}, "auth"), none},
			{"scope: a key without", keys, f.as(t, key, "auth"), denied},
			{"scope: a key with", keys, f.as(t, keyManager, "auth"), none},
		}
		for _, tc := range cases {
			t.Run(tc.name, func(t *testing.T) {
				require.Equal(t, tc.want, errs.ReasonOf(tc.call(tc.ctx)))
			})
		}
		got, err := auth.GetMe(f.as(t, passport.Claims{UserID: "user_7", AccountID: "user_7"}, "auth"), &authv1.GetMeRequest{})
		require.NoError(t, err)
		require.Equal(t, "user_7", got.GetIdentity().GetUserId())
	})
}

func TestInternalCallsNeedTheRightPeer(t *testing.T) {
	call := func(t *testing.T, f fixture) error {
		t.Helper()
		auth := authv1.NewAuthServiceClient(f.conn)
		_, err := auth.Authenticate(t.Context(), &authv1.AuthenticateRequest{Credential: "x"})
		stream, streamErr := auth.WatchRevocations(t.Context(), &authv1.WatchRevocationsRequest{})
		require.NoError(t, streamErr)
		_, streamErr = stream.Recv()
		require.Equal(t, errs.ReasonOf(err), errs.ReasonOf(streamErr), "streams are as strict as calls")
		return err
	}
	each(t, "gateway", fakeAuth{}, func(t *testing.T, f fixture) { require.NoError(t, call(t, f)) })
	each(t, "stranger", fakeAuth{}, func(t *testing.T, f fixture) {
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, errs.ReasonOf(call(t, f)))
	})
}

func TestErrorsPanicsAndBadInput(t *testing.T) {
	var outcome func() error
	each(t, "gateway", fakeAuth{me: func(context.Context) (*authv1.GetMeResponse, error) { return nil, outcome() }}, func(t *testing.T, f fixture) {
		auth := authv1.NewAuthServiceClient(f.conn)
		ctx := f.as(t, passport.Claims{}, "auth")

		outcome = func() error { return errors.New("the password is hunter2") }
		_, err := auth.GetMe(ctx, &authv1.GetMeRequest{})
		require.Equal(t, codes.Internal, status.Code(err))
		require.NotContains(t, err.Error(), "hunter2")
		require.Contains(t, f.log.String(), "hunter2", "the log has the cause")

		outcome = func() error { panic("boom") }
		_, err = auth.GetMe(ctx, &authv1.GetMeRequest{})
		require.Equal(t, codes.Internal, status.Code(err))
		require.NotContains(t, err.Error(), "boom")
		require.Contains(t, f.log.String(), "panic in /trivet.auth.v1.AuthService/GetMe: a value of type string")
		require.NotContains(t, f.log.String(), "boom", "the value of a panic may hold content")

		_, err = auth.GetUser(f.as(t, passport.Claims{UserID: "o", AccountID: "o", Operator: true}, "auth"), &authv1.GetUserRequest{})
		bad := errs.From(err)
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, bad.Reason)
		require.Equal(t, "userId", bad.Fields[0].Name)
		require.Contains(t, bad.Message, "userId")

		_, err = auth.GetUser(f.as(t, passport.Claims{UserID: "o", AccountID: "o", Operator: true}, "auth"), &authv1.GetUserRequest{UserId: "u"})
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_NOT_IMPLEMENTED, errs.ReasonOf(err))
	})
}

func TestContextOfAHandler(t *testing.T) {
	var seen context.Context
	each(t, "gateway", fakeAuth{me: func(ctx context.Context) (*authv1.GetMeResponse, error) {
		seen = ctx
		_, hasDeadline := ctx.Deadline()
		require.True(t, hasDeadline, "every unary call has a deadline")
		return &authv1.GetMeResponse{}, nil
	}}, func(t *testing.T, f fixture) {
		auth := authv1.NewAuthServiceClient(f.conn)
		_, err := auth.GetMe(requestid.With(f.as(t, passport.Claims{}, "auth"), "req-1"), &authv1.GetMeRequest{})
		require.NoError(t, err)
		require.Equal(t, "req-1", requestid.From(seen))
		_, err = auth.GetMe(requestid.With(f.as(t, passport.Claims{}, "auth"), "bad id\n"), &authv1.GetMeRequest{})
		if err == nil { // in-process; over TCP gRPC itself refuses the header
			require.True(t, requestid.Valid(requestid.From(seen)), "a bad id is replaced")
		}
	})
}

func TestHealthNeedsNoCredential(t *testing.T) {
	each(t, "gateway", fakeAuth{}, func(t *testing.T, f fixture) {
		got, err := healthv1.NewHealthClient(f.conn).Check(t.Context(), &healthv1.HealthCheckRequest{Service: "trivet.auth.v1.AuthService"})
		if status.Code(err) == codes.Unimplemented {
			return // the in-process channel has no health service: its services live as long as the process
		}
		require.NoError(t, err)
		require.Equal(t, healthv1.HealthCheckResponse_SERVING, got.GetStatus())
	})
}

// Every RPC of the contract must say who may call it: the server refuses those that don't.
func TestEveryRPCHasARule(t *testing.T) {
	services := []string{authv1.AuthService_ServiceDesc.ServiceName, aiv1.AIService_ServiceDesc.ServiceName, billingv1.BillingService_ServiceDesc.ServiceName}
	seen := 0
	for _, name := range services {
		found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
		require.NoError(t, err)
		service, ok := found.(protoreflect.ServiceDescriptor)
		require.True(t, ok)
		for i := range service.Methods().Len() {
			method := service.Methods().Get(i)
			rule := grpcserver.RuleOf(name, string(method.Name()))
			require.NotEqual(t, accessv1.Caller_CALLER_UNSPECIFIED, rule.GetCaller(), method.FullName())
			internal := rule.GetCaller() == accessv1.Caller_CALLER_INTERNAL
			require.Equal(t, internal, len(rule.GetPeers()) > 0, "%s: peers go with CALLER_INTERNAL and only with it", method.FullName())
			seen++
		}
	}
	require.Greater(t, seen, 40)
}

func TestAServerNeedsItsVerifiers(t *testing.T) {
	_, err := grpcserver.New(grpcserver.Config{Logger: slog.Default(), Meter: noop.Meter{}})
	require.ErrorContains(t, err, "passport verifier")
}

func BenchmarkInProcessCall(b *testing.B) {
	issuer, err := passport.NewIssuer(ed25519.NewKeyFromSeed(secret), time.Now)
	require.NoError(b, err)
	passports, err := passport.NewVerifier([]ed25519.PublicKey{issuer.PublicKey()}, time.Now)
	require.NoError(b, err)
	peers, err := peer.NewVerifier(secret, time.Now)
	require.NoError(b, err)
	prover, err := peer.NewProver("gateway", secret, time.Now)
	require.NoError(b, err)
	server, err := grpcserver.New(grpcserver.Config{Logger: slog.New(slog.DiscardHandler), Meter: noop.Meter{}, Passports: passports, Peers: peers})
	require.NoError(b, err)
	authv1.RegisterAuthServiceServer(server, fakeAuth{})
	auth := authv1.NewAuthServiceClient(connect.InProcess(server.InProcess(), prover))
	request := &authv1.AuthenticateRequest{Credential: "x"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := auth.Authenticate(b.Context(), request); err != nil {
			b.Fatal(err)
		}
	}
}
