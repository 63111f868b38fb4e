package allinone

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/trivet-dev/trivet/gateway"
	"github.com/trivet-dev/trivet/gen"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/connect"
	"github.com/trivet-dev/trivet/platform/credential"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/grpcserver"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/peer"
	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/ai"
	"github.com/trivet-dev/trivet/services/auth"
	"github.com/trivet-dev/trivet/services/billing"
)

// config is every part's settings.
type config struct {
	Edge    serve.Edge
	Store   serve.Store
	Prices  serve.PriceList
	Gateway gateway.Config
	Auth    auth.Config
	AI      ai.Config
	Billing billing.Config
}

// named is a service with its name.
type named struct {
	serve.Service
	name string
}

// house is everything, built and not yet running.
type house struct {
	host     *serve.Host
	server   *grpcserver.Server
	services []named
	gateway  *gateway.Gateway
	shared   *credential.Exchanger
	conns    map[string]*connect.Conn
	issuer   *passport.Issuer
	httpAddr string
	edgeAddr string
}

// build reads every setting, reports all mistakes at once, and puts the parts together.
func build(ctx context.Context, getenv func(string) string, host *serve.Host, modes ...string) (*house, error) {
	var c config
	if err := settings.Join(settings.Load(getenv, &c, modes...), c.Auth.Missing()); err != nil {
		return nil, err
	}
	h := &house{host: host, httpAddr: c.Edge.HTTPAddr}
	key, secret, err := newTrust()
	if err != nil {
		return nil, err
	}
	if err := h.assemble(ctx, c, key, secret); err != nil {
		return nil, errors.Join(err, h.close(ctx))
	}
	return h, nil
}

func (h *house) assemble(ctx context.Context, c config, key ed25519.PrivateKey, secret []byte) error {
	issuer, err := passport.NewIssuer(key, h.host.Now)
	if err != nil {
		return err
	}
	passports, err := passport.NewVerifier([]ed25519.PublicKey{issuer.PublicKey()}, h.host.Now)
	if err != nil {
		return err
	}
	peers, err := peer.NewVerifier(secret, h.host.Now)
	if err != nil {
		return err
	}
	late := &lateExchanger{}
	h.server, err = grpcserver.New(grpcserver.Config{
		Logger: h.host.Logger, Meter: h.host.Meter("rpc"), Passports: passports, Peers: peers, Exchanger: late,
		Reflection: !h.host.Settings.Production(), Timeouts: map[string]time.Duration{"ai": serve.AITimeout},
	})
	if err != nil {
		return err
	}
	conns, err := connections(h.server, secret, h.host.Now, "gateway", "auth", "ai", "billing")
	if err != nil {
		return err
	}
	if late.Exchanger, err = credential.New(authv1.NewAuthServiceClient(conns["gateway"]), credential.Options{Now: h.host.Now}); err != nil {
		return err
	}
	h.shared, h.conns, h.issuer = late.Exchanger, conns, issuer
	if err := h.addServices(ctx, c, issuer, conns); err != nil {
		return err
	}
	edge := conns["gateway"]
	h.gateway, err = gateway.New(ctx, c.Gateway, gateway.Deps{
		Auth: edge, AI: edge, Billing: edge, Credentials: h.shared, OpenAPI: gen.OpenAPI(),
		Logger: h.host.Logger, Meter: h.host.Meter("gateway"), Now: h.host.Now,
	})
	return err
}

func (h *house) addServices(ctx context.Context, c config, issuer *passport.Issuer, conns map[string]*connect.Conn) error {
	now, log := h.host.Now, h.host.Logger
	prices, err := models.Load(c.Prices.ModelsFile)
	if err != nil {
		return err
	}
	at := database.For("billing", c.Store.DatabaseURL)
	at.Logger = log
	billingService, err := billing.New(ctx, c.Billing, billing.Deps{
		Logger: log, Meter: h.host.Meter("billing"), Now: now, Database: at, Models: prices,
	})
	if err != nil {
		return err
	}
	h.add("billing", billingService)
	authService, err := auth.New(ctx, c.Auth, auth.Deps{
		Logger: log, Meter: h.host.Meter("auth"), Now: now, Passports: issuer,
		AI: aiv1.NewAIServiceClient(conns["auth"]), Billing: billingv1.NewBillingServiceClient(conns["auth"]),
	})
	if err != nil {
		return err
	}
	h.add("auth", authService)
	aiService, err := ai.New(ctx, c.AI, ai.Deps{
		Logger: log, Meter: h.host.Meter("ai"), Now: now, Billing: billingv1.NewBillingServiceClient(conns["ai"]),
	})
	if err != nil {
		return err
	}
	h.add("ai", aiService)
	return nil
}

func (h *house) add(name string, s serve.Service) {
	h.services = append(h.services, named{Service: s, name: name})
	s.Register(h.server)
}

// parts opens the listeners and says what runs; what is given first stops last.
func (h *house) parts(ctx context.Context) ([]serve.Part, error) {
	var open []net.Listener
	listen := func(setting, address string) (net.Listener, error) {
		l, err := serve.Listen(ctx, setting, address)
		if err == nil {
			open = append(open, l)
		}
		return l, err
	}
	ops, err1 := listen("TRIVET_OPS_ADDR", h.host.Settings.OpsAddr)
	grpc, err2 := listen("TRIVET_GRPC_ADDR", h.host.Settings.GRPCAddr)
	edge, err3 := listen("TRIVET_HTTP_ADDR", h.httpAddr)
	if err := errors.Join(err1, err2, err3); err != nil {
		for _, l := range open {
			err = errors.Join(err, l.Close())
		}
		return nil, err
	}
	h.edgeAddr = edge.Addr().String()
	all := make([]serve.Service, 0, len(h.services))
	for _, s := range h.services {
		all = append(all, s)
	}
	parts := []serve.Part{h.host.OpsPart(ops, all...)}
	for _, s := range h.services {
		parts = append(parts, serve.ServicePart(s.name, s))
	}
	return append(parts,
		serve.GRPCPart(h.server, grpc),
		serve.Part{Name: "revocations", Run: func(ctx context.Context) error { h.shared.Run(ctx, h.host.Logger); return nil }},
		serve.Part{Name: "edge", Run: func(ctx context.Context) error { return h.gateway.Serve(ctx, edge) }},
	), nil
}

// close releases what was built when it is not going to run.
func (h *house) close(ctx context.Context) error {
	var found []error
	for _, s := range h.services {
		if err := s.Close(ctx); err != nil {
			found = append(found, fmt.Errorf("close %s: %w", s.name, err))
		}
	}
	return errors.Join(found...)
}

// connections makes one in-process connection for each caller, so that each proves its own name.
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

// lateExchanger closes the circle: the server needs the exchanger, which calls auth through the server.
type lateExchanger struct{ *credential.Exchanger }
