package invoke

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// TestADroppedFormIsNotSent: the caller leaves between the decision to try again and the attempt. Nothing is sent, and nothing owed.
func TestADroppedFormIsNotSent(t *testing.T) {
	c := &call{req: &wire.Request{Media: &wire.Media{}}, left: true, stage: sent}
	c.up, c.cancel = context.WithCancelCause(t.Context())
	require.Nil(t, c.Body(&models.Route{}))
	require.Equal(t, held, c.stage)
	require.ErrorIs(t, context.Cause(c.up), errLeft)
}
