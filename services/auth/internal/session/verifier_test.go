package session_test

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/auth/internal/authtest"
	"github.com/trivet-dev/trivet/services/auth/internal/jwks"
	"github.com/trivet-dev/trivet/services/auth/internal/session"
)

func TestForm(t *testing.T) {
	clerk := authtest.NewKeys()
	good := clerk.Token(t, epoch(), nil)
	parts := strings.Split(good, ".")
	claims, err := json.Marshal(authtest.Claims(epoch(), nil))
	require.NoError(t, err)
	withHeader := func(header map[jose.HeaderKey]any) string {
		return authtest.Sign(t, rs256(), claims, header)
	}
	for name, tc := range map[string]struct {
		token string
		want  session.Verdict
	}{
		"empty":                     {"", session.VerdictMalformed},
		"garbage":                   {"Bearer what", session.VerdictMalformed},
		"two parts":                 {parts[0] + "." + parts[1], session.VerdictMalformed},
		"four parts":                {good + ".x", session.VerdictMalformed},
		"no base64":                 {parts[0] + ".!." + parts[2], session.VerdictMalformed},
		"JSON serialization":        {`{"payload":"` + parts[1] + `","signatures":[]}`, session.VerdictMalformed},
		"white space":               {parts[0] + ". " + parts[1] + "." + parts[2], session.VerdictMalformed},
		"header twice the same":     {encoded(`{"alg":"RS256","alg":"RS256","kid":"ins_1"}`) + "." + parts[1] + "." + parts[2], session.VerdictMalformed},
		"header no object":          {encoded(`"RS256"`) + "." + parts[1] + "." + parts[2], session.VerdictMalformed},
		"8 KiB":                     {strings.Repeat("a", session.MaxTokenBytes), session.VerdictMalformed},
		"8 KiB and one byte":        {strings.Repeat("a", session.MaxTokenBytes+1), session.VerdictTooLarge},
		"alg none":                  {encoded(`{"alg":"none","kid":"ins_1"}`) + "." + parts[1] + ".", session.VerdictAlgorithm},
		"alg NONE with signature":   {encoded(`{"alg":"NONE","kid":"ins_1"}`) + "." + parts[1] + "." + parts[2], session.VerdictAlgorithm},
		"no alg":                    {encoded(`{"kid":"ins_1"}`) + "." + parts[1] + "." + parts[2], session.VerdictAlgorithm},
		"HS256 with the public PEM": {hs256(t, claims, publicPEM(t)), session.VerdictAlgorithm},
		"HS256 with the public DER": {hs256(t, claims, publicDER(t)), session.VerdictAlgorithm},
		"RS512 with the right key": {
			authtest.Sign(t, jose.SigningKey{Algorithm: jose.RS512, Key: rs256().Key}, claims, nil), session.VerdictAlgorithm,
		},
		"PS256 with the right key": {
			authtest.Sign(t, jose.SigningKey{Algorithm: jose.PS256, Key: rs256().Key}, claims, nil), session.VerdictAlgorithm,
		},
		"OAuth access token":   {withHeader(map[jose.HeaderKey]any{"typ": "at+jwt"}), session.VerdictTokenType},
		"typ no text":          {withHeader(map[jose.HeaderKey]any{"typ": 7}), session.VerdictTokenType},
		"unknown crit":         {withHeader(map[jose.HeaderKey]any{"crit": []string{"exp"}, "exp": 1}), session.VerdictMalformed},
		"key of another":       {authtest.Sign(t, signingKey(1, "ins_1"), claims, nil), session.VerdictSignature},
		"unknown key id":       {authtest.Sign(t, signingKey(0, "ins_2"), claims, nil), session.VerdictUnknownKey},
		"no key id":            {authtest.Sign(t, signingKey(0, ""), claims, nil), session.VerdictUnknownKey},
		"changed payload":      {parts[0] + "." + encoded(string(bytes.Replace(claims, []byte("user_1"), []byte("user_2"), 1))) + "." + parts[2], session.VerdictSignature},
		"no signature":         {parts[0] + "." + parts[1] + ".", session.VerdictSignature},
		"half a signature":     {good[:len(good)-100], session.VerdictSignature},
		"key in the header":    {withOwnKey(t, claims), session.VerdictSignature},
		"unknown header is ok": {withHeader(map[jose.HeaderKey]any{"typ": "JWT", "cat": "cl_B7d4PD111AAA"}), session.VerdictAccepted},
		"typ in lower case":    {withHeader(map[jose.HeaderKey]any{"typ": "jwt"}), session.VerdictAccepted},
		"no typ":               {withHeader(nil), session.VerdictAccepted},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := verifier(t, policy(), epoch).Verify(t.Context(), tc.token)
			if tc.want == session.VerdictAccepted {
				require.NoError(t, err)
				return
			}
			requireVerdict(t, tc.want, err)
			require.NotContains(t, err.Error(), "user_1", "the log must not repeat the token")
		})
	}
}

