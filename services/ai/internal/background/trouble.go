package background

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/trivet-dev/trivet/services/ai/internal/hold"
	"github.com/trivet-dev/trivet/services/ai/internal/stored"
)

// tellEvery is how often the log tells of the failures of a target.
const tellEvery = time.Minute

// troubles remember when the log told last of the failures of each target. The zero value is ready.
type troubles struct {
	mu   sync.Mutex
	told map[string]time.Time
}

// tell reports whether the log may tell of a subject now: at once when its failures begin, then each tellEvery.
func (t *troubles) tell(subject string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last, told := t.told[subject]; told && now.Sub(last) < tellEvery {
		return false
	}
	if t.told == nil {
		t.told = map[string]time.Time{}
	}
	t.told[subject] = now
	return true
}

// tellMissing tells of a response that its provider does not know any more. One that was never found may not be stored yet.
func (r *Runner) tellMissing(ctx context.Context, running *stored.Running) {
	if running.Polls > 1 && r.tell("missing at "+running.Target, r.Now()) {
		r.Logger.ErrorContext(ctx, "the provider does not know a running response any more; check the target's API key and project: what is lost is not billed",
			slog.String("response_id", running.ID), slog.String("target", running.Target), slog.String("hold_id", running.Hold))
	}
}

// levelOf is the level of a failure in the log. Somebody must repair what billing rejects.
func levelOf(err error) slog.Level {
	if errors.Is(err, hold.ErrRejected) {
		return slog.LevelError
	}
	return slog.LevelWarn
}
