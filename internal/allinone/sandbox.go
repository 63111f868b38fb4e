package allinone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/sandbox"
)

// SandboxSettings say where the stand-ins for the providers are.
type SandboxSettings struct {
	// Addr is where the sandbox listens.
	Addr string `env:"TRIVET_SANDBOX_ADDR" default:"127.0.0.1:8090" help:"address of the sandbox, which stands in for Clerk, OpenAI and Stripe in development"`
	// AllowedHosts are names by which the sandbox may be reached, beside this machine's.
	AllowedHosts []string `env:"TRIVET_SANDBOX_ALLOWED_HOSTS" help:"host names or addresses, separated by commas, by which the sandbox may be reached and whose pages may use it; always: localhost, loopback addresses and the host of TRIVET_SANDBOX_ADDR"`
	// Webhooks is the edge that gets the sandbox's webhooks.
	Webhooks string `env:"TRIVET_SANDBOX_EDGE_URL" help:"address of the edge that gets the sandbox's webhooks; default: the one on this machine"`
	// Pace is the time between the words of a streamed answer.
	Pace time.Duration `env:"TRIVET_SANDBOX_PACE" default:"20ms" min:"0s" max:"1m" help:"time between the words of the sandbox's streamed answers"`
}

// URL is the sandbox's base address.
func (s SandboxSettings) URL() string { return "http://" + s.Addr }

// EdgeURL is where the sandbox sends its webhooks: to the edge of the same machine, or nowhere when that is not set.
func (s SandboxSettings) EdgeURL(getenv func(string) string) string {
	if s.Webhooks != "" {
		return s.Webhooks
	}
	var edge serve.Edge
	if err := settings.Load(getenv, &edge); err != nil {
		return "" // the edge itself reports it
	}
	return "http://" + edge.HTTPAddr
}

// provider is a third party that the sandbox can stand in for.
type provider struct {
	name string
	// signs are the settings of which one tells that the real provider is meant.
	signs []string
	// settings are what the sandbox fills in otherwise.
	settings []string
}

// instanceSetting is left alone where it is set.
const instanceSetting = "CLERK_INSTANCE_ID"

var providers = []provider{
	{"clerk", []string{"CLERK_SECRET_KEY", "CLERK_JWT_KEY"}, []string{"CLERK_SECRET_KEY", "CLERK_PUBLISHABLE_KEY", "CLERK_ISSUER", "CLERK_API_URL", instanceSetting, "CLERK_WEBHOOK_SECRET"}},
	{"openai", []string{"OPENAI_API_KEY"}, []string{"OPENAI_API_KEY", "OPENAI_BASE_URL"}},
	{"stripe", []string{"STRIPE_SECRET_KEY"}, []string{"STRIPE_SECRET_KEY", "STRIPE_API_URL", "STRIPE_WEBHOOK_SECRET"}},
}

const (
	stripeReads  = "STRIPE_READS_PER_SECOND"
	sandboxReads = "10000"
)

func isSet(getenv func(string) string, name string) bool {
	return getenv(name) != "" || getenv(name+"_FILE") != ""
}

// absent returns the providers that no setting names.
func absent(getenv func(string) string) []provider {
	var missing []provider
	for _, p := range providers {
		real := false
		for _, sign := range p.signs {
			real = real || isSet(getenv, sign)
		}
		if !real {
			missing = append(missing, p)
		}
	}
	return missing
}

// Sandbox runs the sandbox alone until ctx ends.
func Sandbox(ctx context.Context, getenv func(string) string, stderr io.Writer) error {
	host, err := newHost(getenv, stderr)
	if err != nil {
		return err
	}
	_, part, err := startSandbox(ctx, getenv, host)
	if err != nil {
		return err
	}
	host.Logger.InfoContext(ctx, "sandbox is up")
	return serve.Run(ctx, host.Logger, part)
}

