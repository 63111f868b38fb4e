package sandbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	goopenai "github.com/sashabaranov/go-openai"
	"github.com/stretchr/testify/require"
	stripesdk "github.com/stripe/stripe-go/v76"

	"github.com/trivet-dev/trivet/sandbox"
	"github.com/trivet-dev/trivet/sandbox/fault"
)

// target is one harmless request to a provider.
type target struct {
	name, method, path, key, body string
	set                           *fault.Set
}

func targets(s *sandbox.Sandbox) []target {
	return []target{
		{"clerk", "GET", "/clerk/v1/jwks", s.Clerk().SecretKey(), "", s.Clerk().Faults()},
		{"openai", "POST", "/openai/v1/chat/completions", sandbox.OpenAIKey, `{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}`, s.OpenAI().Faults()},
		{"stripe", "POST", "/stripe/v1/customers", sandbox.StripeSecretKey, "name=Ada", s.Stripe().Faults()},
	}
}

// send uses a connection of its own: on one that it has used before, net/http silently repeats a GET, or a request
// with an idempotency key, whose connection was cut.
func (g target) send(ctx context.Context, base string) (int, http.Header, string, error) {
	req, err := http.NewRequestWithContext(ctx, g.method, base+g.path, strings.NewReader(g.body))
	if err != nil {
		return 0, nil, "", err
	}
	req.Header.Set("Authorization", "Bearer "+g.key)
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, nil, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(raw), err
}

// TestFaultsOfEveryProvider sets each fault by the control API, sees it strike once, and sees the next
// request pass.
func TestFaultsOfEveryProvider(t *testing.T) {
	s, base := serve(t, sandbox.Config{})
	for _, g := range targets(s) {
		for kind, test := range map[string]struct {
			fault string
			check func(t *testing.T, status int, h http.Header, body string, err error)
		}{
			"latency": {`"kind":"latency","delay_ms":1`, func(t *testing.T, status int, _ http.Header, _ string, err error) {
				t.Helper()
				require.NoError(t, err)
				require.Equal(t, 200, status)
			}},
			"status": {`"kind":"status","status":503,"retry_after":7`, func(t *testing.T, status int, h http.Header, body string, err error) {
				t.Helper()
				require.NoError(t, err)
				require.Equal(t, 503, status)
				require.Equal(t, "7", h.Get("Retry-After"))
				require.True(t, json.Valid([]byte(body)), body)
				require.Contains(t, body, `"error`)
			}},
			"status with body": {`"kind":"status","status":418,"body":"teapot"`, func(t *testing.T, status int, _ http.Header, body string, err error) {
				t.Helper()
				require.NoError(t, err)
				require.Equal(t, 418, status)
				require.Equal(t, "teapot", body)
			}},
			"rate limit": {`"kind":"rate_limit","retry_after":12`, func(t *testing.T, status int, h http.Header, body string, err error) {
				t.Helper()
				require.NoError(t, err)
				require.Equal(t, 429, status)
				require.Equal(t, "12", h.Get("Retry-After"))
				require.True(t, json.Valid([]byte(body)), body)
			}},
			"garbage": {`"kind":"garbage"`, func(t *testing.T, status int, _ http.Header, body string, err error) {
				t.Helper()
				require.NoError(t, err)
				require.Equal(t, 200, status)
				require.False(t, json.Valid([]byte(body)), body)
			}},
			"close":          {`"kind":"close"`, isCut},
			"commit timeout": {`"kind":"commit_timeout","delay_ms":1`, isCut},
		} {
			t.Run(g.name+" "+kind, func(t *testing.T) {
				status, body := fetch(t, "POST", base+"/control/faults", `{"provider":"`+g.name+`","count":1,`+test.fault+`}`)
				require.Equal(t, http.StatusCreated, status, body)
				gotStatus, h, gotBody, err := g.send(t.Context(), base)
				test.check(t, gotStatus, h, gotBody, err)
				require.Empty(t, g.set.List())
				gotStatus, _, gotBody, err = g.send(t.Context(), base)
				require.NoError(t, err)
				require.Equal(t, 200, gotStatus, gotBody)
			})
		}
	}
}

func isCut(t *testing.T, _ int, _ http.Header, _ string, err error) {
	t.Helper()
	require.ErrorIs(t, err, io.EOF)
}

func TestHangLastsUntilTheClientLeaves(t *testing.T) {
	s, base := serve(t, sandbox.Config{})
	for _, g := range targets(s) {
		_, err := g.set.Add(fault.Fault{Kind: fault.Hang, Count: 1})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, _, _, err := g.send(ctx, base)
			done <- err
		}()
		require.Eventually(t, func() bool { return len(g.set.List()) == 0 }, 5*time.Second, time.Millisecond, "the request has come")
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
	}
	require.Eventually(t, func() bool { return s.OpenAI().Stats().Cancelled == 1 }, 5*time.Second, time.Millisecond)
}

