// Package intake parses Stripe's webhooks: which part of each is stored, and which of them are for this account and mode.
package intake

import (
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/platform/webhook"
	"github.com/trivet-dev/trivet/services/billing/internal/stripesig"
)

// Source is the source of Stripe's webhooks in the inbox.
const Source = "stripe"

// Provider describes Stripe's webhooks. verifier is nil when webhooks are not configured. livemode is the mode of the secret
// key; events of the other mode are ignored. When it is nil, events of both modes count.
func Provider(verifier *stripesig.Verifier, livemode *bool) webhook.Provider {
	p := webhook.Provider{
		Name: Source, Title: "Stripe", Setting: "STRIPE_WEBHOOK_SECRET",
		Families: []string{"customer", "product", "price", "invoice", "checkout", "payment_method", "refund", "charge"},
		Read:     func(_ string, body []byte) (inbox.Event, error) { return read(livemode, body) },
	}
	if verifier != nil { // Stripe's headers give no id
		p.Verify = func(headers map[string]string, body []byte) (string, error) {
			return "", verifier.Verify(headers, body)
		}
	}
	return p
}

func read(livemode *bool, body []byte) (inbox.Event, error) {
	came, err := ParseEvent(body)
	if err != nil {
		return inbox.Event{ID: idOf(body)}, err
	}
	e := inbox.Event{ID: came.ID, Type: came.Type, Subject: came.ObjectID, Payload: came.Payload}
	switch {
	case came.Account != "":
		e.State, e.LastError = inbox.Ignored, "the event belongs to a connected account"
	case livemode != nil && came.Livemode != nil && *came.Livemode != *livemode:
		e.State, e.LastError = inbox.Ignored, "the event's livemode differs from that of STRIPE_SECRET_KEY"
	}
	return e, nil
}
