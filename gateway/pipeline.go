package gateway

import (
	"cmp"
	"context"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/gateway/internal/bearer"
	"github.com/trivet-dev/trivet/gateway/internal/call"
	"github.com/trivet-dev/trivet/gateway/internal/concurrency"
	"github.com/trivet-dev/trivet/gateway/internal/errorbody"
	"github.com/trivet-dev/trivet/gateway/internal/reqbody"
	"github.com/trivet-dev/trivet/gateway/internal/routes"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/idempotency"
	"github.com/trivet-dev/trivet/platform/requestid"
	"github.com/trivet-dev/trivet/platform/tracing"
)

// exchange is one request and its response. It is also the context of the request, because a context for each of its values
// would cost more.
type exchange struct {
	context.Context
	call.State
	recorder
	span     tracing.Span
	id       any       // State.ID, because each conversion would make a copy
	ids      [1]string // the value of X-Request-Id
	untraced bool      // nothing is traced, which need not be looked up again and again
}

// Value returns the state of the request, its id, and the values of the server's context.
func (x *exchange) Value(key any) any {
	switch key.(type) {
	case call.Key:
		return &x.State
	case requestid.Key:
		return x.id
	case tracing.Key:
		if x.untraced {
			return nil
		}
	}
	return x.Context.Value(key)
}

// serve does what all requests have in common: the request id, common headers, recovery, the log line and metrics.
func (g *Gateway) serve(w http.ResponseWriter, r *http.Request) {
	g.running.Add(1)
	defer g.running.Done()
	start := time.Now()
	id := requestID(r)
	x := &exchange{
		Context: r.Context(), State: call.State{ID: id, Tree: errorbody.TreeOf(r.URL.Path)},
		recorder: recorder{ResponseWriter: w, timeout: g.config.WriteTimeout}, id: id, ids: [1]string{id}, untraced: g.tracer == nil,
	}
	if r.ProtoMajor > 1 {
		x.pauses = &pauses{}
	}
	x.Context, x.span = g.tracer.Request(x.Context, spanName(r.Method, ""), tracing.Incoming(r.Header))
	g.headers(w.Header(), x.ids[:])

	defer func() {
		g.recovered(x, recover())
		x.last()
		took := time.Since(start)
		g.finish(x, r.Method, took)
		g.logRefusal(x, took)
		if x.Broken {
			// Cut the connection: a client would take an orderly end for a complete response.
			panic(http.ErrAbortHandler)
		}
	}()
	g.dispatch(&x.recorder, r.WithContext(x), &x.State)
}

func requestID(r *http.Request) string {
	if ids := r.Header["X-Request-Id"]; len(ids) == 1 && requestid.Valid(ids[0]) {
		return ids[0]
	}
	return requestid.New()
}

// dispatch runs all checks that come before a route's handler, the cheapest first.
func (g *Gateway) dispatch(w http.ResponseWriter, r *http.Request, state *call.State) {
	g.noteOrigin(r)
	if g.cors != nil && g.preflight(w, r) {
		return
	}
	route, unknown := g.route(w, r)
	allow := g.limiter.Allow
	if route != nil && route.Signed {
		allow = g.limiter.Left
	}
	if wait, ok := allow(g.proxies.Of(r)); !ok {
		state.Fail(r.Context(), w, errs.New(errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED,
			"Too many requests. Please wait a moment and try again.").After(wait))
		return
	}
	defer reqbody.Linger(w, r)()
	if unknown != nil {
		g.noteUnknown(r, state)
		state.Fail(r.Context(), w, unknown)
		return
	}
	state.Route = route.Pattern
	_, state.Logged = modelCalls[route.Pattern]
	body := g.body
	body.Max = cmp.Or(route.MaxBody, body.Max)
	if err := body.TooLarge(r); err != nil {
		if state.Logged { // the log of requests names the caller
			_, _ = g.identify(r, state)
		}
		w.Header().Set("Connection", "close")
		state.Fail(r.Context(), w, err)
		return
	}
	if !route.Public {
		caller, err := g.identify(r, state)
		if err != nil {
			state.Fail(r.Context(), w, err)
			return
		}
		if !g.concurrency.Open(caller) {
			state.Fail(r.Context(), w, errs.New(errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED,
				"Too many requests. Please wait a moment and try again.").With("limit", "open_requests").After(openRetry))
			return
		}
		defer g.concurrency.Close(caller)
	}
	if err := route.Query.Check(r.URL); err != nil {
		state.Fail(r.Context(), w, err)
		return
	}
	if err := takeIdempotencyKey(r, state); err != nil {
		state.Fail(r.Context(), w, err)
		return
	}
	route.Handler.ServeHTTP(w, r)
}

// takeIdempotencyKey reads the key of a request that creates something; other methods may be repeated anyway.
func takeIdempotencyKey(r *http.Request, state *call.State) (err error) {
	if r.Method == http.MethodPost {
		state.IdempotencyKey, err = idempotency.Of(r.Header["Idempotency-Key"])
	}
	return err
}

func (g *Gateway) route(w http.ResponseWriter, r *http.Request) (*routes.Route, error) {
	route, allowed := g.routes.Find(r.Method, r.URL.EscapedPath())
	if route != nil {
		return route, nil
	}
	if len(allowed) > 0 {
		list := strings.Join(allowed, ", ")
		w.Header().Set("Allow", list)
		return nil, errs.New(errorsv1.ErrorReason_ERROR_REASON_METHOD_NOT_ALLOWED, "Method not allowed; use %s.", list)
	}
	return nil, errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, "%s", notFound(r.URL.Path))
}

// openRetry is when a caller with too many open requests may try again.
const openRetry = time.Second

// identify exchanges the caller's credential for passports.
func (g *Gateway) identify(r *http.Request, state *call.State) (concurrency.Caller, error) {
	token, err := bearer.Credential(r)
	if err != nil {
		return concurrency.Caller{}, err
	}
	ctx, span := tracing.Start(r.Context(), "verify credential", tracing.Internal)
	passports, err := g.credentials.Exchange(ctx, token)
	if err != nil {
		span.Fail(errs.Code(errs.ReasonOf(err)))
	}
	span.End()
	if err != nil {
		return concurrency.Caller{}, err
	}
	state.Passports = passports
	who := passports.Identity
	state.Account = who.GetAccountId()
	return concurrency.Caller{Account: who.GetAccountId(), User: who.GetUserId(), Key: who.GetApiKeyId()}, nil
}

// recovered answers the request when its handler panicked.
func (g *Gateway) recovered(x *exchange, panicked any) {
	if panicked == nil {
		return
	}
	if panicked == http.ErrAbortHandler { //nolint:errorlint,err113 // a panic value, compared as net/http does
		x.Broken = true
		return
	}
	g.logger.ErrorContext(x, "handler panicked", "request_id", x.ID, "route", x.Route, "panic", errs.PanicText(panicked), "stack", string(debug.Stack()))
	err := errs.New(errorsv1.ErrorReason_ERROR_REASON_INTERNAL, "Internal error. The log records the cause under this request id.")
	if x.status != 0 {
		x.Failure, x.Broken = err, true
		return
	}
	x.Fail(x, &x.recorder, err)
}
