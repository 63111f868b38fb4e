package session_test

import (
	"context"
	"crypto/rsa"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/auth/internal/authtest"
	"github.com/trivet-dev/trivet/services/auth/internal/jwks"
	"github.com/trivet-dev/trivet/services/auth/internal/session"
)

const party = "https://app.example.test"

// epoch is the clock of these tests.
func epoch() time.Time { return time.Unix(1_900_000_000, 0) }

// oneKey is a key set with one key.
type oneKey struct {
	kid     string
	key     *rsa.PublicKey
	renewed int
}

func (k *oneKey) Find(_ context.Context, kid string) ([]*rsa.PublicKey, error) {
	if kid != k.kid {
		return nil, jwks.ErrUnknownKey
	}
	return []*rsa.PublicKey{k.key}, nil
}

func (k *oneKey) Renew(context.Context) bool {
	k.renewed++
	return false
}

func policy() session.Policy {
	return session.Policy{Issuer: authtest.Issuer, AuthorizedParties: []string{party}}
}

func verifier(t testing.TB, p session.Policy, now func() time.Time) *session.TokenVerifier {
	t.Helper()
	v, err := session.NewVerifier(p, &oneKey{kid: "ins_1", key: &authtest.Key(0).PublicKey}, now)
	require.NoError(t, err)
	return v
}

func requireVerdict(t *testing.T, want session.Verdict, err error) {
	t.Helper()
	var refusal *session.Refusal
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, want, refusal.Verdict, refusal.Error())
}
