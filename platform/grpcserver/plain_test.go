package grpcserver_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/grpcserver"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/requestid"
)

// answering is auth and ai with one RPC of each kind that parts of one process call as a function.
type answering struct {
	fakeAuth
	authenticate func(context.Context, *authv1.AuthenticateRequest) (*authv1.AuthenticateResponse, error)
}

func (a *answering) Authenticate(ctx context.Context, in *authv1.AuthenticateRequest) (*authv1.AuthenticateResponse, error) {
	return a.authenticate(ctx, in)
}

type relaying struct {
	aiv1.UnimplementedAIServiceServer
	relay func(*aiv1.RelayRequest, grpc.ServerStreamingServer[aiv1.RelayResponse]) error
	// refused is what the server refused on the service's behalf.
	mu      sync.Mutex
	refused []string
}

// CallRefused implements grpcserver.RefusalObserver.
func (r *relaying) CallRefused(ctx context.Context, claims *passport.Claims, fullMethod string, request any, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	model := "-"
	if named, ok := request.(interface{ GetModel() string }); ok {
		model = named.GetModel()
	}
	r.refused = append(r.refused, strings.Join([]string{
		claims.UserID, strings.TrimPrefix(fullMethod, "/trivet.ai.v1.AIService/"), model, errs.Code(errs.ReasonOf(err)), requestid.From(ctx),
	}, " "))
}

// told returns what the server refused, and forgets it.
func (r *relaying) told() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	told := r.refused
	r.refused = nil
	return told
}

func (r *relaying) Relay(in *aiv1.RelayRequest, stream grpc.ServerStreamingServer[aiv1.RelayResponse]) error {
	return r.relay(in, stream)
}

// way is one way to reach the services.
type way struct {
	*env
	auth *answering
	ai   *relaying
	call grpcserver.Unary[authv1.AuthenticateRequest, authv1.AuthenticateResponse]
	read grpcserver.Stream[aiv1.RelayRequest, aiv1.RelayResponse]
}

// bothWays runs a test with plain calls and over TCP: a caller must see no difference.
func bothWays(t *testing.T, test func(t *testing.T, w *way)) {
	t.Helper()
	for _, name := range []string{"plain", "TCP"} {
		t.Run(name, func(t *testing.T) {
			w := &way{auth: &answering{}, ai: &relaying{}}
			w.env = serveAll(t, time.Second, func(s *grpcserver.Server) {
				authv1.RegisterAuthServiceServer(s, w.auth)
				aiv1.RegisterAIServiceServer(s, w.ai)
			})
			if name == "plain" {
				w.plain(t)
			} else {
				w.network()
			}
			test(t, w)
		})
	}
}

func (w *way) plain(t *testing.T) {
	t.Helper()
	auth, err := grpcserver.Implementation[authv1.AuthServiceServer](w.server, "trivet.auth.v1.AuthService")
	require.NoError(t, err)
	w.call, err = grpcserver.Internal(w.server, "gateway", authv1.AuthService_Authenticate_FullMethodName, auth.Authenticate)
	require.NoError(t, err)
	ai, err := grpcserver.Implementation[aiv1.AIServiceServer](w.server, "trivet.ai.v1.AIService")
	require.NoError(t, err)
	w.read, err = grpcserver.User(w.server, aiv1.AIService_Relay_FullMethodName, ai.Relay)
	require.NoError(t, err)
}

