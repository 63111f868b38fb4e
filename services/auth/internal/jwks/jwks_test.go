package jwks_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/auth/internal/authtest"
	"github.com/trivet-dev/trivet/services/auth/internal/jwks"
)

// document is what a server answers once.
type document []byte

func (d document) Fetch(context.Context) ([]byte, error) { return d, nil }

func remoteOf(t *testing.T, keys ...any) (*jwks.Remote, *strings.Builder) {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"keys": keys})
	require.NoError(t, err)
	var log strings.Builder
	r := jwks.NewRemote(document(raw), jwks.Options{
		MaxStale: time.Hour, Timeout: time.Minute, Now: time.Now, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	t.Cleanup(r.Close)
	return r, &log
}

func weak(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	return key
}

func elliptical(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

// fields returns the JSON fields of a valid public key with changes.
func fields(t *testing.T, change map[string]any) map[string]any {
	t.Helper()
	raw, err := json.Marshal(authtest.PublicJWK("bad", authtest.Key(1)))
	require.NoError(t, err)
	var out map[string]any
	require.NoError(t, json.Unmarshal(raw, &out))
	maps.Copy(out, change)
	maps.DeleteFunc(out, func(_ string, v any) bool { return v == nil })
	return out
}

func TestKeysThatMustNotBeUsed(t *testing.T) {
	good := authtest.PublicJWK("ins_1", authtest.Key(0))
	for name, tc := range map[string]struct {
		key  any
		says string
	}{
		"private part":   {jose.JSONWebKey{Key: authtest.Key(1), KeyID: "bad"}, "private part"},
		"weak":           {authtest.PublicJWK("bad", weak(t)), "1024 bits"},
		"elliptic curve": {jose.JSONWebKey{Key: &elliptical(t).PublicKey, KeyID: "bad"}, "not an RSA key"},
		"shared secret":  {map[string]any{"kty": "oct", "k": "c2VjcmV0c2VjcmV0", "kid": "bad"}, "private part"},
		"for encryption": {fields(t, map[string]any{"use": "enc"}), "not for signatures"},
		"for RS512":      {fields(t, map[string]any{"alg": "RS512"}), "not for RS256"},
		"without kid":    {fields(t, map[string]any{"kid": nil}), "no kid"},
		"exponent 1":     {fields(t, map[string]any{"e": "AQ"}), "cannot be read"},
		"2047 bits":      {withModulus(t, 2047, 1), "2047 bits"},
		"8193 bits":      {withModulus(t, 8193, 1), "cannot be read"},
		"even modulus":   {withModulus(t, 2048, 0), "modulus is even"},
		"exponent 4":     {fields(t, map[string]any{"e": "BA"}), "exponent"},
		"unknown type":   {map[string]any{"kty": "XYZ", "kid": "bad"}, "cannot be read"},
		"no object":      {"text", "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			r, log := remoteOf(t, good, tc.key)
			keys, err := r.Find(t.Context(), "ins_1")
			require.NoError(t, err, "the good key beside it keeps working")
			require.True(t, keys[0].Equal(&authtest.Key(0).PublicKey))
			_, err = r.Find(t.Context(), "bad")
			require.ErrorIs(t, err, jwks.ErrUnknownKey)
			require.Contains(t, log.String(), tc.says)
			require.NotContains(t, log.String(), "c2VjcmV0", "a key is never logged")

			alone, _ := remoteOf(t, tc.key)
			_, err = alone.Find(t.Context(), "bad")
			requireUnavailable(t, err)
		})
	}
	r, _ := remoteOf(t, slices.Repeat([]any{good}, 33)...)
	_, err := r.Find(t.Context(), "ins_1")
	requireUnavailable(t, err)
}

// withModulus is a key whose modulus has some bits, and whose lowest bit is lowest.
func withModulus(t *testing.T, bits, lowest uint) map[string]any {
	t.Helper()
	return fields(t, map[string]any{"n": base64.RawURLEncoding.EncodeToString(modulus(bits, lowest).Bytes())})
}

func modulus(bits, lowest uint) *big.Int {
	n := new(big.Int).Lsh(big.NewInt(1), bits-1)
	return n.SetBit(n, 0, lowest)
}

func TestKeysAtTheBounds(t *testing.T) {
	r, log := remoteOf(t, withModulus(t, 2048, 1))
	keys, err := r.Find(t.Context(), "bad")
	require.NoError(t, err)
	require.Equal(t, 2048, keys[0].N.BitLen())
	require.Empty(t, log.String())

	r, _ = remoteOf(t, slices.Repeat([]any{authtest.PublicJWK("ins_1", authtest.Key(0))}, 32)...)
	_, err = r.Find(t.Context(), "ins_1")
	require.NoError(t, err)
}

func TestParsePEM(t *testing.T) {
	first, second := authtest.PEM(t, authtest.Key(0)), authtest.PEM(t, authtest.Key(1))
	pkcs1 := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&authtest.Key(0).PublicKey)}))
	for name, tc := range map[string]struct {
		text string
		want int
	}{
		"one": {first, 1}, "several": {first + second, 2}, "with space between": {"\n" + first + "\n\n" + second + "\n ", 2},
		"line breaks written out": {strings.ReplaceAll(first, "\n", `\n`), 1}, "PKCS 1": {pkcs1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := jwks.ParsePEM(tc.text)
			require.NoError(t, err)
			keys, err := s.Find(t.Context(), "whatever")
			require.NoError(t, err)
			require.Len(t, keys, tc.want)
			require.True(t, keys[0].Equal(&authtest.Key(0).PublicKey))
			require.False(t, s.Renew(t.Context()))
		})
	}
}

