package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	"github.com/trivet-dev/trivet/platform/connect"
	"github.com/trivet-dev/trivet/platform/credential"
	"github.com/trivet-dev/trivet/platform/grpcserver"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/peer"
	"github.com/trivet-dev/trivet/platform/settings"
)

// Addresses are where a process of split mode finds the others.
type Addresses struct {
	// Auth is auth's gRPC address.
	Auth string `env:"TRIVET_AUTH_ADDR" help:"gRPC address of auth, in split mode"`
	// AI is ai's gRPC address.
	AI string `env:"TRIVET_AI_ADDR" help:"gRPC address of ai, in split mode"`
	// Billing is billing's gRPC address.
	Billing string `env:"TRIVET_BILLING_ADDR" help:"gRPC address of billing, in split mode"`
}

// Process is one process of split mode.
type Process struct {
	*Host
	name      string
	getenv    func(string) string
	trust     Trust
	addresses Addresses
	prover    *peer.Prover
	conns     map[string]*connect.Conn
}

// NewProcess reads the settings that every process of split mode has.
func NewProcess(name string, getenv func(string) string, stderr io.Writer) (*Process, error) {
	var all struct {
		Settings  Settings
		Trust     Trust
		Addresses Addresses
	}
	if err := settings.Load(getenv, &all, "split"); err != nil {
		return nil, err
	}
	host, err := NewHost(name, all.Settings, stderr)
	if err != nil {
		return nil, err
	}
	prover, err := peer.NewProver(name, []byte(all.Trust.InternalSecret.Reveal()), host.Now)
	if err != nil {
		return nil, err
	}
	return &Process{Host: host, name: name, getenv: getenv, trust: all.Trust, addresses: all.Addresses, prover: prover, conns: map[string]*connect.Conn{}}, nil
}

// Load fills settings of the service's own; every setting that production requires must be there.
func (p *Process) Load(into any) error { return settings.Load(p.getenv, into, "split", "serve") }

// Conn returns the connection to another service, and an error that names the setting when its address is not set.
func (p *Process) Conn(name string) (*connect.Conn, error) {
	if conn, ok := p.conns[name]; ok {
		return conn, nil
	}
	address, setting := "", ""
	switch name {
	case "auth":
		address, setting = p.addresses.Auth, "TRIVET_AUTH_ADDR"
	case "ai":
		address, setting = p.addresses.AI, "TRIVET_AI_ADDR"
	case "billing":
		address, setting = p.addresses.Billing, "TRIVET_BILLING_ADDR"
	}
	if address == "" {
		return nil, settings.Invalid(setting, "is not set", fmt.Sprintf("give %s the gRPC address of %s, such as 127.0.0.1:9090", p.name, name))
	}
	conn, err := connect.Dial(address, p.prover, nil)
	if err != nil {
		return nil, err
	}
	p.conns[name] = conn
	return conn, nil
}

// Close ends the connections to the other services.
func (p *Process) Close() error {
	var found []error
	for _, conn := range p.conns {
		found = append(found, conn.Close())
	}
	return errors.Join(found...)
}

// Issuer makes the signer of passports; only auth's process has its key.
func (p *Process) Issuer() (*passport.Issuer, error) {
	var k SigningKey
	if err := p.Load(&k); err != nil {
		return nil, err
	}
	key, err := passport.ParsePrivateKey(k.PassportKey.Reveal())
	if err != nil {
		return nil, err
	}
	return passport.NewIssuer(key, p.Now)
}

// RunService runs one service as a process of its own until ctx ends. With the argument "migrate" it applies the service's migrations and returns.
func RunService(ctx context.Context, name string, args []string, getenv func(string) string, stderr io.Writer, build func(*Process) (Service, error)) (err error) {
	if len(args) > 1 || (len(args) == 1 && args[0] != "migrate") {
		return fmt.Errorf("usage: %s [migrate]; settings are environment variables", name)
	}
	p, err := NewProcess(name, getenv, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	service, err := build(p)
	if err != nil {
		return err
	}
	if len(args) == 1 {
		err := service.Migrate(ctx)
		return errors.Join(err, service.Close(ctx))
	}
	parts, err := p.parts(ctx, service)
	if err != nil {
		return errors.Join(err, service.Close(ctx))
	}
	p.Logger.InfoContext(ctx, "up", slog.String("service", name), slog.String("grpc", p.Settings.GRPCAddr), slog.String("ops", "http://"+p.Settings.OpsAddr))
	return Run(ctx, p.Logger, parts...)
}

func (p *Process) parts(ctx context.Context, service Service) ([]Part, error) {
	server, exchanger, err := p.server(service)
	if err != nil {
		return nil, err
	}
	ops, err := Listen(ctx, "TRIVET_OPS_ADDR", p.Settings.OpsAddr)
	if err != nil {
		return nil, err
	}
	grpc, err := Listen(ctx, "TRIVET_GRPC_ADDR", p.Settings.GRPCAddr)
	if err != nil {
		return nil, errors.Join(err, ops.Close())
	}
	return []Part{
		p.OpsPart(ops, service),
		ServicePart(p.name, service),
		GRPCPart(server, grpc),
		{Name: "revocations", Run: func(ctx context.Context) error { exchanger.Run(ctx, p.Logger); return nil }},
	}, nil
}

// server makes the process's gRPC server. auth exchanges credentials by itself, the others ask it.
func (p *Process) server(service Service) (*grpcserver.Server, *credential.Exchanger, error) {
	keys, err := p.trust.Keys()
	if err != nil {
		return nil, nil, err
	}
	passports, err := passport.NewVerifier(keys, p.Now)
	if err != nil {
		return nil, nil, err
	}
	peers, err := peer.NewVerifier([]byte(p.trust.InternalSecret.Reveal()), p.Now)
	if err != nil {
		return nil, nil, err
	}
	late := &lateExchanger{}
	server, err := grpcserver.New(grpcserver.Config{
		Logger: p.Logger, Meter: p.Meter("rpc"), Passports: passports, Peers: peers, Exchanger: late,
		Reflection: !p.Settings.Production(), Timeouts: map[string]time.Duration{"ai": AITimeout},
	})
	if err != nil {
		return nil, nil, err
	}
	service.Register(server)
	to := connect.InProcess(server.InProcess(), p.prover)
	if p.name != "auth" {
		if to, err = p.Conn("auth"); err != nil {
			return nil, nil, err
		}
	}
	late.Exchanger, err = credential.New(authv1.NewAuthServiceClient(to), credential.Options{Now: p.Now})
	return server, late.Exchanger, err
}

// lateExchanger closes the circle in auth's process: the server needs the exchanger, which calls the server.
type lateExchanger struct{ *credential.Exchanger }

// Main runs a program until it is told to stop, and exits with 1 when it failed.
func Main(name string, run func(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}
