package peer

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var secret = bytes.Repeat([]byte{7}, MinSecret) //nolint:gochecknoglobals // a constant

// signed is a proof with a good signature, whatever it says.
func signed(text string) string { return text + "." + hex.EncodeToString(sign(secret, text)) }

func TestTheWindowOfAProof(t *testing.T) {
	minute := time.Unix(1_800_000_000, 0)
	for name, tc := range map[string]struct {
		at   time.Duration // of the verifier's clock, after the minute of the proof
		good bool
	}{
		"the minute itself": {0, true}, "two minutes old": {2 * time.Minute, true}, "older": {2*time.Minute + 1, false},
		"two minutes ahead": {-2 * time.Minute, true}, "further ahead": {-2*time.Minute - 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := NewVerifier(secret, func() time.Time { return minute.Add(tc.at) })
			require.NoError(t, err)
			for range 2 { // also when the signature is remembered
				_, err = v.Verify(signed("ai." + strconv.FormatInt(minute.Unix()/60, 10)))
				require.Equal(t, tc.good, err == nil, "%v", err)
			}
		})
	}
}

// A bad proof stays bad when it is sent again: only good signatures are remembered.
func TestBadProofsAreNotRemembered(t *testing.T) {
	v, err := NewVerifier(secret, time.Now)
	require.NoError(t, err)
	minute := strconv.FormatInt(time.Now().Unix()/60, 10)
	good := signed("ai." + minute)
	for what, proof := range map[string]string{
		"a forged signature": "ai." + minute + "." + hex.EncodeToString(make([]byte, 32)), "cut": good[:len(good)-2],
		"signed, without a name": signed("." + minute), "signed, without a minute": signed("ai."), "signed, without a dot": signed("ai"),
		"signed, the minute is text": signed("ai.now"),
	} {
		for range 3 {
			name, err := v.Verify(proof)
			require.ErrorIs(t, err, ErrInvalid, what)
			require.Empty(t, name, what)
		}
	}
}

// The cache is bounded for any number of names that holders of the secret use.
func TestRememberedProofsAreBounded(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	v, err := NewVerifier(secret, func() time.Time { return now })
	require.NoError(t, err)
	for n := range 3 * maxKnown {
		_, err := v.Verify(signed("service" + strconv.Itoa(n) + "." + strconv.FormatInt(now.Unix()/60, 10)))
		require.NoError(t, err)
		known := 0
		if n%100 == 0 {
			v.accepted.Load().good.Range(func(any, any) bool { known++; return true })
		}
		require.LessOrEqual(t, known, maxKnown)
	}
}

func TestTheShortestSecret(t *testing.T) {
	require.NoError(t, CheckSecret(make([]byte, MinSecret)))
	require.Error(t, CheckSecret(make([]byte, MinSecret-1)))
	_, err := NewProver("", secret, time.Now)
	require.ErrorContains(t, err, "name")
}
