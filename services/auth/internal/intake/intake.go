// Package intake knows Clerk's webhooks: what is kept of each, and which are ours.
package intake

import (
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/platform/webhook"
	"github.com/trivet-dev/trivet/services/auth/internal/clerk"
	"github.com/trivet-dev/trivet/services/auth/internal/svix"
)

// Source is that of Clerk's webhooks in the inbox.
const Source = "clerk"

// Provider is Clerk. The verifier is nil when webhooks are not set up; instanceID is the Clerk instance whose events count,
// empty for any.
func Provider(verifier *svix.Verifier, instanceID string) webhook.Provider {
	p := webhook.Provider{
		Name: Source, Title: "Clerk", Setting: "CLERK_WEBHOOK_SECRET",
		Read: func(id string, body []byte) (inbox.Event, error) { return read(instanceID, id, body) },
	}
	if verifier != nil {
		p.Verify = verifier.Verify
	}
	return p
}

func read(instanceID, id string, body []byte) (inbox.Event, error) {
	came, err := clerk.ParseEvent(body)
	if err != nil {
		return inbox.Event{}, err
	}
	e := inbox.Event{ID: id, Type: came.Type, Subject: came.Subject, Payload: came.Payload}
	// One that names no instance is ours: the secret of its signature is the instance's.
	if instanceID != "" && came.InstanceID != "" && came.InstanceID != instanceID {
		e.State, e.LastError = inbox.Ignored, "it is about another Clerk instance than CLERK_INSTANCE_ID"
	}
	return e, nil
}
