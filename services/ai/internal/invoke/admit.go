package invoke

import (
	"context"
	"slices"
	"strconv"
	"strings"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/services/ai/internal/limit"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// model finds the model and checks that the request fits it.
func (i *Invoker) model(claims *passport.Claims, req *wire.Request) (models.Model, error) {
	m, err := i.deps.Models.Get(req.Model)
	if err != nil {
		return m, err
	}
	if err := req.Refuse(i.refusedFields(m)); err != nil {
		return m, err
	}
	if want := kindsOf(req.Endpoint); !slices.Contains(want, m.Kind) {
		return m, invalid("model", "names %s, a model of the kind %q; this endpoint needs the kind %q. Use %s with %s", m.ID, m.Kind, want[0], pathsOf[m.Kind], m.ID)
	}
	if req.MaxOutput > m.MaxOutputTokens {
		return m, invalid(req.MaxOutputName(), "must be at most %d, the maximum of %s", m.MaxOutputTokens, m.ID)
	}
	if !allows(claims.Models, m.ID, req.Model) {
		return m, notAllowed("This API key", m.ID, claims.Models)
	}
	return m, nil
}

// allows reports whether a list has the model, by its id or by the name that the request uses; an empty list has all.
func allows(list []string, id, asked string) bool {
	return len(list) == 0 || slices.Contains(list, id) || slices.Contains(list, asked)
}

// admit asks the plan and the limits. tokens is what the call may use.
func (i *Invoker) admit(ctx context.Context, claims *passport.Claims, req *wire.Request, m models.Model, tokens int64) (limit.Ticket, error) {
	plan, err := i.deps.Plans.Get(ctx, claims.AccountID)
	if err != nil {
		return nil, err
	}
	if !allows(plan.GetModels(), m.ID, req.Model) {
		return nil, notAllowed("Your plan", m.ID, plan.GetModels())
	}
	ask := limitsOf(claims, plan.GetLimits())
	ask.Tokens, ask.Stream = tokens, req.Stream || req.Media != nil && req.Media.Stream
	return i.deps.Limiter.Admit(ctx, ask)
}

// limitsOf are the limits that apply to a caller's calls.
func limitsOf(claims *passport.Claims, plan *billingv1.Limits) limit.Ask {
	return limit.Ask{
		Account: claims.AccountID, Keys: limitedKeys(claims), AccountRequests: int64(plan.GetRequestsPerMinute()),
		AccountRequestsPerDay: int64(plan.GetRequestsPerDay()), TokensPerMinute: int64(plan.GetTokensPerMinute()),
		Concurrent: int64(plan.GetConcurrentRequests()), Streams: int64(plan.GetConcurrentStreams()),
	}
}

// limitedKeys are the caller's API key and the keys that made it.
func limitedKeys(claims *passport.Claims) []limit.Key {
	if claims.APIKeyID == "" {
		return nil
	}
	keys := make([]limit.Key, 1, 1+len(claims.ParentLimits))
	keys[0] = limit.Key{
		ID: claims.APIKeyID, Requests: int64(claims.RequestsPerMinute), RequestsPerDay: int64(claims.RequestsPerDay),
		TokensPerMinute: int64(claims.TokensPerMinute), Streams: int64(claims.ConcurrentStreams),
	}
	for _, parent := range claims.ParentLimits {
		keys = append(keys, limit.Key{
			ID: parent.APIKeyID, Requests: int64(parent.RequestsPerMinute), RequestsPerDay: int64(parent.RequestsPerDay),
			TokensPerMinute: int64(parent.TokensPerMinute), Streams: int64(parent.ConcurrentStreams),
		})
	}
	return keys
}

// wanted is the most output tokens that one answer may have.
func wanted(req *wire.Request, m models.Model) int64 {
	if req.MaxOutput > 0 {
		return req.MaxOutput
	}
	if unbounded(req, m) {
		return m.MaxOutputTokens
	}
	if req.Endpoint == wire.Completions {
		return min(completionTokens, m.DefaultOutputTokens)
	}
	return m.DefaultOutputTokens
}

// completionTokens is OpenAI's default of max_tokens for a completion. It is sent upstream, because other servers have
// other defaults.
const completionTokens = 16

// unbounded reports whether nothing tells the provider when to stop but the model's own maximum.
func unbounded(req *wire.Request, m models.Model) bool {
	return req.MaxOutput == 0 && (m.OutputBound == models.BoundNone || req.Endpoint == wire.ResponsesCompact)
}

// kindsOf returns the kinds of models that an endpoint takes. Servers other than OpenAI's complete texts with chat models,
// too.
func kindsOf(endpoint aiv1.Endpoint) []string {
	switch endpoint {
	case wire.Embeddings:
		return kindsEmbedding
	case wire.Completions:
		return kindsCompletion
	case wire.Moderations:
		return kindsModeration
	case wire.ImagesGenerations, wire.ImagesEdits:
		return kindsImage
	case wire.Speech:
		return kindsSpeech
	case wire.Transcriptions, wire.Translations:
		return kindsTranscription
	default:
		return kindsChat
	}
}

var (
	kindsChat       = []string{models.KindChat} // and of responses
	kindsEmbedding  = []string{models.KindEmbedding}
	kindsCompletion = []string{models.KindCompletion, models.KindChat}
	kindsModeration = []string{models.KindModeration}

	kindsImage         = []string{models.KindImage}
	kindsSpeech        = []string{models.KindSpeech}
	kindsTranscription = []string{models.KindTranscription}
)

// pathsOf are the paths that serve a kind of models.
var pathsOf = map[string]string{
	models.KindChat: "POST /v1/chat/completions or POST /v1/responses", models.KindEmbedding: "POST /v1/embeddings",
	models.KindCompletion: "POST /v1/completions", models.KindModeration: "POST /v1/moderations",
	models.KindImage: "POST /v1/images/generations or POST /v1/images/edits", models.KindSpeech: "POST /v1/audio/speech",
	models.KindTranscription: "POST /v1/audio/transcriptions or POST /v1/audio/translations",
}

// invalid is the error for a field; the format continues the sentence that begins with the field.
func invalid(field, format string, args ...any) *errs.Error {
	e := errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, format, args...)
	e.Message, e.Fields = "The field "+strconv.Quote(field)+" "+e.Message+".", []errs.Field{{Name: field, Problem: e.Message}}
	return e
}

func notAllowed(who, model string, allowed []string) *errs.Error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_ALLOWED, "%s does not include the model %s. It includes: %s.",
		who, model, strings.Join(allowed, ", ")).Field("model", "is not included").With("model", model)
}
