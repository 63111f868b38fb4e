package job

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/trivet-dev/trivet/platform/wait"
)

const (
	// firstLook is about how long a fresh process waits before it looks whether the job is due. Programs that start and end
	// soon then do not begin it.
	firstLook = time.Minute
	// lookEvery is about how often it looks again, so that another process resumes soon what a dead one has begun.
	lookEvery = 5 * time.Minute
)

// Schedule calls look until ctx ends: after one to two minutes, and then again and again after a random pause of up to ten
// minutes, or shorter when interval is. The function calls Run with Options.Interval set to interval: of all processes that
// look, the first one whose look comes after the interval runs the job, and a job that was cut short is resumed at the next
// look of any process. The function handles its errors itself.
func Schedule(ctx context.Context, interval time.Duration, look func(ctx context.Context)) {
	for pause := firstLook; wait.For(ctx, pause+rand.N(max(pause, 1))) == nil; pause = min(lookEvery, interval) { //nolint:gosec // spreads replicas, guards nothing
		look(ctx)
	}
}
