package allinone

import (
	"errors"

	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/services/ai"
	"github.com/trivet-dev/trivet/services/auth"
	"github.com/trivet-dev/trivet/services/billing"
)

// secretSettings are the settings of the services whose secrets change while they run.
type secretSettings struct {
	Auth    auth.Config
	AI      ai.Config
	Billing billing.Config
}

// rotating are the services that use secrets.
type rotating struct {
	auth    *auth.Service
	ai      *ai.Service
	billing *billing.Service
}

// secretsPart follows the files of secrets.
func (s *system) secretsPart() (serve.Part, error) {
	return serve.SecretsOf(s.host, s.config.get, s.config.modes, s.rotating.ai.SecretNames, s.rotating.rotate)
}

// rotate uses new secrets. A service that refuses its own keeps the earlier ones; the others use theirs.
func (r rotating) rotate(fresh secretSettings) error {
	return errors.Join(r.auth.Rotate(fresh.Auth), r.ai.Rotate(fresh.AI), r.billing.Rotate(fresh.Billing))
}
