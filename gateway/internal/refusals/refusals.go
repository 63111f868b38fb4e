// Package refusals logs calls that the edge refuses before the ai service sees them, for the log of requests.
package refusals

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/callid"
)

// A process sends one batch per interval at most, and an account has a share of it, so that a flood of refused calls stays cheap.
const (
	every      = time.Second
	maxBatch   = 1000
	maxAccount = 50
	// tries is how often a batch is sent, and patience how long one attempt may take.
	tries    = 5
	patience = 3 * time.Second
)

// Call is a refused call.
type Call struct {
	// Account, User and Key are who called; Key is "" for a session.
	Account, User, Key string
	// Model is the model that the call asks for, as its caller wrote it; "" when the edge does not know it.
	Model string
	// RequestID is the id of the HTTP request, and Code the reason of the refusal.
	RequestID, Code string
	// Took is the time from the request to the refusal.
	Took time.Duration
}

// Log collects refused calls and sends them to billing. Its methods may be called by any goroutine.
type Log struct {
	billing billingv1.BillingServiceClient
	logger  *slog.Logger
	now     func() time.Time
	wake    chan struct{}

	mu       sync.Mutex
	waiting  []*billingv1.RefusedRequest
	accounts map[string]int // of waiting
	dropped  int            // since the last batch
}

// New returns a Log. Run sends what it collects.
func New(billing billingv1.BillingServiceClient, logger *slog.Logger, now func() time.Time) *Log {
	return &Log{billing: billing, logger: logger, now: now, wake: make(chan struct{}, 1), accounts: map[string]int{}}
}

// Add takes a call. It never waits: beyond the bounds of a batch, calls are dropped and counted.
func (l *Log) Add(c Call) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) >= maxBatch || l.accounts[c.Account] >= maxAccount {
		l.dropped++
		return
	}
	l.accounts[c.Account]++
	l.waiting = append(l.waiting, &billingv1.RefusedRequest{
		Id: callid.New(c.Account, now), AccountId: c.Account, UserId: c.User, ApiKeyId: c.Key, Model: callid.Name(c.Model), HttpRequestId: c.RequestID, ErrorCode: c.Code,
		EndTime: timestamppb.New(now), LatencyMicros: max(0, c.Took.Microseconds()),
	})
	select {
	case l.wake <- struct{}{}:
	default: // it is awake
	}
}

// Run sends batches until ctx ends, and then what still waits, once. A batch that is under way when ctx ends is completed: the
// attempt continues, and if it fails, one more follows.
func (l *Log) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			l.send(ctx)
			return
		case <-l.wake:
		}
		if !pause(ctx, every) { // for more calls
			l.send(ctx)
			return
		}
		l.send(ctx)
	}
}

// send sends what waits as one batch. An attempt whose outcome is unknown is repeated with the same id, which billing records once.
// The attempts that begin after the end of ctx are one.
func (l *Log) send(ctx context.Context) {
	l.mu.Lock()
	batch, dropped := &billingv1.RecordRequestsRequest{BatchId: "batch_" + uuid.NewString(), Requests: l.waiting}, l.dropped
	l.waiting, l.accounts, l.dropped = nil, map[string]int{}, 0
	l.mu.Unlock()
	var err error
	for attempt := 1; len(batch.GetRequests()) > 0; attempt++ {
		last := attempt >= tries || ctx.Err() != nil
		if err = l.try(ctx, batch); err == nil {
			break
		}
		if last {
			dropped += len(batch.GetRequests())
			break
		}
		pause(ctx, every)
	}
	if dropped > 0 {
		l.logger.WarnContext(ctx, "the log of requests lacks calls that the edge refused", slog.Int("calls", dropped), slog.Any("error", err))
	}
}

// try makes one attempt, which the end of ctx does not cut off: its outcome would be unknown.
func (l *Log) try(ctx context.Context, batch *billingv1.RecordRequestsRequest) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	_, err := l.billing.RecordRequests(ctx, batch)
	return err
}

// pause waits; it reports false when ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
