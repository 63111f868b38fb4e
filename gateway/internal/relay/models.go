package relay

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/trivet-dev/trivet/gateway/internal/call"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// Models serves the models that the caller may use, in OpenAI's format.
type Models struct {
	AI aiv1.AIServiceClient
}

type modelList struct {
	Object string  `json:"object"`
	Data   []model `json:"data"`
}

type model struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`

	aliases []string
}

// List returns the handler of GET /v1/models.
func (h *Models) List() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		models, err := h.models(r)
		if err != nil {
			call.From(r.Context()).Fail(r.Context(), w, err)
			return
		}
		reply(w, modelList{Object: "list", Data: models})
	})
}

// Get returns the handler of GET /v1/models/{id}; the id is what follows prefix in the path.
func (h *Models) Get(prefix string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		models, err := h.models(r)
		if err != nil {
			call.From(r.Context()).Fail(r.Context(), w, err)
			return
		}
		id, _ := url.PathUnescape(strings.TrimPrefix(r.URL.EscapedPath(), prefix))
		at := slices.IndexFunc(models, func(m model) bool { return m.ID == id || slices.Contains(m.aliases, id) })
		if at < 0 {
			call.From(r.Context()).Fail(r.Context(), w, unknownModel(models))
			return
		}
		found := models[at]
		found.ID = id
		reply(w, found)
	})
}

func (h *Models) models(r *http.Request) ([]model, error) {
	out := []model{}
	for token := ""; ; {
		list, err := h.AI.ListModels(r.Context(), &aiv1.ListModelsRequest{PageToken: token})
		if err != nil {
			return nil, err
		}
		for _, m := range list.GetModels() {
			out = append(out, model{ID: m.GetId(), Object: "model", OwnedBy: m.GetProvider(), aliases: m.GetAliases()})
		}
		if token = list.GetNextPageToken(); token == "" {
			return out, nil
		}
	}
}

func unknownModel(known []model) error {
	ids := make([]string, 0, len(known))
	for _, m := range known {
		ids = append(ids, m.ID)
	}
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_FOUND, "Model not found. You may use: %s.", strings.Join(ids, ", ")).
		Field("model", "is not a model that you may use")
}

func reply(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	// Encoding strings and numbers cannot fail; writing fails only when the client is gone.
	_ = json.NewEncoder(w).Encode(body)
}
