package allinone

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/sandbox"
	"github.com/trivet-dev/trivet/sandbox/clerk"
)

// welcome prints the addresses and the next steps when everything is ready.
type welcome struct {
	to      io.Writer
	config  *config
	sandbox *sandbox.Sandbox // nil when every provider is real
	url     string           // the sandbox's address
}

const (
	// firstUser is the user of the welcome's token.
	firstUser = "user_alice"
	// firstToken is how long that token lives.
	firstToken = time.Hour
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
		token, err := w.sandbox.Clerk().MintToken(ctx, clerk.TokenSpec{User: firstUser, TTL: firstToken})
		if err != nil {
			return err
		}
		if err := w.signIns(ctx, &b); err != nil {
			return err
		}
		fmt.Fprintf(&b, "\nA session token of %s, good for an hour (bin/trivet token --user %s --ttl 1h makes more):\n\n", firstUser, firstUser)
		fmt.Fprintf(&b, "  export TOKEN=%s\n\n", token)
		b.WriteString("Next:\n\n")
		fmt.Fprintf(&b, "  curl -s %s/api/v1/me -H \"Authorization: Bearer $TOKEN\"\n", edge)
		fmt.Fprintf(&b, "  curl -s %s/v1/chat/completions -H \"Authorization: Bearer $TOKEN\" \\\n"+
			"    -d '{\"model\":\"gpt-4o-mini\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}'\n", edge)
	}
	b.WriteString("\nThe README's tour shows more. Stop with Ctrl-C; what was billed stays in " + s.host.Settings.DataDir + ".\n\n")
	_, err := io.WriteString(w.to, b.String())
	return err
}

// signIns lists the users to sign in as. It creates them first if necessary.
func (w *welcome) signIns(ctx context.Context, b *strings.Builder) error {
	if !w.config.Gateway.Console {
		return nil
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
