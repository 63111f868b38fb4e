package authtest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
)

// Issuer is the frontend API address of the instance whose tokens Keys sign.
const Issuer = "https://clerk.example.test"

// SecretKey is the Backend API key that the server of Keys accepts.
const SecretKey = "sk_test_clerktest" //nolint:gosec // of an instance that does not exist

// Keys are the signing keys of a Clerk instance: they sign any token, and a server that can fail lists them. For everything
// else that Clerk does there is Clerk.
type Keys struct {
	mu  sync.Mutex
	kid string
	key *rsa.PrivateKey
	// Down makes the server answer 503.
	Down atomic.Bool
	// Fetches counts the answers, failed ones included.
	Fetches atomic.Int64
	// Hold, when set, is received from before each answer.
	Hold chan struct{}
}

// generated are made once: each takes a moment.
var generated = sync.OnceValue(func() []*rsa.PrivateKey { //nolint:gochecknoglobals // one per process is the point
	made := make([]*rsa.PrivateKey, 3)
	for i := range made {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		made[i] = key
	}
	return made
})

// Key is the n-th of a few RSA keys, from 0.
func Key(n int) *rsa.PrivateKey { return generated()[n] }

// NewKeys returns keys of which Key(0) signs, under the key id "ins_1".
func NewKeys() *Keys { return &Keys{kid: "ins_1", key: Key(0)} }

// Rotate changes the key; the key id may stay.
func (k *Keys) Rotate(kid string, key *rsa.PrivateKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kid, k.key = kid, key
}

func (k *Keys) current() (string, *rsa.PrivateKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.kid, k.key
}

// Claims are those of a good version 2 session token with changes; a nil value removes the claim.
func Claims(now time.Time, change map[string]any) map[string]any {
	claims := map[string]any{
		"v": 2, "iss": Issuer, "sub": "user_1", "sid": "sess_1", "azp": "https://app.example.test", "sts": "active",
		"iat": now.Unix(), "nbf": now.Unix() - 10, "exp": now.Unix() + 60, "jti": "jti_1", "fva": []int{1, -1},
	}
	maps.Copy(claims, change)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

// Token signs a good token with changed claims.
func (k *Keys) Token(t testing.TB, now time.Time, change map[string]any) string {
	t.Helper()
	return k.Sign(t, Claims(now, change))
}

// Sign signs any payload: raw JSON as []byte, or a value.
func (k *Keys) Sign(t testing.TB, payload any) string {
	t.Helper()
	kid, key := k.current()
	return Sign(t, jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, payload,
		map[jose.HeaderKey]any{"typ": "JWT"})
}

// Sign signs with any key and header.
func Sign(t testing.TB, key jose.SigningKey, payload any, header map[jose.HeaderKey]any) string {
	t.Helper()
	raw, ok := payload.([]byte)
	if !ok {
		var err error
		raw, err = json.Marshal(payload)
		require.NoError(t, err)
	}
	signer, err := jose.NewSigner(key, &jose.SignerOptions{ExtraHeaders: header})
	require.NoError(t, err)
	jws, err := signer.Sign(raw)
	require.NoError(t, err)
	token, err := jws.CompactSerialize()
	require.NoError(t, err)
	return token
}

// Document is the JWKS document.
func (k *Keys) Document(t testing.TB) []byte {
	t.Helper()
	kid, key := k.current()
	raw, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{PublicJWK(kid, key)}})
	require.NoError(t, err)
	return raw
}

// PublicJWK is a key as Clerk lists it.
func PublicJWK(kid string, key *rsa.PrivateKey) jose.JSONWebKey {
	return jose.JSONWebKey{Key: &key.PublicKey, KeyID: kid, Algorithm: "RS256", Use: "sig"}
}

// PEM is a key as Clerk's dashboard shows it.
func PEM(t testing.TB, key *rsa.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// Serve serves the keys at /v1/jwks.
func (k *Keys) Serve(t testing.TB) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.Fetches.Add(1)
		if k.Hold != nil {
			<-k.Hold
		}
		switch {
		case r.URL.Path != "/v1/jwks":
			http.NotFound(w, r)
		case k.Down.Load():
			http.Error(w, "down", http.StatusServiceUnavailable)
		case r.Header.Get("Authorization") != "Bearer "+SecretKey:
			http.Error(w, "no", http.StatusUnauthorized)
		default:
			_, _ = w.Write(k.Document(t))
		}
	}))
	t.Cleanup(server.Close)
	return server
}
