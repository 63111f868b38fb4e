// Package webhook receives providers' webhooks: it verifies each one and stores what is needed of it, durably and once.
package webhook

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/platform/ratelog"
)

// Verdict is why a webhook is refused, for logs and metrics; the sender is not told.
type Verdict string

// The verdicts.
const (
	Missing   Verdict = "header_missing"
	Malformed Verdict = "header_malformed"
	Stale     Verdict = "stale"
	Future    Verdict = "future"
	Mismatch  Verdict = "signature_mismatch"
)

// Error returns the verdict.
func (v Verdict) Error() string { return "webhook refused: " + string(v) }

// ErrNotSetUp says that there is no secret to verify webhooks with.
var ErrNotSetUp = errors.New("webhook: not configured")

// UnknownType is the type of an event that cannot be read.
const UnknownType = "malformed"

const (
	// retry is when a provider may try again; each goes by its own schedule.
	retry = 5 * time.Second
	// idBytes of a body's sum are enough to tell bodies apart that only the provider can sign.
	idBytes = 16
)

// Provider is what differs between those who send webhooks.
type Provider struct {
	// Name is the source of its events in the inbox, such as "clerk", and Title is for people, such as "Clerk".
	Name, Title string
	// Setting holds its secrets, such as "CLERK_WEBHOOK_SECRET".
	Setting string
	// Families are the first parts of its events' types, such as "user" of "user.created". Metrics count other types as "other".
	Families []string
	// Verify returns the id that the headers give, the same at each attempt, or "" when they give none. Header names are in
	// lower case. The error is a Verdict. It is nil when webhooks are not set up.
	Verify func(headers map[string]string, body []byte) (id string, err error)
	// Read reduces a body whose signature is good to the event that is kept, with Verify's id or one from the body; its
	// State is inbox.Ignored, and its LastError says why, when it is not ours. The Receiver fills in the Source, and the ID
	// as the Subject of an event about nothing in particular. An error shows nothing of the body; it buries it, under the ID
	// if there is one.
	Read func(id string, body []byte) (inbox.Event, error)
}

// Inbox stores events; an [inbox.Inbox] is one.
type Inbox interface {
	// Put returns after a durable commit; duplicate is true for an event that it has. The error wraps inbox.ErrInvalid when
	// no later attempt can succeed.
	Put(ctx context.Context, e inbox.Event) (duplicate bool, err error)
}

// Options are what a Receiver is made of.
type Options struct {
	Provider Provider
	Inbox    Inbox
	// Record counts webhooks by family of the event's type and by outcome: "stored", "duplicate", "ignored", "malformed",
	// "not_set_up", "store_down", or a Verdict. See NewCounter.
	Record func(ctx context.Context, family, outcome string)
	Logger *slog.Logger
	// Now is the clock of the log lines that anybody can cause; nil means time.Now.
	Now func() time.Time
}

// Receiver takes a provider's webhooks.
type Receiver struct {
	Options
	limited *ratelog.Limiter
}

// New makes a Receiver.
func New(o Options) *Receiver { return &Receiver{Options: o, limited: ratelog.New(o.Now)} }

// Receive returns after a durable commit. Header names are in lower case. Errors: ErrNotSetUp, a Verdict, and the inbox's
// own; Public turns them into those that the sender may see.
func (r *Receiver) Receive(ctx context.Context, headers map[string]string, body []byte) (duplicate bool, err error) {
	p := r.Provider
	if p.Verify == nil {
		r.refuse(ctx, slog.LevelError, "not_set_up", fmt.Sprintf(
			"a webhook from %[1]s cannot be accepted: %[2]s is not set; copy the signing secret from %[1]s's dashboard, under Webhooks", p.Title, p.Setting))
		return false, fmt.Errorf("%w: %s is not set", ErrNotSetUp, p.Setting)
	}
	id, err := p.Verify(headers, body)
	if err != nil {
		verdict, _ := errors.AsType[Verdict](err)
		r.refuse(ctx, slog.LevelWarn, string(verdict), "a webhook was refused")
		return false, err
	}
	e := r.event(ctx, id, body)
	duplicate, err = r.Inbox.Put(ctx, e)
	if errors.Is(err, inbox.ErrInvalid) { // an answer of 500 would bring it back for days
		e = r.bury(ctx, id, e.Type, body, err)
		duplicate, err = r.Inbox.Put(ctx, e)
	}
	r.Record(ctx, p.Family(e.Type), outcome(e, duplicate, err))
	return duplicate, err
}

// outcome names the result for a webhook whose signature is valid.
func outcome(e inbox.Event, duplicate bool, err error) string {
	switch {
	case err != nil:
		return "store_down"
	case duplicate:
		return "duplicate"
	case e.State == inbox.Ignored:
		return "ignored"
	case e.State == inbox.Dead:
		return "malformed"
	default:
		return "stored"
	}
}

// Public turns Receive's errors into those that the sender may see. It does not say what is wrong with a signature: that
// would help a forger.
func (r *Receiver) Public(err error) error {
	if _, refused := errors.AsType[Verdict](err); refused {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_WEBHOOK_SIGNATURE_INVALID, "Invalid webhook signature").Cause(err)
	}
	if errors.Is(err, ErrNotSetUp) {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR,
			"%s webhooks are not configured: %s is not set.", r.Provider.Title, r.Provider.Setting).Cause(err)
	}
	if database.IsUnavailable(err) {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE,
			"The event could not be stored. Please send it again.").After(retry).Cause(err)
	}
	return err
}

// refuse counts every refused webhook and logs a few: anyone who finds the address can send any number of them.
func (r *Receiver) refuse(ctx context.Context, level slog.Level, verdict, text string) {
	r.Record(ctx, Unverified, verdict)
	if left, write := r.limited.Next(verdict); write {
		r.Logger.Log(ctx, level, text, slog.String("source", r.Provider.Name), slog.String("verdict", verdict), slog.Int("suppressed", left))
	}
}

// event is what is stored of a body.
func (r *Receiver) event(ctx context.Context, id string, body []byte) inbox.Event {
	e, err := r.Provider.Read(id, body)
	if err != nil {
		return r.bury(ctx, cmp.Or(id, e.ID), UnknownType, body, err)
	}
	e.Source, e.Subject = r.Provider.Name, cmp.Or(e.Subject, e.ID)
	return e
}

// bury keeps of a body only that it came, and why it can't be handled. One without an id is known by its content.
func (r *Receiver) bury(ctx context.Context, id, kind string, body []byte, why error) inbox.Event {
	sum := sha256.Sum256(body)
	if id == "" {
		id, kind = UnknownType+"-"+hex.EncodeToString(sum[:idBytes]), UnknownType
	}
	r.Logger.ErrorContext(ctx, "a webhook with a valid signature cannot be handled; it is stored as a dead event",
		slog.String("source", r.Provider.Name), slog.String("event", id), slog.Any("error", why))
	return inbox.Event{
		Source: r.Provider.Name, ID: id, Type: kind, Subject: id, Payload: remains(body, sum, why), State: inbox.Dead, LastError: why.Error(),
	}
}

// remains are what is kept of a body that is buried: it may hold anything, a sign-in code too.
func remains(body []byte, sum [sha256.Size]byte, why error) []byte {
	raw, err := json.Marshal(map[string]any{
		"malformed": why.Error(), "bytes": len(body), "sha256": hex.EncodeToString(sum[:]),
	})
	if err != nil {
		return []byte("{}") // two strings and a number always encode
	}
	return raw
}
