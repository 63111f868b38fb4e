package passport_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/passport"
)

func key(t testing.TB, fill byte) ed25519.PrivateKey {
	t.Helper()
	seed := make([]byte, ed25519.SeedSize)
	for i := range seed {
		seed[i] = fill
	}
	k, err := passport.ParsePrivateKey(base64.StdEncoding.EncodeToString(seed))
	require.NoError(t, err)
	return k
}

type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func pair(t testing.TB, c *clock) (*passport.Issuer, *passport.Verifier) {
	t.Helper()
	i, err := passport.NewIssuer(key(t, 1), c.now)
	require.NoError(t, err)
	v, err := passport.NewVerifier([]ed25519.PublicKey{i.PublicKey()}, c.now)
	require.NoError(t, err)
	return i, v
}

func TestPassportRoundTrip(t *testing.T) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	i, v := pair(t, c)
	want := passport.Claims{
		UserID: "user_1", SessionID: "sess_1", OrganizationID: "org_1", Role: "admin", Permissions: []string{"org:billing:manage"},
		AccountID: "org_1", ActorID: "user_2", Email: "a@example.test", Operator: true, Admin: true,
		RequestsPerMinute: 1, RequestsPerDay: 2, TokensPerMinute: 3, ConcurrentStreams: 4,
		ParentLimits: []passport.KeyLimit{{APIKeyID: "key_1", RequestsPerMinute: 7, RequestsPerDay: 8, TokensPerMinute: 9, ConcurrentStreams: 10}},
	}
	token, err := i.Issue(want, "ai", c.t.Add(time.Hour))
	require.NoError(t, err)
	got, err := v.Verify(token, "ai")
	require.NoError(t, err)
	want.Audience, want.ExpireTime = "ai", c.t.Add(passport.MaxLife)
	require.True(t, want.ExpireTime.Equal(got.ExpireTime), "life is capped at a minute")
	got.ExpireTime = want.ExpireTime
	require.Equal(t, &want, got)
}

func TestVerifyRefuses(t *testing.T) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	i, v := pair(t, c)
	good := passport.Claims{UserID: "user_1", AccountID: "user_1"}
	token, err := i.Issue(good, "ai", c.t.Add(30*time.Second))
	require.NoError(t, err)
	other, err := passport.NewIssuer(key(t, 2), c.now)
	require.NoError(t, err)
	foreign, err := other.Issue(good, "ai", c.t.Add(time.Minute))
	require.NoError(t, err)

	parts := strings.Split(token, ".")
	cases := map[string]struct{ token, audience string }{
		"empty":             {"", "ai"},
		"not a token":       {"abc", "ai"},
		"huge":              {strings.Repeat("a", 40_000), "ai"},
		"other audience":    {token, "billing"},
		"no audience":       {token, ""},
		"other key":         {foreign, "ai"},
		"no signature":      {parts[0] + "." + parts[1] + ".", "ai"},
		"changed payload":   {parts[0] + "." + flip(parts[1]) + "." + parts[2], "ai"},
		"alg none":          {raw(`{"alg":"none"}`) + "." + parts[1] + ".", "ai"},
		"wrong issuer":      {forge(t, c.t, jwt.Claims{Issuer: "x"}, good), "ai"},
		"no expiry":         {forge(t, c.t, jwt.Claims{Expiry: jwt.NewNumericDate(time.Unix(0, 0))}, good), "ai"},
		"issued later":      {forge(t, c.t.Add(time.Minute), jwt.Claims{}, good), "ai"},
		"lives an hour":     {forge(t, c.t, jwt.Claims{Expiry: jwt.NewNumericDate(c.t.Add(time.Hour))}, good), "ai"},
		"two audiences":     {forge(t, c.t, jwt.Claims{Audience: jwt.Audience{"ai", "billing"}}, good), "ai"},
		"names no account":  {forge(t, c.t, jwt.Claims{}, passport.Claims{UserID: "user_1"}), "ai"},
		"names no user":     {forge(t, c.t, jwt.Claims{}, passport.Claims{AccountID: "user_1"}), "ai"},
		"trailing garbage":  {token + "x", "ai"},
		"HMAC with the key": {hmac(t, i.PublicKey(), c.t, good), "ai"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := v.Verify(tc.token, tc.audience)
			require.ErrorIs(t, err, passport.ErrInvalid)
		})
	}

	_, err = v.Verify(token, "ai")
	require.NoError(t, err)
	c.t = c.t.Add(35 * time.Second)
	_, err = v.Verify(token, "ai")
	require.ErrorIs(t, err, passport.ErrClock, "a cached passport expires too")
	_, err = v.Verify(token, "billing")
	require.NotErrorIs(t, err, passport.ErrClock, "the time does not matter for another service")
}

