package auth

import (
	"context"
	"net/http"

	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
	"github.com/trivet-dev/trivet/platform/health"
)

// watchClerk makes client record whether Clerk answers. Without a secret key auth never calls Clerk, so Clerk is operational.
func (s *Service) watchClerk(config Config, deps Deps, client *http.Client, watched *health.Provider) func() *statusv1.Health {
	if !config.SecretKeys.IsSet() {
		return health.Fixed(health.Operational, deps.Now())
	}
	client.Transport = health.Transport{Next: client.Transport, Provider: watched}
	keys := s.signingKeys(config, client)
	s.work = append(s.work, func(ctx context.Context) {
		watched.Run(ctx, config.ProbeInterval, func(ctx context.Context) { _, _ = keys.Fetch(ctx) })
	})
	return watched.Condition
}
