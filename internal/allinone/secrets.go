package allinone

import (
	"errors"
	"slices"

	"github.com/trivet-dev/trivet/gateway"
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
	Gateway gateway.Config
	Store   serve.Store
}

// rotating are the services that use secrets.
type rotating struct {
	auth    *auth.Service
	ai      *ai.Service
	billing *billing.Service
	gateway *gateway.Gateway
}

// secretsPart follows the files of secrets.
func (s *system) secretsPart() (serve.Part, error) {
	s.rotating.gateway = s.gateway
	return serve.SecretsOf(s.host, s.config.files, s.config.modes, s.rotating.names, s.rotating.rotate)
}

// names are settings that only a part knows to be followed.
func (r rotating) names() []string {
	return slices.Concat(r.ai.SecretNames(), r.auth.SecretNames(), gateway.CertificateNames())
}

// rotate uses new secrets. A service that refuses its own keeps the earlier ones; the others use theirs.
func (r rotating) rotate(fresh secretSettings) error {
	return errors.Join(r.auth.Rotate(fresh.Auth), r.ai.Rotate(fresh.AI), r.billing.Rotate(fresh.Billing), r.gateway.Rotate(fresh.Gateway),
		r.auth.RotateDatabase(fresh.Store.For("auth")), r.ai.RotateDatabase(fresh.Store.For("ai")), r.billing.RotateDatabase(fresh.Store.For("billing")))
}
