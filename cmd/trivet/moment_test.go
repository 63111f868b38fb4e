package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseMoment(t *testing.T) {
	now := time.Date(2026, 11, 25, 18, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"24h":                  now.Add(-24 * time.Hour),
		"90m":                  now.Add(-90 * time.Minute),
		"7d":                   now.Add(-7 * 24 * time.Hour),
		"2026-11-24":           time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC),
		"2026-11-25T17:59:00Z": now.Add(-time.Minute),
	} {
		got, err := parseMoment(text, now)
		require.NoError(t, err, text)
		require.True(t, want.Equal(got), "%s: %s", text, got)
	}
	for text, says := range map[string]string{
		"": "neither", "yesterday": "neither", "d": "neither", "1.5d": "neither", "9999999d": "neither", "0s": "not before now",
		"-1h": "not before now", "0d": "not before now", "2026-11-26": "in the future", "2026-11-25T19:00:00Z": "in the future",
	} {
		_, err := parseMoment(text, now)
		require.ErrorContains(t, err, says, text)
	}
}
