package allinone

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/trivet-dev/trivet/gateway"
	"github.com/trivet-dev/trivet/gen"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/connect"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/grpcserver"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/peer"
	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/services/ai"
	"github.com/trivet-dev/trivet/services/auth"
	"github.com/trivet-dev/trivet/services/billing"
)

// named is a service with its name.
type named struct {
	serve.Service
	name string
}

// system holds the services and the edge, before they run.
type system struct {
	host                        *serve.Host
	config                      *config
	server                      *serve.Server
	services                    []named
	gateway                     *gateway.Gateway
	conns                       map[string]*connect.Conn
	checkModels                 func(*models.List) error
	issuer                      *passport.Issuer
	rotating                    rotating
	development                 gateway.Development
	edgeAddr, grpcAddr, opsAddr string
}

// build builds the services and the edge.
func build(ctx context.Context, c *config, host *serve.Host, development gateway.Development) (*system, error) {
	secrets, err := newTrust()
	if err != nil {
		return nil, err
	}
	return buildWith(ctx, c, host, development, secrets)
}

func buildWith(ctx context.Context, c *config, host *serve.Host, development gateway.Development, secrets trust) (*system, error) {
	s := &system{host: host, config: c, development: development}
	if err := s.assemble(ctx, secrets); err != nil {
		return nil, errors.Join(err, s.close(ctx))
	}
	return s, nil
}

func (s *system) assemble(ctx context.Context, secrets trust) (err error) {
	if s.issuer, err = passport.NewIssuer(secrets.passports, s.host.Now); err != nil {
		return err
	}
	proofs := serve.Proofs{Passports: []ed25519.PublicKey{s.issuer.PublicKey()}, InternalSecrets: [][]byte{secrets.internal}}
	s.server, err = s.host.NewServer(proofs, func(server *grpcserver.Server) (_ grpc.ClientConnInterface, err error) {
		s.conns, err = connections(server, secrets.internal, s.host.Now, "gateway", "auth", "ai", "billing")
		return s.conns["gateway"], err
	})
	if err != nil {
		return err
	}
	if err := s.addServices(ctx); err != nil {
		return err
	}
	relay, err := relayCall(s.server.Server)
	if err != nil {
		return err
	}
	edge := s.conns["gateway"]
	s.gateway, err = gateway.New(ctx, s.config.Gateway, gateway.Deps{
		Auth: edge, AI: edge, Billing: edge, Relay: relay, Credentials: s.server.Credentials, OpenAPI: gen.OpenAPI(),
		Logger: s.host.Logger, Meter: s.host.Meter("gateway"), Tracer: s.host.Tracer, Now: s.host.Now,
		Production: s.host.Settings.Production(), Development: s.development,
	})
	return err
}

func (s *system) addServices(ctx context.Context) error {
	now, log, c := s.host.Now, s.host.Logger, s.config
	var process database.Process
	store := func(service string) database.Config {
		config := c.Store.For(service)
		config.Process = &process
		return config
	}
	billingService, err := billing.New(ctx, c.Billing, billing.Deps{
		Logger: log, Meter: s.host.Meter("billing"), Now: now, Database: store("billing"), Models: c.Prices.List(),
		LoopbackOrigins: s.development.LoopbackOrigins, PrivateReceivers: s.development.LoopbackOrigins, ApplyPlans: s.sellsAtSandbox(),
	})
	if err != nil {
		return err
	}
	s.add("billing", billingService)
	authService, err := auth.New(ctx, c.Auth, auth.Deps{
		Logger: log, Meter: s.host.Meter("auth"), Now: now, Database: store("auth"), Models: c.Prices.List(), Passports: s.issuer,
		AI: aiv1.NewAIServiceClient(s.conns["auth"]), Billing: billingv1.NewBillingServiceClient(s.conns["auth"]),
	})
	if err != nil {
		return err
	}
	s.add("auth", authService)
	toBilling, err := newBillingCalls(s.server.Server, s.conns["ai"])
	if err != nil {
		return err
	}
	aiService, err := ai.New(ctx, c.AI, ai.Deps{
		Logger: log, Meter: s.host.Meter("ai"), Now: now, Database: store("ai"), Models: c.Prices.List(), Billing: toBilling,
		Secrets: c.files.Secrets,
	})
	if err != nil {
		return err
	}
	s.add("ai", aiService)
	s.checkModels = aiService.CheckModels
	s.rotating = rotating{auth: authService, ai: aiService, billing: billingService}
	return process.WarnOfConnections(ctx, log)
}

