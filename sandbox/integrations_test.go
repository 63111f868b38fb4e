package sandbox_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/integration"
	platformserve "github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/sandbox"
)

// A new row in the table of integrations needs a stand-in here, and its settings in serve.
func TestTheSandboxStandsInForEveryIntegration(t *testing.T) {
	box, err := sandbox.New(sandbox.Config{BaseURL: "http://127.0.0.1:8090", SMTPAddr: "127.0.0.1:8025"})
	require.NoError(t, err)
	defer func() { require.NoError(t, box.Close(context.Background())) }()
	ask := func(method, path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "http://127.0.0.1:8090"+path, strings.NewReader(body))
		r.RemoteAddr = "127.0.0.1:1"
		w := httptest.NewRecorder()
		box.Handler().ServeHTTP(w, r)
		return w
	}
	totals := ask(http.MethodGet, "/control/calls", "").Body.String()
	for _, i := range integration.All() {
		for _, name := range i.SandboxSettings {
			require.NotEmpty(t, box.Environment()[name], name)
			if !i.Optional {
				require.NotEmpty(t, platformserve.SandboxAt("http://127.0.0.1:8090")[name], name)
			}
		}
		require.Contains(t, totals, `"`+i.Name+`"`)
		if i.Optional {
			continue // it does not speak HTTP; its own test has its faults
		}
		require.Equal(t, http.StatusCreated, ask(http.MethodPost, "/control/faults", `{"provider":"`+i.Name+`","kind":"status","status":500}`).Code, i.Name)
		require.Equal(t, http.StatusInternalServerError, ask(http.MethodGet, "/"+i.Name+"/v1/users", "").Code, "%s has an API, and its faults take effect", i.Name)
		require.Equal(t, len(i.WebhookHeaders) > 0, box.Webhooks(i.Name) != nil, i.Name)
	}
	secrets := platformserve.StandIn{}.WebhookSecrets()
	for _, i := range integration.WithWebhooks() {
		require.Contains(t, secrets, i.Name, "StandIn has a setting for the secret of its webhooks")
	}
	require.Len(t, secrets, len(integration.WithWebhooks()))
}
