package clerk

import (
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/platform/webhook"
	"github.com/trivet-dev/trivet/services/auth/internal/svix"
)

// Source names Clerk's webhooks in the inbox.
const Source = "clerk"

// WebhookProvider describes Clerk to the receiver of webhooks. The verifier is nil when CLERK_WEBHOOK_SECRET is not set.
// Events of another instance than instanceID are ignored; the empty instanceID accepts any.
func WebhookProvider(verifier *svix.Verifier, instanceID string) webhook.Provider {
	p := webhook.Provider{
		Name: Source, Title: "Clerk", Setting: "CLERK_WEBHOOK_SECRET",
		Families: []string{"user", "organization", "organizationMembership", "role", "session"},
		Read:     func(id string, body []byte) (inbox.Event, error) { return readEvent(instanceID, id, body) },
	}
	if verifier != nil {
		p.Verify = verifier.Verify
	}
	return p
}

func readEvent(instanceID, id string, body []byte) (inbox.Event, error) {
	came, err := ParseEvent(body)
	if err != nil {
		return inbox.Event{}, err
	}
	e := inbox.Event{ID: id, Type: came.Type, Subject: came.Subject, Payload: came.Payload}
	// One that names no instance is ours: the secret of its signature is the instance's.
	if instanceID != "" && came.InstanceID != "" && came.InstanceID != instanceID {
		e.State, e.LastError = inbox.Ignored, "the event belongs to another Clerk instance than CLERK_INSTANCE_ID"
	}
	return e, nil
}