func (w *way) network() {
	w.call = func(ctx context.Context, in *authv1.AuthenticateRequest) (*authv1.AuthenticateResponse, error) {
		return authv1.NewAuthServiceClient(w.conn).Authenticate(ctx, in)
	}
	w.read = func(ctx context.Context, token string, in *aiv1.RelayRequest, send func(*aiv1.RelayResponse) error) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		if token != "" {
			ctx = passport.Outgoing(ctx, token)
		}
		stream, err := aiv1.NewAIServiceClient(w.conn).Relay(ctx, in)
		for err == nil {
			var m *aiv1.RelayResponse
			if m, err = stream.Recv(); err == nil {
				err = send(m)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
}

// token is a passport for ai.
func (w *way) token(t *testing.T, c passport.Claims, audience string) string {
	t.Helper()
	if c.UserID == "" {
		c.UserID, c.AccountID = "user_1", "user_1"
	}
	token, err := w.issuer.Issue(c, audience, time.Now().Add(time.Minute))
	require.NoError(t, err)
	return token
}

var (
	someCredential = &authv1.AuthenticateRequest{Credential: "x"}
	someChat       = &aiv1.RelayRequest{Endpoint: aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS, Body: []byte("body")}
)

func TestUnaryCallsAreTheSameBothWays(t *testing.T) {
	bothWays(t, func(t *testing.T, w *way) {
		t.Run("the handler gets the request, the request id and a deadline, and no identity", func(t *testing.T) {
			w.auth.authenticate = func(ctx context.Context, in *authv1.AuthenticateRequest) (*authv1.AuthenticateResponse, error) {
				require.Equal(t, "secret", in.GetCredential())
				require.Equal(t, "req-1", requestid.From(ctx))
				_, known := passport.FromContext(ctx)
				require.False(t, known, "the caller's identity is not the callee's")
				deadline, ok := ctx.Deadline()
				require.True(t, ok)
				require.WithinDuration(t, time.Now().Add(grpcserver.DefaultTimeout), deadline, 10*time.Second)
				return &authv1.AuthenticateResponse{Passports: map[string]string{"ai": "p"}}, nil
			}
			ctx := requestid.With(passport.NewContext(t.Context(), &passport.Claims{UserID: "u", AccountID: "u"}), "req-1")
			out, err := w.call(ctx, &authv1.AuthenticateRequest{Credential: "secret"})
			require.NoError(t, err)
			require.Equal(t, map[string]string{"ai": "p"}, out.GetPassports())
		})
		t.Run("a request without an id gets one", func(t *testing.T) {
			w.auth.authenticate = func(ctx context.Context, _ *authv1.AuthenticateRequest) (*authv1.AuthenticateResponse, error) {
				require.True(t, requestid.Valid(requestid.From(ctx)))
				return &authv1.AuthenticateResponse{}, nil
			}
			_, err := w.call(t.Context(), someCredential)
			require.NoError(t, err)
		})
		t.Run("the caller's own deadline holds", func(t *testing.T) {
			began := make(chan struct{}, 1)
			w.auth.authenticate = func(ctx context.Context, _ *authv1.AuthenticateRequest) (*authv1.AuthenticateResponse, error) {
				began <- struct{}{}
				<-ctx.Done()
				return nil, ctx.Err()
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := w.call(ctx, someCredential)
			require.Equal(t, codes.DeadlineExceeded, status.Code(err))
			within(t, began, "the call begins") // before the next test replaces the handler
		})
		t.Run("a caller who has left is not served", func(t *testing.T) {
			w.auth.authenticate = func(context.Context, *authv1.AuthenticateRequest) (*authv1.AuthenticateResponse, error) {
				t.Error("the handler was called")
				return nil, nil
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := w.call(ctx, someCredential)
			require.Equal(t, codes.Canceled, status.Code(err))
		})
		t.Run("an error keeps what callers may see, and only that", func(t *testing.T) {
			w.log.Reset()
			w.auth.authenticate = func(context.Context, *authv1.AuthenticateRequest) (*authv1.AuthenticateResponse, error) {
				return &authv1.AuthenticateResponse{}, errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, "Later.").After(3*time.Second).
					Field("credential", "is odd").With("a", "b").Cause(errors.New("hunter2"))
			}
			out, err := w.call(t.Context(), someCredential)
			require.Nil(t, out)
			got := errs.From(err)
			require.Equal(t, codes.Unavailable, status.Code(err))
			require.Equal(t, errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, "Later.").After(3*time.Second).Field("credential", "is odd").With("a", "b").GRPCStatus().Proto().String(),
				got.GRPCStatus().Proto().String())
			require.NotContains(t, err.Error(), "hunter2")
			require.Contains(t, w.log.String(), "hunter2", "the log has the cause")
			require.Contains(t, w.log.String(), "level=WARN")
		})
		t.Run("a panic is an internal error", func(t *testing.T) {
			w.auth.authenticate = func(context.Context, *authv1.AuthenticateRequest) (*authv1.AuthenticateResponse, error) {
				panic("boom")
			}
			_, err := w.call(t.Context(), someCredential)
			require.Equal(t, codes.Internal, status.Code(err))
			require.NotContains(t, err.Error(), "boom")
			require.Contains(t, w.log.String(), "panic in /trivet.auth.v1.AuthService/Authenticate")
			require.NotContains(t, w.log.String(), "boom", "the value of a panic may hold content")
		})
		require.Equal(t, uint64(2), w.counted(t, "trivet.auth.v1.AuthService/Authenticate", codes.OK))
		require.Equal(t, uint64(1), w.counted(t, "trivet.auth.v1.AuthService/Authenticate", codes.Internal))
		require.Equal(t, uint64(1), w.counted(t, "trivet.auth.v1.AuthService/Authenticate", codes.Unavailable))
	})
}

func TestStreamsAreTheSameBothWays(t *testing.T) {
	bothWays(t, func(t *testing.T, w *way) {
		good := w.token(t, passport.Claims{UserID: "user_7", AccountID: "user_7"}, "ai")
		drop := func(*aiv1.RelayResponse) error { return nil }
		t.Run("the handler gets the request and the identity, and its messages arrive in order", func(t *testing.T) {
			w.ai.relay = func(in *aiv1.RelayRequest, s grpc.ServerStreamingServer[aiv1.RelayResponse]) error {
				claims, err := passport.Caller(s.Context())
				require.NoError(t, err)
				require.Equal(t, "user_7", claims.UserID)
				require.Equal(t, "req-2", requestid.From(s.Context()))
				require.Equal(t, "body", string(in.GetBody()))
				message := &aiv1.RelayResponse{}
				for _, part := range []string{"a", "b", "c"} { // one message may serve all parts
					message.Body = []byte(part)
					require.NoError(t, s.Send(message))
				}
				return nil
			}
			var got string
			err := w.read(requestid.With(t.Context(), "req-2"), good, someChat, func(m *aiv1.RelayResponse) error {
				got += string(m.GetBody())
				return nil
			})
			require.NoError(t, err)
			require.Equal(t, "abc", got)
		})
		t.Run("the rule decides", func(t *testing.T) {
			w.ai.relay = func(*aiv1.RelayRequest, grpc.ServerStreamingServer[aiv1.RelayResponse]) error { return nil }
			key := passport.Claims{UserID: "u", AccountID: "u", APIKeyID: "key_1"}
			invoking := key
			invoking.Scopes = []string{"ai.invoke"}
			for name, tc := range map[string]struct {
				token string
				want  errorsv1.ErrorReason
			}{
				"a user":                   {good, errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED},
				"nobody":                   {"", errorsv1.ErrorReason_ERROR_REASON_UNAUTHORIZED},
				"a forged passport":        {"x", errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN},
				"another service's":        {w.token(t, passport.Claims{}, "auth"), errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN},
				"a key without the scope":  {w.token(t, key, "ai"), errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED},
				"a key with the scope":     {w.token(t, invoking, "ai"), errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED},
				"a passport of the future": {w.future(t), errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE},
			} {
				err := w.read(t.Context(), tc.token, someChat, drop)
				require.Equal(t, tc.want, errs.ReasonOf(err), "%s: %v", name, err)
				require.Equal(t, tc.want == errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, passport.IsClockError(err), name)
			}
		})
		t.Run("an error after messages, and a panic", func(t *testing.T) {
			w.ai.relay = func(_ *aiv1.RelayRequest, s grpc.ServerStreamingServer[aiv1.RelayResponse]) error {
				require.NoError(t, s.Send(&aiv1.RelayResponse{Body: []byte("a")}))
				return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "It broke.").Cause(errors.New("hunter2"))
			}
			seen := 0
			err := w.read(t.Context(), good, someChat, func(*aiv1.RelayResponse) error { seen++; return nil })
			require.Equal(t, 1, seen)
			require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, errs.ReasonOf(err))
			require.NotContains(t, err.Error(), "hunter2")
			w.ai.relay = func(*aiv1.RelayRequest, grpc.ServerStreamingServer[aiv1.RelayResponse]) error { panic("boom") }
			err = w.read(t.Context(), good, someChat, drop)
			require.Equal(t, codes.Internal, status.Code(err))
			require.NotContains(t, err.Error(), "boom")
		})
		t.Run("a caller who leaves ends the handler's context", func(t *testing.T) {
			ended := make(chan error, 1)
			w.ai.relay = func(_ *aiv1.RelayRequest, s grpc.ServerStreamingServer[aiv1.RelayResponse]) error {
				_ = s.Send(&aiv1.RelayResponse{Body: []byte("a")})
				<-s.Context().Done()
				ended <- s.Context().Err()
				return s.Context().Err()
			}
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			err := w.read(ctx, good, someChat, func(*aiv1.RelayResponse) error { leave(); return nil })
			require.Equal(t, codes.Canceled, status.Code(err))
			require.ErrorIs(t, <-ended, context.Canceled)
		})
		require.Equal(t, uint64(3), w.counted(t, "trivet.ai.v1.AIService/Relay", codes.OK))
	})
}

