package auth

import (
	"context"
	"net/http"

	"github.com/trivet-dev/trivet/platform/health"
	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
	"github.com/trivet-dev/trivet/services/auth/internal/authn"
	"github.com/trivet-dev/trivet/services/auth/internal/clerk"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/jwks"
	"github.com/trivet-dev/trivet/services/auth/internal/revocation"
	"github.com/trivet-dev/trivet/services/auth/internal/rpc"
	"github.com/trivet-dev/trivet/services/auth/internal/session"
)

// clerkCalls bounds concurrent calls to Clerk.
const clerkCalls = 64

// build makes the parts, each after those that it needs.
func (s *Service) build(config Config, deps Deps) error {
	metrics, err := newInstruments(deps.Meter)
	if err != nil {
		return err
	}
	watched := health.NewProvider(deps.Now)
	calls, err := s.calls(config, deps, watched)
	if err != nil {
		return err
	}
	client := calls.Client()
	clerkCondition := s.watchClerk(config, deps, client, watched)
	if s.verified, err = s.verifier(config, deps, client, metrics); err != nil {
		return err
	}
	keys, err := s.apiKeys(config, deps)
	if err != nil {
		return err
	}
	if err := health.Observe(deps.Meter, clerk.Source, clerkCondition); err != nil {
		return err
	}
	backend := s.backend(config, deps, clerk.Patient(calls, client.Transport, config.patience()))
	completer, err := s.completer(deps, backend)
	if err != nil {
		return err
	}
	synced, err := s.sync(config, deps, metrics)
	if err != nil {
		return err
	}
	s.inbox = synced.inbox
	s.work = append(s.work, s.feed.Run, s.forget)
	if deps.Billing != nil {
		s.work = append(s.work, s.reportMembers(deps))
	}
	s.server = rpc.New(rpc.Options{
		Passports: deps.Passports, Directory: s.store, Keys: keys, KeyStore: s.store, UserKeys: s.store, Revocations: s.feed,
		Webhooks: synced.receiver, Events: synced.inbox, Eraser: synced.eraser, Erasures: s.store, Usage: usageOf(deps),
		Service: health.NewService(deps.Now, "auth.database", s.Checks), Clerk: clerkCondition,
		Reconciler: s.reconciler(config, deps, backend, synced.eraser),
		Authenticator: authn.New(authn.Config{
			Sessions: s.verified, Keys: keys, Directory: s.store, Completer: completer, Operators: config.Operators,
			AdminRoles: config.adminRoles(),
			Record:     metrics.verdict, Logger: deps.Logger, Now: deps.Now,
		}),
	})
	return nil
}

// usageOf returns what exports a user's usage records; nil without billing.
func usageOf(deps Deps) rpc.UsageExporter {
	if deps.Billing == nil {
		return nil
	}
	return deps.Billing
}

// calls returns the transport to Clerk, which the SDK and the fetching of signing keys share. The circuit breaker is for the SDK only.
func (s *Service) calls(config Config, deps Deps, watched *health.Provider) (*provider.Transport, error) {
	transport, err := provider.New(provider.Config{
		Integration: "clerk", Method: clerk.Method, ConnectTimeout: config.Timeout, TLSTimeout: config.Timeout,
		HeaderTimeout: config.Timeout, IdleTimeout: config.Timeout, MaxConcurrent: clerkCalls, MaxIdleConns: clerkCalls,
		Base: deps.Transport, HTTP2: true, Ended: watched.Ended, Breaker: provider.Breaker{Failures: config.BreakerFailures}, Unguarded: clerk.FetchesKeys,
	}, deps.Logger, deps.Meter)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, transport.CloseIdleConnections)
	return transport, nil
}

// verifier returns the session verifier with a cache in front of it.
func (s *Service) verifier(config Config, deps Deps, client *http.Client, metrics *instruments) (*session.Cache, error) {
	var cache *session.Cache
	keys, err := s.keySource(config, deps, client, metrics, func() { cache.Clear() })
	if err != nil {
		return nil, err
	}
	issuer, err := config.issuer()
	if err != nil {
		return nil, err
	}
	full, err := session.NewVerifier(session.Policy{
		Issuer: issuer, AuthorizedParties: config.AuthorizedParties, TemplateAudience: config.TemplateAudience,
		AllowPending: config.AllowPending,
	}, keys, deps.Now)
	if err != nil {
		return nil, err
	}
	cache, err = session.NewCache(full, config.TokenCache, deps.Now)
	return cache, err
}

