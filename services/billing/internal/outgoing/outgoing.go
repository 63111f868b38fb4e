// Package outgoing sends notices as webhooks: each at least once, with the same id on every attempt, in no particular order.
package outgoing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/hook"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/noticepb"
	"github.com/trivet-dev/trivet/services/billing/internal/notices"
)

// Source is the source of webhooks in the inbox.
const Source = "webhook"

// TypePrefix begins the types of webhooks.
const TypePrefix = "billing."

const (
	workers = 4
	// timeout bounds an attempt, payURLTime the part of it that asks Stripe, and sendTime the part that sends.
	timeout    = 30 * time.Second
	payURLTime = 10 * time.Second
	sendTime   = 15 * time.Second
	// patientAttempts is how many attempts wait for Stripe to tell the link that pays an invoice. Later ones go without it.
	patientAttempts = 4
	// minAttempts is how often a webhook is tried whatever its age, as after a redrive.
	minAttempts = 10
	// maxAttempts is beyond what the time for retries allows.
	maxAttempts = 100_000
)

// Store reads notices.
type Store interface {
	// Notice reads a notice, or ledger.ErrNotFound.
	Notice(ctx context.Context, id string) (notices.Notice, error)
}

// Options holds the dependencies of a Sender. All are required.
type Options struct {
	Inbox *inbox.Inbox
	Store Store
	// PayURL reads the address where a notice's invoice can be paid; "" for none.
	PayURL func(ctx context.Context, n notices.Notice) (string, error)
	Client *http.Client
	// URL is the receiver's address, and Secrets sign.
	URL, Secrets *settings.Live
	// RetryTime is for how long a webhook is tried.
	RetryTime time.Duration
	Now       func() time.Time
}

// Sender sends webhooks.
type Sender struct{ Options }

// New makes a Sender and sets it as the inbox's handler.
func New(o Options) (*Sender, error) {
	s := &Sender{o}
	return s, o.Inbox.Handle(Source, inbox.Handler{Handle: s.handle, Workers: workers, Lease: inbox.CallLease, Timeout: timeout, MaxAttempts: maxAttempts})
}

// Queue queues the webhook of a notice, in the transaction that writes the notice. The row names the notice only: what it says is read when it is sent, so
// that an erasure reaches it.
func (s *Sender) Queue(ctx context.Context, t database.Tx, n notices.Notice) error {
	_, err := s.Inbox.PutTx(ctx, t, inbox.Event{Source: Source, ID: n.ID, Type: TypePrefix + string(n.Kind), Payload: []byte("{}")})
	return err
}

// handle makes an attempt.
func (s *Sender) handle(ctx context.Context, job *inbox.Job) error {
	n, err := s.Store.Notice(ctx, job.ID)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil // its account was erased, or its time is over
	}
	if err != nil {
		return err
	}
	payURL, err := s.payURL(ctx, n)
	if err != nil && job.Attempts <= patientAttempts {
		return fmt.Errorf("read the link that pays the invoice: %w", err)
	}
	body, err := Body(n, payURL)
	if err != nil {
		return inbox.Permanent(err)
	}
	sending, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	err = hook.Post(sending, s.Client, hook.Attempt{
		URL: s.URL.Newest().Reveal(), Secrets: s.Secrets.Secrets().Reveal(), ID: n.ID, At: s.Now(), Body: body,
	})
	if err != nil && ctx.Err() != nil {
		return err // the process stops: this attempt says nothing about the receiver
	}
	return s.judge(job, err)
}

// payURL reads the link with a time of its own, so that a Stripe that hangs leaves time to send.
func (s *Sender) payURL(ctx context.Context, n notices.Notice) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, payURLTime)
	defer cancel()
	return s.PayURL(ctx, n)
}

// judge decides what an attempt's error means: the webhook is tried again until its time is over.
func (s *Sender) judge(job *inbox.Job, err error) error {
	if err == nil {
		return nil
	}
	if job.Attempts >= minAttempts && s.Now().Sub(job.PutTime) > s.RetryTime {
		return inbox.Permanent(err)
	}
	if refused, ok := errors.AsType[*hook.RefusedError](err); ok && refused.After > 0 {
		return inbox.RetryAfter(err, max(refused.After, growing(job.Attempts)))
	}
	return err
}

// growing is the least pause after an attempt (from 1) whose answer has a Retry-After: a short one must not remove the growing pause.
func growing(attempt int) time.Duration { return min(time.Second<<min(attempt-1, 12), time.Hour) }

// Body is what a webhook says.
func Body(n notices.Notice, payURL string) ([]byte, error) {
	data, err := protojson.Marshal(noticepb.Message(n, payURL))
	if err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	return json.Marshal(struct {
		Type      string          `json:"type"`
		Timestamp time.Time       `json:"timestamp"`
		Data      json.RawMessage `json:"data"`
	}{TypePrefix + string(n.Kind), n.CreateTime, data})
}