func TestKeysInPEMAreReplaced(t *testing.T) {
	first, second := authtest.PEM(t, authtest.Key(0)), authtest.PEM(t, authtest.Key(1))
	s, err := jwks.ParsePEM(first)
	require.NoError(t, err)
	for _, step := range []struct {
		text    string
		changed bool
		keys    int
	}{{first, false, 1}, {first + second, true, 2}, {first + second, false, 2}, {second + first, true, 2}, {second, true, 1}} {
		changed, err := s.Replace(step.text)
		require.NoError(t, err)
		require.Equal(t, step.changed, changed)
		keys, err := s.Find(t.Context(), "")
		require.NoError(t, err)
		require.Len(t, keys, step.keys)
	}
	_, err = s.Replace(first + "garbage")
	require.ErrorContains(t, err, "PEM block 2 cannot be read")
	keys, err := s.Find(t.Context(), "")
	require.NoError(t, err)
	require.Len(t, keys, 1, "the present keys stay")
	require.True(t, keys[0].Equal(&authtest.Key(1).PublicKey))
}

func TestParsePEMTakesALargeKey(t *testing.T) {
	der := x509.MarshalPKCS1PublicKey(&rsa.PublicKey{N: modulus(8192, 1), E: 65537})
	_, err := jwks.ParsePEM(string(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: der})))
	require.NoError(t, err)
}

func TestParsePEMRefuses(t *testing.T) {
	block := func(kind string, der []byte, err error) string {
		require.NoError(t, err)
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	weakDER, weakErr := x509.MarshalPKIXPublicKey(&weak(t).PublicKey)
	curveDER, curveErr := x509.MarshalPKIXPublicKey(&elliptical(t).PublicKey)
	privateDER, privateErr := x509.MarshalPKCS8PrivateKey(authtest.Key(0))
	for name, tc := range map[string]struct{ text, says string }{
		"empty":          {" ", "no PEM block"},
		"garbage":        {"MIIB", "block 1 cannot be read"},
		"garbage after":  {authtest.PEM(t, authtest.Key(0)) + "MIIB", "block 2 cannot be read"},
		"weak":           {block("PUBLIC KEY", weakDER, weakErr), "1024 bits"},
		"elliptic curve": {block("PUBLIC KEY", curveDER, curveErr), "not an RSA key"},
		"exponent 1":     {block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsa.PublicKey{N: authtest.Key(0).N, E: 1}), nil), "exponent is 1"},
		"too large":      {block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsa.PublicKey{N: modulus(8193, 1), E: 65537}), nil), "8193 bits"},
		"weak, PKCS 1":   {block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&weak(t).PublicKey), nil), "1024 bits"},
		"private":        {block("PRIVATE KEY", privateDER, privateErr), "private key"},
		"wrong content":  {block("PUBLIC KEY", []byte("x"), nil), "not a public key"},
		"wrong PKCS 1":   {block("RSA PUBLIC KEY", []byte("x"), nil), "not an RSA public key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := jwks.ParsePEM(tc.text)
			require.ErrorContains(t, err, tc.says)
			require.NotContains(t, err.Error(), "MIIB")
		})
	}
}

func TestEndpoint(t *testing.T) {
	clerk := authtest.NewKeys()
	server := clerk.Serve(t)
	endpoint := func(secrets ...string) jwks.Endpoint {
		return jwks.Endpoint{Client: server.Client(), URL: server.URL + "/v1/jwks", SecretKeys: secrets}
	}
	got, err := endpoint("sk_test_new", authtest.SecretKey).Fetch(t.Context())
	require.NoError(t, err, "during a rotation the older secret still serves")
	require.JSONEq(t, string(clerk.Document(t)), string(got))

	_, err = endpoint("sk_test_hunter2").Fetch(t.Context())
	require.ErrorContains(t, err, "rejects CLERK_SECRET_KEY")
	require.NotContains(t, err.Error(), "hunter2")
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden} {
		var asked []string
		picky := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.Header.Get("Authorization"))
			if r.Header.Get("Authorization") != "Bearer old" {
				w.WriteHeader(status)
				return
			}
			_, _ = w.Write(clerk.Document(t))
		}))
		got, err := jwks.Endpoint{Client: picky.Client(), URL: picky.URL, SecretKeys: []string{"new", "old"}}.Fetch(t.Context())
		picky.Close()
		require.NoError(t, err, "after a %d too the older secret is tried", status)
		require.NotEmpty(t, got)
		require.Equal(t, []string{"Bearer new", "Bearer old"}, asked)
	}
	_, err = endpoint().Fetch(t.Context())
	require.ErrorContains(t, err, "CLERK_SECRET_KEY is not set")

	before := clerk.Fetches.Load()
	clerk.Down.Store(true)
	_, err = endpoint(authtest.SecretKey, "sk_test_old").Fetch(t.Context())
	require.ErrorContains(t, err, "503")
	require.Equal(t, before+1, clerk.Fetches.Load(), "a failure is not a reason to try another secret")

	huge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, 1<<20))
	}))
	defer huge.Close()
	_, err = jwks.Endpoint{Client: huge.Client(), URL: huge.URL, SecretKeys: []string{"x"}}.Fetch(t.Context())
	require.ErrorContains(t, err, "larger")

	largest := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, 256<<10))
	}))
	defer largest.Close()
	got, err = jwks.Endpoint{Client: largest.Client(), URL: largest.URL, SecretKeys: []string{"x"}}.Fetch(t.Context())
	require.NoError(t, err)
	require.Len(t, got, 256<<10)
}