// standIn starts the sandbox and returns a lookup in which it stands for the absent providers.
func standIn(ctx context.Context, getenv func(string) string, host *serve.Host) (func(string) string, serve.Part, error) {
	var own webhookSecrets
	if err := settings.Load(getenv, &own); err != nil {
		return nil, serve.Part{}, err
	}
	s, part, err := startSandbox(ctx, getenv, host)
	if err != nil {
		return nil, serve.Part{}, err
	}
	missing := absent(getenv)
	for _, p := range missing {
		host.Logger.WarnContext(ctx, "the sandbox stands in for a provider", slog.String("provider", p.name), slog.String("set_for_the_real_one", p.signs[0]))
	}
	return fillIn(getenv, own, s.Environment(), missing), part, nil
}

// webhookSecrets are those that the developer has set.
type webhookSecrets struct {
	Clerk  settings.Secrets `env:"CLERK_WEBHOOK_SECRET"`
	Stripe settings.Secrets `env:"STRIPE_WEBHOOK_SECRET"`
}

// fillIn returns a lookup with the sandbox's settings for some providers. Webhooks that are signed with a secret of the
// developer's own stay good beside the sandbox's.
func fillIn(getenv func(string) string, own webhookSecrets, stand map[string]string, missing []provider) func(string) string {
	values := map[string]string{}
	for _, p := range missing {
		for _, name := range p.settings {
			values[name] = stand[name]
		}
		if p.name == "stripe" && !isSet(getenv, stripeReads) {
			values[stripeReads] = sandboxReads // the sandbox has none of the limits that Stripe has for a test key
		}
	}
	for name, secrets := range map[string]settings.Secrets{"CLERK_WEBHOOK_SECRET": own.Clerk, "STRIPE_WEBHOOK_SECRET": own.Stripe} {
		if theirs, ok := values[name]; ok {
			values[name] = strings.Join(append(secrets.Reveal(), theirs), ",")
		}
	}
	if isSet(getenv, instanceSetting) {
		delete(values, instanceSetting)
	}
	return settings.Layer(func(name string) string { return values[name] }, getenv)
}

func startSandbox(ctx context.Context, getenv func(string) string, host *serve.Host) (*sandbox.Sandbox, serve.Part, error) {
	var at SandboxSettings
	if err := settings.Load(getenv, &at); err != nil {
		return nil, serve.Part{}, err
	}
	listener, err := serve.Listen(ctx, "TRIVET_SANDBOX_ADDR", at.Addr)
	if err != nil {
		return nil, serve.Part{}, err
	}
	warnIfPublic(ctx, host.Logger, listener.Addr())
	s, err := sandbox.New(sandbox.Config{
		Dir: filepath.Join(host.Settings.DataDir, "sandbox"), Now: host.Now, Logger: host.Logger, Pace: at.Pace,
		BaseURL: baseURL(listener.Addr()), EdgeURL: at.EdgeURL(getenv), AllowedHosts: at.AllowedHosts,
	})
	if err != nil {
		return nil, serve.Part{}, errors.Join(fmt.Errorf("sandbox: %w", err), listener.Close())
	}
	return s, sandboxPart(s, listener), nil
}

// warnIfPublic names the setting by which other machines can reach the sandbox.
func warnIfPublic(ctx context.Context, log *slog.Logger, addr net.Addr) {
	if tcp, ok := addr.(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		log.WarnContext(ctx, "the sandbox listens on a public address: everybody who reaches it can create session tokens; "+
			"set TRIVET_SANDBOX_ADDR to a loopback address unless the network is private", slog.String("addr", addr.String()))
	}
}

// baseURL is where a browser on this machine reaches a listener. One on all addresses has no address of its own.
func baseURL(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return fmt.Sprintf("http://localhost:%d", tcp.Port)
	}
	return "http://" + addr.String()
}

func sandboxPart(s *sandbox.Sandbox, listener net.Listener) serve.Part {
	return serve.Part{Name: "sandbox", Run: func(ctx context.Context) error {
		server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second}
		server.RegisterOnShutdown(func() { _ = s.Close(context.WithoutCancel(ctx)) }) // ends answers that hang on purpose
		return errors.Join(serve.HTTP(ctx, server, listener), s.Close(context.WithoutCancel(ctx)))
	}}
}
