package ai

import (
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The owner of a response must be known for as long as it may run.
func TestResponsesAreKeptLongerThanTheyRun(t *testing.T) {
	for _, c := range []struct {
		runs, kept time.Duration
		valid      bool
	}{
		{2 * time.Hour, 720 * time.Hour, true},
		{time.Hour - time.Second, time.Hour, true},
		{time.Hour, time.Hour, false},
		{48 * time.Hour, time.Hour, false},
	} {
		config := Config{BaseURL: &url.URL{Host: "localhost"}, BackgroundMaxAge: c.runs, ResponseRetention: c.kept}
		err := config.Validate(nil)
		if c.valid {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, "TRIVET_BACKGROUND_MAX_AGE")
		require.ErrorContains(t, err, "TRIVET_RESPONSE_RETENTION")
	}
}
