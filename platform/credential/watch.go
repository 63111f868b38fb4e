package credential

import (
	"context"
	"log/slog"
	"time"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

const (
	firstWait = 100 * time.Millisecond
	longWait  = 2 * time.Second
)

// Run follows auth's revocations until ctx ends. While the watch is broken
// nothing new is learned, so it begins again soon, and what was remembered
// before is forgotten then.
func (x *Exchanger) Run(ctx context.Context, logger *slog.Logger) {
	wait := firstWait
	for ctx.Err() == nil {
		stood, err := x.watch(ctx)
		if ctx.Err() != nil {
			return
		}
		if stood {
			wait = firstWait
		}
		if errs.ReasonOf(err) != errorsv1.ErrorReason_ERROR_REASON_NOT_IMPLEMENTED {
			logger.WarnContext(ctx, "the watch for revoked credentials broke and begins again", slog.Any("error", err), slog.Duration("wait", wait))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
		wait = min(2*wait, longWait)
	}
}

func (x *Exchanger) watch(ctx context.Context) (stood bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := x.auth.WatchRevocations(ctx, &authv1.WatchRevocationsRequest{})
	if err != nil {
		return false, err
	}
	for {
		message, err := stream.Recv()
		if err != nil {
			return stood, err
		}
		if !stood {
			x.Clear()
			stood = true
		}
		if len(message.GetRevocations()) > 0 {
			x.Revoke(message.GetRevocations())
		}
	}
}
