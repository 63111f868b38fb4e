package inbox

import (
	"context"
	"log/slog"
	"time"

	"github.com/trivet-dev/trivet/platform/wait"
)

// now is the time as the database keeps it.
func (in *Inbox) now() time.Time {
	return in.options.Now().Add(time.Duration(in.behind.Load())).UTC().Truncate(time.Microsecond)
}

// clockPause is the pause after a comparison of clocks that failed before the first claim.
const clockPause = 500 * time.Millisecond

// awaitClock compares the clocks before the first claim, again and again until the database answers.
func (in *Inbox) awaitClock(ctx context.Context) {
	for first := true; ctx.Err() == nil; first = false {
		err := in.compareClocks(ctx)
		if err == nil {
			return
		}
		if first && ctx.Err() == nil {
			in.log.ErrorContext(ctx, "no event is handled: asking the database server for its time failed; retrying", slog.Any("error", err))
		}
		_ = wait.For(ctx, clockPause)
	}
}

// compareClocks finds how far the machine's clock is behind that of the database server. A process whose clock is ahead by more than a lease would
// otherwise take the leases of others while they work. When the question fails, the last difference stays.
func (in *Inbox) compareClocks(ctx context.Context) error {
	behind, err := in.db.Behind(ctx, in.local)
	if err == nil {
		in.behind.Store(int64(behind))
	}
	return err
}
