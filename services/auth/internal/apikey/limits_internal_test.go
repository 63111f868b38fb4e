package apikey

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A limit above an ancestor's that stays as it is refuses no change of another one.
func TestOnlyChangedLimitsAreCompared(t *testing.T) {
	above := []Key{{}, {Limits: Limits{RequestsPerMinute: 10, TokensPerMinute: 10}}}
	current := Limits{RequestsPerMinute: 100}
	require.Error(t, current.Within(above))
	require.NoError(t, current.changedWithin(current, above))
	require.NoError(t, Limits{RequestsPerMinute: 100, TokensPerMinute: 10}.changedWithin(current, above))
	require.NoError(t, Limits{RequestsPerMinute: 10}.changedWithin(current, above))
	require.ErrorContains(t, Limits{RequestsPerMinute: 99}.changedWithin(current, above), "cannot have higher limits")
	require.ErrorContains(t, Limits{RequestsPerMinute: 100, TokensPerMinute: 11}.changedWithin(current, above), "cannot have higher limits")
	require.Equal(t, Limits{RequestsPerMinute: 100}, current)
}
