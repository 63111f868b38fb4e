package inbox_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/platform/settings"
)

func TestSettings(t *testing.T) {
	load := func(env map[string]string) (s inbox.Settings, err error) {
		err = settings.Load(func(name string) string { return env[name] }, &s)
		return s, err
	}
	s, err := load(nil)
	require.NoError(t, err)
	o := s.Apply(inbox.Options{Workers: 3})
	require.Equal(t, inbox.Options{
		Workers: 3, MaxAttempts: 25, Backoff: inbox.Backoff{Base: time.Second, Cap: time.Hour}, Retention: 720 * time.Hour, PayloadRetention: 168 * time.Hour,
	}, o)
	_, err = load(map[string]string{"TRIVET_INBOX_RETRY_CAP": "10ms", "TRIVET_INBOX_RETENTION": "96h", "TRIVET_INBOX_MAX_ATTEMPTS": "0"})
	for _, want := range []string{"TRIVET_INBOX_RETRY_CAP: is shorter", "TRIVET_INBOX_RETENTION: is shorter", "TRIVET_INBOX_MAX_ATTEMPTS"} {
		require.ErrorContains(t, err, want)
	}
}
