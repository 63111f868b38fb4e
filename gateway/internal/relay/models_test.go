package relay_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/trivet-dev/trivet/gateway/internal/relay"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
)

type catalog struct {
	aiv1.AIServiceClient
	ids []string
}

func (c catalog) ListModels(context.Context, *aiv1.ListModelsRequest, ...grpc.CallOption) (*aiv1.ListModelsResponse, error) {
	out := &aiv1.ListModelsResponse{}
	for _, id := range c.ids {
		out.Models = append(out.Models, &aiv1.Model{Id: id, Provider: "openai", Aliases: []string{id + "-2024-07-18"}})
	}
	return out, nil
}

func TestModelIDsAreUnescaped(t *testing.T) {
	models := relay.Models{AI: catalog{ids: []string{"meta/llama-3", "a b", "100%", "plain"}}}
	for path, want := range map[string]string{
		"/v1/models/meta%2Fllama-3":   "meta/llama-3",
		"/v1/models/a%20b":            "a b",
		"/v1/models/100%25":           "100%",
		"/v1/models/plain":            "plain",
		"/v1/models/pl%61in":          "plain",
		"/v1/models/plain-2024-07-18": "plain-2024-07-18",
		"/v1/models/other":            "",
		"/v1/models/meta":             "",
	} {
		w := httptest.NewRecorder()
		models.Get("/v1/models/").ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if want == "" {
			require.Equal(t, http.StatusNotFound, w.Code, path)
			continue
		}
		require.Equal(t, http.StatusOK, w.Code, path)
		require.Contains(t, w.Body.String(), `"id":"`+want+`"`, path)
	}
}