func TestClaimTypes(t *testing.T) {
	now := epoch().Unix()
	for name, change := range map[string]map[string]any{
		"exp as text":                 {"exp": "1900000060"},
		"exp beyond reason":           {"exp": int64(1) << 50},
		"exp negative":                {"exp": -1},
		"exp before iat":              {"exp": now - 2, "iat": now},
		"exp equal to iat":            {"exp": now, "iat": now},
		"exp beyond any date":         {"exp": json.RawMessage("1e300")},
		"exp too large to read":       {"exp": json.RawMessage("1e400")},
		"iat as text":                 {"iat": "now"},
		"nbf as list":                 {"nbf": []int{1}},
		"sub as number":               {"sub": 7},
		"sid as object":               {"sid": map[string]any{}},
		"iss as list":                 {"iss": []string{authtest.Issuer}},
		"v as text":                   {"v": "2"},
		"sts as bool":                 {"sts": true},
		"fva with one":                {"fva": []int{1}},
		"fva with three":              {"fva": []int{1, 2, 3}},
		"fva as text":                 {"fva": "1,2"},
		"fva below -1":                {"fva": []int{-2, 0}},
		"o as text":                   {"o": "org_1"},
		"o.id as number":              {"o": map[string]any{"id": 7}},
		"o without id":                {"o": map[string]any{}},
		"o.rol as list":               {"o": map[string]any{"id": "org_1", "rol": []string{"admin"}}},
		"o.id twice":                  {"o": json.RawMessage(`{"id":"org_1","id":"org_2"}`)},
		"v 1, org_id as object":       {"v": nil, "org_id": map[string]any{}},
		"v 1, org_role as list":       {"v": nil, "org_id": "org_1", "org_role": []string{"org:admin"}},
		"act as text":                 {"act": "user_2"},
		"act without sub":             {"act": map[string]any{"sid": "s"}},
		"fva with a fraction below 0": {"fva": []float64{-1.5, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := verifier(t, policy(), epoch).Verify(t.Context(), authtest.NewKeys().Token(t, epoch(), change))
			requireVerdict(t, session.VerdictClaims, err)
		})
	}
}

func TestMalformedAndRepeatedClaims(t *testing.T) {
	claims, err := json.Marshal(authtest.Claims(epoch(), nil))
	require.NoError(t, err)
	twice := func(more string) []byte {
		return append(bytes.TrimSuffix(bytes.Clone(claims), []byte("}")), more+"}"...)
	}
	for _, payload := range map[string][]byte{
		"sub twice":     twice(`,"sub":"user_2"`),
		"exp twice":     twice(`,"exp":9999999999`),
		"unknown twice": twice(`,"x":1,"x":2`),
		"null":          []byte("null"), "list": []byte("[]"), "text": []byte(`"x"`), "empty": {}, "garbage": []byte("{"),
		"two objects": append(bytes.Clone(claims), claims...),
	} {
		_, err := verifier(t, policy(), epoch).Verify(t.Context(), authtest.NewKeys().Sign(t, payload))
		requireVerdict(t, session.VerdictClaims, err)
	}
	// Names are case-sensitive: this "SUB" is a claim of the application.
	s, err := verifier(t, policy(), epoch).Verify(t.Context(), authtest.NewKeys().Sign(t, twice(`,"SUB":"user_2","Exp":1`)))
	require.NoError(t, err)
	require.Equal(t, "user_1", s.UserID)
}