// future is a passport that the clock of this process refuses.
func (w *way) future(t *testing.T) string {
	t.Helper()
	ahead, err := passport.NewIssuer(issuerKey(), func() time.Time { return time.Now().Add(time.Hour) })
	require.NoError(t, err)
	token, err := ahead.Issue(passport.Claims{UserID: "u", AccountID: "u"}, "ai", time.Now().Add(2*time.Hour))
	require.NoError(t, err)
	return token
}

func TestAStopWaitsForCallsBothWays(t *testing.T) {
	bothWays(t, func(t *testing.T, w *way) {
		begun, release := make(chan struct{}), make(chan struct{})
		w.auth.authenticate = func(context.Context, *authv1.AuthenticateRequest) (*authv1.AuthenticateResponse, error) {
			close(begun)
			<-release
			return &authv1.AuthenticateResponse{}, nil
		}
		answered := make(chan error, 1)
		go func() {
			_, err := w.call(t.Context(), someCredential)
			answered <- err
		}()
		<-begun
		busy, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		require.ErrorIs(t, w.server.Drain(busy), context.DeadlineExceeded)
		close(release)
		require.NoError(t, <-answered)
		require.NoError(t, w.server.Drain(t.Context()))
	})
}

// A part of the process that a rule does not let in cannot be wired.
func TestPlainCallsNeedARuleThatLetsThemIn(t *testing.T) {
	w := &way{auth: &answering{}, ai: &relaying{}}
	w.env = serveAll(t, time.Second, func(s *grpcserver.Server) {
		authv1.RegisterAuthServiceServer(s, w.auth)
		aiv1.RegisterAIServiceServer(s, w.ai)
	})
	_, err := grpcserver.Internal(w.server, "stranger", authv1.AuthService_Authenticate_FullMethodName, w.auth.Authenticate)
	require.ErrorContains(t, err, `does not let the service "stranger" in`)
	_, err = grpcserver.Internal(w.server, "gateway", authv1.AuthService_GetMe_FullMethodName, w.auth.GetMe)
	require.ErrorContains(t, err, "does not let", "an RPC for users")
	_, err = grpcserver.Internal(w.server, "ai", billingv1.BillingService_Settle_FullMethodName,
		func(context.Context, *billingv1.SettleRequest) (*billingv1.SettleResponse, error) { return nil, nil })
	require.ErrorContains(t, err, "not registered")
	_, err = grpcserver.User(w.server, authv1.AuthService_WatchRevocations_FullMethodName, w.auth.WatchRevocations)
	require.ErrorContains(t, err, "not for users")
	_, err = grpcserver.User(w.server, billingv1.BillingService_Reconcile_FullMethodName,
		func(*billingv1.ReconcileRequest, grpc.ServerStreamingServer[billingv1.ReconcileResponse]) error {
			return nil
		})
	require.ErrorContains(t, err, "not registered")
	_, err = grpcserver.Implementation[billingv1.BillingServiceServer](w.server, "trivet.billing.v1.BillingService")
	require.ErrorContains(t, err, "no implementation")
	_, err = grpcserver.Implementation[billingv1.BillingServiceServer](w.server, "trivet.auth.v1.AuthService")
	require.ErrorContains(t, err, "no implementation")
}
