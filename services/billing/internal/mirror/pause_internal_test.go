package mirror

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPause(t *testing.T) {
	for _, c := range []struct {
		asked    time.Duration
		attempts int
		want     time.Duration
	}{
		{time.Millisecond, 0, time.Second},
		{time.Millisecond, 1, time.Second},
		{time.Millisecond, 2, 2 * time.Second},
		{time.Millisecond, 5, 16 * time.Second},
		{time.Minute, 5, time.Minute},
		{time.Minute, 7, 64 * time.Second},
		{time.Millisecond, 12, 2048 * time.Second},
		{time.Millisecond, 13, time.Hour},
		{time.Millisecond, 64, time.Hour},
		{time.Millisecond, math.MaxInt, time.Hour},
		{3 * time.Hour, math.MaxInt, 3 * time.Hour},
	} {
		require.Equal(t, c.want, pause(c.asked, c.attempts), "%+v", c)
	}
}
