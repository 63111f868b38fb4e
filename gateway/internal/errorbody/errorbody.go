// Package errorbody writes errors in the two formats of the edge: Trivet's own under /api and OpenAI's under /v1.
package errorbody

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// Tree is the part of the path space that a request belongs to. It decides the format of errors.
type Tree int

const (
	// API is every path outside of /v1: {"error","code","retryAfter","requestId","details"}.
	API Tree = iota
	// OpenAI is /v1: {"error":{"message","type","param","code"}}.
	OpenAI
)

// TreeOf returns the tree of a URL path.
func TreeOf(path string) Tree {
	if path == "/v1" || strings.HasPrefix(path, "/v1/") {
		return OpenAI
	}
	return API
}

type apiBody struct {
	Error      string `json:"error"`
	Code       string `json:"code"`
	RetryAfter int64  `json:"retryAfter,omitempty"`
	RequestID  string `json:"requestId"`
	Details    []any  `json:"details,omitempty"`
}

type apiField struct {
	Field   string `json:"field"`
	Problem string `json:"problem"`
}

type apiMetadata struct {
	Metadata map[string]string `json:"metadata"`
}

type openAIBody struct {
	Error openAIError `json:"error"`
}

type openAIError struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
	// CallID is the id of the first call under an idempotency key, as GET /api/v1/requests/{id} takes it, and Cost is its charge in
	// nano-dollars.
	CallID string `json:"request_id,omitempty"`
	Cost   string `json:"cost_nano_usd,omitempty"`
}

// Body returns e as one line of JSON in the format of the tree.
func Body(tree Tree, e *errs.Error, requestID string) []byte {
	if tree == OpenAI {
		return encode(openAI(e, text(tree, e)))
	}
	return encode(api(e, text(tree, e), requestID))
}

func api(e *errs.Error, message, requestID string) apiBody {
	body := apiBody{Error: message, Code: errs.MappingOf(e.Reason).Code, RetryAfter: seconds(e.RetryAfter), RequestID: requestID}
	for _, f := range e.Fields {
		body.Details = append(body.Details, apiField{Field: f.Name, Problem: f.Problem})
	}
	if len(e.Metadata) > 0 {
		body.Details = append(body.Details, apiMetadata{e.Metadata})
	}
	return body
}

func openAI(e *errs.Error, message string) openAIBody {
	m := errs.MappingOf(e.Reason)
	body := openAIBody{openAIError{Message: message, Type: m.OpenAIType}}
	if m.OpenAICode != "" {
		body.Error.Code = &m.OpenAICode
	}
	if len(e.Fields) > 0 {
		body.Error.Param = &e.Fields[0].Name
	}
	switch e.Reason { //nolint:exhaustive // others say everything in their message
	case errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR:
		body.Error.keep(e.Metadata)
	case errorsv1.ErrorReason_ERROR_REASON_REQUEST_IN_PROGRESS, errorsv1.ErrorReason_ERROR_REASON_ALREADY_COMPLETED:
		body.Error.CallID, body.Error.Cost = e.Metadata["request_id"], e.Metadata["cost_nano_usd"]
	}
	return body
}

// keep takes over what the provider's own error says for programs.
func (o *openAIError) keep(upstream map[string]string) {
	if value, ok := upstream[errs.UpstreamType]; ok {
		o.Type = value
	}
	if value, ok := upstream[errs.UpstreamCode]; ok {
		o.Code = &value
	}
	if value, ok := upstream[errs.UpstreamParam]; ok {
		o.Param = &value
	}
}

// encode cannot fail, because the bodies hold only strings and numbers.
func encode(body any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(body)
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

// Write answers the request with e: headers, status and body. It must be the first write.
func Write(w http.ResponseWriter, tree Tree, e *errs.Error, requestID string) {
	m, h := errs.MappingOf(e.Reason), w.Header()
	h.Set("Content-Type", "application/json")
	if m.HTTP == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(seconds(e.RetryAfter), 10))
		h.Set("Retry-After-Ms", strconv.FormatInt(max(1, e.RetryAfter.Milliseconds()), 10))
	}
	if e.Reason == errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED {
		writeLimit(h, tree, e)
	}
	if pointless(e.Reason) {
		h.Set("X-Should-Retry", "false")
	}
	body := Body(tree, e, requestID)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(m.HTTP)
	_, _ = w.Write(body)
}

// pointless reports whether a retry is pointless although OpenAI's SDKs retry the status (409 and all from 500).
func pointless(reason errorsv1.ErrorReason) bool {
	switch reason {
	case errorsv1.ErrorReason_ERROR_REASON_CONFLICT,
		errorsv1.ErrorReason_ERROR_REASON_ALREADY_COMPLETED,
		errorsv1.ErrorReason_ERROR_REASON_SECRET_ALREADY_SHOWN,
		errorsv1.ErrorReason_ERROR_REASON_NOT_IMPLEMENTED,
		errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR:
		return true
	default:
		return false
	}
}

// seconds rounds up, so that clients do not retry too early.
func seconds(d time.Duration) int64 {
	return int64((d + time.Second - 1) / time.Second)
}
