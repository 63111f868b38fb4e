package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"

	"github.com/trivet-dev/trivet/platform/grpcserver"
)

// Service is what auth, ai and billing each are.
type Service interface {
	// Register adds the service's RPCs.
	Register(registrar grpc.ServiceRegistrar)
	// Run does the background work until ctx ends and every goroutine has stopped.
	Run(ctx context.Context) error
	// Migrate brings the service's store to the newest schema.
	Migrate(ctx context.Context) error
	// Checks are what must be well for the service to be ready, by name.
	Checks() map[string]func(context.Context) error
	// Close releases what New opened.
	Close(ctx context.Context) error
}

// closeTimeout bounds how long a store may take to close.
const closeTimeout = 10 * time.Second

// Grace is how long running calls may go on after a process was told to stop.
const Grace = 20 * time.Second

// Listen opens a listener and says which setting is wrong when it can't.
func Listen(ctx context.Context, setting, address string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
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

// AITimeout bounds a call to a model that is not streamed and whose caller set no deadline: reasoning takes minutes.
const AITimeout = 10 * time.Minute
