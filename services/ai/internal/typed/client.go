// Package typed is the typed front of calls to models: it writes requests and reads errors with go-openai, whose
// only importer it is. It reads good answers itself, because servers that are almost OpenAI send members of other types.
// The calls themselves go the way of all calls, see package invoke: go-openai's HTTP client is replaced by one that
// invokes. It never calls a provider; package upstream does.
package typed

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	goopenai "github.com/sashabaranov/go-openai"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	"github.com/trivet-dev/trivet/platform/idempotency"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/services/ai/internal/hold"
	"github.com/trivet-dev/trivet/services/ai/internal/invoke"
	"github.com/trivet-dev/trivet/services/ai/internal/limit"
	"github.com/trivet-dev/trivet/services/ai/internal/sse"
)

// Options holds what a Client works with. Only FallbackText may be empty.
type Options struct {
	Invoker *invoke.Invoker
	// FallbackText answers conversations while no target of the model is available; "" leaves the error to the caller.
	FallbackText string
	Logger       *slog.Logger
	// Now is the clock.
	Now func() time.Time
}

// Client makes typed calls. It is safe for concurrent use.
type Client struct {
	invoker  *invoke.Invoker
	fallback string
	log      *slog.Logger
	now      func() time.Time
	scanners sse.Pool
}

// New returns a client.
func New(o Options) *Client {
	return &Client{invoker: o.Invoker, fallback: o.FallbackText, log: o.Logger, now: o.Now}
}

// refuse logs a call that no model is asked for, and returns err.
func (c *Client) refuse(ctx context.Context, claims *passport.Claims, in interface{ GetModel() string }, err error) error {
	return c.invoker.Refuse(ctx, claims, in.GetModel(), time.Time{}, err)
}

// headersOf returns the headers of a call that Invoke reads: the caller's idempotency key. Its error is an *errs.Error.
func headersOf(ctx context.Context) (map[string]string, error) {
	key, err := idempotency.FromIncoming(ctx)
	if err != nil || key == "" {
		return nil, err
	}
	return map[string]string{idempotency.Header: key}, nil
}

// exchange is one call in one piece: what go-openai calls in place of an http.Client, and the sink of its answer.
type exchange struct {
	client   *Client
	claims   *passport.Claims
	endpoint aiv1.Endpoint
	headers  map[string]string
	edit     func(body []byte) []byte
	// own is set by calls that read a good answer themselves: go-openai refuses all of it for one member of another type, such as a numeric id.
	own bool

	invoked bool            // the call is Invoke's to log
	ctx     context.Context //nolint:containedctx // the request's own
	head    *invoke.Head
	body    bytes.Buffer
	receipt hold.Receipt
}

// api returns a go-openai client for this call alone. It knows neither key nor address: upstream has both.
func (x *exchange) api() *goopenai.Client {
	config := goopenai.DefaultConfig("")
	config.HTTPClient = x
	return goopenai.NewClientWithConfig(config)
}

// Do invokes. An error is Invoke's own, and go-openai returns it as it is.
func (x *exchange) Do(request *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	if x.edit != nil {
		body = x.edit(body)
	}
	x.invoked, x.ctx = true, request.Context()
	if err := x.client.invoker.Invoke(request.Context(), x.claims, x.endpoint, body, x.headers, x); err != nil {
		return nil, err
	}
	response := &http.Response{StatusCode: x.head.Status, Header: http.Header{}, Body: io.NopCloser(&x.body), Request: request}
	if x.own && x.head.Status < http.StatusMultipleChoices {
		response.Body = io.NopCloser(strings.NewReader("{}"))
	}
	for name, value := range x.head.Headers {
		response.Header.Set(name, value)
	}
	return response, nil
}

// Head implements invoke.Sink.
func (x *exchange) Head(h invoke.Head) error { x.head = &h; announce(x.ctx, h.Limits); return nil }

// answered returns the body of a good answer, which is JSON.
func (x *exchange) answered() []byte { return bytes.TrimPrefix(x.body.Bytes(), []byte("\xef\xbb\xbf")) }

// Body implements invoke.Sink. What is in one piece is bounded by upstream.
func (x *exchange) Body(p []byte) error { x.body.Write(p); return nil }

// Settled implements invoke.Sink.
func (x *exchange) Settled(r hold.Receipt) { x.receipt = r }

// announce sends what is left of the caller's limits as gRPC metadata; the edge makes headers of them. A stream's header is sent
// before its call is let in, so streams have none. Outside of a gRPC call it does nothing.
func announce(ctx context.Context, limits []limit.Level) {
	if len(limits) == 0 {
		return
	}
	policy, current := limit.Fields(limits)
	_ = grpc.SetHeader(ctx, metadata.Pairs("ratelimit-policy", policy, "ratelimit", current))
}

var _ invoke.Sink = (*exchange)(nil)

// call runs a function of go-openai's and returns an *errs.Error for whatever goes wrong.
func call[T any](ctx context.Context, x *exchange, do func(context.Context, *goopenai.Client) (T, error)) (T, error) {
	res, err := do(ctx, x.api())
	if err != nil {
		return res, x.failure(err)
	}
	return res, nil
}
