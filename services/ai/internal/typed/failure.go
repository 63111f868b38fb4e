package typed

import (
	"cmp"
	"errors"
	"net/http"
	"strings"
	"time"

	goopenai "github.com/sashabaranov/go-openai"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/services/ai/internal/invoke"
)

// defaultRetry is when to try again when the provider is busy and does not say how long.
const defaultRetry = time.Second

// failure turns an error of go-openai into an *errs.Error.
func (x *exchange) failure(err error) error {
	if own, ok := errors.AsType[*errs.Error](err); ok {
		return ownFields(own)
	}
	if api, ok := errors.AsType[*goopenai.APIError](err); ok {
		return x.client.refusal(x.head.Status, api, x.head.Headers)
	}
	if x.head == nil { // go-openai knows that the model refuses such requests, and made no call
		return unsupported(err)
	}
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "The provider's answer cannot be read.").Cause(err)
}

// refusals are the requests that go-openai refuses for a model that reasons, in the typed API's words.
var refusals = []struct {
	cause          error
	field, problem string
}{
	{goopenai.ErrReasoningEffortUnsupported, "reasoningEffort", "has a value that this model does not support"},
	{goopenai.ErrReasoningToolsRequireResponses, "tools", "cannot be used with this model and this reasoningEffort"},
	{goopenai.ErrReasoningSamplingUnsupported, "temperature", "and topP must be left out while this model reasons"},
	{goopenai.ErrReasoningModelLimitationsOther, "temperature", "and topP must be left out or 1, because this model reasons"},
	{goopenai.ErrReasoningModelMaxTokensDeprecated, "maxTokens", "is not supported by this model"},
}

// unsupported is the error for what go-openai refuses before a call.
func unsupported(err error) *errs.Error {
	for _, r := range refusals {
		if errors.Is(err, r.cause) {
			return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "The field %q %s.", r.field, r.problem).Field(r.field, r.problem).Cause(err)
		}
	}
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "The model does not support this request.").Cause(err)
}

// typedNames translates OpenAI's field names into those of the typed API.
var typedNames = strings.NewReplacer(
	"max_completion_tokens", "maxTokens", "max_tokens", "maxTokens", "top_p", "topP", "tool_choice", "toolChoice", "reasoning_effort", "reasoningEffort")

// ownFields renames the fields of an error to those of the typed API.
func ownFields(e *errs.Error) *errs.Error {
	for i := range e.Fields {
		if ours := typedNames.Replace(e.Fields[i].Name); ours != e.Fields[i].Name {
			e.Fields[i].Name, e.Message = ours, typedNames.Replace(e.Message)
		}
	}
	return e
}

// refusal is the *errs.Error for an error that the provider answered.
func (c *Client) refusal(status int, api *goopenai.APIError, headers map[string]string) *errs.Error {
	code, _ := api.Code.(string)
	text := invoke.Shorten(api.Message)
	switch {
	case status == http.StatusTooManyRequests:
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED, errs.QuotingLimit+"%s", text).
			With("limit", "provider").After(cmp.Or(c.retryAfter(headers), defaultRetry))
	case status == http.StatusRequestTimeout, status == http.StatusGatewayTimeout:
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_TIMEOUT, errs.QuotingTimeout+"%s", text).After(c.retryAfter(headers))
	case status >= http.StatusInternalServerError:
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, errs.QuotingFailure+"%s", text).After(c.retryAfter(headers))
	case code == "context_length_exceeded":
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONTEXT_LENGTH_EXCEEDED, errs.QuotingRefusal+"%s", text).Field("messages", "are too long")
	}
	e := errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_REJECTED, errs.QuotingRefusal+"%s", text)
	if api.Param != nil {
		e = e.Field(*api.Param, text)
	}
	return ownFields(e)
}

// retryAfter reads how long the provider wants callers to wait; 0 when it does not say.
func (c *Client) retryAfter(headers map[string]string) time.Duration {
	h := http.Header{}
	for _, name := range [...]string{"retry-after-ms", "retry-after"} {
		if value := headers[name]; value != "" {
			h.Set(name, value)
		}
	}
	return provider.RetryAfter(h, c.now())
}
