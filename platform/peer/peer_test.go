package peer_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/peer"
)

func TestProof(t *testing.T) {
	now := time.Unix(1_800_000_030, 0)
	clock := func() time.Time { return now }
	secret := bytes.Repeat([]byte{7}, 32)
	prover, err := peer.NewProver("ai", secret, clock)
	require.NoError(t, err)
	verifier, err := peer.NewVerifier(secret, clock)
	require.NoError(t, err)
	stranger, err := peer.NewProver("ai", bytes.Repeat([]byte{8}, 32), clock)
	require.NoError(t, err)

	proof := prover.Proof()
	name, err := verifier.Verify(proof)
	require.NoError(t, err)
	require.Equal(t, "ai", name)

	for what, bad := range map[string]string{
		"empty":        "",
		"no dots":      "ai",
		"other secret": stranger.Proof(),
		"other name":   strings.Replace(proof, "ai.", "billing.", 1),
		"other minute": strings.Replace(proof, ".3000", ".3001", 1),
		"cut":          proof[:len(proof)-1],
		"not hex":      proof[:len(proof)-1] + "z",
	} {
		_, err := verifier.Verify(bad)
		require.ErrorIs(t, err, peer.ErrInvalid, what)
	}

	now = now.Add(91 * time.Second)
	_, err = verifier.Verify(proof)
	require.ErrorIs(t, err, peer.ErrInvalid, "an old proof")
	_, err = verifier.Verify(prover.Proof())
	require.NoError(t, err, "the prover makes a new one")
	now = now.Add(-10 * time.Minute)
	_, err = verifier.Verify(proof)
	require.ErrorIs(t, err, peer.ErrInvalid, "a proof from the future")
}

func TestWeakSecretIsRefused(t *testing.T) {
	_, err := peer.NewProver("ai", []byte("short"), time.Now)
	require.ErrorContains(t, err, "TRIVET_INTERNAL_SECRET")
	_, err = peer.NewVerifier(nil, time.Now)
	require.ErrorContains(t, err, "TRIVET_INTERNAL_SECRET")
	_, err = peer.NewProver("a.b", bytes.Repeat([]byte{7}, 32), time.Now)
	require.ErrorContains(t, err, "dots")
}

// Processes before and after a step of a rotation accept each other.
func TestRotation(t *testing.T) {
	before, after := bytes.Repeat([]byte{7}, 32), bytes.Repeat([]byte{8}, 32)
	steps := [][][]byte{{before}, {before, after}, {after, before}, {after}}
	accepts := func(signs, verifies [][]byte) bool {
		prover, err := peer.NewProver("ai", signs[0], time.Now)
		require.NoError(t, err)
		verifier, err := peer.NewVerifier(verifies[0], time.Now, verifies[1:]...)
		require.NoError(t, err)
		_, err = verifier.Verify(prover.Proof())
		return err == nil
	}
	for i := range len(steps) - 1 {
		for _, signs := range steps[i : i+2] {
			for _, verifies := range steps[i : i+2] {
				require.True(t, accepts(signs, verifies), "step %d", i+1)
			}
		}
	}
	require.False(t, accepts(steps[0], steps[3]), "the old secret is void in the end")
	require.False(t, accepts(steps[3], steps[0]))
	require.False(t, accepts([][]byte{bytes.Repeat([]byte{9}, 32)}, steps[1]), "a stranger")
	_, err := peer.NewVerifier(before, time.Now, []byte("short"))
	require.ErrorContains(t, err, "TRIVET_INTERNAL_SECRET")
}

// A process that runs changes its secrets as one that is restarted does. What a removed secret made is void at once, also when it is
// remembered.
func TestReplaceWhileRunning(t *testing.T) {
	before, after, short := bytes.Repeat([]byte{7}, 32), bytes.Repeat([]byte{8}, 32), []byte("short")
	prover, err := peer.NewProver("ai", before, time.Now)
	require.NoError(t, err)
	verifier, err := peer.NewVerifier(before, time.Now)
	require.NoError(t, err)
	verify := func(proof string) error {
		_, err := verifier.Verify(proof)
		return err
	}
	old := prover.Proof()
	require.NoError(t, verify(old))

	require.NoError(t, verifier.Replace(before, after))
	require.NoError(t, prover.Replace(after))
	require.NotEqual(t, old, prover.Proof(), "the proof of the same minute is made anew")
	for range 2 {
		require.NoError(t, verify(old))
		require.NoError(t, verify(prover.Proof()))
	}
	require.NoError(t, verifier.Replace(after))
	require.ErrorIs(t, verify(old), peer.ErrInvalid)
	require.NoError(t, verify(prover.Proof()))

	for _, wrong := range []error{prover.Replace(short), verifier.Replace(short), verifier.Replace(before, short), verifier.Replace(nil)} {
		require.ErrorContains(t, wrong, "TRIVET_INTERNAL_SECRET")
	}
	require.NoError(t, verify(prover.Proof()), "the secrets before the error stay")
	require.ErrorIs(t, verify(old), peer.ErrInvalid)
}
