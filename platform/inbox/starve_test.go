package inbox_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/inbox"
)

// A worker that becomes free during a claim does not know yet that work waits for one; nobody else would look before the next
// poll.
func TestAWorkerThatBecomesFreeDuringAClaimIsNotForgotten(t *testing.T) {
	require.True(t, inbox.WakesWhenStarved(true))
	require.False(t, inbox.WakesWhenStarved(false), "otherwise the next worker that becomes free looks")
}
