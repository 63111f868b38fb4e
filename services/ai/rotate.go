package ai

import "github.com/trivet-dev/trivet/platform/settings"

// Rotate puts the API keys of a configuration in use, and reads those of the targets again. Only secrets may differ from the present
// configuration. Calls that run keep their keys. After an error the present keys are all in use.
func (s *Service) Rotate(config Config) error {
	if err := config.Validate(settings.Modes{settings.Serve}); err != nil {
		return err
	}
	return s.targets.Rotate(config.account().Secrets)
}

// SecretNames are the settings that hold the keys of the targets.
func (s *Service) SecretNames() []string { return s.targets.KeyNames() }
