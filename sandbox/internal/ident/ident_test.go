package ident_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox/internal/ident"
)

func TestIdentifiers(t *testing.T) {
	require.Equal(t, "2Jay5UmTmIrlkelx0qGF5Cph", ident.Derive(24, "a", "b"), "the same on every machine")
	require.NotEqual(t, ident.Derive(24, "ab", "c"), ident.Derive(24, "a", "bc"))
	require.Len(t, ident.Derive(99, "a"), 32)

	one, same, other := ident.NewSource("x"), ident.NewSource("x"), ident.NewSource("y")
	first := one.Next("cus_", 14)
	require.Regexp(t, `^cus_[0-9A-Za-z]{14}$`, first)
	require.Equal(t, first, same.Next("cus_", 14))
	require.NotEqual(t, first, one.Next("cus_", 14))
	require.NotEqual(t, first, other.Next("cus_", 14))
}
