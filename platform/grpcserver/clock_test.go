package grpcserver_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/grpc/metadata"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/connect"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/grpcserver"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/peer"
)

// renewals is an Exchanger that gives out its passports one after another.
type renewals struct {
	tokens []string
	err    error // of Renew
	asked  int
}

func (r *renewals) Passport(context.Context, string, string) (string, error) { return r.tokens[0], nil }

func (r *renewals) Renew(_ context.Context, _, _, refused string) (string, error) {
	r.asked++
	if r.err != nil || len(r.tokens) < 2 || refused != r.tokens[0] {
		return "", r.err
	}
	return r.tokens[1], nil
}

func TestClockErrorsAreNotUnauthorized(t *testing.T) {
	issuer, err := passport.NewIssuer(ed25519.NewKeyFromSeed(secret), time.Now)
	require.NoError(t, err)
	ahead, err := passport.NewIssuer(ed25519.NewKeyFromSeed(secret), func() time.Time { return time.Now().Add(time.Hour) })
	require.NoError(t, err)
	issue := func(i *passport.Issuer) string {
		token, err := i.Issue(passport.Claims{UserID: "u", AccountID: "u"}, "auth", time.Now().Add(2*time.Hour))
		require.NoError(t, err)
		return token
	}
	good, early := issue(issuer), issue(ahead)
	down := errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, "auth is away")
	disabled := errs.New(errorsv1.ErrorReason_ERROR_REASON_USER_DISABLED, "disabled")
	for name, tc := range map[string]struct {
		header   string
		value    string
		exchange *renewals
		want     errorsv1.ErrorReason
		warns    bool
		renewals int
	}{
		"passport that is good":        {passport.Header, good, nil, errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED, false, 0},
		"passport of another time":     {passport.Header, early, nil, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, true, 0},
		"passport that is forged":      {passport.Header, early + "x", nil, errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, false, 0},
		"credential":                   {"authorization", "Bearer c", &renewals{tokens: []string{good}}, errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED, false, 0},
		"credential, renewed":          {"authorization", "bearer c", &renewals{tokens: []string{early, good}}, errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED, false, 1},
		"credential, refused twice":    {"authorization", "Bearer c", &renewals{tokens: []string{early, early}}, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, true, 1},
		"credential, nothing to renew": {"authorization", "Bearer c", &renewals{tokens: []string{early}}, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, true, 1},
		"credential, auth is away":     {"authorization", "Bearer c", &renewals{tokens: []string{early}, err: down}, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, true, 1},
		"credential, disabled since":   {"authorization", "Bearer c", &renewals{tokens: []string{early}, err: disabled}, errorsv1.ErrorReason_ERROR_REASON_USER_DISABLED, false, 1},
		"credential, forged passport":  {"authorization", "Bearer c", &renewals{tokens: []string{"x", good}}, errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			log := &bytes.Buffer{}
			config := grpcserver.Config{
				Logger: slog.New(slog.NewTextHandler(log, nil)), Meter: noop.Meter{},
				Passports: verifier(t, issuer), Peers: peers(t),
			}
			if tc.exchange != nil {
				config.Exchanger = tc.exchange
			}
			server, err := grpcserver.New(config)
			require.NoError(t, err)
			authv1.RegisterAuthServiceServer(server, fakeAuth{me: func(ctx context.Context) (*authv1.GetMeResponse, error) {
				if claims, err := passport.Caller(ctx); err != nil || claims.UserID != "u" {
					return nil, errors.New("the handler does not know who calls")
				}
				return &authv1.GetMeResponse{}, nil
			}})
			prover, err := peer.NewProver("gateway", secret, time.Now)
			require.NoError(t, err)
			auth := authv1.NewAuthServiceClient(connect.InProcess(server.InProcess(), prover))
			_, err = auth.GetMe(metadata.AppendToOutgoingContext(t.Context(), tc.header, tc.value), &authv1.GetMeRequest{})
			require.Equal(t, tc.want, errs.ReasonOf(err), "%v", err)
			require.Equal(t, tc.warns, bytes.Contains(log.Bytes(), []byte("level=WARN")), log)
			if tc.exchange != nil {
				require.Equal(t, tc.renewals, tc.exchange.asked, "at most one more exchange")
			}
			if tc.warns && !errors.Is(err, down) && name != "credential, auth is away" {
				require.True(t, passport.IsClockError(err))
				require.Contains(t, log.String(), "compare the clocks")
			}
		})
	}
}

func verifier(t *testing.T, issuer *passport.Issuer) *passport.Verifier {
	t.Helper()
	v, err := passport.NewVerifier([]ed25519.PublicKey{issuer.PublicKey()}, time.Now)
	require.NoError(t, err)
	return v
}

func peers(t *testing.T) *peer.Verifier {
	t.Helper()
	v, err := peer.NewVerifier(secret, time.Now)
	require.NoError(t, err)
	return v
}
