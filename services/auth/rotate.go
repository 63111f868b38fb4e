package auth

import (
	"context"
	"errors"
	"fmt"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
	"github.com/trivet-dev/trivet/services/auth/internal/clerk"
	"github.com/trivet-dev/trivet/services/auth/internal/jwks"
	"github.com/trivet-dev/trivet/services/auth/internal/svix"
)

// secrets are the parts that use secrets, which may be replaced while they run.
type secrets struct {
	clerkKeys *settings.Live
	backend   *clerk.Client  // nil without a secret key
	webhooks  *svix.Verifier // nil without a secret
	hasher    *apikey.Hasher
	mode      apikey.Mode
	pem       *jwks.Static // CLERK_JWT_KEY; nil without it
}

// SecretNames are the settings that change without a restart although they are not secret.
func (*Service) SecretNames() []string { return []string{"CLERK_JWT_KEY"} }

// RotateDatabase uses another user and password of the database.
func (s *Service) RotateDatabase(config database.Config) error {
	return s.database.Rotate(config.URL, config.DirectURL)
}

// Rotate puts the secrets of a configuration in use. Only secrets may differ from the present configuration. After an error the present
// ones are all in use.
func (s *Service) Rotate(config Config) error {
	if err := s.rotatable(config); err != nil {
		return err
	}
	if s.secrets.webhooks != nil {
		if err := s.secrets.webhooks.Replace(config.WebhookSecrets.Reveal()); err != nil {
			return fmt.Errorf("CLERK_WEBHOOK_SECRET: %w", err)
		}
	}
	if config.APIKeySecrets.IsSet() {
		if err := s.secrets.hasher.Replace(config.APIKeySecrets.Reveal()); err != nil {
			return fmt.Errorf("TRIVET_API_KEY_SECRET: %w", err)
		}
	}
	s.secrets.clerkKeys.Replace(config.SecretKeys)
	if s.secrets.backend != nil {
		s.secrets.backend.SetKeys(config.SecretKeys.Reveal())
	}
	return s.rotatePEM(config.JWTKey)
}

// rotatePEM verifies session tokens with other keys. Tokens that an earlier key verified are verified again.
func (s *Service) rotatePEM(text string) error {
	if s.secrets.pem == nil {
		return nil
	}
	changed, err := s.secrets.pem.Replace(text)
	if err != nil {
		return fmt.Errorf("CLERK_JWT_KEY: %w", err)
	}
	if changed {
		s.verified.Clear()
	}
	return nil
}

// rotatable checks a configuration whose secrets are to be used.
func (s *Service) rotatable(config Config) error {
	if err := config.Validate(settings.Modes{settings.Serve}); err != nil {
		return err
	}
	if (config.JWTKey != "") != (s.secrets.pem != nil) {
		return errors.New("CLERK_JWT_KEY was set or removed: restart to start or stop fetching Clerk's keys")
	}
	if config.keyMode() != s.secrets.mode {
		return errors.New("CLERK_SECRET_KEY is the key of another Clerk instance, a test and a live one: restart to change the instance")
	}
	return nil
}

// signingKeys fetches Clerk's signing keys with the present secret keys.
type signingKeys struct {
	jwks.Endpoint
	secrets *settings.Live
}

// Fetch implements jwks.Fetcher.
func (k signingKeys) Fetch(ctx context.Context) ([]byte, error) {
	at := k.Endpoint
	at.SecretKeys = k.secrets.Secrets().Reveal()
	return at.Fetch(ctx)
}
