package serve

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/peer"
	"github.com/trivet-dev/trivet/platform/settings"
)

// trusting is a process whose shared keys are in values, with those who judge what it makes.
type trusting struct {
	*Process
	values map[string]string
}

// noon is a clock that stands, so that two proofs are of the same minute.
func noon() time.Time { return time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC) }

func seed(fill byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{fill}, ed25519.SeedSize))
}

func publicKey(fill byte) string {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{fill}, ed25519.SeedSize))
	return base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey)) //nolint:forcetypeassert // it is one
}

func internalSecret(fill string) string { return strings.Repeat(fill, peer.MinSecret) }

// trustingProcess has the key 1 and the secret a.
func trustingProcess(t *testing.T) *trusting {
	t.Helper()
	p := &trusting{values: map[string]string{
		"TRIVET_INTERNAL_SECRET": internalSecret("a"), "TRIVET_PASSPORT_PUBLIC_KEYS": publicKey(1), "TRIVET_PASSPORT_KEY": seed(1),
	}}
	get := func(name string) string { return p.values[name] }
	prover, err := peer.NewProver("auth", []byte(internalSecret("a")), noon)
	require.NoError(t, err)
	peers, err := peer.NewVerifier([]byte(internalSecret("a")), noon)
	require.NoError(t, err)
	keys, err := passport.ParsePublicKeys([]string{publicKey(1)})
	require.NoError(t, err)
	passports, err := passport.NewVerifier(keys, noon)
	require.NoError(t, err)
	p.Process = &Process{
		Host: &Host{Now: noon}, get: get, prover: prover, trusted: &verifiers{passports, peers},
		trust: Trust{PassportKeys: []string{publicKey(1)}},
	}
	return p
}

func (p *trusting) issue(t *testing.T) string {
	t.Helper()
	token, err := p.issuer.Issue(passport.Claims{UserID: "u", AccountID: "u"}, "ai", noon().Add(time.Minute))
	require.NoError(t, err)
	return token
}

func TestRotateTrust(t *testing.T) {
	const secret, public, private = "TRIVET_INTERNAL_SECRET", "TRIVET_PASSPORT_PUBLIC_KEYS", "TRIVET_PASSPORT_KEY"
	for name, tc := range map[string]struct {
		values map[string]string
		signs  byte   // the key that signs afterwards
		proves string // the secret that proves afterwards
		wrong  string // the setting that the error names
	}{
		"nothing changed":              {nil, 1, "a", ""},
		"a secret is added":            {map[string]string{secret: internalSecret("a") + "," + internalSecret("b")}, 1, "a", ""},
		"the added secret is used":     {map[string]string{secret: internalSecret("b") + "," + internalSecret("a")}, 1, "b", ""},
		"the old secret is dropped":    {map[string]string{secret: internalSecret("b")}, 1, "b", ""},
		"a key is added":               {map[string]string{public: publicKey(1) + "," + publicKey(2)}, 1, "a", ""},
		"the added key is used":        {map[string]string{public: publicKey(1) + "," + publicKey(2), private: seed(2)}, 2, "a", ""},
		"the old key is dropped":       {map[string]string{public: publicKey(2), private: seed(2)}, 2, "a", ""},
		"a short secret":               {map[string]string{secret: "canary", public: publicKey(1) + "," + publicKey(2), private: seed(2)}, 1, "a", secret},
		"no secret":                    {map[string]string{secret: ""}, 1, "a", secret},
		"a malformed public key":       {map[string]string{public: "canary", secret: internalSecret("b")}, 1, "a", public},
		"no public key":                {map[string]string{public: "", secret: internalSecret("b")}, 1, "a", public},
		"a malformed private key":      {map[string]string{private: "canary", secret: internalSecret("b")}, 1, "a", private},
		"no private key":               {map[string]string{private: "", secret: internalSecret("b")}, 1, "a", private},
		"a key that nobody can verify": {map[string]string{private: seed(2), secret: internalSecret("b")}, 1, "a", private},
		"the key in use is not listed": {map[string]string{public: publicKey(2), secret: internalSecret("b")}, 1, "a", private},
	} {
		t.Run(name, func(t *testing.T) {
			p := trustingProcess(t)
			p.modes = []string{"split", "serve"}
			_, err := p.Signer(SigningKey{PassportKey: settings.NewSecret(seed(1))})
			require.NoError(t, err)
			require.Contains(t, p.trustNames(), private)
			before, proof := p.issue(t), p.prover.Proof()
			for name, value := range tc.values {
				p.values[name] = value
			}
			err = p.rotateTrust()
			if tc.wrong == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tc.wrong)
				require.NotContains(t, err.Error(), "canary")
			}
			require.Equal(t, publicKey(tc.signs), base64.StdEncoding.EncodeToString(p.issuer.PublicKey()))
			for _, token := range []string{before, p.issue(t)} {
				_, err := p.trusted.passports.Verify(token, "ai")
				require.NoError(t, err)
			}
			prover, err := peer.NewProver("auth", []byte(internalSecret(tc.proves)), noon)
			require.NoError(t, err)
			require.Equal(t, prover.Proof(), p.prover.Proof())
			_, err = p.trusted.peers.Verify(p.prover.Proof())
			require.NoError(t, err)
			if !strings.Contains(p.values[secret], internalSecret("a")) && tc.wrong == "" {
				_, err = p.trusted.peers.Verify(proof)
				require.ErrorIs(t, err, peer.ErrInvalid, "the dropped secret is void")
			}
		})
	}
}

// The edge has neither a server nor a signing key.
func TestRotateTrustOfTheEdge(t *testing.T) {
	p := trustingProcess(t)
	p.trusted = nil
	require.NotContains(t, p.trustNames(), "TRIVET_PASSPORT_KEY")
	p.values["TRIVET_INTERNAL_SECRET"], p.values["TRIVET_PASSPORT_KEY"] = internalSecret("b"), ""
	require.NoError(t, p.rotateTrust())
	prover, err := peer.NewProver("auth", []byte(internalSecret("b")), noon)
	require.NoError(t, err)
	require.Equal(t, prover.Proof(), p.prover.Proof())
}

// Auth does not start with a key whose passports every process would refuse.
func TestSignerWithoutItsPublicKey(t *testing.T) {
	p := trustingProcess(t)
	_, err := p.Signer(SigningKey{PassportKey: settings.NewSecret(seed(2))})
	require.ErrorContains(t, err, "TRIVET_PASSPORT_KEY")
	require.ErrorContains(t, err, "TRIVET_PASSPORT_PUBLIC_KEYS")
	require.Nil(t, p.issuer)
}
