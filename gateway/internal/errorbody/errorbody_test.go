package errorbody_test

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway/internal/errorbody"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

func write(tree errorbody.Tree, e *errs.Error) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	errorbody.Write(w, tree, e, "req_1")
	return w
}

// Every reason has the body that the contract describes, in both formats.
func TestEveryReason(t *testing.T) {
	for number, name := range errorsv1.ErrorReason_name {
		t.Run(name, func(t *testing.T) {
			e := errs.New(errorsv1.ErrorReason(number), "Words & <more>.").After(1500*time.Millisecond).
				Field("messages[0].role", "is wrong").With("limit", "rpm")
			m := errs.MappingOf(e.Reason)

			api := write(errorbody.API, e)
			require.Equal(t, m.HTTP, api.Code)
			require.JSONEq(t, `{"error":"`+text(e, apiTexts)+`","code":"`+m.Code+`","retryAfter":2,"requestId":"req_1",
				"details":[{"field":"messages[0].role","problem":"is wrong"},{"metadata":{"limit":"rpm"}}]}`, api.Body.String())

			openai := write(errorbody.OpenAI, e)
			require.Equal(t, m.HTTP, openai.Code)
			require.JSONEq(t, `{"error":{"message":"`+text(e, openAITexts)+`","type":"`+m.OpenAIType+`","param":"messages[0].role","code":"`+m.OpenAICode+`"}}`,
				openai.Body.String())

			for _, w := range []*httptest.ResponseRecorder{api, openai} {
				require.Equal(t, "application/json", w.Header().Get("Content-Type"))
				require.Equal(t, "2", w.Header().Get("Retry-After"))
				require.Equal(t, "1500", w.Header().Get("Retry-After-Ms"))
				require.Equal(t, m.HTTP == http.StatusUnauthorized, w.Header().Get("WWW-Authenticate") == "Bearer")
				switch {
				case e.Reason == errorsv1.ErrorReason_ERROR_REASON_REQUEST_IN_PROGRESS:
					require.Empty(t, w.Header().Get("X-Should-Retry"), "a later attempt learns how the first one ended")
				case m.HTTP == http.StatusConflict || m.HTTP == http.StatusNotImplemented:
					require.Equal(t, "false", w.Header().Get("X-Should-Retry"), "SDKs must not retry")
				}
			}
		})
	}
}

// The integration guide fixes these texts to the letter.
var (
	openAITexts = map[errorsv1.ErrorReason]string{
		errorsv1.ErrorReason_ERROR_REASON_UNAUTHORIZED:              "Unauthorized",
		errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN:             "Invalid token",
		errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR:       "Configuration error. Please contact support.",
		errorsv1.ErrorReason_ERROR_REASON_WEBHOOK_SIGNATURE_INVALID: "Invalid webhook signature",
	}
	apiTexts = map[errorsv1.ErrorReason]string{
		errorsv1.ErrorReason_ERROR_REASON_UNAUTHORIZED:              "Unauthorized",
		errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN:             "Invalid token",
		errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR:       "Configuration error. Please contact support.",
		errorsv1.ErrorReason_ERROR_REASON_WEBHOOK_SIGNATURE_INVALID: "Invalid webhook signature",
		errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE:       "Service temporarily unavailable. Please try again later.",
		errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED:       "Too many requests. Please wait a moment and try again.",
	}
)

// text returns the text that a client sees: the fixed one, or the service's own.
func text(e *errs.Error, fixed map[errorsv1.ErrorReason]string) string {
	return cmp.Or(fixed[e.Reason], e.Message)
}

func TestHTMLCharactersAreNotEscaped(t *testing.T) {
	e := errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, "Words & <more>.")
	require.Contains(t, write(errorbody.API, e).Body.String(), "& <more>")
	require.Contains(t, write(errorbody.OpenAI, e).Body.String(), "& <more>")
}

