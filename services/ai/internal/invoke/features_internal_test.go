package invoke

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// TestPlainChatsCostNoAllocation: a model with prices of its own for some calls must not make the others slower.
func TestPlainChatsCostNoAllocation(t *testing.T) {
	list, err := models.Default()
	require.NoError(t, err)
	m, err := list.Get("gpt-5")
	require.NoError(t, err)
	require.NotNil(t, m.Prices)
	req, err := wire.Parse(wire.Chat, []byte(`{"model":"gpt-5","messages":[{"role":"user","content":"a"}]}`), wire.NewRefusedFields(nil))
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if p, err := featuresOf(req, m); p != nil || err != nil {
			panic("a plain chat has nothing to price")
		}
	}))
}
