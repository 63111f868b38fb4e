package responses

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/wait"
	"github.com/trivet-dev/trivet/services/ai/internal/stored"
)

const (
	// deleteBatch is how many responses are read at once, and deletions how many are deleted at once.
	deleteBatch, deletions = 100, 4
	// deleteEvery is how often due responses are looked for, and deleteRetry the time after which a deletion that failed is
	// tried again.
	deleteEvery, deleteRetry = time.Minute, 15 * time.Minute
	// deleteTimeout bounds the deletion of one response.
	deleteTimeout = 30 * time.Second
)

// Run deletes responses that are due, at their providers and then in the store, until ctx ends.
func (f *Front) Run(ctx context.Context) {
	if f.Store == nil {
		return
	}
	for {
		f.adopt(ctx)
		f.expire(ctx)
		if wait.For(ctx, deleteEvery) != nil {
			return
		}
	}
}

// expire deletes what is due now.
func (f *Front) expire(ctx context.Context) {
	for ctx.Err() == nil {
		now := f.Now()
		due, err := f.Store.Due(ctx, now, now.Add(deleteRetry), deleteBatch)
		if err != nil {
			if ctx.Err() == nil {
				f.Logger.WarnContext(ctx, "due responses cannot be read; trying again later", slog.Any("error", err))
			}
			return
		}
		if len(due) == 0 {
			return
		}
		f.delete(ctx, due)
	}
}

// Erase deletes everything that providers keep of a user. From its beginning on nobody finds it. An error means that some of
// it is left, and Erase must be called again; Run deletes the rest, too.
func (f *Front) Erase(ctx context.Context, user string) error {
	if f.Store == nil {
		return nil
	}
	if err := f.Store.Mark(ctx, user, f.Now()); err != nil {
		return unavailable(err)
	}
	left := 0
	for after := ""; ; {
		all, err := f.Store.OfUser(ctx, user, after, deleteBatch)
		if err != nil {
			return unavailable(err)
		}
		if len(all) == 0 {
			break
		}
		left += f.delete(ctx, all)
		after = all[len(all)-1].ID
	}
	if left > 0 {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE,
			"%d stored responses of the user could not be deleted at their providers yet. Try again later.", left).After(deleteRetry)
	}
	return nil
}

// delete deletes responses and returns how many are left.
func (f *Front) delete(ctx context.Context, all []stored.Response) (left int) {
	var failed atomic.Int64
	var group errgroup.Group
	group.SetLimit(deletions)
	for _, r := range all {
		group.Go(func() error {
			if err := f.deleteOne(ctx, r); err != nil {
				failed.Add(1)
				f.Logger.WarnContext(ctx, "a stored response could not be deleted at its provider; trying again later",
					slog.String("target", r.Target), slog.String("response_id", r.ID), slog.Any("error", err))
			}
			return nil
		})
	}
	_ = group.Wait() // each failure is counted
	return int(failed.Load())
}

func (f *Front) deleteOne(ctx context.Context, r stored.Response) error {
	ctx, cancel := context.WithTimeout(ctx, deleteTimeout)
	defer cancel()
	if err := f.end(ctx, r.ID); err != nil {
		return err
	}
	status, _, err := f.Invoker.Fetch(ctx, callFor(r, "DELETE", ""))
	if err != nil {
		return err
	}
	if !gone(status) {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "The provider answered the deletion with status %d.", status)
	}
	return f.Store.Remove(ctx, r.ID)
}
