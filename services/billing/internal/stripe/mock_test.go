package stripe_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// mock builds and starts a version of stripe-mock, Stripe's own server that checks requests against its specification, and returns its address. It needs
// both addresses, or it listens beyond this machine.
func mock(t *testing.T, version string) string {
	t.Helper()
	folder := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "install", "github.com/stripe/stripe-mock@"+version)
	build.Env = append(os.Environ(), "GOBIN="+folder, "GOFLAGS=")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	addresses := make([]string, 2)
	for i := range addresses {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		addresses[i] = l.Addr().String()
		require.NoError(t, l.Close())
	}
	server := exec.CommandContext(t.Context(), filepath.Join(folder, "stripe-mock"), "-http-addr", addresses[0], "-https-addr", addresses[1])
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	require.Eventually(t, func() bool {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addresses[0])
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, 30*time.Second, 10*time.Millisecond)
	return "http://" + addresses[0]
}

// specified leads to stripe-mock, and notes which requests were made. The objects of the specification that have ended, are paid or have no list of items
// are changed, so that the client has something left to do.
type specified struct {
	mu   sync.Mutex
	made map[string]bool
}

func (s *specified) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.made[r.Method+" "+r.URL.Path] = true
	s.mu.Unlock()
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || r.Method != http.MethodGet {
		return answer, err
	}
	changes := map[string]any{}
	switch {
	case r.URL.Path == "/v1/subscriptions/sub_1": // it has ended, and no change can be scheduled then
		changes["cancel_at"] = nil
	case strings.HasPrefix(r.URL.Path, "/v1/invoices/in_"): // its status is that of its name
		changes["status"] = strings.TrimPrefix(r.URL.Path, "/v1/invoices/in_")
	default:
		return answer, nil
	}
	read := answer.Body
	defer func() { _ = read.Close() }()
	var object map[string]any
	if err := json.NewDecoder(read).Decode(&object); err != nil {
		return nil, err
	}
	for name, value := range changes {
		object[name] = value
	}
	body, err := json.Marshal(object)
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return answer, err
}
