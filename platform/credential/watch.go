package credential

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"time"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/wait"
)

const (
	firstPause = 100 * time.Millisecond
	longPause  = 2 * time.Second
)

// errSilent says that auth stopped sending heartbeats. Its process may hang, or it cannot read its store.
var errSilent = errors.New("auth sent nothing for 3 seconds")

// Run follows auth's revocations until ctx ends. Auth sends a heartbeat each second. When nothing is heard for 3 seconds,
// everything that was remembered is forgotten and a new watch begins; until it stands, answers of auth are reused for
// 3 seconds only. So a revoked credential stops working within seconds, whatever hangs.
func (x *Exchanger) Run(ctx context.Context, logger *slog.Logger) {
	pause := firstPause
	for ctx.Err() == nil {
		stood, err := x.watch(ctx)
		if ctx.Err() != nil {
			return
		}
		if stood {
			pause = firstPause
		}
		if errs.ReasonOf(err) != errorsv1.ErrorReason_ERROR_REASON_NOT_IMPLEMENTED {
			logger.WarnContext(ctx, "the watch for revoked credentials broke; reconnecting", slog.Any("error", err), slog.Duration("pause", pause))
		}
		_ = wait.For(ctx, pause)
		pause = min(2*pause, longPause)
	}
}

// watch follows one stream until it breaks; stood says that it received revocations.
func (x *Exchanger) watch(ctx context.Context) (stood bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer timer.Stop()
	defer x.lost()
	stream, err := x.auth.WatchRevocations(ctx, &authv1.WatchRevocationsRequest{})
	beats := false
	for err == nil {
		var message *authv1.WatchRevocationsResponse
		if message, err = stream.Recv(); err != nil {
			break
		}
		beats = beats || message.GetHeartbeatInterval().AsDuration() > 0
		if !stood {
			x.Clear() // revocations before this moment may have been missed
			stood = true
		}
		if len(message.GetRevocations()) > 0 {
			x.Revoke(message.GetRevocations())
		}
		if x.hear(beats); beats {
			timer.Reset(silence)
		} else {
			timer.Stop() // an auth of an older version sends none
		}
	}
	if errors.Is(context.Cause(ctx), errSilent) {
		x.Clear()
		return stood, errSilent
	}
	return stood, err
}

// hear notes that revocations are being heard, until further notice or until the next heartbeat is overdue.
func (x *Exchanger) hear(beats bool) {
	until := int64(math.MaxInt64)
	if beats {
		until = x.now().Add(silence).UnixNano()
	}
	x.heard.Store(until)
}

// lost notes that the stream ended. What is remembered is good for a moment longer, so that a restart of auth is not felt.
func (x *Exchanger) lost() {
	x.heard.Store(min(x.heard.Load(), x.now().Add(silence).UnixNano()))
}
