// Package intake takes Clerk's webhooks: it verifies them and stores, durably, what is needed of each.
package intake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/platform/telemetry"
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
	// Bury is kept for an operator to see: nobody can read it, or it can't be stored as it is.
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
	// Why says, for an operator, what is wrong with a message that is buried, or why it is ignored.
	Why string
}

// UnknownType stands for the type of a message that can't be read.
const UnknownType = "malformed"

// Inbox stores messages.
type Inbox interface {
	// Put returns after a durable commit; duplicate is true for a message that it has. The error wraps inbox.ErrInvalid
	// when no later attempt can succeed.
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
	// Now is the clock of the log lines that anybody can cause; nil means time.Now.
	Now func() time.Time
}

// Receiver takes webhooks.
type Receiver struct {
	Options
	seldom *telemetry.Seldom
}

// New makes a Receiver.
func New(o Options) *Receiver { return &Receiver{Options: o, seldom: telemetry.NewSeldom(o.Now)} }

// Receive returns after a durable commit. Header names are in lower case. Errors: ErrNotSetUp, a svix.Verdict, and the
// inbox's own.
func (r *Receiver) Receive(ctx context.Context, headers map[string]string, body []byte) (duplicate bool, err error) {
	if r.Verifier == nil {
		r.refuse(ctx, slog.LevelError, "not_set_up",
			"a webhook of Clerk's can't be taken: CLERK_WEBHOOK_SECRET is not set; copy the signing secret from Clerk's dashboard, under Webhooks")
		return false, ErrNotSetUp
	}
	id, err := r.Verifier.Verify(headers, body)
	if err != nil {
		verdict, _ := errors.AsType[svix.Verdict](err)
		r.refuse(ctx, slog.LevelWarn, string(verdict), "a webhook was refused")
		return false, err
	}
	m := r.message(ctx, id, body)
	duplicate, err = r.Inbox.Put(ctx, m)
	if errors.Is(err, inbox.ErrInvalid) { // an answer of 500 would bring it back for days
		m = r.bury(ctx, id, m.Type, body, err)
		duplicate, err = r.Inbox.Put(ctx, m)
	}
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

// refuse counts each, and logs few: whoever finds the address can send as many as they like.
func (r *Receiver) refuse(ctx context.Context, level slog.Level, verdict, text string) {
	r.Record(ctx, verdict)
	if left, write := r.seldom.Next(verdict); write {
		r.Logger.Log(ctx, level, text, slog.String("source", "clerk"), slog.String("verdict", verdict), slog.Int("left_out", left))
	}
}

// message reduces a body to what is stored of it.
func (r *Receiver) message(ctx context.Context, id string, body []byte) Message {
	e, err := clerk.ParseEvent(body)
	if err != nil {
		return r.bury(ctx, id, UnknownType, body, err)
	}
	m := Message{ID: id, Type: e.Type, Subject: e.Subject, Payload: e.Payload}
	if m.Subject == "" {
		m.Subject = id
	}
	// One that names no instance is ours: the secret of its signature is the instance's.
	if r.InstanceID != "" && e.InstanceID != "" && e.InstanceID != r.InstanceID {
		m.Fate, m.Why = Ignore, "it is about another Clerk instance than CLERK_INSTANCE_ID"
	}
	return m
}

// bury keeps of a body only that it came, and why it can't be handled.
func (r *Receiver) bury(ctx context.Context, id, kind string, body []byte, why error) Message {
	r.Logger.ErrorContext(ctx, "a webhook with a good signature can't be handled; it is kept as a dead event",
		slog.String("source", "clerk"), slog.String("event", id), slog.Any("error", why))
	return Message{ID: id, Type: kind, Subject: id, Payload: remains(body, why), Fate: Bury, Why: why.Error()}
}

// remains are what is kept of a body that is buried: it may hold anything, a sign-in code too.
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
