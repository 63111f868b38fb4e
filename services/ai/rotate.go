package ai

import (
	"context"
	"errors"
	"fmt"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/settings"
)

// Rotate puts the API keys and the address of Redis of a configuration in use, and reads the keys of the targets again. Only secrets may differ from the present
// configuration. Calls that run keep their keys. After an error, each key or address that was refused
// stays as it is, and the others have changed.
func (s *Service) Rotate(config Config) error {
	if err := config.Validate(settings.Modes{settings.Serve}); err != nil {
		return err
	}
	return errors.Join(s.targets.Rotate(config.account().Secrets), s.rotateRedis(config.Redis))
}

func (s *Service) rotateRedis(url settings.Secret) error {
	if url.IsSet() != (s.failover != nil) {
		return errors.New("REDIS_URL was set or removed: restart to start or stop sharing limits")
	}
	if s.failover == nil {
		return nil
	}
	if err := s.failover.Rotate(context.Background(), url.Reveal()); err != nil {
		return fmt.Errorf("REDIS_URL: %w", err)
	}
	return nil
}

// RotateDatabase uses another user and password of the database.
func (s *Service) RotateDatabase(config database.Config) error {
	if s.db == nil {
		return nil
	}
	return s.db.Rotate(config.URL, config.DirectURL)
}

// SecretNames are the settings that hold the keys of the targets.
func (s *Service) SecretNames() []string { return s.targets.KeyNames() }