func TestTime(t *testing.T) {
	token := authtest.NewKeys().Token(t, epoch(), nil) // from -10 s (nbf), iat 0, exp +60 s
	for offset, want := range map[time.Duration]session.Verdict{
		-6 * time.Second: session.VerdictFuture,
		-5 * time.Second: session.VerdictAccepted,
		0:                session.VerdictAccepted,
		64 * time.Second: session.VerdictAccepted,
		65 * time.Second: session.VerdictExpired,
		100 * time.Hour:  session.VerdictExpired,
	} {
		_, err := verifier(t, policy(), func() time.Time { return epoch().Add(offset) }).Verify(t.Context(), token)
		if want == session.VerdictAccepted {
			require.NoError(t, err, offset)
		} else {
			requireVerdict(t, want, err)
		}
	}
	for seconds, want := range map[int64]session.Verdict{5: session.VerdictAccepted, 6: session.VerdictNotYetValid} {
		early := authtest.NewKeys().Token(t, epoch(), map[string]any{"nbf": epoch().Unix() + seconds})
		_, err := verifier(t, policy(), epoch).Verify(t.Context(), early)
		if want == session.VerdictAccepted {
			require.NoError(t, err, "nbf has the leeway too")
		} else {
			requireVerdict(t, want, err)
		}
	}
	fraction := authtest.NewKeys().Token(t, epoch(), map[string]any{"exp": float64(epoch().Unix()) + 0.75})
	for offset, want := range map[time.Duration]session.Verdict{
		5700 * time.Millisecond: session.VerdictAccepted,
		5800 * time.Millisecond: session.VerdictExpired,
	} {
		_, err := verifier(t, policy(), func() time.Time { return epoch().Add(offset) }).Verify(t.Context(), fraction)
		if want == session.VerdictAccepted {
			require.NoError(t, err, offset)
		} else {
			requireVerdict(t, want, err)
		}
	}
}

