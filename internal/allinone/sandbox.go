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

	"github.com/trivet-dev/trivet/platform/datafolder"
	"github.com/trivet-dev/trivet/platform/integration"
	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/sandbox"
	"github.com/trivet-dev/trivet/sandbox/webhook"
)

// SandboxSettings holds the settings of the sandbox.
type SandboxSettings struct {
	// Addr is the address that the sandbox listens on.
	Addr string `env:"TRIVET_SANDBOX_ADDR" default:"127.0.0.1:8090" help:"address of the sandbox, which stands in for Clerk, OpenAI and Stripe in development"`
	// SMTPAddr is the address of its mail server.
	SMTPAddr string `env:"TRIVET_SANDBOX_SMTP_ADDR" default:"127.0.0.1:0" help:"address of the sandbox's mail server, which delivers nothing; port 0 takes a free port, which the log of trivet sandbox shows"`
	// AllowedHosts lists host names of the sandbox in addition to this machine's names.
	AllowedHosts []string `env:"TRIVET_SANDBOX_ALLOWED_HOSTS" help:"host names or addresses, separated by commas, by which the sandbox may be reached and whose pages may use it; always: localhost, loopback addresses and the host of TRIVET_SANDBOX_ADDR"`
	// Webhooks is the address of the edge that receives the sandbox's webhooks.
	Webhooks string `env:"TRIVET_SANDBOX_EDGE_URL" help:"address of the edge that gets the sandbox's webhooks; default: the one on this machine"`
	// Pace is the time between the words of a streamed answer.
	Pace time.Duration `env:"TRIVET_SANDBOX_PACE" default:"20ms" min:"0s" max:"1m" help:"time between the words of the sandbox's streamed answers"`
}

// Validate checks the address.
func (s SandboxSettings) Validate(settings.Modes) error {
	return settings.Join(serve.CheckAddress("TRIVET_SANDBOX_ADDR", s.Addr), serve.CheckAddress("TRIVET_SANDBOX_SMTP_ADDR", s.SMTPAddr))
}

// URL is the sandbox's base address as this machine reaches it.
func (s SandboxSettings) URL() string { return "http://" + reachable(s.Addr) }

// edgeURL returns the address for the sandbox's webhooks, by default the edge on this machine.
func (s SandboxSettings) edgeURL(edge serve.Edge) string {
	if s.Webhooks != "" {
		return strings.TrimRight(s.Webhooks, "/")
	}
	return "http://" + reachable(edge.HTTPAddr)
}

// reachable returns the address at which this machine reaches a listener. A listener on all addresses is reached on loopback.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || host != "" && (ip == nil || !ip.IsUnspecified()) {
		return address
	}
	return net.JoinHostPort("127.0.0.1", port)
}

// Sandbox runs only the sandbox until ctx ends.
func Sandbox(ctx context.Context, env settings.Env, stderr io.Writer) error {
	var s struct {
		Host    serve.Settings
		Edge    serve.Edge
		Sandbox SandboxSettings
		StandIn serve.StandIn
	}
	if err := settings.Load(env.Get, &s); err != nil {
		return err
	}
	c := &config{Host: s.Host, Edge: s.Edge, Sandbox: s.Sandbox, StandIn: s.StandIn}
	host, err := c.host(stderr)
	if err != nil {
		return err
	}
	if err := host.Announce(ctx, env); err != nil {
		return err
	}
	box, part, err := startSandbox(ctx, c, host)
	if err != nil {
		return err
	}
	host.Logger.InfoContext(ctx, "sandbox is up", slog.String("address", "http://"+s.Sandbox.Addr), slog.String("smtp", box.Environment()["SMTP_ADDR"]))
	return host.Run(ctx, part)
}

func startSandbox(ctx context.Context, c *config, host *serve.Host) (*sandbox.Sandbox, serve.Part, error) {
	listener, err := serve.Listen(ctx, "TRIVET_SANDBOX_ADDR", c.Sandbox.Addr)
	if err != nil {
		return nil, serve.Part{}, err
	}
	mails, err := serve.Listen(ctx, "TRIVET_SANDBOX_SMTP_ADDR", c.Sandbox.SMTPAddr)
	if err != nil {
		return nil, serve.Part{}, errors.Join(err, listener.Close())
	}
	warnIfPublic(ctx, host.Logger, listener.Addr())
	folder := filepath.Join(host.Settings.DataDir, "sandbox")
	release, err := datafolder.Acquire(folder)
	if err != nil {
		return nil, serve.Part{}, errors.Join(err, listener.Close(), mails.Close())
	}
	s, err := sandbox.New(sandbox.Config{
		Dir: folder, Now: host.Now, Logger: host.Logger, Pace: c.Sandbox.Pace,
		BaseURL: "http://" + reachable(listener.Addr().String()), AllowedHosts: c.Sandbox.AllowedHosts,
		SMTPAddr: reachable(mails.Addr().String()),
	})
	if err != nil {
		return nil, serve.Part{}, errors.Join(fmt.Errorf("the sandbox's files in TRIVET_DATA_DIR=%s: %w", host.Settings.DataDir, err), listener.Close(), mails.Close(), release())
	}
	if err := deliver(s, c); err != nil {
		return nil, serve.Part{}, errors.Join(err, listener.Close(), mails.Close(), s.Close(ctx), release())
	}
	return s, sandboxPart(s, listener, mails, release), nil
}

// deliver sends the sandbox's webhooks to the edge.
func deliver(s *sandbox.Sandbox, c *config) error {
	edge, secrets := c.Sandbox.edgeURL(c.Edge), c.StandIn.WebhookSecrets()
	var failed []error
	for _, i := range integration.WithWebhooks() {
		secret := s.Environment()[i.WebhookSetting]
		if own := secrets[i.Name]; own.IsSet() {
			secret = own.Reveal()
		}
		_, err := s.Webhooks(i.Name).Add(webhook.Endpoint{URL: edge + i.WebhookPath(), Secrets: []string{secret}})
		failed = append(failed, err)
	}
	if err := errors.Join(failed...); err != nil {
		return settings.Join(settings.Invalid("TRIVET_SANDBOX_EDGE_URL", "or a webhook secret of the sandbox is wrong: "+err.Error(), ""))
	}
	return nil
}

// warnIfPublic logs a warning, with the setting, if other machines can reach the sandbox.
func warnIfPublic(ctx context.Context, log *slog.Logger, addr net.Addr) {
	if tcp, ok := addr.(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		log.WarnContext(ctx, "the sandbox listens on a public address: everybody who reaches it can create session tokens; "+
			"set TRIVET_SANDBOX_ADDR to a loopback address unless the network is private", slog.String("addr", addr.String()))
	}
}

// sandboxPart serves the sandbox and releases its folder at the end.
func sandboxPart(s *sandbox.Sandbox, listener, mails net.Listener, release func() error) serve.Part {
	return serve.Part{Name: "sandbox", Run: func(ctx context.Context) (err error) {
		defer func() { err = errors.Join(err, release()) }()
		server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second}
		server.RegisterOnShutdown(func() { _ = s.Close(context.WithoutCancel(ctx)) }) // ends answers that hang on purpose
		served := make(chan error, 1)
		go func() { served <- s.Email().Serve(ctx, mails) }()
		return errors.Join(serve.HTTP(ctx, server, listener), <-served, s.Close(context.WithoutCancel(ctx)))
	}}
}
