package gateway

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway/internal/rest"
	"github.com/trivet-dev/trivet/gateway/internal/status"
	"github.com/trivet-dev/trivet/gen"
)

// The OpenAPI document has every route that does not come from proto, and under /v1 no other. Those from proto are generated.
func TestOpenAPIHasTheRoutesOfTheTable(t *testing.T) {
	var document struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	require.NoError(t, json.Unmarshal(gen.OpenAPI(), &document))
	g := &Gateway{status: status.New(nil, func(*http.Request) bool { return false }, time.Now)}
	webhooks, err := g.webhooks(rest.Clients{})
	require.NoError(t, err)
	var served []string
	for _, r := range slices.Concat(g.openAI(nil, Deps{}), g.public(Deps{}), webhooks) {
		if r.Pattern != "/openapi.json" {
			served = append(served, r.Method+" "+r.Pattern)
		}
	}
	var described []string
	for path, methods := range document.Paths {
		for method := range methods {
			one := strings.ToUpper(method) + " " + path
			if strings.HasPrefix(path, "/v1/") || slices.Contains(served, one) {
				described = append(described, one)
			}
		}
	}
	require.ElementsMatch(t, served, described)
}
