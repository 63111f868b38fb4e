// Package allinone puts the three services, the edge and, in development, the
// sandbox into one process. The services talk over an in-process gRPC channel,
// through the same interceptors as over the network.
package allinone

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/trivet-dev/trivet/gateway"
	"github.com/trivet-dev/trivet/platform/integration"
	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
)

// DevOptions holds the options of trivet dev.
type DevOptions struct {
	// AllowPublic allows addresses that other machines can reach.
	AllowPublic bool
	// Stdout receives the addresses and the next steps when everything is ready.
	Stdout io.Writer
	// Stderr receives the log.
	Stderr io.Writer
}

// Dev runs everything for development until ctx ends.
func Dev(ctx context.Context, env settings.Env, options DevOptions) error {
	env.Get = withDatabase(layer(env.Get, map[string]string{"TRIVET_OPERATORS": DevOperator}))
	c, err := loadDev(env, options)
	if err != nil {
		return err
	}
	host, err := c.host(options.Stderr)
	if err != nil {
		return err
	}
	if err := announceDev(ctx, env, c, host); err != nil {
		return err
	}
	if len(serve.AbsentRequired(env.Get)) == 0 {
		return run(ctx, c, host, runOptions{migrate: true, development: development(nil, nil), welcome: &welcome{to: options.Stdout, config: c}})
	}
	replaced := serve.Absent(env.Get)
	absent := integration.Names(replaced)
	host.Logger = quietLogger(host.Logger, absent)
	box, part, err := startSandbox(ctx, c, host)
	if err != nil {
		return err
	}
	get, err := serve.FillIn(env.Get, c.StandIn.Secrets(box.Environment()))
	if err == nil {
		c, err = load(env.With(get), nil)
	}
	if err != nil {
		return endEarly(ctx, part, err)
	}
	return run(ctx, c, host, runOptions{
		before: []serve.Part{part}, migrate: true, development: development(box, absent),
		welcome: &welcome{to: options.Stdout, config: c, sandbox: box, url: sandboxURL(box), absent: replaced},
	})
}

// loadDev reads the settings before the sandbox fills in those of the absent providers.
func loadDev(env settings.Env, options DevOptions) (*config, error) {
	return load(env, nil, func(c *config) error {
		var wrong []error
		if c.Host.Production() {
			wrong = append(wrong, settings.Invalid("TRIVET_ENV", "is production, and trivet dev is for development", "use trivet serve, or unset TRIVET_ENV"))
		}
		if !options.AllowPublic {
			wrong = append(wrong, refusePublic(c))
		}
		for _, i := range integration.All() {
			if !i.Optional && serve.IsReal(env.Get, i) {
				wrong = append(wrong, c.validateService(i.Service))
			}
		}
		return settings.Join(wrong...)
	})
}

// announceDev says what is unusual about the settings.
func announceDev(ctx context.Context, env settings.Env, c *config, host *serve.Host) error {
	if env.File != "" {
		host.Logger.InfoContext(ctx, "settings read from a file", slog.String("file", env.File), slog.String("names", strings.Join(env.FileNames, ", ")))
	}
	for _, name := range settings.Strangers(env.FileNames, serve.KnowTargets(env).Also...) {
		host.Logger.WarnContext(ctx, "no part of Trivet reads this setting", slog.String("file", env.File), slog.String("name", name))
	}
	if open := c.public(); len(open) > 0 {
		host.Logger.WarnContext(ctx, "other machines can reach this development server, and anyone who does can act as any user",
			slog.String("settings", strings.Join(open, ", ")))
	}
	return host.Announce(ctx, env)
}

// endEarly closes a part that was built but will not run.
func endEarly(ctx context.Context, part serve.Part, err error) error {
	ended, end := context.WithCancel(ctx)
	end()
	return errors.Join(err, part.Run(ended))
}

// endAll closes the parts that were built but will not run.
func endAll(ctx context.Context, parts []serve.Part, err error) error {
	for _, part := range parts {
		err = endEarly(ctx, part, err)
	}
	return err
}

// Serve runs everything for production until ctx ends.
func Serve(ctx context.Context, env settings.Env, stderr io.Writer) error {
	env.Get = layer(env.Get, map[string]string{"TRIVET_ENV": "production"})
	env.Get = withDatabase(serve.WithDefaults(env.Get))
	c, err := load(env, []string{settings.Serve, settings.Production}, func(c *config) error {
		if c.Host.Production() {
			return serve.RefuseDevFile(env.Get)
		}
		return settings.Invalid("TRIVET_ENV", "is "+c.Host.Env+", and trivet serve is for production", "unset it, or use trivet dev")
	})
	if err != nil {
		return err
	}
	host, err := c.host(stderr)
	if err != nil {
		return err
	}
	if err := host.Announce(ctx, env, c); err != nil {
		return err
	}
	// On PostgreSQL several replicas may start together, so the operator migrates once before the start.
	return run(ctx, c, host, runOptions{migrate: !onPostgres(c)})
}

// onPostgres reports whether several replicas may share the database.
func onPostgres(c *config) bool { return strings.HasPrefix(c.Store.DatabaseURL.Reveal(), "postgres") }

// runOptions holds the differences between trivet dev and trivet serve.
type runOptions struct {
	before      []serve.Part
	migrate     bool
	welcome     *welcome
	development gateway.Development
}

func run(ctx context.Context, c *config, host *serve.Host, options runOptions) error {
	setHeapGrowth(os.Getenv) // Go's runtime reads the same
	sys, err := build(ctx, c, host, options.development)
	if err != nil {
		return endAll(ctx, options.before, err)
	}
	if options.migrate {
		if err := sys.migrate(ctx); err != nil {
			return endAll(ctx, options.before, errors.Join(err, sys.close(ctx)))
		}
	}
	parts, err := sys.parts(ctx)
	if err != nil {
		return endAll(ctx, options.before, errors.Join(err, sys.close(ctx)))
	}
	host.Logger.InfoContext(ctx, "trivet is up", slog.String("version", serve.Version()), slog.String("edge", scheme(&c.Gateway)+sys.edgeAddr),
		slog.String("grpc", sys.grpcAddr), slog.String("ops", "http://"+sys.opsAddr))
	if options.welcome != nil {
		parts = append(parts, options.welcome.part(sys))
	}
	return host.Run(ctx, append(options.before, parts...)...)
}
