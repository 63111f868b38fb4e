package hold

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/callid"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/requestid"
	"github.com/trivet-dev/trivet/platform/wait"
)

const (
	// maxRefused bounds the refused calls that wait to be logged; more are dropped.
	maxRefused = 16_384
	// refusedBatch is how many of them are sent at once, and refusedEvery how long a batch waits for more.
	refusedBatch = 500
	refusedEvery = time.Second
	// maxFailures is how often a batch is tried that billing answers with an error of its own.
	maxFailures = 5
	// refusedPatience is how long a process that stops tries to send refused calls: billing may stop at the same time.
	refusedPatience = 3 * time.Second
)

// Refuse logs a call that was refused before anything was held, for the log of requests. It never waits: the call is sent to billing
// with others, within about a second. While billing is away, refused calls wait, and beyond maxRefused they are dropped. A zero began says
// that the call was refused at once.
func (k *Keeper) Refuse(ctx context.Context, claims *passport.Claims, model string, began time.Time, err error) {
	now := k.now()
	if began.IsZero() {
		began = now
	}
	r := &billingv1.RefusedRequest{
		Id: callid.New(claims.AccountID, now), AccountId: claims.AccountID, UserId: claims.UserID, ApiKeyId: claims.APIKeyID, Model: callid.Name(model),
		HttpRequestId: requestid.From(ctx), ErrorCode: errs.Code(errs.ReasonOf(err)), EndTime: timestamppb.New(now), LatencyMicros: max(0, now.Sub(began).Microseconds()),
	}
	select {
	case k.refused <- r:
	default:
		k.drop(1)
	}
}

// RefusedPending returns how many refused calls wait to be logged, and RefusedDropped how many were dropped.
func (k *Keeper) RefusedPending() int { return len(k.refused) }

// RefusedDropped returns how many refused calls the log of requests lacks.
func (k *Keeper) RefusedDropped() int64 { return k.dropped.Load() }

func (k *Keeper) drop(n int) { k.dropped.Add(int64(n)) }

// logRefused sends refused calls to billing until ctx ends. What it could not send then is left to Drain.
func (k *Keeper) logRefused(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-k.refused:
			if batch := k.collect(ctx, first); !k.send(ctx, batch) {
				k.unsent = batch
				return
			}
		}
	}
}

// collect waits for more refused calls until the batch is full or old enough.
func (k *Keeper) collect(ctx context.Context, first *billingv1.RefusedRequest) *billingv1.RecordRequestsRequest {
	batch := newBatch(first)
	timer := time.NewTimer(refusedEvery)
	defer timer.Stop()
	for len(batch.GetRequests()) < refusedBatch {
		select {
		case r := <-k.refused:
			batch.Requests = append(batch.Requests, r)
		case <-timer.C:
			return batch
		case <-ctx.Done():
			return batch
		}
	}
	return batch
}

func newBatch(requests ...*billingv1.RefusedRequest) *billingv1.RecordRequestsRequest {
	return &billingv1.RecordRequestsRequest{BatchId: "batch_" + uuid.NewString(), Requests: requests}
}

// send sends a batch until billing has it, and reports whether the batch is over; false means that ctx has ended.
func (k *Keeper) send(ctx context.Context, batch *billingv1.RecordRequestsRequest) bool {
	for failures := 1; ; failures++ {
		attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
		_, err := k.ledger.RecordRequests(attempt, batch)
		cancel()
		//exhaustive:ignore
		switch status.Code(err) {
		case codes.OK:
			return true
		case codes.InvalidArgument, codes.Unimplemented, codes.PermissionDenied, codes.FailedPrecondition:
			k.drop(len(batch.GetRequests()))
			k.log.ErrorContext(ctx, "billing rejected refused calls; the log of requests lacks them",
				slog.Int("requests", len(batch.GetRequests())), slog.Any("error", err))
			return true
		case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.ResourceExhausted: // billing is away, or will be back
		default:
			if failures >= maxFailures { // it is the batch that fails; those behind it must be sent
				k.drop(len(batch.GetRequests()))
				k.log.ErrorContext(ctx, "billing failed repeatedly to log refused calls; the log of requests lacks them",
					slog.Int("requests", len(batch.GetRequests())), slog.Any("error", err))
				return true
			}
		}
		if wait.For(ctx, delay(failures)) != nil {
			return false
		}
	}
}

// drainRefused sends what waits until ctx ends. Run has returned.
func (k *Keeper) drainRefused(ctx context.Context) {
	for {
		if k.unsent == nil {
			if k.unsent = k.waiting(); k.unsent == nil {
				return
			}
		}
		if !k.send(ctx, k.unsent) {
			lost := len(k.unsent.GetRequests()) + len(k.refused)
			k.drop(lost)
			k.log.ErrorContext(ctx, "billing is unavailable while this process stops; the log of requests lacks refused calls", slog.Int("requests", lost))
			return
		}
		k.unsent = nil
	}
}

// waiting takes a batch of what waits; nil when nothing does.
func (k *Keeper) waiting() *billingv1.RecordRequestsRequest {
	batch := newBatch()
	for len(batch.GetRequests()) < refusedBatch {
		select {
		case r := <-k.refused:
			batch.Requests = append(batch.Requests, r)
			continue
		default:
		}
		break
	}
	if len(batch.GetRequests()) == 0 {
		return nil
	}
	return batch
}
