package allinone

import (
	"bytes"
	"context"
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

func TestSuccessfulCallsToTheSandboxAreQuiet(t *testing.T) {
	var out bytes.Buffer
	log := quietLogger(slog.New(slog.NewTextHandler(&out, nil)), []string{"clerk"}).With("a", 1)
	log.Info("provider call", "integration", "clerk", "status", 200)
	require.Empty(t, out.String())
	log.Info("provider call", "integration", "openai")
	log.Warn("provider call", "integration", "clerk")
	log.Info("another line", "integration", "clerk")
	require.Equal(t, 3, strings.Count(out.String(), "\n"), out.String())
	debug := quietLogger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})), []string{"clerk"})
	debug.Info("provider call", "integration", "clerk")
	require.Equal(t, 4, strings.Count(out.String(), "\n"))
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

// trivet dev ends with where things are and a token that works.
func TestDevEndsWithAddressesAndAToken(t *testing.T) {
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
	token := regexp.MustCompile(`export TOKEN=(\S+)`).FindStringSubmatch(block)[1]
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
	require.NotContains(t, log.String(), token, "a token is printed, not logged")
}