func TestPolicy(t *testing.T) {
	clerk := authtest.NewKeys()
	template := map[string]any{
		"sid": nil, "v": nil, "sts": nil, "fva": nil, "aud": "trivet",
		"email": "ada@example.test", "userId": "user_1", "firstName": "Ada", "lastName": nil,
	}
	with := func(change map[string]any) map[string]any {
		all := map[string]any{}
		for k, v := range template {
			all[k] = v
		}
		for k, v := range change {
			all[k] = v
		}
		return all
	}
	templates := session.Policy{Issuer: authtest.Issuer, TemplateAudience: "trivet"}
	pending := session.Policy{Issuer: authtest.Issuer, AllowPending: true}
	for name, tc := range map[string]struct {
		policy session.Policy
		change map[string]any
		want   session.Verdict
	}{
		"no parties, no azp":         {session.Policy{Issuer: authtest.Issuer}, map[string]any{"azp": nil}, session.VerdictAccepted},
		"no parties, any azp":        {session.Policy{Issuer: authtest.Issuer}, map[string]any{"azp": "https://x.test"}, session.VerdictAccepted},
		"issuer with a slash":        {policy(), map[string]any{"iss": authtest.Issuer + "/"}, session.VerdictIssuer},
		"issuer in capitals":         {policy(), map[string]any{"iss": strings.ToUpper(authtest.Issuer)}, session.VerdictIssuer},
		"template":                   {templates, template, session.VerdictAccepted},
		"template in a list":         {templates, with(map[string]any{"aud": []string{"x", "trivet"}}), session.VerdictAccepted},
		"template without setting":   {session.Policy{Issuer: authtest.Issuer}, template, session.VerdictMissingClaim},
		"template, other audience":   {templates, with(map[string]any{"aud": "hasura"}), session.VerdictMissingClaim},
		"no setting, empty audience": {session.Policy{Issuer: authtest.Issuer}, with(map[string]any{"aud": ""}), session.VerdictMissingClaim},
		"template without audience":  {templates, with(map[string]any{"aud": nil}), session.VerdictMissingClaim},
		"template of two users":      {templates, with(map[string]any{"userId": "user_2"}), session.VerdictClaims},
		"template, userId a number":  {templates, with(map[string]any{"userId": 7}), session.VerdictAccepted},
		"template, audience numbers": {templates, with(map[string]any{"aud": []int{7}}), session.VerdictMissingClaim},
		"azp as list":                {policy(), map[string]any{"azp": []string{party}}, session.VerdictMissingClaim},
		"no parties, azp as list":    {session.Policy{Issuer: authtest.Issuer}, map[string]any{"azp": []string{party}}, session.VerdictAccepted},
		"template, userId null":      {templates, with(map[string]any{"userId": json.RawMessage("null")}), session.VerdictAccepted},
		"template from another page": {session.Policy{Issuer: authtest.Issuer, TemplateAudience: "trivet", AuthorizedParties: []string{"https://x.test"}}, template, session.VerdictParty},
		"session with that audience": {templates, map[string]any{"aud": "trivet"}, session.VerdictAccepted},
		"session's own userId":       {templates, map[string]any{"userId": "app-7"}, session.VerdictAccepted},
		"session, another audience":  {templates, map[string]any{"aud": "convex"}, session.VerdictAccepted},
		"session, empty audiences":   {templates, map[string]any{"aud": []string{}}, session.VerdictAccepted},
		"session, audience a number": {policy(), map[string]any{"aud": 7}, session.VerdictAccepted},
		"pending allowed":            {pending, map[string]any{"sts": "pending"}, session.VerdictAccepted},
		"unknown status":             {pending, map[string]any{"sts": "odd"}, session.VerdictPending},
		"no status":                  {policy(), map[string]any{"sts": nil}, session.VerdictAccepted},
		"empty sub":                  {policy(), map[string]any{"sub": ""}, session.VerdictMissingClaim},
		"empty sid":                  {policy(), map[string]any{"sid": ""}, session.VerdictMissingClaim},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := verifier(t, tc.policy, epoch).Verify(t.Context(), clerk.Token(t, epoch(), tc.change))
			if tc.want != session.VerdictAccepted {
				requireVerdict(t, tc.want, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, "user_1", s.UserID)
		})
	}
	s, err := verifier(t, templates, epoch).Verify(t.Context(), clerk.Token(t, epoch(), template))
	require.NoError(t, err)
	require.Equal(t, session.Profile{Email: "ada@example.test", FirstName: "Ada"}, s.Profile)
	require.Empty(t, s.ID)

	for name, tc := range map[string]struct {
		change  map[string]any
		unknown bool
	}{
		"template without act":     {template, true},
		"template, act null":       {with(map[string]any{"act": json.RawMessage("null")}), false},
		"template, act of another": {with(map[string]any{"act": map[string]any{"sub": "user_2"}}), false},
		"session without act":      {nil, false},
	} {
		s, err := verifier(t, templates, epoch).Verify(t.Context(), clerk.Token(t, epoch(), tc.change))
		require.NoError(t, err, name)
		require.Equal(t, tc.unknown, s.ActorUnknown, name)
		require.Equal(t, name == "template, act of another", s.Actor != nil, name)
	}
}

func TestIssuerIsRequired(t *testing.T) {
	_, err := session.NewVerifier(session.Policy{}, &oneKey{}, epoch)
	require.ErrorContains(t, err, "without an issuer")
}

