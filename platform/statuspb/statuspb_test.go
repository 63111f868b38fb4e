package statuspb_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
	"github.com/trivet-dev/trivet/platform/statuspb"
)

func TestStatusesAndWords(t *testing.T) {
	words := map[statusv1.Status]string{
		statusv1.Status_STATUS_UNKNOWN:     "unknown",
		statusv1.Status_STATUS_OPERATIONAL: "operational",
		statusv1.Status_STATUS_DEGRADED:    "degraded",
		statusv1.Status_STATUS_DOWN:        "down",
	}
	require.Len(t, statusv1.Status_name, len(words)+1, "every status but UNSPECIFIED has a word")
	for status, word := range words {
		require.Equal(t, word, statuspb.Word(status))
		require.Equal(t, status, statuspb.Parse(word))
	}
}

func TestUnknownStatusesAreUnknown(t *testing.T) {
	for _, status := range []statusv1.Status{statusv1.Status_STATUS_UNSPECIFIED, 99} {
		require.Equal(t, "unknown", statuspb.Word(status))
	}
	for _, word := range []string{"", "sleepy", "unspecified"} {
		require.Equal(t, statusv1.Status_STATUS_UNKNOWN, statuspb.Parse(word))
	}
}
