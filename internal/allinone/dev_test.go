package allinone

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/settings"
)

func TestRoutineLinesAreQuietInDevelopment(t *testing.T) {
	var out bytes.Buffer
	log := quietLogger(slog.New(slog.NewTextHandler(&out, nil)), []string{"clerk"}).With("a", 1)
	log.Info("provider call", "integration", "clerk", "status", 200)
	log.Warn("provider call", "integration", "clerk", "status", 404)
	log.Info("migration applied", "service", "auth")
	log.Info("request", "route", "/api/webhooks/clerk", "status", 200)
	require.Empty(t, out.String())
	log.Info("provider call", "integration", "openai")
	log.Warn("provider call", "integration", "clerk", "status", 500)
	log.Warn("provider call", "integration", "openai", "status", 404)
	log.Info("request", "route", "/api/webhooks/clerk", "status", 400)
	log.Info("request", "route", "/api/webhooks/stripe", "status", 200)
	log.Info("request", "route", "/api/v1/me", "status", 200)
	log.Info("another line", "integration", "clerk")
	require.Equal(t, 7, strings.Count(out.String(), "\n"), out.String())
	debug := quietLogger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})), []string{"clerk"})
	debug.Info("provider call", "integration", "clerk")
	require.Equal(t, 8, strings.Count(out.String(), "\n"))
}

// screen is what a developer sees.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// trivet dev ends with where things are and a command for a token that works.
func TestDevEndsWithAddressesAndNextSteps(t *testing.T) {
	values := map[string]string{
		"TRIVET_DATA_DIR": t.TempDir(), "TRIVET_HTTP_ADDR": "127.0.0.1:0", "TRIVET_GRPC_ADDR": "127.0.0.1:0", "TRIVET_OPS_ADDR": "127.0.0.1:0", "TRIVET_SANDBOX_ADDR": "127.0.0.1:0",
	}
	e := settings.Env{
		Get: func(name string) string { return values[name] }, Names: []string{"TRIVET_HTP_ADDR"},
		File: ".dev.vars", FileNames: []string{"LOG_LEVEL", "VITE_X"},
	}
	var out, log screen
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Dev(ctx, e, DevOptions{Stdout: &out, Stderr: &log}) }()
	defer func() {
		stop()
		require.NoError(t, <-ended)
	}()
	require.Eventually(t, func() bool { return strings.Contains(out.String(), "Stop with Ctrl-C") }, 60*time.Second, 20*time.Millisecond)
	block := out.String()
	for _, part := range []string{"Trivet is ready.", "/docs", "/console/", "424242 as user_alice@example.test, or as user_operator@example.test", "/clerk/sign-in", "publishable key    pk_test_", "gRPC", "/readyz"} {
		require.Contains(t, block, part)
	}
	edge := regexp.MustCompile(`edge +(http://\S+)`).FindStringSubmatch(block)[1]
	command := regexp.MustCompile(`TOKEN=\$\(TRIVET_SANDBOX_ADDR=(\S+) bin/trivet token --user user_alice --ttl 1h\)`).FindStringSubmatch(block)
	require.NotNil(t, command, block)
	token := mintToken(t, "http://"+command[1], "user_alice")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, edge+"/api/v1/me", http.NoBody)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusOK, response.StatusCode)
	for _, line := range []string{`msg="settings read from a file" file=.dev.vars`, `msg="no part of Trivet reads this setting" file=.dev.vars name=VITE_X`, `name=TRIVET_HTP_ADDR hint="did you mean TRIVET_HTTP_ADDR?"`} {
		require.Contains(t, log.String(), line)
	}
	require.NotContains(t, log.String(), "level=WARN msg=\"TRIVET_API_KEY_SECRET", "nothing must be done about it in development")
	require.NotContains(t, log.String(), "migration applied")
	require.Contains(t, block, "The sandbox stands in for Clerk, OpenAI, Stripe, E-mail.")
	require.Contains(t, block, "CLERK_SECRET_KEY, OPENAI_API_KEY, STRIPE_SECRET_KEY, SMTP_ADDR")
}

// mintToken asks a running sandbox for a session token that is good for an hour, as trivet token does.
func mintToken(t *testing.T, sandbox, user string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, sandbox+"/control/clerk/tokens", strings.NewReader(`{"user":"`+user+`","ttl":"1h"}`))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	var answer struct{ Token string }
	require.NoError(t, json.NewDecoder(response.Body).Decode(&answer))
	require.NotEmpty(t, answer.Token)
	return answer.Token
}
