package allinone

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/platform/integration"
	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/sandbox"
	"github.com/trivet-dev/trivet/sandbox/clerk"
)

// welcome prints the addresses and the next steps when everything is ready.
type welcome struct {
	to      io.Writer
	config  *config
	sandbox *sandbox.Sandbox          // nil when every provider is real
	url     string                    // the sandbox's address
	absent  []integration.Integration // those that the sandbox stands in for
}

const (
	// firstUser is the user of the welcome's commands.
	firstUser = "user_alice"
	// defaultSandboxAddr is the default of TRIVET_SANDBOX_ADDR.
	defaultSandboxAddr = "127.0.0.1:8090"
	// readiness is how long the welcome waits for the services before it appears anyway.
	readiness = 30 * time.Second
)

// part prints the welcome and then waits to be stopped.
func (w *welcome) part(s *system) serve.Part {
	return serve.Part{Name: "welcome", Run: func(ctx context.Context) error {
		s.awaitReady(ctx)
		if ctx.Err() == nil {
			if err := w.print(ctx, s); err != nil {
				s.host.Logger.WarnContext(ctx, "the addresses could not be printed", slog.Any("error", err))
			}
		}
		<-ctx.Done()
		return nil
	}}
}

// awaitReady returns when every check passes, when ctx ends, or after a while.
func (s *system) awaitReady(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, readiness)
	defer cancel()
	pause := time.NewTicker(50 * time.Millisecond)
	defer pause.Stop()
	for !s.ready(ctx) {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
	}
}

func (s *system) ready(ctx context.Context) bool {
	for _, service := range s.services {
		for _, check := range service.Checks() {
			if check(ctx) != nil {
				return false
			}
		}
	}
	return true
}

func (w *welcome) print(ctx context.Context, s *system) error {
	var b strings.Builder
	line := func(name, text string) { fmt.Fprintf(&b, "  %-18s %s\n", name, text) }
	edge := scheme(&w.config.Gateway) + reachable(s.edgeAddr)
	b.WriteString("\nTrivet is ready.\n\n")
	line("edge", edge)
	if w.config.Gateway.Console {
		line("console", edge+"/console/")
	}
	line("API documentation", edge+"/docs")
	line("health, metrics", "http://"+reachable(s.opsAddr)+"/readyz, /metrics")
	line("gRPC", reachable(s.grpcAddr))
	if w.sandbox == nil {
		b.WriteString("\nStop with Ctrl-C.\n\n")
		_, err := io.WriteString(w.to, b.String())
		return err
	}
	line("sandbox", w.url)
	if w.config.Auth.Issuer == w.sandbox.Clerk().Issuer() {
		line("sign-in page", w.url+"/clerk/sign-in")
		line("publishable key", w.sandbox.Clerk().PublishableKey())
	}
	w.standIns(&b)
	if w.config.Auth.Issuer == w.sandbox.Clerk().Issuer() {
		if err := w.signIns(ctx, &b); err != nil {
			return err
		}
		b.WriteString("\nNext, in a second terminal in this folder:\n\n")
		fmt.Fprintf(&b, "  TOKEN=$(%s --user %s --ttl 1h)\n", w.tokenCommand(), firstUser)
		fmt.Fprintf(&b, "  curl -s %s/api/v1/me -H \"Authorization: Bearer $TOKEN\"\n", edge)
		fmt.Fprintf(&b, "  curl -s %s/v1/chat/completions -H \"Authorization: Bearer $TOKEN\" \\\n"+
			"    -d '{\"model\":\"gpt-4o-mini\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}'\n", edge)
	}
	b.WriteString("\nThe README's tour shows more. Stop with Ctrl-C; what was billed stays in " + s.host.Settings.DataDir + ".\n\n")
	_, err := io.WriteString(w.to, b.String())
	return err
}

// standIns says which providers are not real, and what makes them so.
func (w *welcome) standIns(b *strings.Builder) {
	titles, names := make([]string, 0, len(w.absent)), make([]string, 0, len(w.absent))
	for _, i := range w.absent {
		titles, names = append(titles, i.Title), append(names, i.RealSettings[0])
	}
	fmt.Fprintf(b, "\nThe sandbox stands in for %s. For the real ones, set %s.\n", strings.Join(titles, ", "), strings.Join(names, ", "))
}

// tokenCommand is the command that asks this sandbox for a token.
func (w *welcome) tokenCommand() string {
	const command = "bin/trivet token"
	if w.config.Sandbox.Addr == defaultSandboxAddr {
		return command
	}
	return "TRIVET_SANDBOX_ADDR=" + strings.TrimPrefix(w.url, "http://") + " " + command
}

// signIns lists the users to sign in as. It creates them first if necessary.
func (w *welcome) signIns(ctx context.Context, b *strings.Builder) error {
	if !w.config.Gateway.Console {
		return nil
	}
	if _, err := w.sandbox.Clerk().MintToken(ctx, clerk.TokenSpec{User: firstUser}); err != nil {
		return err
	}
	names := firstUser + "@example.test"
	if slices.Contains(w.config.Auth.Operators, DevOperator) {
		if _, err := w.sandbox.Clerk().MintToken(ctx, clerk.TokenSpec{User: DevOperator}); err != nil {
			return err
		}
		names += ", or as " + DevOperator + "@example.test to see webhook events"
	}
	b.WriteString("\nSign in to the console with the code 424242 as " + names + ".\n")
	return nil
}
