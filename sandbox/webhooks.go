package sandbox

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/platform/integration"
	"github.com/trivet-dev/trivet/sandbox/webhook"
)

// The secrets that sign webhooks to [Config.EdgeURL]. None is a secret.
const (
	// ClerkWebhookSecret is Svix's form: "whsec_" and a base64 key.
	ClerkWebhookSecret = "whsec_dHJpdmV0LXNhbmRib3gtY2xlcmstd2ViaG9va3M=" //nolint:gosec // made up
	// StripeWebhookSecret is Stripe's form: any text.
	StripeWebhookSecret = "whsec_trivetsandbox" //nolint:gosec // made up
)

// senderOf returns how a provider sends webhooks, and the secret that signs those to [Config.EdgeURL].
func senderOf(provider string) (c webhook.Config, secret string, err error) {
	switch provider {
	case "clerk":
		return webhook.Config{Sign: webhook.Svix, Schedule: webhook.SvixSchedule(), UserAgent: "Svix-Webhooks/1.0 (sandbox)"}, ClerkWebhookSecret, nil
	case "stripe":
		return webhook.Config{
			Sign: webhook.Stripe, Schedule: webhook.StripeSchedule(), UserAgent: "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
		}, StripeWebhookSecret, nil
	default:
		return c, "", fmt.Errorf("the sandbox sends no webhooks of %s", provider)
	}
}

// newSender starts a provider's sender, pointed at the edge when there is one.
func newSender(cfg Config, i integration.Integration) (*webhook.Sender, error) {
	c, secret, err := senderOf(i.Name)
	if err != nil {
		return nil, err
	}
	c.Name, c.Settings, c.Now, c.Logger = i.Name, webhook.Settings{RetryScale: cfg.WebhookRetryScale}, cfg.Now, cfg.Logger
	s, err := webhook.New(c)
	if err != nil || cfg.EdgeURL == "" {
		return s, err
	}
	_, err = s.Add(webhook.Endpoint{URL: strings.TrimRight(cfg.EdgeURL, "/") + i.WebhookPath(), Secrets: []string{secret}})
	return s, err
}

// Webhooks returns what delivers a provider's events; nil when it sends none.
func (s *Sandbox) Webhooks(provider string) *webhook.Sender { return s.senders[provider] }

// ClerkWebhooks returns what delivers Clerk's events.
func (s *Sandbox) ClerkWebhooks() *webhook.Sender { return s.senders["clerk"] }

// StripeWebhooks returns what delivers Stripe's events.
func (s *Sandbox) StripeWebhooks() *webhook.Sender { return s.senders["stripe"] }

// wireEndpoint is an endpoint in the control API.
type wireEndpoint struct {
	ID       string   `json:"id,omitempty"`
	Provider string   `json:"provider"`
	URL      string   `json:"url"`
	Secret   string   `json:"secret,omitempty"`
	Secrets  []string `json:"secrets,omitempty"`
	Types    []string `json:"types,omitempty"`
}

func endpointToWire(provider string, e webhook.Endpoint) wireEndpoint {
	return wireEndpoint{ID: e.ID, Provider: provider, URL: e.URL, Secrets: e.Secrets, Types: e.Types}
}

// wireDelivery is a delivery in the control API.
type wireDelivery struct {
	ID        string        `json:"id"`
	Provider  string        `json:"provider"`
	EventID   string        `json:"event_id"`
	Type      string        `json:"type"`
	Subject   string        `json:"subject"`
	Endpoint  string        `json:"endpoint"`
	State     webhook.State `json:"state"`
	Attempts  int           `json:"attempts"`
	Status    int           `json:"status,omitempty"`
	Error     string        `json:"error,omitempty"`
	CreatedAt time.Time     `json:"created_at"`
	NextAt    *time.Time    `json:"next_at,omitempty"`
}

func deliveryToWire(provider string, d webhook.Delivery) wireDelivery {
	w := wireDelivery{
		ID: d.ID, Provider: provider, EventID: d.EventID, Type: d.Type, Subject: d.Subject, Endpoint: d.Endpoint, State: d.State,
		Attempts: d.Attempts, Status: d.Status, Error: d.Error, CreatedAt: d.CreatedAt.UTC(),
	}
	if !d.NextAt.IsZero() {
		at := d.NextAt.UTC()
		w.NextAt = &at
	}
	return w
}

// wireSettings is [webhook.Settings] in the control API; nil leaves a setting alone.
type wireSettings struct {
	Provider       string    `json:"provider,omitempty"`
	Paused         *bool     `json:"paused,omitempty"`
	RetryScale     *float64  `json:"retry_scale,omitempty"`
	Concurrency    *int      `json:"concurrency,omitempty"`
	Seed           *uint64   `json:"seed,omitempty"`
	Types          *[]string `json:"types,omitempty"`
	LoseNext       *int      `json:"lose_next,omitempty"`
	LoseFraction   *float64  `json:"lose_fraction,omitempty"`
	DoubleNext     *int      `json:"double_next,omitempty"`
	DoubleFraction *float64  `json:"double_fraction,omitempty"`
	DelayMs        *int64    `json:"delay_ms,omitempty"`
	Shuffle        *int      `json:"shuffle,omitempty"`
}

func settingsToWire(provider string, s webhook.Settings) wireSettings {
	delay := s.Delay.Milliseconds()
	if s.Types == nil {
		s.Types = []string{}
	}
	return wireSettings{
		provider, &s.Paused, &s.RetryScale, &s.Concurrency, &s.Seed, &s.Types, &s.LoseNext, &s.LoseFraction, &s.DoubleNext, &s.DoubleFraction,
		&delay, &s.Shuffle,
	}
}

// check rejects explicit zeros, because [webhook.Settings] would treat them as not set.
func (w wireSettings) check() error {
	switch {
	case w.RetryScale != nil && *w.RetryScale == 0:
		return errors.New("retry_scale must be greater than 0 and at most 1, got 0; to retry at once, use flush")
	case w.Concurrency != nil && *w.Concurrency == 0:
		return errors.New("concurrency must be 1 to 64, got 0; to hold deliveries back, set paused")
	}
	return nil
}

// onto returns the settings with what w changes.
func (w wireSettings) onto(s webhook.Settings) webhook.Settings {
	take(&s.Paused, w.Paused)
	take(&s.RetryScale, w.RetryScale)
	take(&s.Concurrency, w.Concurrency)
	take(&s.Seed, w.Seed)
	take(&s.Types, w.Types)
	take(&s.LoseNext, w.LoseNext)
	take(&s.LoseFraction, w.LoseFraction)
	take(&s.DoubleNext, w.DoubleNext)
	take(&s.DoubleFraction, w.DoubleFraction)
	take(&s.Shuffle, w.Shuffle)
	if w.DelayMs != nil {
		s.Delay = time.Duration(*w.DelayMs) * time.Millisecond
	}
	return s
}

func take[T any](into, from *T) {
	if from != nil {
		*into = *from
	}
}
