// Package rest serves the typed API under /api/v1. Unary calls go through grpc-gateway; the streaming chat is sent as
// server-sent events.
package rest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"

	"github.com/trivet-dev/trivet/gateway/internal/call"
	"github.com/trivet-dev/trivet/gateway/internal/reqbody"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// Clients are the services behind the API.
type Clients struct {
	Auth    authv1.AuthServiceClient
	AI      aiv1.AIServiceClient
	Billing billingv1.BillingServiceClient
}

// Mux translates between JSON and the services' RPCs. It serves only requests whose route exists.
type Mux struct {
	mux  *runtime.ServeMux
	body reqbody.Reader
}

// New makes the mux.
func New(ctx context.Context, clients Clients, body reqbody.Reader) (*Mux, error) {
	none := func(string) (string, bool) { return "", false }
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, codec{}),
		runtime.WithErrorHandler(answerError),
		runtime.WithRoutingErrorHandler(answerRoutingError),
		runtime.WithIncomingHeaderMatcher(none),
		runtime.WithOutgoingHeaderMatcher(limitHeader),
		runtime.WithOutgoingTrailerMatcher(none),
		runtime.WithDisableHTTPMethodOverride(),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithUnescapingMode(runtime.UnescapingModeAllExceptReserved),
		runtime.WithWriteContentLength(),
	)
	for name, register := range map[string]func() error{
		"auth":    func() error { return authv1.RegisterAuthServiceHandlerClient(ctx, mux, clients.Auth) },
		"ai":      func() error { return aiv1.RegisterAIServiceHandlerClient(ctx, mux, clients.AI) },
		"billing": func() error { return billingv1.RegisterBillingServiceHandlerClient(ctx, mux, clients.Billing) },
	} {
		if err := register(); err != nil {
			return nil, fmt.Errorf("register the routes of %s: %w", name, err)
		}
	}
	return &Mux{mux: mux, body: body}, nil
}

// limitHeader passes on what is left of the caller's limits, and no other header of a service.
func limitHeader(name string) (string, bool) {
	switch name {
	case "ratelimit":
		return "RateLimit", true
	case "ratelimit-policy":
		return "RateLimit-Policy", true
	default:
		return "", false
	}
}

// ServeHTTP implements http.Handler.
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	inner := bare(r)
	if r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch {
		state := call.From(r.Context())
		raw, err := m.body.JSON(w, r)
		defer func() { state.Asked("", raw) }()
		if err != nil {
			state.Fail(r.Context(), w, err)
			return
		}
		if len(raw) > 0 { // some RPCs take all their arguments from the path
			inner.Body = &document{Reader: bytes.NewReader(raw), raw: raw}
		}
	}
	m.mux.ServeHTTP(w, inner)
}

// bare returns the request without what grpc-gateway would act on or forward: headers, trailers, host, addresses, and the
// body until it is read.
func bare(r *http.Request) *http.Request {
	inner := *r
	inner.Header = http.Header{"Content-Type": {"application/json"}}
	inner.Trailer, inner.Host, inner.RemoteAddr, inner.Body = nil, "", "", http.NoBody
	if inner.Method == http.MethodHead {
		inner.Method = http.MethodGet
	}
	return &inner
}

// document is a complete body, together with the error from decoding it.
type document struct {
	io.Reader
	raw     []byte
	problem error
}

// Close implements io.Closer.
func (*document) Close() error { return nil }

func answerError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	// grpc-gateway set these for the response that failed.
	w.Header().Del("Content-Type")
	w.Header().Del("Content-Length")
	if d, ok := r.Body.(*document); ok && d.problem != nil {
		err = d.problem
	} else {
		err = asArgument(err)
	}
	call.From(r.Context()).Fail(r.Context(), w, err)
}

func answerRoutingError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, _ int) {
	// The route table has matched already, so only a path that cannot be unescaped arrives here.
	call.From(r.Context()).Fail(r.Context(), w,
		errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, "Not found. /docs lists all paths."))
}