// sellsAtSandbox reports whether the sandbox stands in for Stripe.
func (s *system) sellsAtSandbox() bool {
	return s.development.Sandbox != "" && strings.HasPrefix(s.config.Billing.StripeAPIURL.String(), s.development.Sandbox)
}

func (s *system) add(name string, service serve.Service) {
	s.services = append(s.services, named{Service: service, name: name})
	service.Register(s.server)
}

// migrate brings every store up to date.
func (s *system) migrate(ctx context.Context) error {
	for _, service := range s.services {
		if err := service.Migrate(ctx); err != nil {
			return fmt.Errorf("migrate %s: %w", service.name, err)
		}
	}
	return nil
}

// parts opens the listeners and lists the parts to run. The first one stops last.
func (s *system) parts(ctx context.Context) ([]serve.Part, error) {
	open, err := serve.ListenAll(ctx,
		serve.Listening{Setting: "TRIVET_OPS_ADDR", Address: s.host.Settings.OpsAddr},
		serve.Listening{Setting: "TRIVET_GRPC_ADDR", Address: s.host.Settings.GRPCAddr},
		serve.Listening{Setting: "TRIVET_HTTP_ADDR", Address: s.config.Edge.HTTPAddr})
	if err != nil {
		return nil, err
	}
	ops, internal, edge := open[0], open[1], open[2]
	s.edgeAddr, s.grpcAddr, s.opsAddr = edge.Addr().String(), internal.Addr().String(), ops.Addr().String()
	all := make([]serve.Service, 0, len(s.services))
	for _, service := range s.services {
		all = append(all, service.Service)
	}
	parts, err := s.host.OpsParts(ops, all...)
	if err != nil {
		return nil, err
	}
	secrets, err := s.secretsPart()
	if err != nil {
		return nil, err
	}
	for _, service := range s.services {
		parts = append(parts, serve.ServicePart(service.name, service))
	}
	return append(parts,
		serve.GRPCPart(s.server.Server, internal),
		s.server.Revocations(s.host),
		secrets,
		s.config.Prices.ReloadPart(s.host.Logger, s.config.Billing.CheckModels, s.checkModels),
		serve.Part{Name: "status", Run: s.gateway.Run},
		serve.Part{Name: "edge", Run: func(ctx context.Context) error { return s.gateway.Serve(ctx, edge) }},
	), nil
}

// close releases a system that will not run: first the services that need others.
func (s *system) close(ctx context.Context) error {
	var found []error
	for _, service := range slices.Backward(s.services) {
		if err := service.Close(ctx); err != nil {
			found = append(found, fmt.Errorf("close %s: %w", service.name, err))
		}
	}
	return errors.Join(found...)
}

// connections makes one in-process connection per caller, so that each caller proves its own name.
func connections(server *grpcserver.Server, secret []byte, now func() time.Time, names ...string) (map[string]*connect.Conn, error) {
	all := make(map[string]*connect.Conn, len(names))
	for _, name := range names {
		prover, err := peer.NewProver(name, secret, now)
		if err != nil {
			return nil, err
		}
		all[name] = connect.InProcess(server.InProcess(), prover)
	}
	return all, nil
}

// trust holds the secrets by which the parts of one process authenticate. They live as long as the process.
type trust struct {
	passports ed25519.PrivateKey
	internal  []byte
}

func newTrust() (trust, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return trust{}, fmt.Errorf("make a passport key: %w", err)
	}
	secret := make([]byte, peer.MinSecret)
	if _, err := rand.Read(secret); err != nil {
		return trust{}, fmt.Errorf("make an internal secret: %w", err)
	}
	return trust{passports: key, internal: secret}, nil
}
