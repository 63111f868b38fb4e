package allinone

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/peer"
)

// clerkIssuer is the Clerk instance of the forgery suite, whose key the suite has.
const clerkIssuer = "https://clerk.example.test"

// mint makes credentials, right and wrong ones, at one moment.
type mint struct {
	t      *testing.T
	now    time.Time
	secret trust
	issuer *passport.Issuer
	keyID  string // of the passport key
	clerk  *rsa.PrivateKey
	thief  *rsa.PrivateKey
}

func newMint(t *testing.T, now time.Time) *mint {
	t.Helper()
	m := &mint{t: t, now: now}
	var err error
	m.secret, err = newTrust()
	require.NoError(t, err)
	m.issuer, err = passport.NewIssuer(m.secret.passports, m.clock)
	require.NoError(t, err)
	for _, key := range []**rsa.PrivateKey{&m.clerk, &m.thief} {
		*key, err = rsa.GenerateKey(rand.Reader, 2048)
		require.NoError(t, err)
	}
	parsed, err := jwt.ParseSigned(m.passport(person, "auth"), []jose.SignatureAlgorithm{jose.EdDSA})
	require.NoError(t, err)
	m.keyID = parsed.Headers[0].KeyID
	return m
}

func (m *mint) clock() time.Time { return m.now }

// clerkPEM is what CLERK_JWT_KEY holds.
func (m *mint) clerkPEM() string {
	der, err := x509.MarshalPKIXPublicKey(m.clerk.Public())
	require.NoError(m.t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// passport is a good one.
func (m *mint) passport(c passport.Claims, audience string) string {
	m.t.Helper()
	token, err := m.issuer.Issue(c, audience, m.now.Add(time.Minute))
	require.NoError(m.t, err)
	return token
}

// forgedPassport is signed with any key and changed after its claims are those of a good one.
func (m *mint) forgedPassport(key jose.SigningKey, c passport.Claims, audience string, change func(*jwt.Claims)) string {
	standard := jwt.Claims{
		Issuer: "trivet-auth", Audience: jwt.Audience{audience}, IssuedAt: jwt.NewNumericDate(m.now), Expiry: jwt.NewNumericDate(m.now.Add(passport.MaxLife)),
	}
	if change != nil {
		change(&standard)
	}
	return m.sign(key, standard, c)
}

// passportKey is the installation's key, and strangersKey another under an id of choice.
func (m *mint) passportKey() jose.SigningKey {
	return jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: m.secret.passports, KeyID: m.keyID}}
}

func (m *mint) strangersKey(id string) jose.SigningKey {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(m.t, err)
	return jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: key, KeyID: id}}
}

// publicKey signs with the public passport key as if it were a shared secret.
func (m *mint) publicKey() jose.SigningKey {
	return jose.SigningKey{Algorithm: jose.HS256, Key: jose.JSONWebKey{Key: []byte(m.issuer.PublicKey()), KeyID: m.keyID}}
}

// session is a session token as Clerk makes it, with claims replaced; nil removes one.
func (m *mint) session(user string, change map[string]any) string {
	return m.forgedSession(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: m.clerk, KeyID: "ins_1"}}, "JWT", user, change)
}

func (m *mint) forgedSession(key jose.SigningKey, kind, user string, change map[string]any) string {
	claims := map[string]any{
		"iss": clerkIssuer, "sub": user, "sid": "sess_" + user, "iat": m.now.Unix(), "nbf": m.now.Unix(), "exp": m.now.Add(time.Minute).Unix(),
		"v": 2, "sts": "active", "fva": []int{0, -1},
	}
	for name, value := range change {
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
	}
	signer, err := jose.NewSigner(key, new(jose.SignerOptions).WithType(jose.ContentType(kind)))
	require.NoError(m.t, err)
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	require.NoError(m.t, err)
	return token
}

func (m *mint) sign(key jose.SigningKey, claims ...any) string {
	m.t.Helper()
	signer, err := jose.NewSigner(key, nil)
	require.NoError(m.t, err)
	builder := jwt.Signed(signer)
	for _, c := range claims {
		builder = builder.Claims(c)
	}
	token, err := builder.Serialize()
	require.NoError(m.t, err)
	return token
}

// proof is the internal proof of a service, made with a secret at a time.
func (m *mint) proof(name string, secret []byte, at time.Time) string {
	m.t.Helper()
	prover, err := peer.NewProver(name, secret, func() time.Time { return at })
	require.NoError(m.t, err)
	return prover.Proof()
}

// part replaces a part of a token: 0 is the header, 1 the claims, 2 the signature.
func part(token string, n int, by string) string {
	parts := strings.Split(token, ".")
	parts[n] = by
	return strings.Join(parts, ".")
}

// claimsOf is the second part of a token, and coded what a text is as a part of one.
func claimsOf(token string) string { return strings.Split(token, ".")[1] }

func coded(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// unsigned is a token without a signature that says so.
func unsigned(token, keyID string) string {
	return part(part(token, 0, coded(`{"alg":"none","typ":"JWT","kid":"`+keyID+`"}`)), 2, "")
}
