package outgoing

import (
	"context"
	"time"

	"github.com/trivet-dev/trivet/platform/inbox"
)

// Attempt makes an attempt.
func (s *Sender) Attempt(ctx context.Context, job *inbox.Job) error { return s.handle(ctx, job) }

// Growing is the least pause after an attempt.
func Growing(attempt int) time.Duration { return growing(attempt) }
