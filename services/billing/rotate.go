package billing

import (
	"errors"
	"fmt"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/settings"
)

// RotateDatabase uses another user and password of the database.
func (s *Service) RotateDatabase(config database.Config) error {
	return s.db.Rotate(config.URL, config.DirectURL)
}

// Rotate puts the secrets of a configuration in use. Only secrets may differ from the present configuration. After an error the present
// ones are all in use.
func (s *Service) Rotate(config Config) error {
	before, after := livemode(s.stripeKey.Secrets()), livemode(config.StripeSecretKey)
	if (before == nil) != (after == nil) || before != nil && *before != *after {
		return errors.New("STRIPE_SECRET_KEY is a key of the other mode, test or live: restart to change the mode")
	}
	if config.EventsURL.IsSet() != s.eventsURL.Newest().IsSet() {
		return errors.New("BILLING_EVENTS_URL was set or removed: restart to start or stop sending webhooks")
	}
	if s.verifier != nil {
		if err := s.verifier.Replace(config.StripeWebhookSecrets.Reveal()); err != nil {
			return fmt.Errorf("STRIPE_WEBHOOK_SECRET: %w", err)
		}
	}
	s.mailPassword.Replace(settings.Secrets{config.Mail.Password})
	s.eventsURL.Replace(settings.Secrets{config.EventsURL})
	s.eventsSecrets.Replace(config.EventsSecrets)
	s.stripeKey.Replace(config.StripeSecretKey)
	return nil
}
