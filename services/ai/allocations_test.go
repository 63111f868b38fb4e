//go:build !race

package ai_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// A call costs a fixed number of allocations, and a delta of a stream none. The bounds are a third above what is needed.
func TestAllocationsOfACall(t *testing.T) {
	measure := func(upstream http.RoundTripper, body string) float64 {
		call, _ := relayOnce(t, upstream, []byte(body))
		return testing.AllocsPerRun(200, func() { require.NoError(t, call()) })
	}
	stream := func(deltas int) float64 {
		parts := slices.Repeat([][]byte{[]byte(benchDelta)}, deltas)
		return measure(&memory{append(parts, []byte(benchUsage+done))}, `{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"say hello"}]}`)
	}
	whole, few, many := measure(&memory{}, `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"say hello"}]}`), stream(100), stream(500)
	t.Logf("allocations: %.0f whole, %.0f streamed with 100 deltas, %.0f with 500", whole, few, many)
	require.LessOrEqual(t, whole, 110.0)
	require.LessOrEqual(t, few, 125.0)
	require.InDelta(t, few, many, 10, "a delta allocates nothing")
}
