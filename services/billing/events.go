package billing

import (
	"context"
	"net/url"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/hook"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/billing/internal/notices"
	"github.com/trivet-dev/trivet/services/billing/internal/outgoing"
	"github.com/trivet-dev/trivet/services/billing/internal/stripe"
)

// validateEvents checks where webhooks go, and what signs them.
func (c *Config) validateEvents(modes settings.Modes) error {
	var found []error
	for _, secret := range c.EventsSecrets.Reveal() {
		if err := hook.CheckSecret(secret); err != nil {
			found = append(found, settings.Invalid("BILLING_EVENTS_SECRET", err.Error(), `make one: echo "whsec_$(openssl rand -base64 32)"`))
		}
	}
	if !c.EventsURL.IsSet() {
		return settings.Join(found...)
	}
	if !c.EventsSecrets.IsSet() {
		found = append(found, settings.Invalid("BILLING_EVENTS_SECRET", "is not set, and BILLING_EVENTS_URL is",
			`make one, and give it to the receiver: echo "whsec_$(openssl rand -base64 32)"`))
	}
	at, err := url.Parse(c.EventsURL.Reveal())
	switch {
	case err != nil || at.Hostname() == "" || at.Scheme != "https" && at.Scheme != "http":
		found = append(found, settings.Invalid("BILLING_EVENTS_URL", "is not an address", "write https://HOST/PATH"))
	case at.Scheme == "http" && !c.EventsPrivate && modes.Has(settings.Production):
		found = append(found, settings.Invalid("BILLING_EVENTS_URL", "is plain HTTP", "write https://, or set BILLING_EVENTS_PRIVATE=true for a receiver in your own network"))
	}
	return settings.Join(found...)
}

// sendNotices sends notices as webhooks and as mails, if there is a receiver or a mail server. The client is nil while Stripe is off.
func (s *Service) sendNotices(deps Deps, client *stripe.Client) error {
	var queues []func(context.Context, database.Tx, notices.Notice) error
	if s.config.EventsURL.IsSet() {
		s.receivers = hook.Client(s.config.EventsPrivate || deps.PrivateReceivers)
		sender, err := outgoing.New(outgoing.Options{
			Inbox: s.inbox, Store: s.rows, PayURL: s.payURL, Client: s.receivers, URL: s.eventsURL, Secrets: s.eventsSecrets,
			RetryTime: s.config.EventsRetry, Now: s.now,
		})
		if err != nil {
			return err
		}
		queues = append(queues, sender.Queue)
	}
	mailer, err := s.mailer(deps, client)
	if err != nil {
		return err
	}
	if mailer != nil {
		queues = append(queues, mailer.Queue)
	}
	if len(queues) > 0 {
		s.rows.Deliver(inTurn(queues))
	}
	return nil
}

// inTurn calls all functions, until one fails.
func inTurn(queues []func(context.Context, database.Tx, notices.Notice) error) func(context.Context, database.Tx, notices.Notice) error {
	return func(ctx context.Context, t database.Tx, n notices.Notice) error {
		for _, queue := range queues {
			if err := queue(ctx, t, n); err != nil {
				return err
			}
		}
		return nil
	}
}

// payURL reads the address where a notice's invoice can be paid; "" for none.
func (s *Service) payURL(ctx context.Context, n notices.Notice) (string, error) {
	if n.Kind != notices.PaymentFailed || s.checkout == nil {
		return "", nil
	}
	urls, err := s.checkout.PayURLs(ctx, n.AccountID, map[string]bool{n.Data.InvoiceID: true})
	return urls[n.Data.InvoiceID], err
}