func TestCommitTimeoutTakesEffect(t *testing.T) {
	s, base := serve(t, sandbox.Config{})
	_, err := s.Stripe().Faults().Add(fault.Fault{Kind: fault.CommitTimeout, Count: 1, Method: "POST"})
	require.NoError(t, err)
	params := &stripesdk.CustomerParams{Name: stripesdk.String("Ada")}
	params.SetIdempotencyKey("create-ada")
	_, err = stripeClient(base+"/stripe", 0).Customers.New(params)
	var urlErr *url.Error
	if err != nil { // net/http itself repeats a request with an idempotency key on a connection that was in use before
		require.ErrorAs(t, err, &urlErr)
	}
	again, err := stripeClient(base+"/stripe", 0).Customers.New(params)
	require.NoError(t, err)
	require.Equal(t, "true", again.LastResponse.Header.Get("Idempotent-Replayed"), "the first request had its effect")
	list := stripeClient(base+"/stripe", 0).Customers.List(nil)
	require.True(t, list.Next())
	require.Equal(t, again.ID, list.Customer().ID)
	require.False(t, list.Next(), "one customer, though the client had to ask twice")
}

func TestSDKsSeeRateLimits(t *testing.T) {
	s, base := serve(t, sandbox.Config{})
	for _, set := range []*fault.Set{s.OpenAI().Faults(), s.Stripe().Faults()} {
		_, err := set.Add(fault.Fault{Kind: fault.RateLimit, RetryAfter: 3 * time.Second})
		require.NoError(t, err)
	}
	config := goopenai.DefaultConfig(sandbox.OpenAIKey)
	config.BaseURL = base + "/openai/v1"
	_, err := goopenai.NewClientWithConfig(config).CreateChatCompletion(t.Context(), goopenai.ChatCompletionRequest{Model: "gpt-4o", Messages: []goopenai.ChatCompletionMessage{{Role: "user", Content: "hi"}}})
	var apiErr *goopenai.APIError
	require.ErrorAs(t, err, &apiErr)
	require.Equal(t, 429, apiErr.HTTPStatusCode)
	require.Equal(t, "rate_limit_exceeded", apiErr.Code)

	_, h, _, err := targets(s)[1].send(t.Context(), base)
	require.NoError(t, err)
	require.Equal(t, "3000", h.Get("Retry-After-Ms"))
	require.Equal(t, "0", h.Get("X-Ratelimit-Remaining-Requests"))
	require.NotEmpty(t, h.Get("X-Request-Id"))

	_, err = stripeClient(base+"/stripe", 0).Customers.New(nil)
	var stripeErr *stripesdk.Error
	require.ErrorAs(t, err, &stripeErr)
	require.Equal(t, stripesdk.ErrorCodeRateLimit, stripeErr.Code)
}

func TestStripeSDKRetries(t *testing.T) {
	s, base := serve(t, sandbox.Config{})
	_, err := s.Stripe().Faults().Add(fault.Fault{Kind: fault.Status, Status: 409, Count: 1})
	require.NoError(t, err)
	c, err := stripeClient(base+"/stripe", 1).Customers.New(&stripesdk.CustomerParams{Name: stripesdk.String("Ada")})
	require.NoError(t, err)
	require.Equal(t, "Ada", c.Name)
}

func TestCloseEndsHangingRequests(t *testing.T) {
	s, err := sandbox.New(sandbox.Config{Pace: time.Hour})
	require.NoError(t, err)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	base := "http://" + listener.Addr().String()

	_, err = s.Clerk().Faults().Add(fault.Fault{Kind: fault.Hang})
	require.NoError(t, err)
	stream := targets(s)[1]
	stream.body = strings.Replace(stream.body, "{", `{"stream":true,`, 1)
	ended := make(chan error, 2)
	for _, g := range []target{targets(s)[0], stream} {
		go func() {
			_, _, _, err := g.send(context.WithoutCancel(t.Context()), base)
			ended <- err
		}()
	}
	require.Eventually(t, func() bool { return s.OpenAI().Stats().Streams == 1 && s.Clerk().Faults().Struck() == 1 }, 5*time.Second, time.Millisecond)
	require.NoError(t, s.Close(t.Context()))
	for range 2 {
		require.Error(t, <-ended)
	}
	status, body := fetch(t, "GET", base+"/healthz", "")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, body, "closing")
	require.NoError(t, s.Close(t.Context()), "closing twice is harmless")
	require.NoError(t, server.Close())
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		require.NoError(t, err)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}
