package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"syscall"
	"time"

	"google.golang.org/grpc"

	"github.com/trivet-dev/trivet/platform/grpcserver"
	"github.com/trivet-dev/trivet/platform/settings"
)

// Service is what auth, ai and billing each are.
type Service interface {
	// Register adds the service's RPCs.
	Register(registrar grpc.ServiceRegistrar)
	// Run does the background work until ctx ends and every goroutine has stopped.
	Run(ctx context.Context) error
	// Migrate brings the service's store to the newest schema.
	Migrate(ctx context.Context) error
	// Checks are the conditions of readiness, by name.
	Checks() map[string]func(context.Context) error
	// Close releases what New opened.
	Close(ctx context.Context) error
}

// closeTimeout bounds how long a store may take to close.
const closeTimeout = 10 * time.Second

// Grace is how long running calls may continue after a process was told to stop.
const Grace = 20 * time.Second

// RunService runs one service as a process of its own until ctx ends. With the argument "migrate" it applies the service's
// migrations and returns.
func RunService(
	ctx context.Context, program Program, args []string, env settings.Env, stderr io.Writer, build func(*Process) (Service, error),
) (err error) {
	if len(args) > 1 || (len(args) == 1 && args[0] != "migrate") {
		return fmt.Errorf("usage: %s [migrate]; settings are environment variables, docs/settings.md lists them", program.Name)
	}
	if len(args) == 1 {
		return program.migrate(ctx, env, stderr)
	}
	p, err := NewProcess(ctx, program, env, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	service, err := build(p)
	if err != nil {
		if service != nil {
			err = errors.Join(err, service.Close(ctx))
		}
		return err
	}
	parts, err := p.parts(ctx, service)
	if err != nil {
		return errors.Join(err, service.Close(ctx))
	}
	p.Logger.InfoContext(ctx, "up", slog.String("service", program.Name), slog.String("version", Version()),
		slog.String("grpc", p.Settings.GRPCAddr), slog.String("ops", "http://"+p.Settings.OpsAddr))
	return p.Run(ctx, parts...)
}

func (p *Process) parts(ctx context.Context, service Service) ([]Part, error) {
	server, err := p.server()
	if err != nil {
		return nil, err
	}
	service.Register(server)
	open, err := ListenAll(ctx, Listening{"TRIVET_OPS_ADDR", p.Settings.OpsAddr}, Listening{"TRIVET_GRPC_ADDR", p.Settings.GRPCAddr})
	if err != nil {
		return nil, err
	}
	parts, err := p.OpsParts(open[0], service)
	if err != nil {
		return nil, err
	}
	parts = append(parts, ServicePart(p.name, service), GRPCPart(server.Server, open[1]), server.Revocations(p.Host))
	return append(parts, p.added...), nil
}

// Listening is an address to listen on, and the setting that holds it.
type Listening struct{ Setting, Address string }

// ListenAll opens every listener, or none; the error names the setting of each that cannot be opened.
func ListenAll(ctx context.Context, all ...Listening) ([]net.Listener, error) {
	open := make([]net.Listener, 0, len(all))
	var failed []error
	for _, at := range all {
		listener, err := Listen(ctx, at.Setting, at.Address)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		open = append(open, listener)
	}
	if len(failed) == 0 {
		return open, nil
	}
	for _, listener := range open {
		failed = append(failed, listener.Close())
	}
	return nil, errors.Join(failed...)
}

// Listen opens a listener; the error names the setting, and says what to do about an address in use.
func Listen(ctx context.Context, setting, address string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s=%s: %w; stop the program that uses the port (another trivet?), or set %s to another address", setting, address, err, setting)
	}
	if err != nil {
		return nil, fmt.Errorf("%s=%s: %w", setting, address, err)
	}
	return l, nil
}

// GRPCPart serves gRPC on a listener.
func GRPCPart(server *grpcserver.Server, listener net.Listener) Part {
	return Part{Name: "gRPC", Run: func(ctx context.Context) error {
		err := server.Serve(ctx, listener, Grace)
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), Grace)
		defer cancel()
		return errors.Join(err, server.Drain(drain))
	}}
}

// ServicePart does a service's background work and closes it.
func ServicePart(name string, s Service) Part {
	return Part{Name: name, Run: func(ctx context.Context) error {
		err := s.Run(ctx)
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		return errors.Join(err, s.Close(closing))
	}}
}