// keySource returns the key of CLERK_JWT_KEY, which needs no network, or else the keys that Clerk serves.
func (s *Service) keySource(
	config Config, deps Deps, client *http.Client, metrics *instruments, changed func(),
) (session.Keys, error) {
	if config.JWTKey != "" {
		var err error
		s.secrets.pem, err = jwks.ParsePEM(config.JWTKey)
		return s.secrets.pem, err
	}
	s.keys = jwks.NewRemote(s.signingKeys(config, client), jwks.Options{
		Refresh: config.JWKSRefresh, MaxStale: config.JWKSMaxStale, Timeout: config.Timeout,
		Logger: deps.Logger, Now: deps.Now, Changed: changed, Fetched: metrics.fetched,
	})
	s.work = append(s.work, s.keys.Run)
	s.closers = append(s.closers, s.keys.Close)
	watch, err := metrics.watchAge(deps.Meter, s.keys)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() { _ = watch.Unregister() })
	return s.keys, nil
}

// signingKeys is where Clerk's signing keys are.
func (s *Service) signingKeys(config Config, client *http.Client) signingKeys {
	return signingKeys{Endpoint: jwks.Endpoint{Client: client, URL: config.backend() + "/jwks"}, secrets: s.secrets.clerkKeys}
}

func (s *Service) apiKeys(config Config, deps Deps) (*apikey.Manager, error) {
	if len(config.AuthorizedParties) == 0 && config.keyMode() == apikey.Live {
		deps.Logger.Warn("CLERK_AUTHORIZED_PARTIES is not set: session tokens of every origin are accepted")
	}
	secrets := config.APIKeySecrets.Reveal()
	if len(secrets) == 0 {
		deps.Logger.Info("TRIVET_API_KEY_SECRET is not set: API keys are hashed with a published secret, which is for development only")
		secrets = []string{developmentSecret}
	}
	hasher, err := apikey.NewHasher(secrets)
	if err != nil {
		return nil, err
	}
	s.secrets.hasher = hasher
	uses := apikey.NewUses(s.store, deps.Logger)
	s.work = append(s.work, uses.Run)
	return apikey.NewManager(apikey.Options{
		Store: s.store, Hasher: hasher, Mode: config.keyMode(), Uses: uses, Models: deps.Models, MaxLive: config.MaxAPIKeys,
		Now: deps.Now,
	}), nil
}

// backend returns the client of Clerk's Backend API; nil without a secret key.
func (s *Service) backend(config Config, deps Deps, client *http.Client) *clerk.Client {
	if !config.SecretKeys.IsSet() {
		return nil
	}
	s.secrets.backend = clerk.New(config.backend(), config.SecretKeys.Reveal(), client, deps.Now)
	return s.secrets.backend
}

// completer returns what reads from Clerk what tokens do not say. Without a secret key it does nothing.
func (s *Service) completer(deps Deps, source *clerk.Client) (authn.Completer, error) {
	if source == nil {
		return noopCompleter{}, nil
	}
	completer, err := directory.NewCompleter(s.store, source, deps.Now, deps.Logger)
	if err != nil {
		return nil, err
	}
	s.work = append(s.work, completer.Run)
	return completer, nil
}

type noopCompleter struct{}

func (noopCompleter) User(string)         {}
func (noopCompleter) Organization(string) {}

// forget empties the cache of verified tokens at each revocation of a user or a session.
func (s *Service) forget(ctx context.Context) {
	for ctx.Err() == nil {
		subscription, err := s.feed.Subscribe(ctx)
		if err != nil {
			return
		}
		s.verified.Clear()
		for {
			news, err := subscription.Next(ctx)
			if err != nil {
				break
			}
			s.drop(news)
		}
		subscription.Close()
	}
}

func (s *Service) drop(news []revocation.Revocation) {
	for _, r := range news {
		if r.APIKeyID == "" {
			s.verified.Clear()
			return
		}
	}
}
