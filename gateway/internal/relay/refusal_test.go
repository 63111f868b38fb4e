package relay

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway/internal/call"
)

func TestRefusalIsTruncated(t *testing.T) {
	r := refusal{status: 502}
	part := bytes.Repeat([]byte("x"), 10_000)
	for range 1000 {
		r.add(part)
	}
	require.Len(t, r.text, maxRefusal)
	require.LessOrEqual(t, cap(r.text), 2*maxRefusal, "memory is limited")
	require.Contains(t, string(r.body(t.Context(), &call.State{})), "status 502", "a truncated body is not JSON, so Trivet's own error is sent")
}

func TestRefusalInPiecesBecomesOneLine(t *testing.T) {
	r := refusal{status: 429}
	for _, part := range []string{"{\n \"error\": ", `{"message":"Slow down.",`, "\n\"code\":\"x\"}}"} {
		r.add([]byte(part))
	}
	require.Equal(t, []byte(`{"error":{"message":"Slow down.","code":"x"}}`), r.body(t.Context(), &call.State{}), "the provider's text is unchanged") //nolint:testifylint // the exact bytes count
}
