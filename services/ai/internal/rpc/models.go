package rpc

import (
	"cmp"
	"context"
	"slices"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/saturate"
)

// ListModels lists the models that the caller may use: those of the price list that the plan and the API key include.
func (s *Server) ListModels(ctx context.Context, req *aiv1.ListModelsRequest) (*aiv1.ListModelsResponse, error) {
	claims, err := passport.Caller(ctx)
	if err != nil {
		return nil, err
	}
	plan, err := s.plans.Get(ctx, claims.AccountID)
	if err != nil {
		return nil, err
	}
	all := usable(s.models.All(), plan.GetModels(), claims.Models)
	list := paging.List{Name: "models", Filters: []string{claims.AccountID, claims.APIKeyID}}
	page, next, err := paging.Window(list, all, paging.LongSize(req.GetPageSize()), req.GetPageToken(),
		func(m models.Model) paging.Cursor { return paging.Cursor{ID: m.ID} })
	if err != nil {
		return nil, err
	}
	out := &aiv1.ListModelsResponse{NextPageToken: next}
	for _, m := range page {
		out.Models = append(out.Models, &aiv1.Model{
			Id:                                 m.ID,
			Kind:                               kindOf(m.Kind),
			Provider:                           m.Provider,
			ContextTokens:                      saturate.Int32(m.ContextTokens),
			MaxOutputTokens:                    saturate.Int32(m.MaxOutputTokens),
			InputNanoUsdPerMillionTokens:       m.InputPrice,
			CachedInputNanoUsdPerMillionTokens: m.CachedInputPrice,
			OutputNanoUsdPerMillionTokens:      m.OutputPrice,
			Aliases:                            m.Aliases,
			Prices:                             pricesOf(m),
		})
	}
	return out, nil
}

// usable returns the models by the names that all allowlists have, sorted by name. An allowlist that has a model's id has its aliases,
// too. A model of which only aliases are allowed is listed by each of them, because its id is refused.
func usable(all []models.Model, allowlists ...[]string) []models.Model {
	var out []models.Model
	for _, m := range all {
		allowed := func(name string) bool {
			return !slices.ContainsFunc(allowlists, func(list []string) bool { return !includes(list, m.ID) && !includes(list, name) })
		}
		if allowed(m.ID) {
			out = append(out, m)
			continue
		}
		for _, alias := range m.Aliases {
			if allowed(alias) {
				named := m
				named.ID, named.Aliases = alias, nil
				out = append(out, named)
			}
		}
	}
	slices.SortFunc(out, func(a, b models.Model) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

func kindOf(kind string) aiv1.ModelKind {
	switch kind {
	case models.KindChat:
		return aiv1.ModelKind_MODEL_KIND_CHAT
	case models.KindEmbedding:
		return aiv1.ModelKind_MODEL_KIND_EMBEDDING
	case models.KindCompletion:
		return aiv1.ModelKind_MODEL_KIND_COMPLETION
	case models.KindModeration:
		return aiv1.ModelKind_MODEL_KIND_MODERATION
	case models.KindImage:
		return aiv1.ModelKind_MODEL_KIND_IMAGE
	case models.KindSpeech:
		return aiv1.ModelKind_MODEL_KIND_SPEECH
	case models.KindTranscription:
		return aiv1.ModelKind_MODEL_KIND_TRANSCRIPTION
	default:
		return aiv1.ModelKind_MODEL_KIND_UNSPECIFIED
	}
}

// includes reports whether an allowlist has id; an empty one has all.
func includes(allowed []string, id string) bool {
	return len(allowed) == 0 || slices.Contains(allowed, id)
}
