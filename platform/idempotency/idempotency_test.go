package idempotency_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/idempotency"
)

func TestBoundsOfAKey(t *testing.T) {
	longest := strings.Repeat("k", idempotency.MaxKey)
	for name, tc := range map[string]struct {
		values []string
		want   string
		ok     bool
	}{
		"none":            {nil, "", true},
		"one character":   {[]string{"k"}, "k", true},
		"a UUID":          {[]string{"0b5c1f0e-8a4e-4a2a-9b9a-6f0d6c1b2a3d"}, "0b5c1f0e-8a4e-4a2a-9b9a-6f0d6c1b2a3d", true},
		"first and last":  {[]string{"!~"}, "!~", true},
		"longest":         {[]string{longest}, longest, true},
		"too long":        {[]string{longest + "k"}, "", false},
		"empty":           {[]string{""}, "", false},
		"a space":         {[]string{"a b"}, "", false},
		"not ASCII":       {[]string{"é"}, "", false},
		"a control":       {[]string{"a\x7f"}, "", false},
		"two of the same": {[]string{"k", "k"}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := idempotency.Of(tc.values)
			require.Equal(t, tc.want, got)
			if tc.ok {
				require.NoError(t, err)
				return
			}
			require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, errs.ReasonOf(err))
			require.Equal(t, "Idempotency-Key", errs.From(err).Fields[0].Name)
		})
	}
}

func TestFromIncoming(t *testing.T) {
	key, err := idempotency.FromIncoming(t.Context())
	require.NoError(t, err)
	require.Empty(t, key)
	with := func(pairs ...string) context.Context {
		return metadata.NewIncomingContext(t.Context(), metadata.Pairs(pairs...))
	}
	key, err = idempotency.FromIncoming(with("Idempotency-Key", "k1"))
	require.NoError(t, err)
	require.Equal(t, "k1", key)
	_, err = idempotency.FromIncoming(with("idempotency-key", "k1", "idempotency-key", "k2"))
	require.Error(t, err)
}

func TestDigestsTellListsApart(t *testing.T) {
	seen := map[string]bool{}
	for _, parts := range [][]string{{}, {""}, {"", ""}, {"a", "b"}, {"ab"}, {"ab", ""}, {"", "ab"}, {"b", "a"}} {
		d := idempotency.Digest(parts...)
		require.Len(t, d, 52)
		require.False(t, seen[d], "%q", parts)
		seen[d] = true
	}
	require.Equal(t, idempotency.Digest([]byte("a"), []byte("b")), idempotency.Digest("a", "b"))
}
