package allinone

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A key that its file names is replaced while Trivet runs, and no call is refused meanwhile.
func TestKeyChangesByItsFile(t *testing.T) {
	var mu sync.Mutex
	newest := ""
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		newest = r.Header.Get("Authorization")
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprint(w, `{"id":"1","object":"chat.completion","model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`)
	}))
	t.Cleanup(provider.Close)
	file := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(file, []byte("sk-first\n"), 0o600))
	in := startDev(t, map[string]string{
		"OPENAI_BASE_URL": provider.URL + "/v1", "OPENAI_API_KEY_FILE": file, "TRIVET_SECRET_RELOAD_INTERVAL": "10ms", "OPENAI_PROBE_INTERVAL": "0s",
	})
	used := func() string {
		status, body := in.call(t, http.MethodPost, in.edge+"/v1/chat/completions", in.token, `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}`)
		require.Equal(t, http.StatusOK, status, body)
		mu.Lock()
		defer mu.Unlock()
		return newest
	}
	require.Equal(t, "Bearer sk-first", used())
	require.NoError(t, os.WriteFile(file, []byte("sk-second,sk-first\n"), 0o600))
	require.Eventually(t, func() bool { return used() == "Bearer sk-second" }, 30*time.Second, time.Millisecond)
}
