// Package allinone puts the three services, the edge and, in development, the
// sandbox into one process. The services talk over an in-process gRPC channel,
// through the same interceptors as over the network.
package allinone

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
)

// Dev runs everything for development until ctx ends.
func Dev(ctx context.Context, getenv func(string) string, stderr io.Writer) error {
	host, err := newHost(getenv, stderr)
	if err != nil {
		return err
	}
	if host.Settings.Production() {
		return errors.New("TRIVET_ENV is production, and trivet dev is for development: use trivet serve, or unset TRIVET_ENV")
	}
	getenv = layer(getenv, map[string]string{"TRIVET_OPERATORS": DevOperator})
	var before []serve.Part
	if len(absent(getenv)) > 0 {
		host.Logger.InfoContext(ctx, "be somebody: bin/trivet token --user user_alice; then follow the README's tour")
		lookup, part, err := standIn(ctx, getenv, host)
		if err != nil {
			return err
		}
		getenv, before = lookup, append(before, part)
	}
	return run(ctx, getenv, host, before, true)
}

// Serve runs everything for production until ctx ends.
func Serve(ctx context.Context, getenv func(string) string, stderr io.Writer) error {
	getenv = layer(getenv, map[string]string{"TRIVET_ENV": "production"})
	host, err := newHost(getenv, stderr)
	if err != nil {
		return err
	}
	// On PostgreSQL several replicas start at once: their operator migrates, once, before.
	return run(ctx, getenv, host, nil, !onPostgres(getenv), "serve")
}

// Migrate applies every service's migrations and returns.
func Migrate(ctx context.Context, getenv func(string) string, stderr io.Writer) error {
	host, err := newHost(getenv, stderr)
	if err != nil {
		return err
	}
	getenv = withDatabase(getenv, host.Settings.DataDir)
	return migrateAll(ctx, getenv, host)
}

func run(ctx context.Context, getenv func(string) string, host *serve.Host, before []serve.Part, migrate bool, modes ...string) (err error) {
	getenv = withDatabase(getenv, host.Settings.DataDir)
	house, err := build(ctx, getenv, host, modes...)
	if err != nil {
		return err
	}
	if migrate {
		for _, s := range house.services {
			if err := s.Migrate(ctx); err != nil {
				return errors.Join(fmt.Errorf("migrate %s: %w", s.name, err), house.close(ctx))
			}
		}
	}
	parts, err := house.parts(ctx)
	if err != nil {
		return errors.Join(err, house.close(ctx))
	}
	host.Logger.InfoContext(ctx, "trivet is up",
		slog.String("edge", "http://"+house.edgeAddr), slog.String("grpc", host.Settings.GRPCAddr), slog.String("ops", "http://"+host.Settings.OpsAddr))
	return serve.Run(ctx, host.Logger, append(before, parts...)...)
}

func newHost(getenv func(string) string, stderr io.Writer) (*serve.Host, error) {
	var s serve.Settings
	if err := settings.Load(getenv, &s); err != nil {
		return nil, err
	}
	return serve.NewHost("trivet", s, stderr)
}

// withDatabase puts SQLite in the data folder where no DATABASE_URL is set.
func withDatabase(getenv func(string) string, dir string) func(string) string {
	if isSet(getenv, "DATABASE_URL") {
		return getenv
	}
	return layer(getenv, map[string]string{"DATABASE_URL": "sqlite://" + dir})
}

func onPostgres(getenv func(string) string) bool {
	var at struct {
		URL settings.Secret `env:"DATABASE_URL"`
	}
	return settings.Load(getenv, &at) == nil && strings.HasPrefix(at.URL.Reveal(), "postgres")
}

// layer gives defaults to names that the lookup has no value for.
func layer(getenv func(string) string, defaults map[string]string) func(string) string {
	return func(name string) string {
		if value := getenv(name); value != "" {
			return value
		}
		return defaults[name]
	}
}

// newTrust makes the secrets that the parts of one process prove themselves with; they live as long as it.
func newTrust() (ed25519.PrivateKey, []byte, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a passport key: %w", err)
	}
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return nil, nil, fmt.Errorf("make an internal secret: %w", err)
	}
	return key, secret, nil
}