// Clocks of processes differ by seconds: the verifier's is ahead of the issuer's, or behind it.
func TestClocksMayDiffer(t *testing.T) {
	begin := time.Unix(1_800_000_000, 0)
	for name, tc := range map[string]struct {
		at   time.Duration // of the verifier's clock, after the issuer signed
		want error
	}{
		"15 s behind": {-15 * time.Second, nil}, "more than 15 s behind": {-15*time.Second - 1, passport.ErrClock},
		"4 s behind": {-4 * time.Second, nil}, "the same": {0, nil}, "at the end": {60 * time.Second, nil},
		"just within the leeway after the end": {65*time.Second - 1, nil}, "past the leeway": {65 * time.Second, passport.ErrClock},
	} {
		t.Run(name, func(t *testing.T) {
			issuing, verifying := &clock{begin}, &clock{begin.Add(tc.at)}
			i, err := passport.NewIssuer(key(t, 1), issuing.now)
			require.NoError(t, err)
			v, err := passport.NewVerifier([]ed25519.PublicKey{i.PublicKey()}, verifying.now)
			require.NoError(t, err)
			token, err := i.Issue(passport.Claims{UserID: "u", AccountID: "u"}, "ai", begin.Add(time.Minute))
			require.NoError(t, err)
			for range 2 { // parsed, and from the cache
				_, err = v.Verify(token, "ai")
				require.ErrorIs(t, err, tc.want)
			}
			if tc.want != nil {
				require.ErrorIs(t, err, passport.ErrInvalid)
				require.ErrorContains(t, err, "compare the clocks")
			}
		})
	}
}

// What is wrong with a passport apart from its time is never taken for the fault of a clock.
func TestForgeriesAreNotClockErrors(t *testing.T) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	_, v := pair(t, c)
	late := c.t.Add(time.Hour)
	for name, token := range map[string]string{
		"no account":    forge(t, late, jwt.Claims{}, passport.Claims{UserID: "u"}),
		"wrong issuer":  forge(t, late, jwt.Claims{Issuer: "x"}, passport.Claims{UserID: "u", AccountID: "u"}),
		"lives an hour": forge(t, late, jwt.Claims{Expiry: jwt.NewNumericDate(late.Add(time.Hour))}, passport.Claims{UserID: "u", AccountID: "u"}),
	} {
		_, err := v.Verify(token, "ai")
		require.ErrorIs(t, err, passport.ErrInvalid, name)
		require.NotErrorIs(t, err, passport.ErrClock, name)
	}
}

func TestClockErrorIsTrivetsOwnFailure(t *testing.T) {
	err := passport.ClockError(passport.ErrClock)
	e := errs.From(err)
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, e.Reason)
	require.Equal(t, "Service temporarily unavailable. Please try again later.", e.Message)
	require.Equal(t, time.Second, e.RetryAfter)
	require.True(t, passport.IsClockError(err))
	require.True(t, passport.IsClockError(e.GRPCStatus().Err()), "also over the wire")
	for _, other := range []error{
		nil, errors.New("x"), status.Error(codes.Unavailable, "x"), passport.ErrClock,
		errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, "x"),
	} {
		require.False(t, passport.IsClockError(other), "%v", other)
	}
}

func TestKeyRotation(t *testing.T) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	old, err := passport.NewIssuer(key(t, 1), c.now)
	require.NoError(t, err)
	next, err := passport.NewIssuer(key(t, 2), c.now)
	require.NoError(t, err)
	v, err := passport.NewVerifier([]ed25519.PublicKey{next.PublicKey(), old.PublicKey()}, c.now)
	require.NoError(t, err)
	for _, i := range []*passport.Issuer{old, next} {
		token, err := i.Issue(passport.Claims{UserID: "u", AccountID: "u"}, "ai", c.t.Add(time.Minute))
		require.NoError(t, err)
		_, err = v.Verify(token, "ai")
		require.NoError(t, err)
	}
}

func TestNoKeyNoVerifier(t *testing.T) {
	_, err := passport.NewVerifier(nil, time.Now)
	require.ErrorContains(t, err, "TRIVET_PASSPORT_PUBLIC_KEYS")
	_, err = passport.ParsePublicKeys([]string{"short"})
	require.ErrorContains(t, err, "key 1")
	_, err = passport.ParsePrivateKey("c2hvcnQ=")
	require.ErrorContains(t, err, "32-byte")
}