// TestHopelessTokensNeedNoKey: what can't become good costs no key, and so causes no fetch.
func TestHopelessTokensNeedNoKey(t *testing.T) {
	keys := &failingKeys{}
	v, err := session.NewVerifier(policy(), keys, epoch)
	require.NoError(t, err)
	for _, change := range []map[string]any{{"iss": "https://evil.test"}, {"exp": epoch().Unix() - 60, "iat": epoch().Unix() - 120}, {"sid": nil}} {
		_, err = v.Verify(t.Context(), authtest.NewKeys().Token(t, epoch(), change))
		require.ErrorAs(t, err, new(*session.Refusal))
	}
	require.Zero(t, keys.asked)
	_, err = v.Verify(t.Context(), authtest.NewKeys().Token(t, epoch(), nil))
	var unavailable *jwks.UnavailableError
	require.ErrorAs(t, err, &unavailable, "a missing key is not a verdict")
}

// TestSignatureFailureAsksForNewerKeys: Clerk's key id is the instance's, so that a rotation may keep it.
func TestSignatureFailureAsksForNewerKeys(t *testing.T) {
	clerk, now := authtest.NewKeys(), epoch()
	server := clerk.Serve(t)
	clock := epoch
	keys := jwks.NewRemote(jwks.Endpoint{
		Client: server.Client(), URL: server.URL + "/v1/jwks", SecretKeys: []string{authtest.SecretKey},
	}, jwks.Options{MaxStale: time.Hour, Timeout: time.Minute, Now: clock, Logger: slog.New(slog.DiscardHandler)})
	defer keys.Close()
	v, err := session.NewVerifier(policy(), keys, clock)
	require.NoError(t, err)
	_, err = v.Verify(t.Context(), clerk.Token(t, now, nil))
	require.NoError(t, err)

	clerk.Rotate("ins_1", authtest.Key(1))
	_, err = v.Verify(t.Context(), clerk.Token(t, now, nil))
	require.NoError(t, err, "asked again, and found the new key")
	for range 100 {
		_, err = v.Verify(t.Context(), authtest.Sign(t, signingKey(2, "ins_1"), authtest.Claims(now, nil), nil))
		requireVerdict(t, session.VerdictSignature, err)
	}
	require.EqualValues(t, 2, clerk.Fetches.Load(), "forgers can't make it ask more often")
}

// failingKeys has no key and can't get one.
type failingKeys struct{ asked int }

func (k *failingKeys) Find(context.Context, string) ([]*rsa.PublicKey, error) {
	k.asked++
	return nil, &jwks.UnavailableError{RetryAfter: time.Second, Cause: errors.New("down")}
}

func (*failingKeys) Renew(context.Context) bool { return false }

func rs256() jose.SigningKey { return signingKey(0, "ins_1") }

func signingKey(n int, kid string) jose.SigningKey {
	return jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: authtest.Key(n), KeyID: kid}}
}

func encoded(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func hs256(t *testing.T, claims, secret []byte) string {
	t.Helper()
	key := jose.JSONWebKey{Key: secret, KeyID: "ins_1"}
	return authtest.Sign(t, jose.SigningKey{Algorithm: jose.HS256, Key: key}, claims, map[jose.HeaderKey]any{"typ": "JWT"})
}

func publicDER(t *testing.T) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&authtest.Key(0).PublicKey)
	require.NoError(t, err)
	return der
}

func publicPEM(t *testing.T) []byte {
	t.Helper()
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER(t)})
}

// withOwnKey is signed by a stranger who sends their key along.
func withOwnKey(t *testing.T, claims []byte) string {
	t.Helper()
	return authtest.Sign(t, signingKey(1, ""), claims, map[jose.HeaderKey]any{
		"kid": "ins_1", "jwk": jose.JSONWebKey{Key: &authtest.Key(1).PublicKey},
	})
}
