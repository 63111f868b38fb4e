package alert

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/trivet-dev/trivet/platform/hook"
	"github.com/trivet-dev/trivet/platform/settings"
)

// The types of webhooks.
const (
	TypeFiring   = "trivet.alert.firing"
	TypeResolved = "trivet.alert.resolved"
)

// WebhookOptions are what a Webhook is made of. All are required.
type WebhookOptions struct {
	// URL is the receiver's address, which no error shows. Secrets sign.
	URL, Secrets *settings.Live
	Client       *http.Client
	// Process names the sender, such as "trivet" or "billing", and Instance tells its replicas apart.
	Process, Instance string
	// Now is the clock.
	Now func() time.Time
}

// Webhook is a receiver of signed webhooks by the Standard Webhooks specification, one for each change.
type Webhook struct{ options WebhookOptions }

// NewWebhook makes a Webhook.
func NewWebhook(o WebhookOptions) *Webhook {
	o.Client = withoutRedirects(*o.Client)
	return &Webhook{o}
}

// WebhookBody is what a webhook says.
type WebhookBody struct {
	// Type is TypeFiring or TypeResolved.
	Type string `json:"type"`
	// Timestamp is when the change was noticed.
	Timestamp time.Time   `json:"timestamp"`
	Data      WebhookData `json:"data"`
}

// WebhookData describes a change of an alert.
type WebhookData struct {
	// Alert is the rule's name.
	Alert    string   `json:"alert"`
	Severity Severity `json:"severity"`
	Summary  string   `json:"summary"`
	// Labels tell the alerts of a rule apart, such as source. Alert and labels are the same in all replicas.
	Labels map[string]string `json:"labels"`
	// Since is when the condition began to hold.
	Since time.Time `json:"since"`
	// Value is that of the rule's first condition, when the change was noticed, in the unit of Threshold; absent when the value is unknown, such as when the metric is gone.
	Value *float64 `json:"value,omitempty"`
	// Threshold is the limit of the value: above it the condition holds.
	Threshold float64 `json:"threshold"`
	// Playbook is the page that says what to do.
	Playbook string `json:"playbook"`
	// Process and Instance name the process that noticed the change.
	Process  string `json:"process"`
	Instance string `json:"instance"`
}

func (*Webhook) kind() string    { return "webhook" }
func (*Webhook) setting() string { return "TRIVET_ALERT_WEBHOOK_URL" }
func (*Webhook) together() int   { return 1 }

func (w *Webhook) message(changes []Change) (message, error) {
	c := changes[0]
	body := WebhookBody{Type: TypeResolved, Timestamp: c.At, Data: WebhookData{
		Alert: c.Rule.Name, Severity: c.Rule.Severity, Summary: c.Summary(), Labels: c.Labels, Since: c.Since, Value: c.Value,
		Threshold: c.Rule.Threshold(), Playbook: c.Rule.Playbook(), Process: w.options.Process, Instance: w.options.Instance,
	}}
	if c.Firing {
		body.Type = TypeFiring
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return message{}, fmt.Errorf("the webhook of an alert cannot be written: %w", err)
	}
	sum := sha256.Sum256(raw) // no two changes have the same body
	return message{id: "alt_" + hex.EncodeToString(sum[:16]), body: raw}, nil
}

func (w *Webhook) send(ctx context.Context, m message) (pause time.Duration, err error) {
	err = hook.Post(ctx, w.options.Client, hook.Attempt{
		URL: w.options.URL.Newest().Reveal(), Secrets: w.options.Secrets.Secrets().Reveal(), ID: m.id, At: w.options.Now(), Body: m.body,
	})
	if errors.Is(err, hook.ErrSetting) {
		return -1, err
	}
	if refused, ok := errors.AsType[*hook.RefusedError](err); ok {
		pause = -1
		if mayPass(refused.Status) {
			pause = min(refused.After, maxPause)
		}
	}
	return pause, err
}
