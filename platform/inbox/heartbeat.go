package inbox

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
)

// heartbeat prolongs a lease while its handler runs, so that leases can be far shorter than attempts: another worker continues
// soon after a process died, and not before. It ends with the attempt's context: a handler that doesn't heed it loses its
// subject.
type heartbeat struct {
	in     *Inbox
	ctx    context.Context
	group  *group
	cancel context.CancelCauseFunc // ends the attempt

	mu      sync.Mutex // held while a sign of life is written
	timer   *time.Timer
	stopped bool
}

// beat starts the heartbeat of an attempt, which most attempts end before its first beat; call stop.
func (in *Inbox) beat(ctx context.Context, g *group, cancel context.CancelCauseFunc) *heartbeat {
	h := &heartbeat{in: in, ctx: ctx, group: g, cancel: cancel}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.timer = time.AfterFunc(in.options.Heartbeat, h.once)
	return h
}

func (h *heartbeat) once() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped || h.ctx.Err() != nil {
		return
	}
	switch err := h.in.extend(h.ctx, h.group); {
	case errors.Is(err, ErrLeaseLost):
		h.cancel(ErrLeaseLost) // what the handler does from now on is for nothing; Complete, if it was that, has returned to it
		return
	case err != nil && h.ctx.Err() == nil:
		h.in.log.WarnContext(h.ctx, "renewing a lease failed; retrying", slog.String("source", h.group.source),
			slog.String("subject", h.group.subject), slog.Any("error", err))
	}
	h.timer.Reset(h.in.options.Heartbeat)
}

// stop ends the heartbeat and waits for a beat under way.
func (h *heartbeat) stop() {
	h.timer.Stop()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
	h.timer.Stop()
}

// extend gives a lease its whole length again.
func (in *Inbox) extend(ctx context.Context, g *group) error {
	h, _ := in.handler(g.source)
	return in.db.Write(ctx, g.subject, func(ctx context.Context, tx database.Tx) error {
		n, err := exec(ctx, tx, in.sql.extend, g.source, g.subject, g.token, in.now().Add(h.Lease).UnixMicro())
		if err == nil && n == 0 {
			return ErrLeaseLost
		}
		return err
	})
}