func TestCaller(t *testing.T) {
	good := &passport.Claims{UserID: "user_1", AccountID: "org_1"}
	got, err := passport.Caller(passport.NewContext(t.Context(), good))
	require.NoError(t, err)
	require.Same(t, good, got)
	for name, ctx := range map[string]context.Context{
		"no passport": t.Context(), "nil": passport.NewContext(t.Context(), nil),
		"no account": passport.NewContext(t.Context(), &passport.Claims{UserID: "user_1"}),
		"no user":    passport.NewContext(t.Context(), &passport.Claims{AccountID: "org_1"}),
	} {
		_, err := passport.Caller(ctx)
		e := errs.From(err)
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_UNAUTHORIZED, e.Reason, name)
		require.Equal(t, "Unauthorized", e.Message, name)
	}
}

func TestOutgoingReplaces(t *testing.T) {
	ctx := passport.Outgoing(t.Context(), "first")
	ctx = passport.Outgoing(ctx, "second")
	md, _ := metadata.FromOutgoingContext(ctx)
	require.Equal(t, []string{"second"}, md.Get(passport.Header))
}

func TestRoles(t *testing.T) {
	require.True(t, (&passport.Claims{}).IsAdmin(), "the owner of a personal account")
	require.True(t, (&passport.Claims{OrganizationID: "o", Role: "boss", Admin: true}).IsAdmin())
	for _, role := range []string{"member", "owner", "admin", ""} {
		require.False(t, (&passport.Claims{OrganizationID: "o", Role: role}).IsAdmin(), "auth decides which roles are admins', not the name %q", role)
	}
	require.True(t, (&passport.Claims{}).HasScope("billing.read"), "a session holds every scope")
	require.False(t, (&passport.Claims{APIKeyID: "k", Scopes: []string{"ai.invoke"}}).HasScope("billing.read"))
	require.True(t, (&passport.Claims{APIKeyID: "k", Scopes: []string{"ai.invoke"}}).HasScope("ai.invoke"))
}

func BenchmarkVerifyWarm(b *testing.B) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	i, v := pair(b, c)
	token, err := i.Issue(passport.Claims{UserID: "user_1", AccountID: "user_1"}, "ai", c.t.Add(time.Minute))
	require.NoError(b, err)
	for b.Loop() {
		if _, err := v.Verify(token, "ai"); err != nil {
			b.Fatal(err)
		}
	}
}

func raw(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func flip(s string) string {
	if s[5] == 'A' {
		return s[:5] + "B" + s[6:]
	}
	return s[:5] + "A" + s[6:]
}

// forge signs with the true key what the issuer would never write.
func forge(t *testing.T, now time.Time, with jwt.Claims, claims passport.Claims) string {
	t.Helper()
	standard := jwt.Claims{Issuer: "trivet-auth", Audience: jwt.Audience{"ai"}, IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Minute))}
	if with.Issuer != "" {
		standard.Issuer = with.Issuer
	}
	if with.Audience != nil {
		standard.Audience = with.Audience
	}
	if with.Expiry != nil {
		standard.Expiry = with.Expiry
		if with.Expiry.Time().Unix() <= 0 {
			standard.Expiry = nil
		}
	}
	k := key(t, 1)
	public, _ := k.Public().(ed25519.PublicKey)
	probe, err := passport.NewIssuer(k, func() time.Time { return now })
	require.NoError(t, err)
	sample, err := probe.Issue(passport.Claims{UserID: "u", AccountID: "u"}, "ai", now.Add(time.Minute))
	require.NoError(t, err)
	parsed, err := jwt.ParseSigned(sample, []jose.SignatureAlgorithm{jose.EdDSA})
	require.NoError(t, err)
	require.NotEmpty(t, public)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: k, KeyID: parsed.Headers[0].KeyID}}, nil)
	require.NoError(t, err)
	token, err := jwt.Signed(signer).Claims(standard).Claims(claims).Serialize()
	require.NoError(t, err)
	return token
}

func hmac(t *testing.T, public ed25519.PublicKey, now time.Time, claims passport.Claims) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(public)}, nil)
	require.NoError(t, err)
	standard := jwt.Claims{Issuer: "trivet-auth", Audience: jwt.Audience{"ai"}, IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Minute))}
	token, err := jwt.Signed(signer).Claims(standard).Claims(claims).Serialize()
	require.NoError(t, err)
	return token
}
