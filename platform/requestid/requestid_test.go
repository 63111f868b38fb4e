package requestid_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/requestid"
)

func TestNew(t *testing.T) {
	first, second := requestid.New(), requestid.New()
	require.NotEqual(t, first, second)
	require.True(t, requestid.Valid(first))
	id, ok := strings.CutPrefix(first, "req_")
	require.True(t, ok)
	parsed, err := uuid.Parse(id)
	require.NoError(t, err)
	require.Equal(t, id, parsed.String())
	require.Equal(t, uuid.Version(4), parsed.Version())
}

func TestContext(t *testing.T) {
	require.Empty(t, requestid.From(t.Context()))
	require.Equal(t, "req-1", requestid.From(requestid.With(t.Context(), "req-1")))
}

func TestValid(t *testing.T) {
	for id, want := range map[string]bool{
		"a": true, "req_1.2-3": true, strings.Repeat("z", 64): true,
		"": false, strings.Repeat("z", 65): false, "a b": false, "a\n": false, "ä": false, `a"`: false,
	} {
		require.Equal(t, want, requestid.Valid(id), "%q", id)
	}
}
