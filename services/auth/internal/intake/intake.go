// Package intake takes Clerk's webhooks: it verifies them and stores, durably, what is needed of each.
package intake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"

	"github.com/trivet-dev/trivet/services/auth/internal/clerk"
	"github.com/trivet-dev/trivet/services/auth/internal/svix"
)

// ErrNotSetUp says that there is no secret to verify webhooks with.
var ErrNotSetUp = errors.New("intake: CLERK_WEBHOOK_SECRET is not set")

// Fate is what becomes of a webhook whose signature is good.
type Fate int

// The fates.
const (
	// Apply is for a worker to do.
	Apply Fate = iota
	// Ignore is kept, counted, and never applied: it is about another Clerk instance.
	Ignore
	// Bury is kept for an operator to see: nobody can read it.
	Bury
)

// Message is a webhook to be stored.
type Message struct {
	// ID is Svix's; it is the same at each attempt.
	ID string
	// Type is Clerk's; UnknownType when it can't be read.
	Type string
	// Subject orders messages; of a message about nothing in particular it is its own id.
	Subject string
	Payload []byte
	Fate    Fate
	// Why says, for an operator, what is wrong with a message that is buried.
	Why string
}

// UnknownType stands for the type of a message that can't be read.
const UnknownType = "malformed"

// Inbox stores messages.
type Inbox interface {
	// Put returns after a durable commit; duplicate is true for a message that it has.
	Put(ctx context.Context, m Message) (duplicate bool, err error)
}

// Options are what a Receiver is made of.
type Options struct {
	// Verifier is nil when webhooks are not set up.
	Verifier *svix.Verifier
	Inbox    Inbox
	// InstanceID is the Clerk instance whose events count; empty for any.
	InstanceID string
	// Record counts webhooks by verdict: "stored", "duplicate", "ignored", "malformed", "not_set_up", "store_down", or
	// one of svix's.
	Record func(ctx context.Context, verdict string)
	Logger *slog.Logger
}

// Receiver takes webhooks.
type Receiver struct{ Options }

// New makes a Receiver.
func New(o Options) *Receiver { return &Receiver{Options: o} }

// Receive returns after a durable commit. Header names are in lower case. Errors: ErrNotSetUp, a svix.Verdict, and the
// inbox's own.
func (r *Receiver) Receive(ctx context.Context, headers map[string]string, body []byte) (duplicate bool, err error) {
	if r.Verifier == nil {
		r.Logger.ErrorContext(ctx, "a webhook of Clerk's can't be taken: CLERK_WEBHOOK_SECRET is not set; copy the signing secret from Clerk's dashboard, under Webhooks")
		r.Record(ctx, "not_set_up")
		return false, ErrNotSetUp
	}
	id, err := r.Verifier.Verify(headers, body)
	if err != nil {
		r.refuse(ctx, err)
		return false, err
	}
	m := r.message(ctx, id, body)
	duplicate, err = r.Inbox.Put(ctx, m)
	switch {
	case err != nil:
		r.Record(ctx, "store_down")
	case duplicate:
		r.Record(ctx, "duplicate")
	default:
		r.Record(ctx, map[Fate]string{Apply: "stored", Ignore: "ignored", Bury: "malformed"}[m.Fate])
	}
	return duplicate, err
}

func (r *Receiver) refuse(ctx context.Context, err error) {
	verdict, _ := errors.AsType[svix.Verdict](err)
	r.Record(ctx, string(verdict))
	r.Logger.WarnContext(ctx, "a webhook was refused", slog.String("source", "clerk"), slog.String("verdict", string(verdict)))
}

// message reduces a body to what is stored of it.
func (r *Receiver) message(ctx context.Context, id string, body []byte) Message {
	e, err := clerk.ParseEvent(body)
	if err != nil {
		r.Logger.ErrorContext(ctx, "a webhook with a good signature can't be read; it is kept as a dead event",
			slog.String("source", "clerk"), slog.String("event", id), slog.Any("error", err))
		return Message{ID: id, Type: UnknownType, Subject: id, Payload: remains(body, err), Fate: Bury, Why: err.Error()}
	}
	m := Message{ID: id, Type: e.Type, Subject: e.Subject, Payload: e.Payload}
	if m.Subject == "" {
		m.Subject = id
	}
	if r.InstanceID != "" && e.InstanceID != r.InstanceID {
		m.Fate = Ignore
	}
	return m
}

// remains are what is kept of a body that can't be read: it may hold anything, a sign-in code too.
func remains(body []byte, why error) []byte {
	sum := sha256.Sum256(body)
	raw, err := json.Marshal(map[string]any{
		"malformed": why.Error(), "bytes": len(body), "sha256": hex.EncodeToString(sum[:]),
	})
	if err != nil {
		return []byte("{}") // two strings and a number always encode
	}
	return raw
}
