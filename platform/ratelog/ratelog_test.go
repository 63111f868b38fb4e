package ratelog_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/ratelog"
)

func TestOneLineASecondOfEachKey(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := ratelog.New(func() time.Time { return now })
	for i, step := range []struct {
		wait  time.Duration
		key   string
		left  int
		write bool
	}{
		{0, "a", 0, true},
		{0, "a", 0, false},
		{0, "b", 0, true},
		{999 * time.Millisecond, "a", 0, false},
		{time.Millisecond, "a", 2, true},
		{time.Second, "a", 0, true},
		{0, "a", 0, false},
		{-time.Hour, "a", 1, true},
		{0, "a", 0, false},
		{time.Hour, "b", 0, true},
	} {
		now = now.Add(step.wait)
		left, write := s.Next(step.key)
		require.Equal(t, step.write, write, i)
		require.Equal(t, step.left, left, i)
	}
	_, write := ratelog.New(nil).Next("a")
	require.True(t, write)
}