func TestErrorWithoutOptionalFields(t *testing.T) {
	e := errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, "No.")
	require.JSONEq(t, `{"error":"No.","code":"NOT_FOUND","requestId":"req_1"}`, string(errorbody.Body(errorbody.API, e, "req_1")))
	require.JSONEq(t, `{"error":{"message":"No.","type":"invalid_request_error","param":null,"code":"not_found"}}`,
		string(errorbody.Body(errorbody.OpenAI, e, "req_1")))
	w := write(errorbody.API, e)
	require.Empty(t, w.Header().Get("Retry-After"))
	require.Empty(t, w.Header().Get("X-Should-Retry"))
	require.NotContains(t, w.Body.String(), "\n", "a body must be one line to fit into an event")
}

// An error within a stream of the provider keeps what it says for programs; no other error takes it from metadata.
func TestErrorsOfTheProvider(t *testing.T) {
	e := errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "Slow down.").
		With(errs.UpstreamType, "tokens").With(errs.UpstreamCode, "rate_limit_exceeded").With(errs.UpstreamParam, "n")
	require.JSONEq(t, `{"error":{"message":"Slow down.","type":"tokens","param":"n","code":"rate_limit_exceeded"}}`, string(errorbody.Body(errorbody.OpenAI, e, "req_1")))
	e.Reason = errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND
	require.JSONEq(t, `{"error":{"message":"Slow down.","type":"invalid_request_error","param":null,"code":"not_found"}}`, string(errorbody.Body(errorbody.OpenAI, e, "req_1")))
}

func TestBodyIsOneLine(t *testing.T) {
	e := errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_REJECTED, "two\nlines\r\u2028")
	for _, tree := range []errorbody.Tree{errorbody.API, errorbody.OpenAI} {
		body := errorbody.Body(tree, e, "req_1")
		require.NotContains(t, string(body), "\n")
		require.True(t, json.Valid(body))
	}
}

func TestTreeOf(t *testing.T) {
	for path, want := range map[string]errorbody.Tree{
		"/v1": errorbody.OpenAI, "/v1/x": errorbody.OpenAI, "/v1x": errorbody.API, "/api/v1/x": errorbody.API, "/": errorbody.API, "": errorbody.API,
	} {
		require.Equal(t, want, errorbody.TreeOf(path), path)
	}
}

// Both headers are rounded so that nobody comes back too early, and neither is ever 0.
func TestRetryAfter(t *testing.T) {
	for after, want := range map[time.Duration][2]string{
		1: {"1", "1"}, time.Millisecond: {"1", "1"}, time.Second: {"1", "1000"}, time.Second + 1: {"2", "1000"}, 90 * time.Second: {"90", "90000"},
	} {
		h := write(errorbody.OpenAI, errs.New(errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED, "x").After(after)).Header()
		require.Equal(t, want, [2]string{h.Get("Retry-After"), h.Get("Retry-After-Ms")}, "%s", after)
	}
}

// A repetition under an idempotency key names the first call for programs, in both formats.
func TestARepetitionNamesTheFirstCall(t *testing.T) {
	for reason, want := range map[errorsv1.ErrorReason]string{
		errorsv1.ErrorReason_ERROR_REASON_ALREADY_COMPLETED: `{"error":{"message":"Over.","type":"invalid_request_error","param":null,"code":"already_completed",
			"request_id":"call_1","cost_nano_usd":"7"}}`,
		errorsv1.ErrorReason_ERROR_REASON_REQUEST_IN_PROGRESS: `{"error":{"message":"Over.","type":"invalid_request_error","param":null,"code":"request_in_progress",
			"request_id":"call_1","cost_nano_usd":"7"}}`,
		errorsv1.ErrorReason_ERROR_REASON_CONFLICT: `{"error":{"message":"Over.","type":"invalid_request_error","param":null,"code":"conflict"}}`,
	} {
		e := errs.New(reason, "Over.").With("request_id", "call_1").With("cost_nano_usd", "7")
		require.JSONEq(t, want, string(errorbody.Body(errorbody.OpenAI, e, "req_1")))
	}
}
