package responses

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/trivet-dev/trivet/services/ai/internal/stored"
)

// maxOrphans bounds the responses whose owner could not be stored and that are perhaps still at their provider.
const maxOrphans = 1024

// disown deletes a response whose owner cannot be stored at its provider: nobody could use or delete it later. The provider may still be
// making the response and store it afterwards, so it is noted for another deletion unless the provider confirms this one. One that runs in the
// background is cancelled first.
func (f *Front) disown(ctx context.Context, r stored.Response, runs bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteTimeout)
	defer cancel()
	if runs {
		f.cancelRunning(ctx, r)
	}
	status, _, err := f.Invoker.Fetch(ctx, callFor(r, http.MethodDelete, ""))
	if err == nil && status >= http.StatusOK && status < http.StatusMultipleChoices {
		return
	}
	if err == nil {
		err = fmt.Errorf("the provider answered the deletion with status %d", status)
	}
	select {
	case f.orphans <- r:
	default:
		f.abandon(ctx, r, err)
	}
}

// errNotWritten says that a response could not be noted in the store before the process stopped.
var errNotWritten = errors.New("the process stops, and the response could not be noted for a later deletion")

// adopt writes the responses that disown noted as due, so that the deletion of due responses repeats until their providers do not have
// them. The owner is the account that made them. Those that cannot be written yet wait for the next time.
func (f *Front) adopt(ctx context.Context) {
	for range len(f.orphans) {
		r := <-f.orphans
		now := f.Now()
		err := f.Store.Put(ctx, r, nil, now, now.Add(orphanAge))
		if err == nil || errors.Is(err, stored.ErrTaken) { // another account's response is deleted when it is due
			continue
		}
		select {
		case f.orphans <- r:
		default:
			f.abandon(ctx, r, err)
		}
		return
	}
}

// stopTimeout bounds the last try to write what disown noted.
const stopTimeout = 5 * time.Second

// Stop writes the responses that disown noted as due, and reports those that cannot be written. It is called when no call runs any more.
func (f *Front) Stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	f.adopt(ctx)
	for range len(f.orphans) {
		f.abandon(ctx, <-f.orphans, errNotWritten)
	}
}

func (f *Front) abandon(ctx context.Context, r stored.Response, err error) {
	f.Logger.ErrorContext(ctx, "a response without an owner may be left at its provider; delete it there",
		slog.String("target", r.Target), slog.String("response_id", r.ID), slog.Any("error", err))
}

// orphanAge is longer than a provider takes to make a response: until then a 404 may mean that it is not stored yet.
const orphanAge = 2 * time.Hour
